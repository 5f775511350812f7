"""``spatialdreamer make-pairs``: every option, laid over a settings file, becomes one PairsRunConfig."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.commands import options as shared
from flows.commands.exits import SOME_FAILED, stop, told
from flows.config import PairsRunConfig, checked, merge, read_settings
from flows.progress import Listener, choose_mode, duration, shown
from spatialdreamer_core.dvg.config import Refine
from spatialdreamer_core.pairs.naming import MANIFEST, SHARDS
from tasks.pairs_library import PairsReport

CLIPS, PAIRS = "Clips", "Pairs"


def make_pairs(
    sources: shared.Sources = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Folder or fsspec URL for the dataset.", show_default=False)
    ] = None,
    config: shared.Settings = None,
    frames: Annotated[
        int | None, typer.Option(help="Frames of a clip; 16 and 25 are usual. [16]", rich_help_panel=CLIPS)
    ] = None,
    frame_step: Annotated[
        int | None,
        typer.Option(help="Source frames from one frame of a clip to its next. [1]", rich_help_panel=CLIPS),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(help="Source frames from one clip to the next. [the clip's own span]", rich_help_panel=CLIPS),
    ] = None,
    bucket: Annotated[
        list[str] | None,
        typer.Option(
            help="Sizes that clips come in, WIDTHxHEIGHT; each source takes the one of nearest shape. "
            "[512x288, 288x512, 384x384]",
            rich_help_panel=CLIPS,
        ),
    ] = None,
    val_share: Annotated[
        float | None, typer.Option(help="Share of sources kept for validation. [0.05]", rich_help_panel=CLIPS)
    ] = None,
    depth: shared.DepthName = None,
    allow_network: shared.AllowNetwork = None,
    import_depth: shared.ImportDepth = None,
    double_share: Annotated[
        float | None,
        typer.Option(
            help="Share of clips made by rendering there and back; the others get the analytic mask. [0.3]",
            rich_help_panel=PAIRS,
        ),
    ] = None,
    refine: Annotated[
        Refine | None,
        typer.Option(help="How masks are made steady along the flow. [union]", rich_help_panel=PAIRS),
    ] = None,
    store_flow: Annotated[
        bool | None,
        typer.Option("--store-flow", help="Keep optical flow in the samples; they double.", rich_help_panel=PAIRS),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Another seed draws other disparities. [0]", rich_help_panel=PAIRS)
    ] = None,
    shard_mb: Annotated[
        float | None, typer.Option(help="How large a shard becomes, megabytes. [512]", rich_help_panel=shared.RUN)
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
    """Make training pairs of flat video: WebDataset shards, and a manifest with one row per clip.

    Each clip of real pictures is a target; its other view is made from its depth. A shard is part of the dataset once
    its commit record exists, so a run may be killed at any moment: the same command goes on where it was. Give more
    sources later and the dataset grows; other settings make another dataset beside it.

    Exit code 0: every clip is through. 3: some failed (see the manifest). 1: the run stopped. 2: wrong settings.

    Examples:
        spatialdreamer make-pairs /films -o pairs

        spatialdreamer make-pairs /films -o s3://bucket/pairs --frames 25 --import-depth /depth --workers 16
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
        "shard_mb": shard_mb,
        "pairs.clips.frames": frames,
        "pairs.clips.frame_step": frame_step,
        "pairs.clips.stride": stride,
        "pairs.clips.buckets": bucket or None,
        "pairs.val_share": val_share,
        "pairs.seed": seed,
        "pairs.depth.name": depth,
        "pairs.depth.allow_network": allow_network,
        "pairs.depth.import_from": import_depth,
        "pairs.warp.double_share": double_share,
        "pairs.mask.refine": refine,
        "pairs.mask.store_flow": store_flow,
    }
    with told():
        settings = merge(read_settings(config) if config else {}, options)
        run = checked(PairsRunConfig, settings, str(config) if config else "settings")
        console = Console(stderr=as_json)
        with shown(choose_mode(console, quiet=quiet, as_json=as_json), console) as listener:
            report = _run(run, listener)
        _tell(report, run, console, quiet=quiet, as_json=as_json)
        if report.clips_failed:
            stop(SOME_FAILED, f"{report.clips_failed} clips or sources failed: see {run.output}/report.html")


def _run(config: PairsRunConfig, listener: Listener) -> PairsReport:
    from infra.prefect_api import recording_wanted

    if not recording_wanted(config.prefect):
        from flows.run_pairs import run_pairs

        return run_pairs(config, listener)
    from flows.make_pairs import make_pairs as make_pairs_flow

    report: PairsReport = make_pairs_flow(config, listener)
    return report


def _tell(report: PairsReport, config: PairsRunConfig, console: Console, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"event": "done", "fps": report.fps} | asdict(report)) + "\n")
        return
    if quiet:
        return
    busy = sum(report.stage_s.values()) - report.stage_s["look"]
    shares = ", ".join(
        f"{stage} {100 * seconds / busy:.0f} %" for stage, seconds in report.stage_s.items() if stage != "look" and busy
    )
    for line in (
        f"{report.clips_done} pairs in {report.shards} shards, {report.clips_filtered} clips filtered out, "
        f"{report.clips_failed} failed, of {report.files} sources",
        f"{report.frames_made} frames made at {report.fps:.1f} frames/s (start-up {report.start_s:.1f} s, looking "
        f"{duration(report.look_s)}, work {duration(report.work_s)}{': ' if shares else ''}{shares})",
        f"  {config.output}/{SHARDS}/{report.work_key}",
        f"  {config.output}/{MANIFEST}",
        f"  {config.output}/report.html",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
