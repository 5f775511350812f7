"""Where videos come from: paths and fsspec URLs, opened so that a file cannot make us read another one."""

import fnmatch
import glob
import hashlib
import logging
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

import av
import fsspec
from av.container import InputContainer

from spatialdreamer_core.errors import ConfigError, UnreadableSourceError

logger = logging.getLogger(__name__)

# fmt: off
VIDEO_EXTENSIONS = frozenset([
    "3g2", "3gp", "264", "265", "asf", "avi", "divx", "dv", "f4v", "flv", "h264", "h265", "hevc",
    "ivf", "m2ts", "m2v", "m4v", "mjpg", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf", "nut",
    "obu", "ogm", "ogv", "qt", "rm", "ts", "vob", "webm", "wmv", "y4m",
])
# fmt: on
STATE_FOLDER = ".spatialdreamer"

# Containers that hold their pictures themselves. Playlists, concat scripts, picture sequences and devices are left
# out on purpose: they name other files or hosts.
_CONTAINERS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,live_flv,kux,ogg,asf,asf_o,mxf,gif,apng,yuv4mpegpipe,"
    "ivf,h264,hevc,vvc,av1,obu,h263,h261,vc1,mjpeg,dv,nut,rm,wtv,gxf,mp3,aac,flac,wav,nsv"
)
_BLOCK = 1 << 20
_MAGIC = frozenset("*?[")


def is_url(uri: str) -> bool:
    """Tell an fsspec URL from a local path; ``file://`` counts as local."""
    return "://" in uri and not uri.startswith("file://")


def local_path(uri: str) -> str:
    """Turn a path or a ``file://`` URL into a path; ``%`` and ``#`` in a plain path stay what they are."""
    return unquote(urlsplit(uri.replace("#", "%23").replace("?", "%3F")).path) if uri.startswith("file://") else uri


@contextmanager
def open_bytes(uri: str) -> Iterator[BinaryIO]:
    """Open a source as a seekable binary file.

    Raises:
        UnreadableSourceError: If it is missing, a folder, not permitted or its store cannot be reached.
    """
    try:
        handle = fsspec.open(uri, "rb").open() if is_url(uri) else open(local_path(uri), "rb")  # noqa: SIM115
    except Exception as error:  # stores raise what they like (botocore, aiohttp, ...), all of it means: not readable
        raise _unreadable(uri, error) from error
    with handle:
        yield cast(BinaryIO, handle)


