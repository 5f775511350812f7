"""An output place: a local folder or any fsspec URL, where files appear whole or not at all."""

import errno
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path, PurePosixPath
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from spatialdreamer_core.errors import SpatialDreamerError, StoreError

log = logging.getLogger(__name__)

WORK_FOLDER = ".spatialdreamer"
"""Everything that is not a result lies below this folder of the output place."""

OLD_S = 86_400.0
"""Age at which scratch of remote places is taken for forgotten, seconds."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

P = ParamSpec("P")
R = TypeVar("R")


class FullDiskError(StoreError):
    """The output place has no room left: the run stops, since no other clip would fare better."""

    reason = "disk_full"


def store_error(error: OSError, what: str) -> StoreError:
    """Turn an operating system's error into one sentence that says what to do."""
    if error.errno in NO_ROOM:
        return FullDiskError(f"{what}: no space left; free some room and run the same command again, it will go on")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StoreError(f"{what}: not writable ({error.strerror}); choose another --output or change its permissions")
    return StoreError(f"{what}: {error}")


def _translated(method: Callable[P, R]) -> Callable[P, R]:
    @wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except FileExistsError:
            raise
        except OSError as error:
            raise store_error(error, _named(*args)) from error
        except (SpatialDreamerError, ValueError, TypeError):
            raise
        except Exception as error:  # remote stores raise what they like (botocore, aiohttp, ...)
            text = " ".join(str(error).split()) or type(error).__name__
            raise StoreError(
                f"{_named(*args)}: {text}; check the URL, the credentials and that the store answers"
            ) from error

    return wrapper


def _named(place: object, key: object = "", *_: object) -> str:
    return f"output {place} {key}".strip()


