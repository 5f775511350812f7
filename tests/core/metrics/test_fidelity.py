import numpy as np
import pytest

from spatialdreamer_core.metrics.fidelity import LEAST_SIDE, SCALE_WEIGHTS, psnr, similarity

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def flat(level: int, height: int = 200, width: int = 190) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def noisy(seed: int, height: int = 181, width: int = 203) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ramp = np.linspace(40, 200, width)[None, :, None] + rng.normal(0, 20, (height, width, 3))
    return np.clip(ramp, 0, 255).astype(np.uint8)


def plain_ssim(a: np.ndarray, b: np.ndarray, *, structure_only: bool = False) -> float:
    """The formula, window by window, in float64."""
    x = np.arange(11) - 5
    g = np.exp(-(x**2) / (2 * 1.5**2))
    window = np.outer(g, g) / np.outer(g, g).sum()
    h, w = a.shape
    values = []
    for i in range(h - 10):
        for j in range(w - 10):
            p, q = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            cs = (2 * cov + C2) / (vp + vq + C2)
            values.append(cs if structure_only else (2 * mp * mq + C1) / (mp**2 + mq**2 + C1) * cs)
    return float(np.mean(values))


def test_psnr_of_a_difference_of_ten_levels_is_28_13_db() -> None:
    assert psnr(flat(100), flat(110)) == pytest.approx(20 * np.log10(25.5), abs=1e-9)


def test_psnr_counts_only_what_the_mask_marks() -> None:
    made, where = flat(100), np.zeros((200, 190), bool)
    made[:50] = 101
    where[:50, 3:9] = True
    assert psnr(made, flat(100), where) == pytest.approx(20 * np.log10(255))
    assert psnr(made, flat(100), ~where & (np.arange(200)[:, None] >= 50)) == float("inf")
    assert psnr(made, flat(100), np.zeros((200, 190), bool)) is None


def test_ssim_of_two_flat_pictures_is_its_luminance_term() -> None:
    expected = (2 * 100 * 150 + C1) / (100**2 + 150**2 + C1)
    assert similarity(flat(100), flat(150)).ssim == pytest.approx(expected, abs=2e-6)


def test_ms_ssim_of_two_flat_pictures_is_the_luminance_of_the_last_scale_by_its_weight() -> None:
    expected = ((2 * 100 * 150 + C1) / (100**2 + 150**2 + C1)) ** SCALE_WEIGHTS[-1]
    assert similarity(flat(100), flat(150)).ms_ssim == pytest.approx(expected, abs=2e-5)


def test_ssim_is_the_formula_computed_window_by_window() -> None:
    a, b = noisy(1, 31, 27), noisy(2, 31, 27)
    expected = np.mean([plain_ssim(a[..., c].astype(float), b[..., c].astype(float)) for c in range(3)])
    assert similarity(a, b).ssim == pytest.approx(expected, abs=1e-5)


def test_ms_ssim_is_the_formula_scale_by_scale() -> None:
    a, b = noisy(1)[..., :1].repeat(3, 2), noisy(2)[..., :1].repeat(3, 2)
    p, q = a[..., 0].astype(float), b[..., 0].astype(float)
    expected = 1.0
    for scale, weight in enumerate(SCALE_WEIGHTS):
        expected *= plain_ssim(p, q, structure_only=scale < 4) ** weight
        rows, columns = p.shape[0] // 2, p.shape[1] // 2
        p, q = (m[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean((1, 3)) for m in (p, q))
    assert similarity(a, b).ms_ssim == pytest.approx(expected, abs=1e-5)


def test_a_picture_equals_itself() -> None:
    a = noisy(3)
    assert psnr(a, a) == float("inf")
    assert similarity(a, a).ssim == pytest.approx(1)
    assert similarity(a, a).ms_ssim == pytest.approx(1)


def test_a_picture_too_small_for_a_window_has_no_figure() -> None:
    small = noisy(4, LEAST_SIDE - 1, 300)
    assert similarity(small, small).ms_ssim is None
    assert similarity(small[:10], small[:10]).ssim is None


def test_pictures_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        psnr(flat(1), flat(1, 100))
