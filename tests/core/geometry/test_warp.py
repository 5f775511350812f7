"""Backward warps read where the flow points, and say where that was outside."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from spatialdreamer_core.geometry.warp import backward_warp, backward_warp_map


def test_zero_flow_is_the_identity() -> None:
    B, C, H, W = 2, 3, 4, 7
    image = torch.rand(B, C, H, W)
    warped, valid = backward_warp(image, torch.zeros(B, 2, H, W))
    torch.testing.assert_close(warped, image)
    assert valid.shape == (B, 1, H, W)
    assert valid.all()
    picture = image[0, 0].numpy()
    np.testing.assert_array_equal(backward_warp_map(picture, np.zeros((H, W, 2), np.float32))[0], picture)


def test_flow_points_to_where_the_pixel_is_read() -> None:
    image = torch.rand(1, 1, 5, 8)
    flow = torch.zeros(1, 2, 5, 8)
    flow[:, 0], flow[:, 1] = 2, -1
    warped, valid = backward_warp(image, flow)
    torch.testing.assert_close(warped[..., 1:, :6], image[..., :-1, 2:])
    assert valid[..., 1:, :6].all()
    assert not valid[..., 0, :].any()
    assert not valid[..., 6:].any()


def test_a_positive_disparity_reads_to_the_right() -> None:
    image = torch.rand(1, 2, 3, 6)
    warped, valid = backward_warp(image, torch.full((1, 1, 3, 6), 1.0))
    torch.testing.assert_close(warped[..., :5], image[..., 1:])
    torch.testing.assert_close(warped[..., 5], image[..., 5])  # the border is repeated
    assert valid[0, 0, 0].tolist() == [True] * 5 + [False]


@pytest.mark.parametrize("channels", [0, 1, 2])
def test_numpy_and_torch_agree(channels: int) -> None:
    rng = np.random.default_rng(0)
    shape = (9, 13, channels) if channels else (9, 13)
    picture = rng.random(shape, np.float32)
    flow = (rng.integers(-96, 96, (9, 13, 2)) / 32).astype(np.float32)  # remap rounds to 1/32 px
    warped, valid = backward_warp_map(picture, flow)
    image = torch.tensor(picture.reshape(9, 13, -1)).permute(2, 0, 1)[None]
    wanted, inside = backward_warp(image, torch.tensor(flow).permute(2, 0, 1)[None])
    assert warped.shape == picture.shape
    np.testing.assert_allclose(warped.reshape(9, 13, -1), wanted[0].permute(1, 2, 0).numpy(), atol=1e-5)
    np.testing.assert_array_equal(valid, inside[0, 0].numpy())


def test_both_inputs_get_the_right_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 2, 4, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    flow = (torch.rand(1, 2, 4, 5, dtype=torch.float64, generator=generator) * 0.8 + 0.1).requires_grad_()
    inner = lambda picture, moved: backward_warp(picture, moved)[0][..., :3, :4]  # noqa: E731 - no border kinks
    assert torch.autograd.gradcheck(inner, (image, flow))


def test_a_picture_of_one_pixel_can_be_warped() -> None:
    warped, valid = backward_warp(torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), 3.0))
    assert warped.item() == 1
    assert not valid.item()


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="flow or disparity"):
        backward_warp(torch.zeros(1, 3, 4, 5), torch.zeros(1, 2, 5, 4))
    with pytest.raises(ValueError, match="flow must be"):
        backward_warp_map(np.zeros((4, 5), np.float32), np.zeros((5, 4, 2), np.float32))


def test_the_numpy_parts_do_not_load_torch() -> None:
    code = (
        "import sys, spatialdreamer_core.geometry.warp, spatialdreamer_core.geometry.splat, "
        "spatialdreamer_core.geometry.disparity; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
