"""Make a tiny pair of nothing in particular, both ways, so that every kernel is loaded before the first clip comes."""

from dataclasses import replace

import cv2
import numpy as np

from spatialdreamer_core.corpus.filters import score_clip
from spatialdreamer_core.depth.edges import snap_edges
from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.dvg.flows import clip_flows
from spatialdreamer_core.dvg.make import make_pair
from spatialdreamer_core.pairs.members import to_members

WIDTH, HEIGHT = 128, 96


def rehearse(config: PairsConfig) -> None:
    """Score a moving texture, make its pair by each of the two ways, encode it.

    Raises:
        SpatialDreamerError: What a real clip would meet.
    """
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 4, 3)).astype(np.uint8)
    wide = np.asarray(cv2.resize(coarse, (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)
    frames = np.stack([wide[:, t : t + WIDTH] for t in range(config.clips.frames)])
    depth = np.broadcast_to(np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None], frames.shape[:3]).copy()
    depth[:, 20:50, 40:80] = 1
    depth = np.stack([snap_edges(one, frame) for one, frame in zip(depth, frames, strict=True)])
    flows = clip_flows(frames, config.mask)
    score_clip(frames, flows)
    for share in (0.0, 1.0):
        both = replace(config, warp=replace(config.warp, double_share=share, dilation_px=(1, 1)))
        sample, _ = make_pair(frames, depth, both, "rehearsal", flows)
        to_members(sample, {})
