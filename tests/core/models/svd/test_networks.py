"""The two U-Nets: what is injected equals the literal form, and what is added begins by changing nothing."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from spatialdreamer_core.models.attention import row_reference_attention  # noqa: E402
from spatialdreamer_core.models.svd.conditioning import clip_pixels, mask_on_latents, with_grey_holes  # noqa: E402
from spatialdreamer_core.models.svd.injection import Features, Interaction, spatial_self_attentions  # noqa: E402
from spatialdreamer_core.models.svd.library import UNet2DConditionModel, UNetSpatioTemporalConditionModel  # noqa: E402
from spatialdreamer_core.models.svd.network import SvdNetwork  # noqa: E402
from tests.core.models.svd.made import CLIPS, COLUMNS, FRAMES, ROWS, condition, drawn, tiny  # noqa: E402

LEVEL = torch.tensor([0.3, -0.2])


@pytest.fixture(scope="module")
def network() -> SvdNetwork:
    return tiny()


def noisy() -> torch.Tensor:
    return drawn(CLIPS, FRAMES, 4, ROWS, COLUMNS, seed=9)


def literal(
    attn: torch.nn.Module, hidden: torch.Tensor, reference: torch.Tensor, grid: tuple[int, int]
) -> torch.Tensor:
    """The paper's words: put the maps one above the other, attend to all, keep the upper half."""
    rows, columns = grid
    maps = [x.transpose(1, 2).reshape(len(x), -1, rows, columns) for x in (hidden, reference)]
    both = torch.cat(maps, 2).flatten(2).transpose(1, 2)  # [B, 2 * rows * columns, C]
    heads = [
        layer(both).reshape(len(both), both.shape[1], attn.heads, -1).transpose(1, 2)
        for layer in (attn.to_q, attn.to_k, attn.to_v)
    ]
    scores = heads[0] @ heads[1].transpose(2, 3) / heads[0].shape[3] ** 0.5
    out = attn.to_out[0]((scores.softmax(-1) @ heads[2]).transpose(1, 2).flatten(2))
    kept = out.transpose(1, 2).reshape(len(both), -1, 2 * rows, columns)[:, :, :rows]
    return kept.flatten(2).transpose(1, 2)


@torch.no_grad()
def test_injection_in_every_block_equals_stacking_the_maps_attending_and_keeping_the_upper_half(
    network: SvdNetwork,
) -> None:
    told = condition(network)
    features = network.reference(drawn(CLIPS, FRAMES, 4, ROWS, COLUMNS, seed=5), told.embedding)
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    blocks = spatial_self_attentions(network.unet.net)
    hooks = [
        module.register_forward_hook(lambda _m, args, out, name=name: seen.update({name: (args[0], out)}))
        for name, module in blocks.items()
    ]
    network.unet(noisy(), LEVEL, told, features)
    for hook in hooks:
        hook.remove()
    assert set(seen) == set(features.tokens) == set(blocks)
    for name, (hidden, out) in seen.items():
        grid = features.block_grid(hidden.shape[1])
        torch.testing.assert_close(
            out, literal(blocks[name], hidden, features.tokens[name], grid), atol=1e-5, rtol=1e-5
        )


@torch.no_grad()
def test_the_reference_changes_the_picture_and_its_rows_alone_change_it_otherwise(network: SvdNetwork) -> None:
    told = condition(network)
    features = network.reference(drawn(CLIPS, FRAMES, 4, ROWS, COLUMNS, seed=5), told.embedding)
    full = network.unet(noisy(), LEVEL, told, features)
    assert not torch.allclose(full, network.unet(noisy(), LEVEL, told))
    for injector in network.unet._injectors:
        injector.reach = "rows"
    rows = network.unet(noisy(), LEVEL, told, features)
    for injector in network.unet._injectors:
        injector.reach = "full"
    assert not torch.allclose(full, rows, atol=1e-4)


def test_the_reference_s_row_beside_the_whole_own_picture_equals_masked_attention() -> None:
    q, k, v, kr, vr = (drawn(2, 3, 12, 8, seed=seed) for seed in range(5))
    row = torch.arange(12) // 4
    seen = torch.cat([torch.ones(12, 12, dtype=torch.bool), row[:, None] == row[None, :]], 1)
    keys, values = torch.cat([k, kr], 2), torch.cat([v, vr], 2)
    masked = torch.nn.functional.scaled_dot_product_attention(q, keys, values, attn_mask=seen)
    torch.testing.assert_close(row_reference_attention(q, k, v, kr, vr, (3, 4)), masked)


@torch.no_grad()
def test_without_a_reference_the_network_gives_what_the_stock_one_gives_whatever_mask_and_strength(
    network: SvdNetwork,
) -> None:
    stock = UNetSpatioTemporalConditionModel(**(network.sizes.unet | {"in_channels": 8})).eval()
    weights = dict(network.unet.net.state_dict())
    weights["conv_in.weight"] = weights["conv_in.weight"][:, :8]
    stock.load_state_dict(weights)
    told = condition(network, strength=3.0)
    wanted = stock(torch.cat([noisy(), told.rendered], 2), LEVEL, told.embedding, told.time_ids, return_dict=False)[0]
    torch.testing.assert_close(network.unet(noisy(), LEVEL, told), wanted)


