"""Pairs of random pictures with holes, of many sizes: what a shard holds, without making it from video."""

import numpy as np

from spatialdreamer_core.dvg.sample import PairSample
from tests.media import scene


def made_pair(
    key: str = "clip-0", frames: int = 3, height: int = 24, width: int = 40, *, flow: bool = False
) -> PairSample:
    """A textured pan with a moving hole; disparity rises from left to right and crosses zero."""
    seed = sum(key.encode())
    rng = np.random.default_rng(seed)
    target = np.stack(scene(frames, width, height, seed=seed))
    mask = np.zeros((frames, height, width), bool)
    for t in range(frames):
        mask[t, 3:9, 5 + t : 11 + t] = True
    condition = np.where(mask[..., None], np.uint8(0), target)
    reference = np.roll(target, 2, axis=2)
    disparity = np.broadcast_to(np.linspace(-7.3, 21.9, width, dtype=np.float32), mask.shape).copy()
    flows = rng.normal(0, 3, (frames - 1, height, width, 2)).astype(np.float16) if flow else None
    meta = {"mode": "analytic", "seed": seed, "deviation_strength": 0.25}
    return PairSample(key, target, condition, reference, mask, disparity, flows, meta)
