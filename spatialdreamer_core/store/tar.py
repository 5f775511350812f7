"""Tar files that are made of pieces: a sample is a run of tar members, a shard is such runs and the end mark.

Members have no time, no owner and a fixed order, so the same files give the same bytes. Pieces are joined by copying
bytes; no member is read again.
"""

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.store.place import NO_ROOM

END = bytes(2 * tarfile.BLOCKSIZE)
"""What ends a tar file."""
HASHED_BYTES = 1 << 18
"""What a core's own cache holds."""


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

    The system copies while a thread hashes: a piece is one file, so both read it from the cache.

    Raises:
        OSError: If a piece cannot be read or the file not be written.
    """
    whole, size = hashlib.sha256(), 0
    offsets, digests = [], []
    with ThreadPoolExecutor(1) as hasher, into.open("wb", buffering=0) as output:
        for path in pieces:
            offsets.append(size)
            with path.open("rb", buffering=0) as file:
                digest = hasher.submit(_hash, path, whole)
                size += _copy(file, output)
                digests.append(digest.result())
        whole.update(END)
        output.write(END)
        os.fsync(output.fileno())
    return Packed(whole.hexdigest(), size + len(END), tuple(offsets), tuple(digests))


def _hash(path: Path, whole: "hashlib._Hash") -> str:
    """Digest of one file, which also goes into the digest of the whole."""
    piece, buffer = hashlib.sha256(), bytearray(HASHED_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            piece.update(view[:count])
            whole.update(view[:count])
    return piece.hexdigest()


def _copy(file: FileIO, output: FileIO) -> int:
    """Append one file to another; gives the number of bytes."""
    size = os.fstat(file.fileno()).st_size
    left = size
    try:
        while left and hasattr(os, "copy_file_range"):
            left -= os.copy_file_range(file.fileno(), output.fileno(), left)
    except OSError as error:
        if error.errno in NO_ROOM or left != size:
            raise
    if left:  # not on this system, or not between these two file systems
        shutil.copyfileobj(file, output, HASHED_BYTES)
    return size


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
