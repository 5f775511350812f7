"""The mini network that ships: whole, small, the same in torch and in ONNX Runtime, and told by its card."""

import hashlib

import numpy as np
import torch

from spatialdreamer_core.models.mini.net import Shared
from spatialdreamer_core.models.mini.weights import SHIPPED, load_mini
from spatialdreamer_core.refine import mini
from spatialdreamer_core.refine.last_layers import finish
from spatialdreamer_core.refine.mini import SHA256, MiniRefiner

FOLDER = SHIPPED.parent
MOST_PARAMETERS, MOST_BYTES = 12_000_000, 16_000_000


def test_the_files_are_those_that_the_code_knows_and_are_small() -> None:
    files = [FOLDER / name for name in SHA256] + [SHIPPED]
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files[:-1]} == SHA256
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert sum(p.numel() for p in load_mini(SHIPPED).parameters()) <= MOST_PARAMETERS


def test_the_graphs_give_what_the_weights_give() -> None:
    net, draw = load_mini(SHIPPED).eval(), torch.Generator().manual_seed(1)
    tile = torch.rand(1, 9, 128, 128, generator=draw) * 2 - 1
    tile[:, 6] = (tile[:, 6] > 0).float()
    reference = torch.rand(1, 3, 128, 128, generator=draw)
    with torch.no_grad():
        look = net.look(tile, reference)
        told = Shared(*(part[:, None].repeat(1, 4, *[1] * (part.ndim - 1)) for part in net.share(look)))
        wanted = net.paint(tile, look, torch.tensor([0.03]), told).numpy()
    refiner = MiniRefiner()
    seen = refiner.look.run({"tile": tile.numpy(), "reference": reference.numpy()})
    asked = {name: np.stack([seen[name.removeprefix(mini.OTHERS)]] * 4, axis=1) for name in refiner.asked}
    made = finish(tile.numpy(), refiner.paint.run(seen | asked | {"strength": np.array([0.03], np.float32)}))
    assert np.abs(made - wanted[0])[:, tile[0, 6].numpy() > 0].max() < 1 / 255


def test_every_part_of_the_network_has_a_say() -> None:
    net = load_mini(SHIPPED)
    draw = torch.Generator().manual_seed(0)
    tiles = torch.rand(1, 3, 9, 128, 128, generator=draw) * 2 - 1
    made = net(tiles, torch.rand(1, 3, 3, 128, 128, generator=draw), torch.tensor([0.02]))
    made.sum().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_the_card_names_the_weights_and_the_refiner_opens() -> None:
    card = (FOLDER / "MINI_CARD.md").read_text()
    assert hashlib.sha256(SHIPPED.read_bytes()).hexdigest() in card
    refiner = MiniRefiner()
    assert refiner.reach == max(abs(offset) for offset in load_mini(SHIPPED).config.offsets)
    assert np.isfinite(refiner.reach)
