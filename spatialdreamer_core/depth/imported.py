"""Ready depth instead of a model: from pictures, arrays or a depth video made by other programs.

``import_from`` is a path, with options behind a question mark: ``depth.mp4?near=dark``.

* ``near=bright`` (default): larger values are nearer. ``near=dark``: smaller values are nearer. ``near=metres``: values
  are distances in any unit, and 0 means unknown, taken as far.
  Values are taken as they are stored (a shot's range is found later), so grey video may be of limited or full range;
  metres need pictures or arrays.
* ``colours=grey|inferno|magma|plasma|viridis|turbo|jet``: how a picture was painted; recognised if left out.

The path is the depth itself (a video, ``.npz``, ``.npy``, a folder of pictures), or a folder with one entry per source:
``STEM.mp4`` (or another video), ``STEM.npz``, ``STEM.npy``, ``STEM/`` with pictures, each also as ``STEM_depth``.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, get_args
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.depth.coloured import COLOUR_NAMES, ColourName
from spatialdreamer_core.depth.depth_frames import ARRAYS, VIDEOS, DepthFrames, open_depth_frames, pictures_in
from spatialdreamer_core.depth.protocol import DepthEstimator, DepthRequest
from spatialdreamer_core.errors import ConfigError, DepthError

VERSION = 1
Near = Literal["bright", "dark", "metres"]
NEAR: tuple[Near, ...] = get_args(Near)
SAMPLE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class ImportSpec:
    """An ``import_from`` taken apart.

    Attributes:
        path: Folder or file.
        near: What near looks like.
        colours: How values were painted; None recognises it.
    """

    path: Path
    near: Near = "bright"
    colours: ColourName | None = None


def parse_import(import_from: str) -> ImportSpec:
    """Take ``PATH?near=...&colours=...`` apart.

    Raises:
        ConfigError: If an option is unknown or the path does not exist.
    """
    text, _, query = import_from.partition("?")
    if Path(import_from).exists():  # a file whose name has a question mark
        text, query = import_from, ""
    options = dict(parse_qsl(query, keep_blank_values=True))
    near, colours = options.pop("near", "bright"), options.pop("colours", None)
    if options or near not in NEAR or (colours is not None and colours not in COLOUR_NAMES):
        raise ConfigError(
            f"imported depth {import_from!r}: options are near={'|'.join(NEAR)} and colours={'|'.join(COLOUR_NAMES)}"
        )
    if not Path(text).exists():
        raise ConfigError(f"imported depth {text!r} does not exist; give a local file or folder")
    return ImportSpec(Path(text), near, colours)


def resolve_imported(import_from: str, source_uri: str) -> Path:
    """Find the depth of one source.

    Args:
        import_from: The depth itself, or a folder with an entry per source.
        source_uri: Path or URL of the source; only its name without suffix counts.

    Raises:
        ConfigError: See ``parse_import``.
        DepthError: If the folder has nothing for this source; names what was looked for.
    """
    path = parse_import(import_from).path
    if path.is_file() or pictures_in(path):
        return path
    stem = PurePosixPath(urlsplit(source_uri).path if "://" in source_uri else Path(source_uri).as_posix()).stem
    for name in (stem, f"{stem}_depth"):
        for suffix in (*VIDEOS, *ARRAYS):
            if (path / f"{name}{suffix}").is_file():
                return path / f"{name}{suffix}"
        if (path / name).is_dir():
            return path / name
    raise DepthError(
        f"imported depth {path}: no {stem}.mp4, {stem}.npz or folder {stem} (or {stem}_depth...) for this source"
    )


class ImportedDepth:
    """A ``DepthEstimator`` that reads what somebody made before; use a key interval of 1.

    Made from a folder with one entry per source it cannot give depth before ``for_source``.

    Args:
        import_from: See the module.
        path: The depth of one source, if it has been found already.
        source_frames: Frames of the source, to be checked against.
        first_pts_s: Time of the source's first frame, seconds.

    Raises:
        ConfigError: If ``import_from`` does not exist or has unknown options.
        DepthError: If there are fewer frames than the source has, and no times to match them by.
    """

    def __init__(
        self,
        import_from: str,
        *,
        path: Path | None = None,
        source_frames: int | None = None,
        first_pts_s: float = 0.0,
    ) -> None:
        self._import_from, self._spec = import_from, parse_import(import_from)
        own = self._spec.path.is_file() or bool(pictures_in(self._spec.path))
        self._path = self._spec.path if own else path
        self._first_pts_s = first_pts_s
        self._frames: DepthFrames | None = None
        self._by_time = False
        self.name = "imported"
        self.uses_partner = False
        looked_at = self._path or self._spec.path
        self.digest = f"imported-{VERSION}-{self._spec.near}-{self._spec.colours}-{_content_digest(looked_at)}"
        if source_frames is not None:
            self._check_length(source_frames)

    def for_source(
        self, source_uri: str, source_frames: int | None = None, first_pts_s: float = 0.0
    ) -> "ImportedDepth":
        """Give the depth of one source; see ``for_source`` of the module."""
        found = resolve_imported(self._import_from, source_uri)
        return ImportedDepth(self._import_from, path=found, source_frames=source_frames, first_pts_s=first_pts_s)

    def infer(self, request: DepthRequest) -> NDArray[np.float32]:
        """Give [N, h, w] relative inverse depth of the frames by their number in the source file."""
        h, w = request.pictures.shape[1:3]
        pairs = zip(request.frame_indices, request.pts_s, strict=True)
        return np.stack([self._nearness(self._read(int(index), float(pts_s), h, w)) for index, pts_s in pairs])

    def close(self) -> None:
        """Let go of open files; the next ``infer`` opens them again."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None

    def _open(self) -> DepthFrames:
        if self._path is None:
            raise DepthError(f"imported depth {self._spec.path}: holds one entry per source; call for_source first")
        if self._frames is None:
            self._frames = open_depth_frames(self._path, self._spec.colours)
        return self._frames

    def _check_length(self, source_frames: int) -> None:
        frames = self._open()
        if frames.count < source_frames:
            if frames.times_s is None:
                raise DepthError(
                    f"imported depth {frames.path}: {frames.count} frame(s), but the video has {source_frames}"
                )
            self._by_time = True  # a lower rate, or a frame lost at the end: match by time

    def _read(self, index: int, pts_s: float, h: int, w: int) -> NDArray[np.float32]:
        frames = self._open()
        if self._by_time and frames.times_s is not None:
            index = _nearest_in_time(frames, pts_s - self._first_pts_s)
        elif index >= frames.count:
            raise DepthError(
                f"imported depth {frames.path}: {frames.count} frame(s), "
                f"but frame {index} (from 0) of the video is asked for"
            )
        return frames.read(index, h, w)

    def _nearness(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._spec.near == "metres":
            return np.where(values > 0, 1 / np.where(values > 0, values, np.float32(1)), np.float32(0))
        return -values if self._spec.near == "dark" else values


def for_source(
    estimator: DepthEstimator, source_uri: str, source_frames: int | None = None, first_pts_s: float = 0.0
) -> DepthEstimator:
    """Give the estimator to use for one source: imported depth finds its own entry, any other stays as it is.

    Args:
        estimator: From ``create_depth_estimator``.
        source_uri: Path or URL of the source.
        source_frames: Its number of frames, if known.
        first_pts_s: Time of its first frame, seconds.

    Raises:
        DepthError: If no depth is there for this source, or too little.
    """
    if isinstance(estimator, ImportedDepth):
        return estimator.for_source(source_uri, source_frames, first_pts_s)
    return estimator


def _nearest_in_time(frames: DepthFrames, seconds: float) -> int:
    assert frames.times_s is not None
    index = int(np.argmin(np.abs(frames.times_s - seconds)))
    usual = float(np.median(np.diff(frames.times_s))) if frames.count > 1 else 1.0
    if seconds > frames.times_s[-1] + 1.6 * usual:
        raise DepthError(
            f"imported depth {frames.path}: {frames.count} frame(s) that end at {frames.times_s[-1]:.2f} s, "
            f"but the video goes on at {seconds:.2f} s"
        )
    return index


def _content_digest(path: Path) -> str:
    """Name what lies there by sizes, names and samples of the content; 16 hex digits."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for number, file in enumerate(files):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(path) if path.is_dir() else ''}\0{size}\0".encode())
        if number in {0, len(files) // 2, len(files) - 1}:
            with file.open("rb") as handle:
                for at in (0, size // 2, max(0, size - SAMPLE_BYTES)):
                    handle.seek(at)
                    digest.update(handle.read(SAMPLE_BYTES))
    return digest.hexdigest()[:16]
