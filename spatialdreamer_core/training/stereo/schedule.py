"""What a step's number alone decides: its learning rate, its random numbers, how fast the average follows."""

import math

import numpy as np

from spatialdreamer_core.training.stereo.config import TrainConfig

LOWEST = 1e-3
"""Share of the peak rate at which the cosine ends."""


def rate_at(step: int, config: TrainConfig) -> float:
    """The learning rate of a step, counted from 0: a linear rise, then half a cosine or a plain."""
    if step < config.warmup:
        return config.rate * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.rate
    done = min((step - config.warmup) / max(config.steps - config.warmup, 1), 1.0)
    return config.rate * max(0.5 + 0.5 * math.cos(math.pi * done), LOWEST)


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of one process's random numbers in one step: that is all there is to be resumed of them."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]) >> 1


def decay_at(step: int, decay: float) -> float:
    """How much of the averaged weights a step leaves; less at first, so that the random start is forgotten."""
    return min(decay, (1 + step) / (10 + step))
