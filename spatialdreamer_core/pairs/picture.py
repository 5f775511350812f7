"""A picture of one sample: target, condition, mask, reference, disparity side by side, some frames below each other."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.dvg.sample import PairSample

Rgb = NDArray[np.uint8]
COLUMNS = ("target", "condition", "mask", "reference", "disparity")
_BAR_PX = 18
_INK, _PAPER = (32, 32, 32), (255, 255, 255)


def sample_picture(sample: PairSample, frames: Sequence[int] | None = None) -> Rgb:
    """Draw a sample.

    Args:
        sample: The pair.
        frames: Which frames, one row each; None takes the first, the middle and the last.

    Returns:
        [rows * (H + bar) + bar, 5 * W, 3] uint8 RGB. The mask is white where the condition has no pixels; disparity is
        painted from its least (dark) to its greatest (bright) in the clip.

    Raises:
        ValueError: If a frame does not exist.
    """
    count = len(sample.target)
    chosen = sorted({0, count // 2, count - 1}) if frames is None else list(frames)
    if any(not 0 <= t < count for t in chosen):
        raise ValueError(f"{sample.key} has frames 0 to {count - 1}, got {chosen}")
    low, high = float(sample.disparity.min()), float(sample.disparity.max())
    rows = [_titles(sample, low, high)]
    for t in chosen:
        mask = np.repeat(sample.mask[t].astype(np.uint8)[..., None] * 255, 3, axis=2)
        parts = [
            sample.target[t],
            sample.condition[t],
            mask,
            sample.reference[t],
            _painted(sample.disparity[t], low, high),
        ]
        rows += [np.concatenate(parts, axis=1)]
    facts = sample.meta.get("meta", sample.meta)
    said = {name: facts[name] for name in ("mode", "target_eye", "disparity_pct", "convergence") if name in facts}
    text = ", ".join(
        f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}" for name, value in said.items()
    )
    rows.append(_line(5 * sample.target.shape[2], [(4, f"{sample.key}: frames {', '.join(map(str, chosen))}; {text}")]))
    return np.concatenate(rows)


def picture_bytes(picture: Rgb, suffix: str) -> bytes:
    """Encode as ``.png`` or ``.jpg``.

    Raises:
        ValueError: If the suffix is neither.
    """
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise ValueError(f"a picture ends in .png or .jpg, got {suffix!r}")
    ok, data = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert ok, "PNG and JPEG hold every such picture"
    return data.tobytes()


def _titles(sample: PairSample, low: float, high: float) -> Rgb:
    width = sample.target.shape[2]
    names = [*COLUMNS[:4], f"disparity {low:.1f} to {high:.1f} px"]
    return _line(5 * width, [(n * width + 4, name) for n, name in enumerate(names)])


def _line(width: int, texts: Sequence[tuple[int, str]]) -> Rgb:
    line = np.full((_BAR_PX, width, 3), _PAPER, np.uint8)
    for x, text in texts:
        cv2.putText(line, text, (x, _BAR_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
    return line


def _painted(disparity: NDArray[np.float32], low: float, high: float) -> Rgb:
    levels = (255 * (disparity - low) / max(high - low, 1e-6)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB), np.uint8)
