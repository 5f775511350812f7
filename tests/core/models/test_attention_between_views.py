"""Attention between views and frames: the cheap forms equal the literal ones."""

import pytest
import torch

from spatialdreamer_core.models.attention import attend, interaction, reference_attention
from spatialdreamer_core.models.strength import StrengthEmbedding, geometric_strength, latent_strength, strength_loss


def tokens(seed: int, count: int = 12) -> torch.Tensor:
    return torch.randn(2, 3, count, 8, generator=torch.Generator().manual_seed(seed))


def test_injected_keys_equal_attending_both_pictures_and_keeping_the_first_half() -> None:
    q, k, v, qr, kr, vr = (tokens(seed) for seed in range(6))
    literal = attend(torch.cat([q, qr], 2), torch.cat([k, kr], 2), torch.cat([v, vr], 2))[:, :, :12]
    assert torch.allclose(reference_attention(q, k, v, kr, vr), literal, atol=1e-6)


def test_attention_along_rows_equals_masked_attention() -> None:
    q, k, v, kr, vr = (tokens(seed) for seed in range(5))
    rows = torch.arange(12) // 4
    same = rows[:, None] == torch.cat([rows, rows])[None, :]
    masked = torch.nn.functional.scaled_dot_product_attention(
        q, torch.cat([k, kr], 2), torch.cat([v, vr], 2), attn_mask=same
    )
    assert torch.allclose(reference_attention(q, k, v, kr, vr, grid=(3, 4)), masked, atol=1e-6)


def test_a_single_query_gets_what_fused_attention_gives_and_its_gradients_in_bfloat16() -> None:
    q, k, v = tokens(0, 1).requires_grad_(), tokens(1, 5).requires_grad_(), tokens(2, 5).requires_grad_()
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert torch.allclose(attend(q, k, v), wanted, atol=1e-6)
    exact = torch.autograd.grad(wanted.square().sum(), (q, k, v))
    halves = [x.detach().bfloat16().requires_grad_() for x in (q, k, v)]
    rough = torch.autograd.grad(attend(*halves).float().square().sum(), halves)
    for one, other in zip(exact, rough, strict=True):
        assert (one - other).abs().max() < 0.05 * one.abs().max()


def test_interaction_is_the_weighted_mean_of_attention_to_each_frame() -> None:
    q, k, v, k1, v1, k2, v2 = (tokens(seed) for seed in range(7))
    wanted = 0.6 * attend(q, k, v) + 0.4 * (attend(q, k1, v1) + attend(q, k2, v2)) / 2
    assert torch.allclose(interaction(q, (k, v), [(k1, v1), (k2, v2)], 0.6), wanted, atol=1e-6)
    assert torch.equal(interaction(q, (k, v), [(k1, v1)], 1.0), attend(q, k, v))
    assert torch.equal(interaction(q, (k, v), [], 0.5), attend(q, k, v))


def test_strengths_of_known_views() -> None:
    z = torch.zeros(1, 2, 4, 3, 3)
    assert latent_strength(z + 0.5, z).item() == pytest.approx(10 * 4 * 0.5)
    disparity = torch.tensor([[-8.0, 8.0, 16.0]])
    assert geometric_strength(disparity, 800).item() == pytest.approx(0.01)
    assert strength_loss(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])).item() == pytest.approx(2.0)


def test_an_untrained_strength_changes_nothing_and_a_trained_one_tells_strengths_apart() -> None:
    embedding = StrengthEmbedding(16, 32, scale=1000)
    strengths = torch.tensor([0.005, 0.05])
    assert torch.equal(embedding(strengths), torch.zeros(2, 32))
    torch.nn.init.normal_(embedding.last.weight)
    first, second = embedding(strengths)
    assert (first - second).abs().max() > 0.1
