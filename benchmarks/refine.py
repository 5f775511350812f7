"""What ``mini`` costs in convert: ``python -m benchmarks.refine [--weights FOLDER] [--clip CLIP]``, Markdown.

Frames of 1280x720 with made holes of 2, 5 and 10 % of the picture, and those that ``convert`` itself meets in a real
clip. For each: tiles a frame, milliseconds a frame of one core, the share of it outside the network (finding tiles,
cutting them out of the planes, pasting), and milliseconds a frame of two cores, each with a process of its own, as
convert has them. All are processor time, so that other work on the machine counts little. Below that, the arithmetic of
one tile and the bytes that its operators read and write, and how far the time is from both.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import ConvertConfig, FillConfig, StereoConfig
from spatialdreamer_core.convert.clock import StageClock
from spatialdreamer_core.convert.eyes import EyeMaker
from spatialdreamer_core.convert.planning import plan_source
from spatialdreamer_core.depth.builtin import BuiltinDepth
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.geometry.fill import fill_and_tell
from spatialdreamer_core.geometry.splat import splat
from spatialdreamer_core.refine import mini
from spatialdreamer_core.refine.mini import MiniRefiner
from spatialdreamer_core.refine.paste import paste
from spatialdreamer_core.refine.protocol import Painted, RefineFrame, RefineShot
from spatialdreamer_core.refine.tiles import TileGrid
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.video.decode import working_format
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame
from spatialdreamer_core.video.source import ColourInfo
from tasks.process import keep_freed_memory

HEIGHT, WIDTH, FRAMES = 720, 1280, 10
SHARES = (0.02, 0.05, 0.10)
LAYOUT, COLOUR = PIXEL_FORMATS["yuv420p"], ColourInfo()


@dataclass
class Recorder:
    """A refiner that paints nothing and keeps what it was shown."""

    name: str = "recorder"
    digest: str = "recorder"
    frames: list[RefineFrame] = field(default_factory=list)
    shot: RefineShot | None = None

    def span(self, length: int, start: int, end: int) -> tuple[int, int]:
        """Of the frames themselves."""
        return start, end

    def open(self, shot: RefineShot, start: int, end: int) -> "Recorder":
        """Keep the shot."""
        self.shot = shot
        return self

    def push(self, frame: RefineFrame) -> list[Painted]:
        """Keep the frame."""
        self.frames.append(frame)
        return [Painted(frame.index, ())]


def made_frames(share: float, count: int = FRAMES) -> tuple[RefineShot, list[RefineFrame]]:
    """Things of several sizes that move before a textured wall; their disparity gives so many holes in the first."""
    rng = np.random.default_rng(0)
    wall = _texture(rng, HEIGHT, WIDTH + 4 * count)
    things = [(*rng.uniform((0, 0), (WIDTH, HEIGHT)), rng.uniform(30, 150), rng.uniform(-4, 4)) for _ in range(14)]

    def disparity(t: int, scale: float) -> NDArray[np.float32]:
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        out = np.full((HEIGHT, WIDTH), -4, np.float32)
        for number, (centre_x, centre_y, radius, speed) in enumerate(things):
            inside = np.hypot(x - centre_x - speed * t, (y - centre_y) / 1.5) < radius
            out[inside] = -4 + scale * (1 + number / len(things))
        return out

    low, high = 1.0, 200.0
    while high - low > 0.5:
        middle = (low + high) / 2
        holes = np.isnan(splat(_frame(wall, 0), disparity(0, middle)).source_x).mean()
        low, high = (middle, high) if holes < share else (low, middle)
    frames = []
    for t in range(count):
        left = _frame(wall, t)
        made = splat(left, disparity(t, high))
        filled = fill_and_tell(made.frame, made.source_x, FillConfig(temporal=False))
        frames.append(RefineFrame(t, left, filled.frame, made.source_x, filled.runs, filled.revealed))
    return RefineShot(count, WIDTH, HEIGHT, LAYOUT, COLOUR, 2.0, 0.5, 0.01), frames


def real_frames(clip: Path, strength_pct: float | None, count: int = FRAMES) -> tuple[RefineShot, list[RefineFrame]]:
    """What convert would show a refiner of the beginning of a clip."""
    config = ConvertConfig(stereo=StereoConfig(strength_pct=strength_pct), duration_s=2.0)
    recorder = Recorder()
    with TemporaryDirectory() as folder:
        plan = plan_source(str(clip), config, BuiltinDepth(), Place(folder), recorder)
        shots = [shot.__class__(shot.depth_range, shot.stereo, refined=True) for shot in plan.shots]
        plan = plan.__class__(
            plan.info, plan.scan, tuple(shots), plan.segments, plan.work_key, plan.depth_name, plan.depth_digest
        )
        flow, layout = create_flow(config.flow), working_format(plan.info, "h264")
        maker = EyeMaker(plan, plan.segments[0], config, BuiltinDepth(), flow, layout, StageClock(), recorder)
        for stereo in maker.stereo_frames():
            if stereo.index + 1 >= count:
                break
    assert recorder.shot is not None
    shot = recorder.shot
    return RefineShot(
        len(recorder.frames),
        shot.width,
        shot.height,
        shot.format,
        shot.colour,
        shot.strength_pct,
        shot.convergence,
        0.01,
    ), recorder.frames


def seconds(weights: str | None, shot: RefineShot, frames: list[RefineFrame]) -> tuple[float, float]:
    """Processor seconds of refining the frames, and of those the seconds within the network."""
    keep_freed_memory()  # as workers do
    refiner = MiniRefiner(Path(weights) if weights else None)
    inside = [0.0]
    for name in ("look", "paint"):
        graph = getattr(refiner, name)
        setattr(refiner, name, replace(graph, session=_Timed(graph.session, inside)))
    _refine(refiner, shot, frames[: refiner.reach + 2])  # loads and compiles
    inside[0] = 0.0
    begin = time.process_time()
    _refine(refiner, shot, frames)
    return time.process_time() - begin, inside[0]


def _refine(refiner: MiniRefiner, shot: RefineShot, frames: list[RefineFrame]) -> None:
    shot = RefineShot(len(frames), *(getattr(shot, name) for name in list(RefineShot.__dataclass_fields__)[1:]))
    stream, waiting = refiner.open(shot, 0, len(frames)), {}
    for frame in frames:
        waiting[frame.index] = frame
        for done in stream.push(frame):
            paste(waiting.pop(done.index), done, shot.colour)


class _Timed:
    """A session whose time is added up."""

    def __init__(self, session: Any, total: list[float]) -> None:
        self._session, self._total = session, total

    def run(self, names: Any, inputs: Any) -> Any:
        """As the session's."""
        begin = time.process_time()
        try:
            return self._session.run(names, inputs)
        finally:
            self._total[0] += time.process_time() - begin


