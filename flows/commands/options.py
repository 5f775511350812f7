"""Options that several commands have, each told once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

ExecutorName = Literal["ray", "in-process"]
Recording = Literal["auto", "on", "off"]

WHAT, DEPTH, RUN, SHOW = "What of the sources", "Depth", "How to run", "What to show"

Sources = Annotated[
    list[str] | None,
    typer.Argument(help="Files, folders (searched through), globs, fsspec URLs, or @list.txt.", show_default=False),
]
Settings = Annotated[
    Path | None, typer.Option(help="YAML file with any of these settings; options given here go over it.")
]
Include = Annotated[
    list[str] | None,
    typer.Option(help="Only sources that match, e.g. '*.mkv'; may be repeated.", rich_help_panel=WHAT),
]
Exclude = Annotated[list[str] | None, typer.Option(help="No sources that match.", rich_help_panel=WHAT)]

DepthName = Annotated[
    str | None,
    typer.Option(
        help="Depth estimator: a name from `spatialdreamer doctor`, a folder with a transformers model, or "
        "module:Class. [builtin]",
        rich_help_panel=DEPTH,
    ),
]
AllowNetwork = Annotated[
    bool | None,
    typer.Option("--allow-network", help="Let --depth fetch a model from its hub.", rich_help_panel=DEPTH),
]
ImportDepth = Annotated[
    str | None,
    typer.Option(
        help="Ready depth instead of an estimator: 16-bit PNGs, EXR, npz or a depth video, or a folder of those "
        "by source name.",
        rich_help_panel=DEPTH,
    ),
]

Workers = Annotated[
    int | None,
    typer.Option("--workers", "-w", help="Worker processes. [one per core or GPU]", rich_help_panel=RUN),
]
Gpus = Annotated[int | None, typer.Option(help="GPUs to use on this machine. [0]", rich_help_panel=RUN)]
Executor = Annotated[
    ExecutorName | None,
    typer.Option(help="in-process runs without worker processes, for debugging. [ray]", rich_help_panel=RUN),
]
RayAddress = Annotated[
    str | None, typer.Option(help="A Ray cluster to join, or auto. [one of our own]", rich_help_panel=RUN)
]
Prefect = Annotated[
    Recording | None,
    typer.Option(help="Record the run with Prefect; auto does if PREFECT_API_URL is set. [auto]", rich_help_panel=RUN),
]
Resume = Annotated[
    bool | None,
    typer.Option("--resume/--no-resume", help="Keep what earlier runs did. [resume]", rich_help_panel=RUN),
]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only failures.", rich_help_panel=SHOW)]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines on stdout.", rich_help_panel=SHOW)]
