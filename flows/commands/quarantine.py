"""``spatialdreamer quarantine``: the clips that were set aside, and how to have them tried again."""

import json
from typing import Annotated

import typer
from rich.console import Console

from flows.commands.exits import told
from spatialdreamer_core.store.place import Place
from tasks.set_aside import list_set_aside

app = typer.Typer(no_args_is_help=True, help="Clips that failed and were set aside: list them, have them tried again.")

Output = Annotated[str, typer.Argument(help="Output folder or URL of convert or make-pairs.")]


@app.command("ls")
def ls(output: Output, as_json: Annotated[bool, typer.Option("--json", help="JSON lines on stdout.")] = False) -> None:
    """List the clips that were set aside, with the reason."""
    with told():
        records = list_set_aside(Place(output))
    console = Console()
    for key, record in records.items():
        row, failure = record["row"], record["failure"]
        if as_json:
            typer.echo(json.dumps({"key": key} | record))
        else:
            clip = f"segment {row['segment']}" if "segment" in row else f"clip {row['clip_id']}"
            line = f"{row['source_uri']} {clip}: {failure['reason']}: {failure['message']}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not as_json:
        console.print(f"{len(records)} clips set aside")


@app.command("retry")
def retry(
    output: Output,
    reason: Annotated[str | None, typer.Option(help="Only clips with this reason code.")] = None,
    source: Annotated[str | None, typer.Option(help="Only clips whose source path contains this.")] = None,
) -> None:
    """Let the next run try them again: give the same command afterwards."""
    with told():
        place = Place(output)
        chosen = [
            key
            for key, record in list_set_aside(place).items()
            if reason in (None, record["failure"]["reason"]) and (source or "") in record["row"]["source_uri"]
        ]
        for key in chosen:
            place.remove(key)
    Console().print(f"{len(chosen)} clips will be tried again by the next run of the same command")
