"""Tar files that are made of pieces: a sample is a run of tar members, a shard is such runs and the end mark.

Members have no time, no owner and a fixed order, so the same files give the same bytes. Pieces are joined by copying
bytes; no member is read again.
"""

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.store.place import NO_ROOM

END = bytes(2 * tarfile.BLOCKSIZE)
"""What ends a tar file."""
BEHIND = 16
"""Pieces by which hashing may lag behind copying."""
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

    The system copies while a thread hashes behind it; a piece may be removed once the next one is asked for.

    Raises:
        OSError: If a piece cannot be read or the file not be written.
    """
    whole, size = hashlib.sha256(), 0
    offsets: list[int] = []
    digests: list[Future[str]] = []
    with ThreadPoolExecutor(1) as hasher, into.open("wb", buffering=0) as output:
        for path in pieces:
            offsets.append(size)
            if len(digests) >= BEHIND:
                digests[-BEHIND].result()  # so that few files are open
            digests.append(hasher.submit(_hash, path.open("rb", buffering=0), whole))
            with path.open("rb", buffering=0) as file:
                size += _copy(file, output)
        output.write(END)
        os.fsync(output.fileno())
        pieces_hashed = tuple(digest.result() for digest in digests)
    whole.update(END)
    return Packed(whole.hexdigest(), size + len(END), tuple(offsets), pieces_hashed)


def _hash(piece_file: FileIO, whole: "hashlib._Hash") -> str:
    """Digest of one open file, which also goes into the digest of the whole; closes it."""
    piece, buffer = hashlib.sha256(), bytearray(HASHED_BYTES)
    view = memoryview(buffer)
    with piece_file as file:
        while count := file.readinto(buffer):
            piece.update(view[:count])
            whole.update(view[:count])
    return piece.hexdigest()


def _copy(file: FileIO, output: FileIO) -> int:
    """Append one file to another; gives the number of bytes."""
    begin, left = output.tell(), os.fstat(file.fileno()).st_size
    try:
        while left and hasattr(os, "copy_file_range"):
            copied = os.copy_file_range(file.fileno(), output.fileno(), left)
            if copied == 0:  # shorter than it was: its digest will tell
                break
            left -= copied
    except OSError as error:
        if error.errno in NO_ROOM or output.tell() != begin:
            raise
    if left:  # not on this system, or not between these two file systems
        shutil.copyfileobj(file, output, HASHED_BYTES)
    return output.tell() - begin


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
