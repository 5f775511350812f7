"""What the losses of mini judge."""

import pytest
import torch

from spatialdreamer_core.refine.mini import EARNED
from spatialdreamer_core.training.stereo.mini_losses import as_shown

FILL = torch.full((1, 3, 32, 32), 0.4)
HOLE = torch.zeros(1, 1, 32, 32)
HOLE[..., 8:24, 8:24] = 1


@pytest.mark.parametrize("levels", [0, 3, 6, 23, 40, 80])
def test_a_painting_is_judged_as_far_as_it_shows_over_the_fill(levels):
    low, high = EARNED.differing
    made = FILL + levels / 255 * HOLE
    share = min(max((levels - low) / (high - low), 0), 1)
    assert torch.allclose(as_shown(made, FILL, HOLE), FILL + share * levels / 255 * HOLE, atol=1e-5)


def test_nothing_outside_of_holes_counts_and_no_gradient_asks_to_show_more():
    made = FILL.clone()
    made[..., 8:24] += 0.5  # as far beyond the hole as within
    made.requires_grad_()
    shown = as_shown(made, FILL, HOLE)
    assert torch.equal(shown.detach()[..., :8, :], FILL[..., :8, :])
    shown.sum().backward()
    assert made.grad is not None
    assert torch.allclose(made.grad, HOLE.expand_as(FILL), atol=1e-5)  # all of it shows, and no more than that
