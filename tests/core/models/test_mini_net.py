"""The mini network: begins as the classical fill, tells frames and strengths apart, fits on a laptop."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from spatialdreamer_core.errors import ConfigError, WeightsError
from spatialdreamer_core.models.mini.config import MiniConfig, mini_config
from spatialdreamer_core.models.mini.net import Level, MiniNet
from spatialdreamer_core.models.mini.weights import load_mini, save_mini

SMALL = MiniConfig(widths=(8, 16, 16), heads=2, embedding=8, offsets=(-1, 1))


def clip(frames: int = 3, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    tiles = torch.rand(batch, frames, 9, 128, 128, generator=generator) * 2 - 1
    return tiles, torch.rand(batch, frames, 3, 128, 128, generator=generator), torch.full((batch,), 0.02)


def stirred(config: MiniConfig) -> MiniNet:
    """A network in which nothing is at its beginning any more."""
    torch.manual_seed(0)
    net = MiniNet(config)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for part in net.modules():
            if isinstance(part, Level):
                part.mean.normal_(0, 0.3)
                part.variance.uniform_(0.2, 3)
    return net.eval()


def test_an_untrained_network_gives_the_fill_with_a_little_of_the_mirrored_background() -> None:
    tiles, references, strength = clip()
    with torch.no_grad():
        made = MiniNet(SMALL)(tiles, references, strength)
    filled, mirrored = (tiles[:, :, :3] + 1) / 2, (tiles[:, :, 3:6] + 1) / 2
    share = 1 / (1 + np.exp(2.0))
    assert torch.allclose(made, filled + share * (mirrored - filled), atol=1e-5)


def test_it_has_at_most_12_million_weights_and_takes_at_most_25_kflop_a_pixel() -> None:
    net = MiniNet(MiniConfig())
    assert sum(parameter.numel() for parameter in net.parameters()) <= 12e6
    tiles, references, strength = clip(frames=1, batch=1)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        net(tiles, references, strength)
    assert counted.get_total_flops() / 128**2 <= 25_000


@pytest.mark.parametrize("part", ["reference", "strength", "other frames"])
def test_what_it_makes_depends_on(part: str) -> None:
    net = stirred(SMALL)
    tiles, references, strength = clip()
    other_references, other_strength, other_tiles = references.clone(), strength.clone(), tiles.clone()
    if part == "reference":
        other_references[:, 1] = 0
    elif part == "strength":
        other_strength += 0.05
    else:
        other_tiles[:, 0] = 0
    with torch.no_grad():
        first, second = net(tiles, references, strength), net(other_tiles, other_references, other_strength)
    assert (first[:, 1] - second[:, 1]).abs().max() > 1e-4


@pytest.mark.parametrize(
    "config",
    [
        MiniConfig(widths=(8, 16, 16), heads=2, embedding=8, offsets=(-1, 1), reference="none"),
        MiniConfig(widths=(8, 16, 16), heads=2, embedding=8, offsets=(-1, 1), reference="concat"),
        MiniConfig(widths=(8, 16, 16), heads=2, embedding=8, offsets=(-1, 1), strength=False),
        MiniConfig(widths=(8, 16, 16), heads=2, embedding=8, offsets=(-1, 1), til=False, temporal=False),
    ],
)
def test_what_is_switched_off_has_no_say(config: MiniConfig) -> None:
    net = stirred(config)
    tiles, references, strength = clip()
    with torch.no_grad():
        whole = net(tiles, references, strength)
        without_reference = net(tiles, references * 0, strength)
        stronger = net(tiles, references, strength + 0.05)
        alone = net(tiles[:, 1:2], references[:, 1:2], strength)
    assert torch.equal(whole, without_reference) == (config.reference == "none")
    assert torch.equal(whole, stronger) == (not config.strength)
    single = torch.allclose(whole[:, 1:2], alone, atol=1e-5)
    assert single == (not config.temporal and (not config.til or config.reference != "refiner"))


def test_whatever_blocks_add_every_level_still_counts() -> None:
    net = stirred(SMALL).train()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith(("widen.weight", "widen.bias", "join.weight", "join.bias")):
                parameter.mul_(300)
    tiles, references, strength = clip()
    net(tiles, references, strength).sum().backward()
    parts = ("coarse_blocks", "middle_blocks", "temporal", "refiner.encoder", "encoder.coarse", "strength.first")
    for part in parts:
        reached = [p.grad for name, p in net.named_parameters() if name.startswith(part)]
        assert max(float(gradient.abs().max()) for gradient in reached if gradient is not None) > 1e-7, part


def test_levels_that_their_readers_took_over_change_nothing() -> None:
    net = stirred(SMALL)
    tiles, references, strength = clip()
    with torch.no_grad():
        wanted, made = net(tiles, references, strength), net.folded()(tiles, references, strength)
    assert torch.allclose(made, wanted, atol=1e-4)
    assert not torch.equal(net.folded().coarse_blocks[0].narrow.weight, net.coarse_blocks[0].narrow.weight)


def test_statistics_follow_what_is_trained_on_unless_they_are_fixed() -> None:
    for fixed in (False, True):
        level = Level(2)
        level.fixed = fixed
        for _ in range(400):
            level(torch.randn(16, 2, 4, 4) * 3 + 5)
        assert torch.allclose(level.mean, torch.full((2,), 0.0 if fixed else 5.0), atol=0.5)
        assert torch.allclose(level.variance, torch.full((2,), 1.0 if fixed else 9.0), atol=1.5)


def test_a_frame_depends_on_its_window_alone() -> None:
    net = stirred(SMALL)
    tiles, references, strength = clip(frames=5)
    with torch.no_grad():
        long, short = net(tiles, references, strength), net(tiles[:, 1:4], references[:, 1:4], strength)
    assert torch.allclose(long[:, 2], short[:, 1], atol=1e-5)


@pytest.mark.parametrize("half", [False, True])
def test_weights_come_back_as_they_were_written(tmp_path, half: bool) -> None:  # type: ignore[no-untyped-def]
    net = stirred(SMALL)
    save_mini(net, tmp_path, half=half)
    again = load_mini(tmp_path)
    assert again.config == SMALL
    for name, value in net.state_dict().items():
        weight = name in dict(net.named_parameters())
        wanted = value.half().float() if half and weight else value
        assert torch.equal(again.state_dict()[name], wanted)


def test_temporal_parts_join_weights_that_had_none(tmp_path) -> None:  # type: ignore[no-untyped-def]
    still = MiniConfig(widths=(8, 16, 16), heads=2, embedding=8, offsets=(-1, 1), temporal=False)
    save_mini(stirred(still), tmp_path)
    net = load_mini(tmp_path, SMALL)
    assert net.temporal is not None
    assert not net.temporal.join.weight.any()


def test_damaged_or_other_weights_are_refused_in_one_sentence(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(WeightsError, match=r"mini\.json is missing"):
        load_mini(tmp_path)
    path = save_mini(stirred(SMALL), tmp_path)
    with pytest.raises(WeightsError, match="tensors are of another network"):
        load_mini(tmp_path, MiniConfig(widths=(8, 16, 32), heads=2, embedding=8))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"not the file that its mini\.json describes"):
        load_mini(tmp_path)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="heads must divide"):
        MiniConfig(widths=(8, 18, 16))
    with pytest.raises(ConfigError, match="0 cannot be one"):
        MiniConfig(offsets=(-1, 0))
    with pytest.raises(ConfigError, match="unknown"):
        mini_config({"layers": 3})
    assert mini_config(MiniConfig().as_json()) == MiniConfig()
