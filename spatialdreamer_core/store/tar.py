"""Tar files that are made of pieces: a sample is a run of tar members, a shard is such runs and the end mark.

Members have no time, no owner and a fixed order, so the same files give the same bytes. Pieces are joined by copying
bytes; no member is read again.
"""

import hashlib
import os
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from spatialdreamer_core.errors import StoreError

END = bytes(2 * tarfile.BLOCKSIZE)
"""What ends a tar file."""
COPIED_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Packed:
    """A finished tar file.

    Attributes:
        sha256: Of the whole file.
        bytes: Its size.
        offsets: Where each piece begins.
        digests: sha256 of each piece.
    """

    sha256: str
    bytes: int
    offsets: tuple[int, ...]
    digests: tuple[str, ...]


def piece_bytes(key: str, members: Mapping[str, bytes]) -> bytes:
    """Give one sample's members as a piece of a tar file: ``KEY.EXTENSION`` each, sorted."""
    parts = []
    for extension in sorted(members):
        data = members[extension]
        header = tarfile.TarInfo(f"{key}.{extension}")
        header.size, header.mode = len(data), 0o644
        padding = bytes(-len(data) % tarfile.BLOCKSIZE)
        parts += [header.tobuf(tarfile.USTAR_FORMAT), data, padding]
    return b"".join(parts)


def pack(pieces: Iterable[Path], into: Path) -> Packed:
    """Join pieces into a tar file and put it on the disk.

    Raises:
        OSError: If a piece cannot be read or the file not be written.
    """
    whole, size = hashlib.sha256(), 0
    offsets, digests = [], []
    with into.open("wb") as output:
        for path in pieces:
            offsets.append(size)
            piece = hashlib.sha256()
            with path.open("rb", buffering=0) as file:
                while block := file.read(COPIED_BYTES):
                    piece.update(block)
                    whole.update(block)
                    output.write(block)
                    size += len(block)
            digests.append(piece.hexdigest())
        whole.update(END)
        output.write(END)
        output.flush()
        os.fsync(output.fileno())
    return Packed(whole.hexdigest(), size + len(END), tuple(offsets), tuple(digests))


def read_piece(data: bytes | BinaryIO, name: str) -> tuple[str, dict[str, bytes]]:
    """Read one sample: its key and its members by extension.

    Args:
        data: The piece.
        name: What to call it in errors.

    Raises:
        StoreError: If it is no whole piece of one sample.
    """
    import io

    members: dict[str, bytes] = {}
    keys = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(data) if isinstance(data, bytes) else data, mode="r:") as archive:
            for header in archive:
                key, _, extension = header.name.partition(".")
                file = archive.extractfile(header)
                body = file.read() if file is not None else b""
                if len(body) != header.size:
                    raise StoreError(f"{name}: torn; remove its shard's commit and run again")
                keys.add(key)
                members[extension] = body
    except tarfile.TarError as error:
        raise StoreError(f"{name}: not a tar file ({error}); remove its shard's commit and run again") from error
    if len(keys) != 1:
        raise StoreError(f"{name}: {len(keys)} samples where one should be; remove its shard's commit and run again")
    return keys.pop(), members
