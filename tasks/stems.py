"""Where each source's result goes below the output place: the folders of the library are kept."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath


def output_stems(roots: Sequence[str], uris: Sequence[str]) -> dict[str, str]:
    """Give every source an output path without suffix.

    A source below one of the roots keeps its folders relative to that root; any other keeps its name alone. Sources
    that would collide (``a.mp4`` and ``a.mkv``, or equal names from two folders) get their suffix or a short hash of
    their path added, each of them, so that no name depends on the order.

    Args:
        roots: What the user named: files, folders or URLs.
        uris: The sources found there.
    """
    plain = {uri: _relative(roots, uri) for uri in uris}
    taken = Counter(str(path.with_suffix("")) for path in plain.values())
    stems = {}
    for uri, path in plain.items():
        stem = str(path.with_suffix(""))
        stems[uri] = stem if taken[stem] == 1 else f"{stem}-{path.suffix.lstrip('.')}"
    again = Counter(stems.values())
    return {uri: stem if again[stem] == 1 else f"{stem}-{_hash(uri)}" for uri, stem in stems.items()}


def _relative(roots: Sequence[str], uri: str) -> PurePosixPath:
    for root in sorted(roots, key=len, reverse=True):
        folder = root.rstrip("/") + "/"
        if uri.startswith(folder):
            parts = [part for part in PurePosixPath(uri[len(folder) :]).parts if part not in {"..", "/"}]
            return PurePosixPath(*parts)
    return PurePosixPath(PurePosixPath(uri).name)


def _hash(uri: str) -> str:
    return hashlib.sha256(uri.encode(errors="surrogateescape")).hexdigest()[:6]