@torch.no_grad()
def test_a_learned_strength_reaches_the_picture_unless_it_is_left_out(network: SvdNetwork) -> None:
    before = network.unet(noisy(), LEVEL, condition(network, 3.0))
    torch.nn.init.normal_(network.unet.strength.last.weight)
    try:
        weak, strong = (network.unet(noisy(), LEVEL, condition(network, value)) for value in (1.0, 3.0))
        assert not torch.allclose(weak, strong)
        told = condition(network, 3.0)
        object.__setattr__(told, "strength_kept", torch.tensor([False, True]))
        mixed = network.unet(noisy(), LEVEL, told)
    finally:
        torch.nn.init.zeros_(network.unet.strength.last.weight)
    torch.testing.assert_close(mixed[0], before[0])
    torch.testing.assert_close(mixed[1], strong[1])


@torch.no_grad()
def test_frames_alone_do_not_see_each_other(network: SvdNetwork) -> None:
    told, first = condition(network), noisy()
    other = first.clone()
    other[:, 2] += 1
    for alone in (True, False):
        a, b = (network.unet(x, LEVEL, told, frames_alone=alone)[:, 0] for x in (first, other))
        assert torch.allclose(a, b, atol=1e-6) is alone


@torch.no_grad()
def test_the_reference_network_records_what_the_stock_one_s_self_attentions_see(network: SvdNetwork) -> None:
    stock = UNet2DConditionModel(**network.sizes.reference).eval()
    missing, extra = stock.load_state_dict(network.reference.net.state_dict(), strict=False)
    assert not extra
    assert all(name.startswith(("up_blocks.3.", "conv_norm_out.", "conv_out.")) for name in missing)
    seen: dict[str, torch.Tensor] = {}
    for name, module in spatial_self_attentions(stock).items():
        module.register_forward_hook(lambda _m, args, _out, name=name: seen.update({name: args[0]}))
    latents, embedding = drawn(CLIPS, FRAMES, 4, ROWS, COLUMNS, seed=5), condition(network).embedding
    stock(latents.flatten(0, 1), 0, embedding.repeat_interleave(FRAMES, 0))
    features = network.reference(latents, embedding)
    for name, tokens in features.tokens.items():
        torch.testing.assert_close(tokens, seen[name])


@torch.no_grad()
def test_interaction_with_a_share_of_one_is_none_and_with_less_joins_the_chosen_frames_alone(
    network: SvdNetwork,
) -> None:
    latents, embedding = drawn(CLIPS, FRAMES, 4, ROWS, COLUMNS, seed=5), condition(network).embedding
    partners = ((2,), (), (0, 1))
    plain = network.reference(latents, embedding)
    off = network.reference(latents, embedding, Interaction(1.0, partners))
    on = network.reference(latents, embedding, Interaction(0.5, partners))
    for name, tokens in plain.tokens.items():
        torch.testing.assert_close(off.tokens[name], tokens)
    last = list(plain.tokens)[-1]
    changed = (on.tokens[last] - plain.tokens[last]).abs().amax(dim=(1, 2)).reshape(CLIPS, FRAMES)
    assert (changed[:, [0, 2]] > 1e-4).all()
    assert (changed[:, 1] < 1e-5).all()


def test_features_of_some_frames_are_those_of_each_clip() -> None:
    tokens = torch.arange(2 * 3 * 4 * 1.0).reshape(6, 4, 1)
    part = Features((2, 2), {"a": tokens}).of_frames(slice(0, 2), 2).tokens["a"]
    assert torch.equal(part, tokens[[0, 1, 3, 4]])


def test_no_hole_is_lost_on_the_latent_grid() -> None:
    mask = torch.zeros(1, 1, 1, 16, 24, dtype=torch.bool)
    mask[..., 9, 23] = True
    assert mask_on_latents(mask, 8)[0, 0, 0].tolist() == [[0, 0, 0], [0, 0, 1]]
    frames = torch.rand(1, 1, 3, 16, 24)
    grey = with_grey_holes(frames, mask)
    assert grey[0, 0, :, 9, 23].tolist() == [0.5, 0.5, 0.5]
    assert torch.equal(grey[..., :23], frames[..., :23])


@torch.no_grad()
def test_clip_sees_the_whole_picture_and_no_clip_a_learned_vector(network: SvdNetwork) -> None:
    grey = clip_pixels(torch.full((2, 3, 40, 72), 0.5), 28)
    assert grey.shape == (2, 3, 28, 28)
    assert abs(float(grey[0, 0].mean()) - (0.5 - 0.48145466) / 0.26862954) < 1e-5
    assert network.embed(torch.rand(2, 3, 40, 72)).shape == (2, 1, 16)
    assert tiny(image_encoder=False).embed(torch.rand(2, 3, 40, 72)).abs().max() == 0


@torch.no_grad()
def test_latents_do_not_depend_on_how_many_frames_are_encoded_at_once(network: SvdNetwork) -> None:
    frames = torch.rand(1, 3, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    latents = network.encode(frames, at_once=3)
    assert latents.shape == (1, 3, 4, 8, 16)
    torch.testing.assert_close(network.encode(frames, at_once=1), latents)
    made = network.decode(latents[0] * network.latent_scale)
    assert made.shape == (3, 3, 64, 128)
    assert 0 <= made.min() <= made.max() <= 1
