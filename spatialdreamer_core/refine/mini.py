"""``mini`` at work: the shipped network over the tiles that have holes, frame by frame, on one core and without torch.

``look`` sees a tile of one frame, ``paint`` makes it from that and from what the same tile shares of the frames at the
network's offsets, before and after; the last two layers are computed in holes alone. Where such a frame lies outside
the shot, or has no hole in that tile and so was not looked at, the frame itself stands in for it. The window is centred
on every frame and one tile is run at a time: neither where a shot is cut nor what else is in the frame changes a byte.

Memory: for each tile with holes 0.2 MB a frame over the whole window, and 0.5 MB a frame of those to come.
"""

import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.errors import ConfigError, RefineError
from spatialdreamer_core.models.mini.config import OTHERS, PAINTED
from spatialdreamer_core.refine.last_layers import finish
from spatialdreamer_core.refine.protocol import Earned, Painted, Patch, RefineFrame, RefineShot
from spatialdreamer_core.refine.tile_inputs import TileCutter, tile_cutter
from spatialdreamer_core.refine.tiles import TileGrid

FOLDER = Path(__file__).parent.parent / "weights"
LOOK, PAINT, ABOUT = "mini_look.onnx", "mini_paint.onnx", "mini.json"
SHA256: dict[str, str] = {
    "mini_look.onnx": "ee95cab20323575731dcf3b5e35fea948876b8549150e92396549e2db18f03b0",
    "mini_paint.onnx": "6f51e7fa98d69bee3b90e9425dd9a175b8851e9e0d67ebf565581ec1cf6c55ae",
    "mini.json": "39888e332bd53866ba7cb5a1fe91addeef3f3ef2704d5544f50b60e5b14364e6",
}
"""Of the files that ship, by name; files with other bytes are refused."""
VERSION = 4
"""Raise when the code gives other colours for the same weights."""
EARNED = Earned(differing=(6.0, 40.0), steps=16.0)
"""Where the painting shows. Where both tell the same, the fill is the sharper one and has no grid of patches; where
they do not, the fill is often a streak. On flat ground the network errs most.

Chosen on rendered clips that are not those reported.
"""
F32 = NDArray[np.float32]
Place = tuple[int, int]


def present() -> bool:
    """Whether weights ship with this package."""
    return bool(SHA256) and all((FOLDER / name).is_file() for name in SHA256)


class MiniRefiner:
    """The small network; see ``Refiner``.

    Args:
        folder: With the files of another network than the shipped one, for development; None takes that.

    Raises:
        ConfigError: If a file is missing, damaged, not the one that we know or not of this network, or ONNX Runtime is
            not installed.
    """

    name = "mini"

    def __init__(self, folder: Path | None = None) -> None:
        files = {name: _read(folder or FOLDER, name, ours=folder is None) for name in (LOOK, PAINT, ABOUT)}
        where = str(folder or FOLDER)
        self.offsets = _offsets(files[ABOUT], where)
        self.look, self.paint = _graph(files[LOOK], where), _graph(files[PAINT], where)
        _refuse_others(self.look, self.paint, len(self.offsets), where)
        self.asked = tuple(name for name in self.paint.inputs if name.startswith(OTHERS))
        content = hashlib.sha256(b"".join(hashlib.sha256(files[name]).digest() for name in sorted(files)))
        self.digest = f"mini-{VERSION}-{content.hexdigest()[:16]}"

    @property
    def reach(self) -> int:
        """Frames on each side that may be asked."""
        return max((abs(offset) for offset in self.offsets), default=0)

    def span(self, length: int, start: int, end: int) -> tuple[int, int]:
        """See ``Refiner.span``."""
        return max(0, start - self.reach), min(length, end + self.reach)

    def open(self, shot: RefineShot, start: int, end: int) -> "MiniStream":
        """See ``Refiner.open``."""
        return MiniStream(self, shot, start, end)


@dataclass(frozen=True)
class Graph:
    """One half of the network, loaded.

    Attributes:
        session: ONNX Runtime's.
        inputs: Names and shapes of what it takes.
        outputs: Names of what it gives.
    """

    session: Any
    inputs: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]

    def run(self, values: Mapping[str, F32]) -> dict[str, F32]:
        """Run it on one tile.

        Args:
            values: Arrays by name; those that it does not take are left out.

        Raises:
            RefineError: If it fails.
        """
        try:
            made = self.session.run(self.outputs, {name: values[name] for name in self.inputs})
        except Exception as error:  # the runtime's own classes are not public
            raise RefineError(f"mini: the network failed on a tile ({error}); use --refine none") from error
        return dict(zip(self.outputs, made, strict=True))


@dataclass(slots=True)
class _Seen:
    """What is remembered of one frame: by tile, its input, all that ``look`` saw, and the part that it shares."""

    tiles: dict[Place, F32]
    looks: dict[Place, dict[str, F32]]
    shared: dict[Place, dict[str, F32]]


