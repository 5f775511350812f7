"""What lies in a local folder and in the folders below it, also behind links."""

import os
from collections.abc import Iterator
from pathlib import Path


def folders_below(root: Path) -> Iterator[Path]:
    """Give ``root`` and every folder below it, by name; links to folders are followed, each folder is given once.

    ``Path.rglob`` leaves out what lies behind links without a word.
    """
    seen: set[tuple[int, int]] = set()
    for name, below, _ in os.walk(root, followlinks=True):
        below.sort()
        place = os.stat(name)
        if (place.st_dev, place.st_ino) in seen:  # a link that leads back
            below.clear()
            continue
        seen.add((place.st_dev, place.st_ino))
        yield Path(name)


def files_below(root: Path) -> list[Path]:
    """Give every file in ``root`` and in the folders below it, sorted, but hidden ones; see ``folders_below``."""
    found = (path for folder in folders_below(root) for path in folder.iterdir())
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))