class Place:
    """A folder or URL below which keys like ``work/abc/0001.mkv`` are read and published.

    A key never leads out of the root. Publishing is by rename (local) or by one whole upload (remote): readers see
    the whole file or none. ``create`` is exclusive: of two writers one wins.

    Raises:
        StoreError: From every method, when the place cannot be read or written.
    """

    def __init__(self, url: str) -> None:
        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StoreError(f"output {url}: {error}; use a local folder or install the extra for this URL") from error
        self.url = url
        self.is_local = isinstance(self._fs, LocalFileSystem)
        self._root = str(Path(root).absolute()) if self.is_local else root.rstrip("/")

    def __str__(self) -> str:
        return self.url

    def __reduce__(self) -> tuple[type["Place"], tuple[str]]:
        return Place, (self.url,)

    def full(self, key: str) -> str:
        """The full path of a key in the file system; refuses keys that lead out of the root."""
        parts = PurePosixPath(key).parts
        if not parts or ".." in parts or key.startswith("/"):
            raise ValueError(f"key must stay below the output place, got {key!r}")
        return f"{self._root}/{key}"

    @_translated
    def prepare(self) -> None:
        """Make the root and prove that it can be written.

        Raises:
            StoreError: If it is a file or cannot be written.
        """
        if self.is_local and os.path.exists(self._root) and not os.path.isdir(self._root):
            raise StoreError(f"output {self._root} is a file; give a folder")
        probe = f"{WORK_FOLDER}/probe-{uuid4().hex}"
        self.publish(probe, b"")
        if not self.is_local and self.create(probe, b""):
            log.warning(
                "output %s: this store lets a second writer replace a file; run one conversion at a time into it", self
            )
        self.remove(probe)

    @contextmanager
    def scratch(self, suffix: str = "") -> Iterator[Path]:
        """Give a local path to write to; whatever is left there at the end is removed.

        For a local place it lies on the same file system, so that publishing is a rename.
        """
        folder = self._scratch_folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise store_error(error, f"scratch folder {folder}") from error
        path = folder / f"{os.getpid()}-{uuid4().hex}{suffix}"
        try:
            yield path
        except OSError as error:
            if error.errno in NO_ROOM:  # any other error is the writer's own
                raise store_error(error, str(path)) from error
            raise
        finally:
            path.unlink(missing_ok=True)

    def sweep_scratch(self) -> None:
        """Remove what killed processes left in the scratch folder.

        For whoever holds a local place alone (see ``exclusive_run``) and has not begun to write: a file under this
        process's own number is then one of an earlier process with the same number, as in a container. Scratch of
        remote places lies in a folder that other runs use too, maybe of another container, so there only what is
        a day old goes.
        """
        for path in self._scratch_folder.glob("*-*"):
            pid = path.name.partition("-")[0]
            if not pid.isdecimal() or (_lives(int(pid)) and not (self.is_local and int(pid) == os.getpid())):
                continue
            with suppress(OSError):
                if self.is_local or time.time() - path.stat().st_mtime > OLD_S:
                    path.unlink()

    @property
    def _scratch_folder(self) -> Path:
        if self.is_local:
            return Path(self._root, WORK_FOLDER, "scratch")
        return Path(tempfile.gettempdir(), f"spatialdreamer-{os.getuid()}")

    @_translated
    def publish_file(self, scratch: Path, key: str) -> None:
        """Move a finished scratch file to its key, replacing what is there."""
        _sync(scratch)
        if self.is_local:
            final = Path(self.full(key))
            final.parent.mkdir(parents=True, exist_ok=True)
            scratch.replace(final)
            _sync(final.parent)
        else:
            self._fs.put_file(str(scratch), self.full(key))
            scratch.unlink()

    @_translated
    def publish(self, key: str, data: bytes) -> None:
        """Write a small file whole, replacing what is there."""
        if self.is_local:
            with self.scratch() as path:
                path.write_bytes(data)
                self.publish_file(path, key)
        else:
            self._fs.pipe_file(self.full(key), data)

    @_translated
    def create(self, key: str, data: bytes) -> bool:
        """Write a small file whole if the key is free; False if somebody else has it already."""
        try:
            if self.is_local:
                with self.scratch() as path:
                    path.write_bytes(data)
                    _sync(path)
                    final = Path(self.full(key))
                    final.parent.mkdir(parents=True, exist_ok=True)
                    os.link(path, final)  # fails if the name is taken; the content is whole already
                    _sync(final.parent)
            else:
                self._fs.pipe_file(self.full(key), data, mode="create")
        except FileExistsError:
            return False
        return True

    @_translated
    def read(self, key: str) -> bytes | None:
        """The bytes under a key, or None."""
        try:
            data: bytes = self._fs.cat_file(self.full(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return data

    @_translated
    def read_range(self, key: str, start: int, end: int) -> bytes:
        """The bytes [start, end) of what lies under a key."""
        data: bytes = self._fs.cat_file(self.full(key), start=start, end=end)
        return data

    @_translated
    def read_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The bytes under each key, many at once where the store can; keys with nothing under them are left out."""
        if self.is_local:
            return {key: data for key in keys if (data := self.read(key)) is not None}
        if not keys:
            return {}
        full = {self.full(key): key for key in keys}
        found = self._fs.cat(list(full), on_error="return")
        for error in found.values():
            if isinstance(error, Exception) and not isinstance(error, FileNotFoundError):
                raise error
        return {full[path]: data for path, data in found.items() if isinstance(data, bytes)}

    @_translated
    def size(self, key: str) -> int | None:
        """The size in bytes of what lies under a key, or None."""
        try:
            self._fs.invalidate_cache()
            return int(self._fs.info(self.full(key))["size"])
        except FileNotFoundError:
            return None

    @_translated
    def age_s(self, key: str) -> float | None:
        """Seconds since what lies under a key was written, or None if nothing does."""
        try:
            written = self._fs.modified(self.full(key))
        except FileNotFoundError:
            return None
        return time.time() - float(written.timestamp())

    @_translated
    def version(self, key: str) -> str | None:
        """A word that changes when what lies under a key does, or None if nothing does."""
        try:
            self._fs.invalidate_cache()
            return str(self._fs.ukey(self.full(key)))
        except FileNotFoundError:
            return None

    def uri(self, key: str) -> str:
        """The path or URL of a key, for what opens files by name."""
        return self.full(key) if self.is_local else str(self._fs.unstrip_protocol(self.full(key)))

    @_translated
    def keys(self, prefix: str) -> list[str]:
        """Every key below a prefix that is a folder, sorted."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.find(self.full(prefix))
        except FileNotFoundError:
            return []
        start = len(self.full("x")) - 1
        return sorted(str(path)[start:] for path in found)

    @_translated
    def children(self, prefix: str) -> list[str]:
        """The names that lie right below a prefix that is a folder, sorted."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(self.full(prefix), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    @_translated
    def remove(self, key: str) -> None:
        """Remove what lies under a key, if anything does."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self.full(key))

    @_translated
    def remove_folder(self, key: str) -> None:
        """Remove everything below a key."""
        with suppress(FileNotFoundError):
            self._fs.rm(self.full(key), recursive=True)

    @contextmanager
    def local_copy(self, key: str) -> Iterator[Path]:
        """A local path to read a key from: the file itself, or a download that is removed afterwards."""
        if self.is_local:
            yield Path(self.full(key))
        else:
            with self.scratch(suffix=PurePosixPath(key).suffix) as path:
                self._download(key, path)
                yield path

    @_translated
    def _download(self, key: str, path: Path) -> None:
        self._fs.get_file(self.full(key), str(path))

    @_translated
    def copy(self, key: str, other: str) -> None:
        """Publish a copy of one key under another, whole."""
        with self.scratch() as path:
            if self.is_local:
                shutil.copyfile(self.full(key), path)
            else:
                self._fs.get_file(self.full(key), str(path))
            self.publish_file(path, other)


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: the same value gives the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
