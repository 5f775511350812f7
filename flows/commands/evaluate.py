"""``spatialdreamer evaluate``: made right views against true ones, as a table."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.commands.exits import told
from flows.commands.options import RUN, Prefect, Quiet
from flows.config import checked
from flows.evaluate_config import EvaluateRunConfig
from spatialdreamer_core.evaluate.config import DEFAULT_METHODS, Matcher, Protocol, parse_method
from spatialdreamer_core.evaluate.material import Packing
from spatialdreamer_core.evaluate.run import EVALUATION_FILE, LATEX_FILE, MARKDOWN_FILE, Progress, Report
from spatialdreamer_core.flow.dis import PRESETS
from spatialdreamer_core.flow.learned import LEARNED

WHAT, MEASURES = "What to evaluate", "What to measure"


def evaluate(
    material: Annotated[
        list[str],
        typer.Argument(
            help="Folders of pairs, side-by-side videos, or lists (.csv, .parquet) with the columns left, right and, "
            "if wanted, name, disparity, disparity_scale, domain, layout.",
            show_default=False,
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder or fsspec URL for rows and tables.")],
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="A row: warp, row, telea, ns, background, ours, mini; NAME=FOLDER for right views somebody made; "
            f"NAME:fill=background,temporal=no,depth=cues,refine=mini for ours with settings. "
            f"[{', '.join(DEFAULT_METHODS)}]",
            rich_help_panel=WHAT,
        ),
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="Warp by the material's disparity, or by depth estimated from the left view at one scale per clip.",
            rich_help_panel=WHAT,
        ),
    ] = "true-disparity",
    layout: Annotated[
        Packing | None,
        typer.Option(help="How packed videos are packed if their names do not say.", rich_help_panel=WHAT),
    ] = None,
    frames: Annotated[int, typer.Option(help="Frames of each clip.", rich_help_panel=WHAT)] = 16,
    start_frame: Annotated[int, typer.Option(help="First of them.", rich_help_panel=WHAT)] = 0,
    exchange_swapped: Annotated[
        bool,
        typer.Option(
            "--exchange-swapped",
            help="Exchange eyes that are found swapped, instead of stopping.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    depth: Annotated[
        str, typer.Option(help="Depth estimator of the protocol own-depth.", rich_help_panel=WHAT)
    ] = "builtin",
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let --depth fetch a model from its hub.", rich_help_panel=WHAT)
    ] = False,
    lpips: Annotated[str, typer.Option(help="Networks: alex, vgg, none.", rich_help_panel=MEASURES)] = "alex,vgg",
    vgg_every: Annotated[
        int, typer.Option(help="LPIPS vgg on every so many frames: it costs the most.", rich_help_panel=MEASURES)
    ] = 16,
    match_every: Annotated[
        int, typer.Option(help="Match disparity on every so many frames.", rich_help_panel=MEASURES)
    ] = 4,
    flow: Annotated[
        str,
        typer.Option(
            help=f"Optical flow of E_warp: {', '.join(PRESETS)}; or a network, which needs weights and takes seconds a "
            f"frame: {', '.join(LEARNED)}.",
            rich_help_panel=MEASURES,
        ),
    ] = "dis-medium",
    matcher: Annotated[
        Matcher,
        typer.Option(help="What finds disparity; gmflow needs weights and 10 s a frame.", rich_help_panel=MEASURES),
    ] = "sgm",
    fvd: Annotated[
        bool, typer.Option("--fvd", help="FVD too: 3 s a clip and method.", rich_help_panel=MEASURES)
    ] = False,
    seam_frames: Annotated[
        int | None,
        typer.Option(help="Windows of a method: the step at multiples of this is measured.", rich_help_panel=MEASURES),
    ] = None,
    weights: Annotated[
        list[Path] | None, typer.Option(help="Look for weights in this folder first.", rich_help_panel=RUN)
    ] = None,
    i3d: Annotated[
        Path | None,
        typer.Option(help="i3d_pretrained_400.pt instead of the weights i3d-kinetics400.", rich_help_panel=RUN),
    ] = None,
    prefect: Prefect = "auto",
    quiet: Quiet = False,
) -> None:
    """Hold made right views against true ones: one row per clip and method in Parquet, tables in Markdown and LaTeX.

    An identity row (the left view itself) is always there as a control. The same command again measures only what is
    missing and gives the same figures. If anything is wrong with the material, no table is written.

    LPIPS and FVD need weights: `spatialdreamer weights get`.

    Examples:
        spatialdreamer evaluate pairs -o judged

        spatialdreamer evaluate clips.csv -o judged --method ours --method peer=/their/right/views --fvd

        spatialdreamer evaluate film.3D.FSBS.mkv -o judged --protocol own-depth
    """
    console = Console(stderr=True)
    with told():
        networks = tuple(name for name in (part.strip() for part in lpips.split(",")) if name and name != "none")
        config = checked(
            EvaluateRunConfig,
            {
                "material": tuple(material),
                "output": output,
                "layout": layout,
                "weights": tuple(weights or ()),
                "i3d": i3d,
                "prefect": prefect,
                "evaluate": {
                    "methods": tuple(parse_method(text) for text in method or DEFAULT_METHODS),
                    "protocol": protocol,
                    "frames": frames,
                    "start_frame": start_frame,
                    "lpips": networks,
                    "vgg_every": vgg_every,
                    "match_every": match_every,
                    "flow": flow,
                    "matcher": matcher,
                    "fvd": fvd,
                    "depth": {"name": depth, "allow_network": allow_network},
                    "exchange_swapped": exchange_swapped,
                    "seam_frames": seam_frames,
                },
            },
            "settings",
        )
        report = _run(config, _listener(console, quiet=quiet))
    if not quiet:
        typer.echo(report.table)
        for line in (
            f"{report.clips} clips, {len(report.methods)} methods, {report.rows_made} new rows, {report.seconds:.0f} s",
            *(f"  {output}/{name}" for name in (EVALUATION_FILE, MARKDOWN_FILE, LATEX_FILE)),
        ):
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _run(config: EvaluateRunConfig, listener: Any) -> Report:
    from infra.prefect_api import recording_wanted

    if not recording_wanted(config.prefect):
        from flows.run_evaluate import run_evaluate

        return run_evaluate(config, listener)
    from flows.evaluate import evaluate as evaluate_flow

    report: Report = evaluate_flow(config, listener)
    return report


def _listener(console: Console, *, quiet: bool) -> Any:
    def tell(progress: Progress) -> None:
        if not quiet and progress.message:
            console.print(
                f"{progress.clips_done + 1}/{progress.clips} {progress.message}", markup=False, highlight=False
            )

    return tell