class MiniStream:
    """Paints a run of frames of one shot; see ``RefineStream``."""

    def __init__(self, refiner: MiniRefiner, shot: RefineShot, start: int, end: int) -> None:
        self._refiner, self._shot = refiner, shot
        self._next, self._end = start, end
        self._grid = TileGrid(shot.height, shot.width)
        self._strength = np.array([shot.geometric if shot.deviation is None else shot.deviation], np.float32)
        self._seen: dict[int, _Seen] = {}

    def push(self, frame: RefineFrame) -> Iterator[Painted]:
        """See ``RefineStream.push``."""
        reach, last = self._refiner.reach, self._shot.length - 1
        self._seen[frame.index] = self._look(frame)
        while self._next < self._end and frame.index >= min(self._next + reach, last):
            yield Painted(self._next, self._paint(self._next), earned=EARNED)
            self._seen.pop(self._next - reach, None)
            self._next += 1

    def _look(self, frame: RefineFrame) -> _Seen:
        seen = _Seen({}, {}, {})
        needed = np.argwhere(self._grid.needed(frame.holes, frame.revealed, borders=self._shot.borders))
        if not len(needed):
            return seen
        cutter: TileCutter = tile_cutter(frame, self._shot.colour)
        for row, column in needed.tolist():
            tile, reference = cutter.tile(int(self._grid.rows[row]), int(self._grid.columns[column]))
            look = self._refiner.look.run({"tile": tile, "reference": reference})
            seen.shared[row, column] = {name: look[name.removeprefix(OTHERS)] for name in self._refiner.asked}
            if frame.index >= self._next:
                seen.tiles[row, column], seen.looks[row, column] = tile, look
        return seen

    def _paint(self, index: int) -> tuple[Patch, ...]:
        seen = self._seen[index]
        patches = tuple(self._patch(index, place, seen) for place in seen.tiles)
        seen.tiles, seen.looks = {}, {}  # others ask for the shared part alone
        return patches

    def _patch(self, index: int, place: Place, seen: _Seen) -> Patch:
        own = seen.shared[place]
        frames = (self._seen.get(index + offset) for offset in self._refiner.offsets)
        others = [own if there is None else there.shared.get(place, own) for there in frames]
        asked = {name: np.stack([other[name] for other in others], axis=1) for name in self._refiner.asked}
        painted = self._refiner.paint.run({"strength": self._strength} | seen.looks[place] | asked)
        weight = self._grid.weight(*place)
        made = finish(seen.tiles[place], painted)
        rgb = np.ascontiguousarray(made[:, : weight.shape[0], : weight.shape[1]])
        return Patch(int(self._grid.rows[place[0]]), int(self._grid.columns[place[1]]), rgb, weight)


def _read(folder: Path, name: str, *, ours: bool) -> bytes:
    path = folder / name
    try:
        data = path.read_bytes()
    except OSError as error:
        remedy = "install the package again" if ours else "give the weights/ folder that `spatialdreamer train` wrote"
        raise ConfigError(
            f"mini weights {path}: cannot be read ({error.strerror}); {remedy}, or use --refine none"
        ) from error
    found, wanted = hashlib.sha256(data).hexdigest(), SHA256.get(name, "")
    if ours and found != wanted:
        raise ConfigError(
            f"mini weights {path}: sha256 is {found[:12]}..., wanted {wanted[:12]}...; install the package again, "
            "or use --refine none"
        )
    return data


def _offsets(about: bytes, where: str) -> tuple[int, ...]:
    try:
        network = json.loads(about)["network"]
        return tuple(int(offset) for offset in network["offsets"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"mini weights {where}/{ABOUT}: does not describe a mini network") from error


@cache
def _graph(model: bytes, where: str) -> Graph:
    """One session for each graph and process, on one thread, so that its bytes are the same on any number of cores."""
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise ConfigError("refine mini: onnxruntime is not installed; run: pip install onnxruntime") from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own classes are not public
        raise ConfigError(f"mini weights {where}: not an ONNX graph that can be run ({error})") from error
    inputs = {one.name: tuple(one.shape) for one in session.get_inputs()}
    return Graph(session, inputs, tuple(one.name for one in session.get_outputs()))


def _refuse_others(look: Graph, paint: Graph, offsets: int, where: str) -> None:
    given, asked = set(look.outputs), paint.inputs
    unknown = {name.removeprefix(OTHERS) for name in asked} - given - {"strength"}
    if unknown or set(paint.outputs) != set(PAINTED):
        raise ConfigError(
            f"mini weights {where}: look and paint do not fit each other, or are of another version; export them again"
        )
    counts = {shape[1] for name, shape in asked.items() if name.startswith(OTHERS)}
    if counts - {offsets}:
        raise ConfigError(
            f"mini weights {where}: paint asks for {max(counts)} other frames, {ABOUT} names {offsets}; copy the files "
            "of one network"
        )