@contextmanager
def open_source(uri: str) -> Iterator[InputContainer]:
    """Open a source for demuxing.

    Only containers that hold their own pictures are accepted and nothing but the named file is read, so a
    playlist or a concat script under a video's name can reach neither other files nor the network.

    Args:
        uri: A path or an fsspec URL.

    Raises:
        UnreadableSourceError: If it is missing, empty, not permitted, unreachable or no such container.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
    with open_bytes(uri) as handle:
        # A local path goes to FFmpeg itself, which is faster; "file:" keeps a colon in a name from being a protocol.
        target: Any = handle if is_url(uri) else f"file:{os.path.abspath(local_path(uri))}"
        try:
            container = av.open(target, "r", options=options, metadata_errors="replace")
        except Exception as error:  # a store's own errors come through FFmpeg unchanged
            raise _unreadable(uri, error, empty=_is_empty(handle)) from error
        with container:
            yield container


def source_size(uri: str) -> int:
    """Give the size of a source in bytes.

    Raises:
        UnreadableSourceError: If it cannot be opened.
    """
    with open_bytes(uri) as handle:
        return handle.seek(0, os.SEEK_END)


def source_id(uri: str) -> str:
    """Name a source by its content: its size and the hash of its head, middle and tail, 1 MiB each.

    Returns:
        16 hex digits, the same wherever the file lies and whatever it is called.

    Raises:
        UnreadableSourceError: If it cannot be read.
    """
    with open_bytes(uri) as handle:
        try:
            size = handle.seek(0, os.SEEK_END)
            digest = hashlib.sha256(f"{size}\n".encode())
            for start in sorted({0, max(0, (size - _BLOCK) // 2), max(0, size - _BLOCK)}):
                handle.seek(start)
                digest.update(handle.read(_BLOCK))
        except OSError as error:
            raise _unreadable(uri, error) from error
    return digest.hexdigest()[:16]


def list_sources(
    sources: Sequence[str],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    *,
    extensions: frozenset[str] = VIDEO_EXTENSIONS,
) -> list[str]:
    """Find the videos that a command line names.

    A source is a file, a folder (searched to the bottom for known extensions, without hidden entries and
    without folders that hold results of ours), a glob, an fsspec URL of any of these, or ``@list.txt`` with one
    source a line (relative ones lie beside the list; lines that start with ``#`` are comments).

    Args:
        sources: What to look at.
        include: Shell patterns; if given, a path or its last part must match one.
        exclude: Shell patterns; a path or its last part that matches one is left out.
        extensions: What folders and globs are searched for, lower case, without dots.

    Returns:
        Absolute paths and URLs, sorted, each file once. A named file that does not exist stays in the list beside
        others that do, so that it ends as a failure of its own.

    Raises:
        ConfigError: If nothing at all was found; the message says what was looked at.
    """
    found: dict[str, str] = {}  # by real path, so that links and spellings of one file count once
    missing: list[str] = []
    for source in _expand_lists(sources):
        uris = list(_expand_url(source, extensions) if is_url(source) else _expand_path(local_path(source), extensions))
        if not uris and not _has_magic(source) and not _is_folder(source):
            missing.append(source)
        for uri in uris:
            if _wanted(uri, include, exclude):
                found.setdefault(uri if is_url(uri) else os.path.realpath(uri), uri)
    if not found:
        looked = ", ".join(sources) or "nothing"
        filters = f" (include {list(include)}, exclude {list(exclude)})" if include or exclude else ""
        gone = f"; does not exist: {', '.join(missing)}" if missing else ""
        raise ConfigError(f"no video found in {looked}{filters}{gone}; name a video file, a folder, a glob or a URL")
    kept = [source if is_url(source) else os.path.abspath(local_path(source)) for source in missing]
    return sorted({*found.values(), *kept})


def _expand_lists(sources: Iterable[str]) -> Iterator[str]:
    for source in sources:
        if not source.startswith("@"):
            yield source
            continue
        name = source[1:]
        with open_bytes(name) as handle:
            lines = handle.read().decode("utf-8", "surrogateescape").splitlines()
        for line in (raw.strip() for raw in lines):
            if not line or line.startswith("#"):
                continue
            if "://" in line or os.path.isabs(line):
                yield line
            else:
                yield posixpath.join(posixpath.dirname(name), line)


def _expand_path(path: str, extensions: frozenset[str]) -> Iterator[str]:
    path = os.path.abspath(os.path.expanduser(path))
    if os.path.isdir(path):
        yield from _walk(path, extensions)
    elif os.path.exists(path):
        yield path
    elif _has_magic(path):
        for match in sorted(glob.glob(path, recursive=True)):
            if os.path.isfile(match) and has_extension(match, extensions):
                yield match


def _walk(root: str, extensions: frozenset[str]) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        # A folder below the root that holds our state is a result, not a source.
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not os.path.isdir(os.path.join(folder, name, STATE_FOLDER))
        )
        yield from (os.path.join(folder, name) for name in sorted(files) if has_extension(name, extensions))


def _expand_url(url: str, extensions: frozenset[str]) -> Iterator[str]:
    try:
        fs, path = fsspec.core.url_to_fs(url)
        if fs.isfile(path):
            yield url
            return
        paths = fs.glob(path) if _has_magic(path) else fs.find(path)
        root = path.split("*", maxsplit=1)[0] if _has_magic(path) else path
        for match in sorted(paths):
            below = match[len(posixpath.commonprefix([root, match])) :]
            if has_extension(match, extensions) and not any(part.startswith(".") for part in below.split("/")):
                yield str(fs.unstrip_protocol(match))
    except Exception as error:
        raise ConfigError(f"cannot look into {url}: {_reason(error)}; check the URL and the credentials") from error


def _wanted(uri: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    def matches(patterns: Sequence[str]) -> bool:
        name = uri.rsplit("/", maxsplit=1)[-1]
        return any(fnmatch.fnmatch(text, pattern) for pattern in patterns for text in (uri, name))

    return (not include or matches(include)) and not matches(exclude)


def has_extension(path: str, extensions: frozenset[str]) -> bool:
    """Tell whether a file's name, unless hidden, ends in one of these (lower case, without dots)."""
    name = path.rsplit("/", maxsplit=1)[-1]
    return not name.startswith(".") and name.rsplit(".", maxsplit=1)[-1].lower() in extensions and "." in name


def _is_folder(source: str) -> bool:
    return not is_url(source) and os.path.isdir(os.path.expanduser(local_path(source)))


def _has_magic(text: str) -> bool:
    return bool(_MAGIC & set(text))


def _is_empty(handle: BinaryIO) -> bool:
    try:
        return handle.seek(0, os.SEEK_END) == 0
    except (OSError, ValueError):
        return False


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__).rstrip(".")


def _unreadable(uri: str, error: BaseException, *, empty: bool = False) -> UnreadableSourceError:
    if empty:
        text = f"{uri}: the file is empty; copy it again"
    elif isinstance(error, FileNotFoundError) and is_url(uri):
        text = f"{uri}: not found, or its server does not answer; check the address"
    elif isinstance(error, FileNotFoundError):
        text = f"{uri}: no such file; check the path"
    elif isinstance(error, PermissionError):
        text = f"{uri}: reading is not permitted; check the rights of the file"
    elif isinstance(error, IsADirectoryError):
        text = f"{uri}: this is a folder; name the video in it"
    elif isinstance(error, av.error.InvalidDataError):
        text = f"{uri}: no video container that we know, or its index is missing (cut short?); check the file"
    elif isinstance(error, av.error.ArgumentError):
        text = f"{uri}: a playlist, script or picture is no video; name the video file itself"
    elif isinstance(error, ImportError):
        text = f"{uri}: {_reason(error)}; install the package for this kind of URL"
    else:
        text = f"{uri}: cannot be read ({_reason(error)}); check the address and that the store answers"
    return UnreadableSourceError(text)
