"""A conversion of a few made pictures, so that what is loaded or compiled on first use is there before the work."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import ConvertConfig
from spatialdreamer_core.convert.planning import plan_source
from spatialdreamer_core.convert.segment import convert_segment
from spatialdreamer_core.depth.protocol import DepthRequest
from spatialdreamer_core.flow.dis import FlowEstimator
from spatialdreamer_core.refine.protocol import Refiner
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.video.encode import ChunkWriter, EncodeSpec
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame

COLUMNS, ROWS = 96, 64
FRAMES = 14
"""Enough that frames have keys and revealed background on both sides."""

WIDE_HOLES_PCT = 10.0
"""Strength at which the made clip has holes wide enough for a refiner."""


class _Step:
    """Depth with a silhouette, so that there are holes to fill."""

    name, digest, uses_partner = "step", "step", False

    def infer(self, request: DepthRequest) -> NDArray[np.float32]:
        depth = request.pictures[..., 0].astype(np.float32) * 0
        depth[:, :, depth.shape[2] // 3 : depth.shape[2] // 2] = 1
        return depth


def rehearse(config: ConvertConfig, flow: FlowEstimator, refiner: Refiner | None = None) -> None:
    """Convert a made clip into a folder that is thrown away.

    Only the shape of the work counts, so depth is made too: a network that is slow is not run. Afterwards the compiled
    kernels of 8-bit pictures are in memory (from numba's cache, or newly compiled and cached).

    Args:
        config: The settings of the run; its layout, codec and fill are rehearsed.
        flow: Optical flow.
        refiner: Paints a few tiles, if there is one.
    """
    config = replace(config, start_s=0.0, duration_s=None, export_depth=False)
    config = replace(config, depth=replace(config.depth, import_from=None, name="step"))
    if refiner is not None:
        config = replace(
            config,
            stereo=replace(config.stereo, strength_pct=WIDE_HOLES_PCT),
            refine=replace(config.refine, least_hole_share=0.0, borders=True),
        )
    with TemporaryDirectory() as name:
        clip, place = Path(name, "clip.mkv"), Place(f"{name}/out")
        _write_clip(clip)
        plan = plan_source(str(clip), config, _Step(), place, refiner)
        for segment in plan.segments:
            convert_segment(plan, segment, config, _Step(), flow, place, run_id="rehearsal", refiner=refiner)


def _write_clip(path: Path) -> None:
    form = PIXEL_FORMATS["yuv420p"]
    spec = EncodeSpec(
        codec="h264", width=COLUMNS, height=ROWS, format=form, time_base=Fraction(1, 25), rate=Fraction(25)
    )
    texture = np.random.default_rng(0).integers(40, 200, (ROWS, COLUMNS + FRAMES), np.uint8)
    chroma = np.full((ROWS // 2, COLUMNS // 2), 128, np.uint8)
    with ChunkWriter(path, spec) as writer:
        for t in range(FRAMES):
            writer.write(Frame(np.ascontiguousarray(texture[:, t : t + COLUMNS]), chroma, chroma, form, t))
