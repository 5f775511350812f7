"""``spatialdreamer convert``: every option, laid over a settings file, becomes one RunConfig."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from flows.commands import options as shared
from flows.commands.exits import SOME_FAILED, stop, told
from flows.config import RunConfig, merge, read_settings, run_config
from flows.progress import Listener, choose_mode, duration, shown
from spatialdreamer_core.config import Codec, Container, Layout, Quality, RefineName
from spatialdreamer_core.errors import ConfigError
from tasks.convert_library import LibraryReport

Fill = Literal["background", "row", "telea", "ns"]

PICTURE, STEREO = "The result", "Stereo"


def convert(
    sources: shared.Sources = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Folder or fsspec URL for the results.", show_default=False)
    ] = None,
    config: shared.Settings = None,
    layout: Annotated[
        Layout | None, typer.Option(help="How the two eyes share the picture. [full-sbs]", rich_help_panel=PICTURE)
    ] = None,
    container: Annotated[Container | None, typer.Option(help="File format. [mkv]", rich_help_panel=PICTURE)] = None,
    codec: Annotated[
        Codec | None, typer.Option(help="auto is h264 for 8 bit, hevc for 10 bit. [auto]", rich_help_panel=PICTURE)
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(help="Constant quality, less is better. [h264 18, hevc 20, av1 28]", rich_help_panel=PICTURE),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="The encoder's speed word. [veryfast / fast / 8 / hq]", rich_help_panel=PICTURE),
    ] = None,
    max_width: Annotated[
        int | None,
        typer.Option(help="Widest packed picture; wider eyes are made smaller. [7680]", rich_help_panel=PICTURE),
    ] = None,
    swap_eyes: Annotated[
        bool | None, typer.Option("--swap-eyes", help="Right eye first (cross-eyed).", rich_help_panel=PICTURE)
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            help="Disparity range in percent of the width, 0 to 10. [chosen per shot under the comfort limit]",
            rich_help_panel=STEREO,
        ),
    ] = None,
    max_strength: Annotated[
        float | None,
        typer.Option(help="Comfort limit of the automatic strength, percent of the width. [3]", rich_help_panel=STEREO),
    ] = None,
    convergence: Annotated[
        str | None,
        typer.Option(
            help="Inverse depth that lies on the screen: auto, or 0 (farthest) to 1 (nearest). [auto]",
            rich_help_panel=STEREO,
        ),
    ] = None,
    depth: shared.DepthName = None,
    depth_width: Annotated[
        int | None, typer.Option(help="Columns at which depth is estimated. [320]", rich_help_panel=shared.DEPTH)
    ] = None,
    allow_network: shared.AllowNetwork = None,
    import_depth: shared.ImportDepth = None,
    export_depth: Annotated[
        bool | None,
        typer.Option("--export-depth", help="Write 16-bit PNG depth beside the result.", rich_help_panel=shared.DEPTH),
    ] = None,
    flow: Annotated[
        str | None,
        typer.Option(help="Optical flow: dis-ultrafast, dis-fast, dis-fine, dis-medium.", rich_help_panel=STEREO),
    ] = None,
    fill: Annotated[
        Fill | None, typer.Option(help="How uncovered background is painted. [background]", rich_help_panel=STEREO)
    ] = None,
    refine: Annotated[
        RefineName | None,
        typer.Option(
            help="Network that paints holes over the fill: mini in every shot, svd (needs --refine-weights and a GPU), "
            "none, or auto: mini where a shot earns it, with --quality best in every shot. [auto]",
            rich_help_panel=STEREO,
        ),
    ] = None,
    refine_weights: Annotated[
        str | None,
        typer.Option(help="Folder with other weights for --refine. [what ships]", rich_help_panel=STEREO),
    ] = None,
    refine_on_cpu: Annotated[
        bool | None,
        typer.Option(
            "--refine-on-cpu", help="Let --refine svd run without a GPU: minutes for a frame.", rich_help_panel=STEREO
        ),
    ] = None,
    gpu_memory_fraction: Annotated[
        float | None,
        typer.Option(
            help="Share of a GPU's memory that a worker with --refine svd may take, 0 to 1. [0.9]",
            rich_help_panel=STEREO,
        ),
    ] = None,
    deviation: Annotated[
        float | None,
        typer.Option(
            help="Stereo deviation strength that the network is told; mini: median disparity over width. [computed]",
            rich_help_panel=STEREO,
        ),
    ] = None,
    quality: Annotated[
        Quality | None,
        typer.Option(
            help="best estimates depth on every other frame and larger, and refines every shot. [fast]",
            rich_help_panel=STEREO,
        ),
    ] = None,
    gate: Annotated[
        bool | None,
        typer.Option(
            "--gate",
            help="Make shots that fail the gate (see `gate` in the settings) once more, less deep, and say so in "
            "their rows.",
            rich_help_panel=STEREO,
        ),
    ] = None,
    start: Annotated[
        float | None, typer.Option(help="Begin here, seconds. [0]", rich_help_panel=shared.WHAT, show_default=False)
    ] = None,
    duration_s: Annotated[
        float | None, typer.Option("--duration", help="Convert this many seconds. [all]", rich_help_panel=shared.WHAT)
    ] = None,
    include: shared.Include = None,
    exclude: shared.Exclude = None,
    workers: shared.Workers = None,
    gpus: shared.Gpus = None,
    executor: shared.Executor = None,
    ray_address: shared.RayAddress = None,
    prefect: shared.Prefect = None,
    resume: shared.Resume = None,
    quiet: shared.Quiet = False,
    as_json: shared.AsJson = False,
) -> None:
    """Convert flat video to stereo: files, a manifest with one row per clip, and a page to look at.

    The left eye is the source, untouched; the right eye is made. All audio, subtitles, chapters and tags come along.
    An interrupted run goes on where it was when the same command is given again.

    Exit code 0: every clip is done. 3: some failed (see the page). 1: the run stopped. 2: wrong settings.

    Examples:
        spatialdreamer convert film.mkv -o stereo

        spatialdreamer convert /films -o s3://bucket/stereo --layout half-sbs --container mp4 --include '*.mkv'
    """
    options: dict[str, Any] = {
        "sources": sources or None,
        "output": output,
        "include": include or None,
        "exclude": exclude or None,
        "workers": workers,
        "gpus": gpus,
        "executor": executor,
        "ray_address": ray_address,
        "prefect": prefect,
        "resume": resume,
        "gate.rerender": gate,
        "convert.encode.layout": layout,
        "convert.encode.container": container,
        "convert.encode.codec": codec,
        "convert.encode.crf": crf,
        "convert.encode.preset": preset,
        "convert.encode.max_width": max_width,
        "convert.stereo.swap_eyes": swap_eyes,
        "convert.stereo.strength_pct": strength,
        "convert.stereo.max_strength_pct": max_strength,
        "convert.depth.name": depth,
        "convert.depth.width": depth_width,
        "convert.depth.allow_network": allow_network,
        "convert.depth.import_from": import_depth,
        "convert.export_depth": export_depth,
        "convert.flow": flow,
        "convert.fill.name": fill,
        "convert.refine.name": refine,
        "convert.refine.weights": refine_weights,
        "convert.refine.svd.on_cpu": refine_on_cpu,
        "convert.refine.svd.gpu_memory_fraction": gpu_memory_fraction,
        "convert.refine.deviation": deviation,
        "convert.quality": quality,
        "convert.start_s": start,
        "convert.duration_s": duration_s,
    }
    with told():
        settings = merge(read_settings(config) if config else {}, options)
        checked = run_config(_with_convergence(settings, convergence), str(config) if config else "settings")
        console = Console(stderr=as_json)
        with shown(choose_mode(console, quiet=quiet, as_json=as_json), console) as listener:
            report = _run(checked, listener)
        _tell(report, checked, console, quiet=quiet, as_json=as_json)
        if report.clips_failed or report.files_failed:
            stop(SOME_FAILED, f"{report.clips_failed} clips failed: see {checked.output}/report.html")


def _with_convergence(settings: dict[str, Any], convergence: str | None) -> dict[str, Any]:
    if convergence is None:
        return settings
    if convergence == "auto":  # the default, so what the file says of it is taken out
        convert = settings.get("convert")
        stereo = convert.get("stereo") if isinstance(convert, dict) else None
        if not isinstance(convert, dict) or not isinstance(stereo, dict):
            return settings
        without = {name: value for name, value in stereo.items() if name != "convergence"}
        return settings | {"convert": convert | {"stereo": without}}
    try:
        return merge(settings, {"convert.stereo.convergence": float(convergence)})
    except ValueError as error:
        raise ConfigError(f"--convergence: auto or a number from 0 to 1 is needed, got {convergence!r}") from error


def _run(config: RunConfig, listener: Listener) -> LibraryReport:
    from infra.prefect_api import recording_wanted

    if not recording_wanted(config.prefect):
        from flows.run_convert import run_convert

        return run_convert(config, listener)
    from flows.convert import convert as convert_flow

    report: LibraryReport = convert_flow(config, listener)
    return report


def _tell(report: LibraryReport, config: RunConfig, console: Console, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"event": "done", "fps": report.fps} | asdict(report)) + "\n")
        return
    if quiet:
        return
    for line in (
        f"{report.files_done} of {report.files} files, {report.clips_done} clips, {report.frames_made} frames made at "
        f"{report.fps:.1f} frames/s (start-up {report.start_s:.1f} s, work {duration(report.work_s)})",
        *_gate_line(report),
        *(f"  {config.output}/{name}" for name in report.outputs[:20]),
        *([f"  ... and {len(report.outputs) - 20} more"] if len(report.outputs) > 20 else []),
        f"  {config.output}/manifest.parquet",
        f"  {config.output}/report.html",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _gate_line(report: LibraryReport) -> list[str]:
    made_again = f"; {report.shots_retaken} shots made again, less deep" if report.shots_retaken else ""
    if not made_again and not report.gate["review"] and not report.gate["fail"]:
        return []
    counts = ", ".join(f"{report.gate[verdict]} {verdict}" for verdict in report.gate)
    return [f"gate: {counts}{made_again}"]
