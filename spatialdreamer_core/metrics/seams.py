"""Brightness over time: flicker, and the step at the seams of windows that were made apart."""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from spatialdreamer_core.metrics.fidelity import Picture

_LUMA = np.array([0.299, 0.587, 0.114])  # BT.601


@dataclass(frozen=True, slots=True)
class SeamStep:
    """How a number per frame steps at seams and elsewhere.

    Attributes:
        at_seams: Mean |step| into a frame that begins a window; None without seams.
        elsewhere: Mean |step| between other frames; None where there are none.
        ratio: The first over the second; None where either is missing or the second is 0.
    """

    at_seams: float | None
    elsewhere: float | None
    ratio: float | None


def luma_gaps(left: Sequence[Picture], made: Sequence[Picture]) -> list[float]:
    """Mean luma of the made eye minus the left's for every frame, 8-bit levels.

    Differences to the left eye, so that what the film itself does (a lamp, a cut) counts nothing.
    """
    return [
        float((right.mean((0, 1), dtype=np.float64) - eye.mean((0, 1), dtype=np.float64)) @ _LUMA)
        for eye, right in zip(left, made, strict=True)
    ]


def flicker(gaps: Sequence[float]) -> float | None:
    """Mean |change| of a number from a frame to the next; None for a single frame."""
    return seam_step(gaps, ()).elsewhere


def seam_step(gaps: Sequence[float], seams: Collection[int]) -> SeamStep:
    """Compare the steps at the seams of windows with the ordinary ones; a ratio of 1 hides the seams.

    Args:
        gaps: A number for every frame, for instance ``luma_gaps``.
        seams: Frames that begin a window.
    """
    steps = [abs(after - before) for before, after in itertools.pairwise(gaps)]
    inside = [step for frame, step in enumerate(steps, start=1) if frame not in seams]
    across = [step for frame, step in enumerate(steps, start=1) if frame in seams]
    at, elsewhere = _mean(across), _mean(inside)
    return SeamStep(at, elsewhere, at / elsewhere if at is not None and elsewhere else None)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
