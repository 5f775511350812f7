"""Find what no record names: data of killed or racing runs, shards of works that were begun anew."""

import re

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.pairs import naming
from spatialdreamer_core.pairs.commits import read_commits
from spatialdreamer_core.pairs.compaction import list_works
from spatialdreamer_core.store.place import Place

_OURS = re.compile(r"(train|val)-\d+x\d+-g\d{4}-\d{6}-[0-9a-f]{12}\.(tar|parquet)")
"""Names that make-pairs gives; anything else in the folders is somebody's and stays."""
_PIECE = re.compile(r"[0-9a-f]{24}-[0-9a-f]{12}\.tar")


def find_orphans(place: Place) -> list[str]:
    """List keys of ours that nothing names: shards and rows without a commit record, pieces without a clip record.

    Safe while nobody writes; beside a run of somebody else, only what is old should go.

    Raises:
        StoreError: If the place cannot be read, a record is torn, or something lies there in a way that this program
            does not know: what it cannot read it must not call garbage.
    """
    named: set[str] = set()
    finished: set[tuple[str, str]] = set()
    works = list_works(place)
    _refuse_unknown(place, set(works))
    for work in works:
        for commit in read_commits(place, work).values():
            named |= {commit.file, commit.fragment}
            finished.add((work, commit.shard))
    inside = place.keys(naming.WORKS)
    found = [
        key
        for key in (*place.keys(naming.SHARDS), *inside)
        if key not in named and _OURS.fullmatch(key.rpartition("/")[2])
    ]
    return sorted(found + _open_orphans(inside, finished))


def _refuse_unknown(place: Place, works: set[str]) -> None:
    """Refuse files of ours below a folder of which no record says what work it is of."""
    for folder in (naming.WORKS, naming.SHARDS):
        for name in sorted(set(place.children(folder)) - works):
            files = (key.rpartition("/")[2] for key in place.keys(f"{folder}/{name}"))
            if any(_OURS.fullmatch(file) or _PIECE.fullmatch(file) or file.endswith(".json") for file in files):
                raise StoreError(
                    f"{folder}/{name}: no {naming.work_file(name)} says what these files belong to, so none is called "
                    "garbage; restore it, or remove the folder yourself if nobody needs it"
                )


def _open_orphans(keys: list[str], finished: set[tuple[str, str]]) -> list[str]:
    """Pieces and records of finished shards, and pieces that no record names."""
    pieces, records = [], []
    for key in keys:
        parts = key.split("/")  # .spatialdreamer/pairs/KEY/pieces/SHARD/NAME
        if len(parts) == 6 and parts[3] == "pieces" and _PIECE.fullmatch(parts[5]):
            pieces.append((key, parts[2], parts[4], parts[5][:24]))
        elif len(parts) == 6 and parts[3] == "clips" and parts[5].endswith(".json"):
            records.append((key, parts[2], parts[4], parts[5].removesuffix(".json")))
    recorded = {(work, shard, clip) for _, work, shard, clip in records}
    return [
        *(key for key, work, shard, _ in records if (work, shard) in finished),
        *(key for key, work, shard, clip in pieces if (work, shard) in finished or (work, shard, clip) not in recorded),
    ]
