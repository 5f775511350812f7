"""From inverse depth to disparity, and the choice of strength and screen plane for a shot."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import StereoConfig

DEFAULT_STRENGTH_PCT = 2.0
"""The usual overall strength of converters, percent of the width."""
BEHIND_LIMIT_PCT = 1.75
"""Most disparity behind the screen, percent of the width: eyes must not diverge on a large screen."""
FRONT_LIMIT_PCT = 1.0
"""Most disparity in front of the screen, percent of the width."""

_FULL_STRUCTURE = 0.3  # robust spread of inverse depth from which a shot gets full strength
_LEAST_SHARE = 0.4  # of the strength, for a shot without structure: its depth is mostly noise
_FRONT_SHARE = 0.4  # of the robust range that stands in front of the screen, unless it touches the side borders
_SIDE_SHARE = 0.03  # of the width, on each side, where an object counts as touching the border
_FLOOR_SHARE = 0.25  # of the height, at the bottom, left out: a floor always runs out of the picture there
_LEAST_RANGE = 1e-6


@dataclass(frozen=True, slots=True)
class ShotStereo:
    """How deep one shot is; the same for all its frames.

    Attributes:
        strength_pct: Disparity from inverse depth 0 to 1, percent of the width.
        convergence: The inverse depth in [0, 1] that lands on the screen.
    """

    strength_pct: float
    convergence: float


def disparity_from_inverse_depth(
    inverse_depth: NDArray[np.float32], *, strength_pct: float, convergence: float, width_px: int
) -> NDArray[np.float32]:
    """Scale inverse depth to disparity: ``(inverse_depth - convergence) * strength_pct / 100 * width_px``.

    Args:
        inverse_depth: [h, w] in [0, 1], 1 is nearest; any grid size.
        strength_pct: Disparity from inverse depth 0 to 1, percent of the width.
        convergence: The inverse depth that lands on the screen.
        width_px: Columns of the full-size luma plane, whose pixels the result counts, whatever the grid.

    Returns:
        [h, w] float32 px, ``x_left - x_right``: positive in front of the screen.
    """
    scale = np.float32(strength_pct / 100 * width_px)
    return np.asarray((inverse_depth - np.float32(convergence)) * scale, dtype=np.float32)


def choose_stereo(samples: Sequence[NDArray[np.float32]], config: StereoConfig) -> ShotStereo:
    """Choose strength and screen plane for one shot; what the configuration sets is taken as it is.

    With near and far the 98th and 2nd percentile of inverse depth over all samples, and spread = near - far:

    * screen = near - 0.4 * spread, so that most of the scene lies behind it. An object that touches the left or right
      border must not stand in front of the screen, for the border would cut it off (a window violation): if the 75th
      percentile of the side strips (without the bottom quarter, where floors leave the picture) is nearer, the screen
      moves there.
    * strength = 2 % of the width, times ``max(0.4, min(1, spread / 0.3))``: a shot with little structure gets less.
    * Comfort limits then bound it: ``strength * (near - screen) <= 1 %`` in front, ``strength * (screen - far)
      <= 1.75 %`` behind, and ``strength <= max_strength_pct``.

    Percentiles and not extremes: one grain of snow before the lens must not change a shot. The choice is per shot, for
    a choice per frame makes the scene breathe.

    Args:
        samples: Frames of one shot, each [h, w] inverse depth in [0, 1], 1 is nearest.
        config: What the user sets; None is chosen here.

    Raises:
        ValueError: If there is no sample, or none holds a finite value.

    Source: 2 % is the default of StereoCrafter (20 px at 1024) and iw3. On a screen 6.3 cm / 0.0175 = 3.6 m wide,
    1.75 % behind it is the distance of the eyes, beyond which they would diverge; a shot for the home is far below.
    1 % in front is the film trade's usual bound for what stays there (Mendiburu 2009, 3D Movie Making).
    """
    if not samples:
        raise ValueError("a shot needs at least one sample of inverse depth to choose its strength")
    far, near = _percentiles([sample.ravel() for sample in samples], 2, 98)
    screen = config.convergence
    if screen is None:
        screen = near - _FRONT_SHARE * (near - far)
        (border,) = _percentiles([_side_strips(sample) for sample in samples], 75)
        screen = float(np.clip(max(screen, border), 0.0, 1.0))
    if config.strength_pct is not None:
        return ShotStereo(config.strength_pct, screen)
    structure = min(1.0, max(_LEAST_SHARE, (near - far) / _FULL_STRUCTURE))
    strength = min(
        DEFAULT_STRENGTH_PCT * structure,
        FRONT_LIMIT_PCT / max(near - screen, _LEAST_RANGE),
        BEHIND_LIMIT_PCT / max(screen - far, _LEAST_RANGE),
        config.max_strength_pct,
    )
    return ShotStereo(strength, screen)


def _percentiles(parts: Sequence[NDArray[np.float32]], *percents: float) -> list[float]:
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    if values.size == 0:
        raise ValueError("the samples of inverse depth hold no finite value; the depth estimate has failed")
    return [float(value) for value in np.percentile(values, percents)]


def _side_strips(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = sample.shape
    rows = max(1, round(height * (1 - _FLOOR_SHARE)))
    columns = max(1, round(width * _SIDE_SHARE))
    return np.concatenate([sample[:rows, :columns].ravel(), sample[:rows, -columns:].ravel()])
