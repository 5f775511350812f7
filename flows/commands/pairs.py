"""``spatialdreamer pairs``: look at samples of a dataset."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.commands.exits import told
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.pairs.dataset import find_sample, read_sample
from spatialdreamer_core.pairs.picture import picture_bytes, sample_picture
from spatialdreamer_core.store.place import Place

app = typer.Typer(no_args_is_help=True, help="Look at the samples of a dataset that make-pairs made.")


@app.callback()
def group() -> None:
    """Keep ``show`` a command of its own while it is the only one."""


@app.command("show")
def show(
    output: Annotated[str, typer.Argument(help="Output folder or URL of make-pairs.")],
    key: Annotated[str, typer.Argument(help="Sample key, or the beginning of it: clip_id in pairs.parquet.")],
    picture: Annotated[
        Path | None, typer.Option("--picture", "-p", help="PNG or JPEG to write. [KEY.png here]")
    ] = None,
    frame: Annotated[
        list[int] | None, typer.Option(help="Frame to show, from 0; may be repeated. [first, middle, last]")
    ] = None,
) -> None:
    """Write a picture of a sample: target, condition, mask, reference and disparity, side by side."""
    with told():
        place = Place(output)
        found = find_sample(place, key)
        path = picture or Path(f"{found.sample.clip_id}.png")
        try:
            drawn = sample_picture(read_sample(place, found.commit.file, found.sample), frame or None)
            path.write_bytes(picture_bytes(drawn, path.suffix.lower()))
        except ValueError as error:
            raise ConfigError(str(error)) from error
        except OSError as error:
            raise ConfigError(f"picture {path}: {error.strerror}; give another --picture") from error
    said = f"{path}: sample {found.sample.clip_id} of {found.commit.file}"
    Console().print(said, markup=False, highlight=False, soft_wrap=True)