def operations(path: Path) -> tuple[float, float]:
    """Floating-point operations of one run of a graph, and bytes that its operators read and write."""
    import onnx
    from onnx import numpy_helper, shape_inference

    graph = shape_inference.infer_shapes(onnx.load(str(path)), data_prop=True).graph
    shapes = {t.name: tuple(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    constants = {t.name for t in graph.initializer if numpy_helper.to_array(t).size}
    flops, moved = 0.0, 0.0
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in constants:
            continue  # done once, when the session is made
        out = float(np.prod(shapes.get(node.output[0], (0,))))
        if node.op_type == "Conv":
            flops += 2 * out * float(np.prod(shapes[node.input[1]][1:]))
        elif node.op_type in ("MatMul", "Gemm"):
            flops += 2 * out * shapes[node.input[0]][-1]
        moved += 4 * sum(float(np.prod(shapes.get(name, (0,)))) for name in (*node.input, *node.output))
    return flops, moved


def _texture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    rough = rng.normal(0, 1, (height // 3, width // 3)).astype(np.float32)
    smooth = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 40 * smooth, 16, 235).astype(np.uint8)


def _frame(wall: NDArray[np.uint8], t: int) -> Frame:
    luma = np.ascontiguousarray(wall[:, 2 * t : 2 * t + WIDTH])
    chroma = np.ascontiguousarray(luma[::2, ::2] // 4 + 96)
    return Frame(luma, chroma, chroma, LAYOUT, t)


def row(what: str, weights: str | None, shot: RefineShot, frames: list[RefineFrame]) -> float:
    """Measure and print a row of the table; gives seconds of the network a tile."""
    grid = TileGrid(shot.height, shot.width)
    tiles = float(np.mean([grid.needed(frame.holes, frame.revealed).sum() for frame in frames]))
    holes = float(np.mean([np.isnan(frame.source_x).mean() for frame in frames]))
    spent, inside = seconds(weights, shot, frames)
    with ProcessPoolExecutor(2) as pool:
        side_by_side = [job.result()[0] for job in [pool.submit(seconds, weights, shot, frames) for _ in range(2)]]
    each, two = 1000 * spent / len(frames), 1000 * max(side_by_side) / (2 * len(frames))
    say(
        f"| {what} | {shot.width}x{shot.height} | {100 * holes:.1f} % | {tiles:.1f} | {each:.1f} | "
        f"{100 * (1 - inside / spent):.0f} % | {two:.1f} |\n"
    )
    return inside / (tiles * len(frames))


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", help="folder with the files of a network; the shipped one unless given")
    parser.add_argument("--clip", type=Path, action="append", default=[], help="a real clip; may be given again")
    parser.add_argument("--strength", type=float, help="of the real clips, percent of the width")
    arguments = parser.parse_args()
    say("| frames | size | holes | tiles a frame | ms a frame, one core | outside the network | two cores |\n")
    say("|---|---|---|---|---|---|---|\n")
    tile_s = 0.0
    for share in SHARES:
        tile_s = row("made", arguments.weights, *made_frames(share))
    for clip in arguments.clip:
        row(clip.name, arguments.weights, *real_frames(clip, arguments.strength))
    folder = Path(arguments.weights) if arguments.weights else mini.FOLDER
    flops, moved = np.sum([operations(folder / name) for name in (mini.LOOK, mini.PAINT)], axis=0)
    say(
        f"\nA tile: {flops / 1e6:.0f} MFLOP ({flops / 128**2 / 1e3:.1f} kFLOP a pixel), {moved / 1e6:.1f} MB read and "
        f"written, {1000 * tile_s:.2f} ms: {flops / tile_s / 1e9:.1f} GFLOP/s, {moved / tile_s / 1e9:.1f} GB/s\n"
    )


if __name__ == "__main__":
    main()
