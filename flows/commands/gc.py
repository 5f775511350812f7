"""``spatialdreamer gc``: remove what no record names."""

from typing import Annotated

import typer
from rich.console import Console

from flows.commands.exits import told
from spatialdreamer_core.pairs.garbage import find_orphans
from spatialdreamer_core.store.lock import exclusive_run
from spatialdreamer_core.store.place import Place


def gc(
    output: Annotated[str, typer.Argument(help="Output folder or URL of make-pairs.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    older_than_h: Annotated[
        float,
        typer.Option(
            help="On remote storage, where a run cannot be locked out: only what is at least so many hours old."
        ),
    ] = 24.0,
) -> None:
    """Remove orphans: shards, rows and samples of killed or racing runs that no commit record names.

    Files with other names than make-pairs gives are left alone. A run on the same local folder is waited for by being
    refused: its lock is respected.
    """
    console = Console()
    with told():
        place = Place(output)
        with exclusive_run(place):
            place.sweep_scratch()
            orphans = find_orphans(place)
            if not place.is_local:
                orphans = [key for key in orphans if (place.age_s(key) or 0.0) >= older_than_h * 3600]
            freed = 0
            for key in orphans:
                freed += place.size(key) or 0
                console.print(key, markup=False, highlight=False, soft_wrap=True)
                if not dry_run:
                    place.remove(key)
    console.print(f"{len(orphans)} orphans, {freed / 1e6:.1f} MB {'would go' if dry_run else 'removed'}")
