"""The torch splat shows the same as the compiled one, and is differentiable in the image."""

import numpy as np
import pytest
import torch

from spatialdreamer_core.geometry import splat
from spatialdreamer_core.geometry.splat_torch import forward_map, forward_splat


def rough_disparity(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Pieces with steps between them, a slope and some noise: tears, folds and joined pairs all occur."""
    rng = np.random.default_rng(seed)
    pieces = np.repeat(rng.uniform(-9, 9, (*shape[:-1], -(-shape[-1] // 8))), 8, axis=-1)[..., : shape[-1]]
    slope = rng.uniform(-0.6, 0.6, (*shape[:-1], 1)) * np.arange(shape[-1])
    noise = rng.normal(0, 0.3, shape) * (rng.random(shape) < 0.2)
    return torch.tensor(np.round((pieces + slope + noise) * 64) / 64, dtype=torch.float32)


@pytest.mark.parametrize("tear_px", [0.0, 0.5, 1.0, 1.5, 4.0])
@pytest.mark.parametrize("seed", range(5))
def test_map_equals_the_compiled_one(seed: int, tear_px: float) -> None:
    B, H, W = 2, 5, 83
    disparity = rough_disparity(seed, (B, 1, H, W))
    made = forward_map(disparity, tear_px=tear_px)
    for one, wanted in zip(made[:, 0], disparity[:, 0], strict=True):
        expected = splat.forward_map(wanted.numpy(), tear_px=tear_px)
        np.testing.assert_allclose(one.numpy(), expected, atol=1e-4, equal_nan=True)


def test_zero_disparity_is_the_identity_and_a_shift_moves_left() -> None:
    image = torch.rand(2, 3, 4, 7)
    same, hole = forward_splat(image, torch.zeros(2, 1, 4, 7))
    assert torch.equal(same, image)
    assert not hole.any()
    moved, hole = forward_splat(image, torch.full((2, 1, 4, 7), 2.0))
    assert torch.equal(moved[..., :5], image[..., 2:])
    assert hole[..., 5:].all()
    assert (moved[..., 5:] == 0).all()


def test_huge_disparity_and_a_single_column_work() -> None:
    assert forward_splat(torch.rand(1, 1, 3, 5), torch.full((1, 1, 3, 5), 1e30))[1].all()
    assert not forward_splat(torch.rand(1, 1, 3, 1), torch.full((1, 1, 3, 1), 0.25))[1].any()


def test_the_image_gets_the_right_gradient() -> None:
    image = torch.rand(1, 2, 3, 9, dtype=torch.float64, requires_grad=True)
    disparity = rough_disparity(3, (1, 1, 3, 9))
    assert torch.autograd.gradcheck(lambda values: forward_splat(values, disparity)[0], (image,))


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        forward_map(torch.full((1, 1, 2, 3), torch.nan))
    with pytest.raises(ValueError, match=r"float32 \[B, 1, H, W\]"):
        forward_map(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="differ in B, H or W"):
        forward_splat(torch.zeros(1, 3, 4, 5), torch.zeros(1, 1, 5, 4))
    with pytest.raises(ValueError, match="tear_px"):
        forward_map(torch.zeros(1, 1, 2, 3), tear_px=-1)
