"""A mini network as two ONNX graphs, so that convert needs no torch."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from spatialdreamer_core.models.mini.config import INPUTS, TILE
from spatialdreamer_core.models.mini.net import Look, MiniNet
from spatialdreamer_core.training.onnx_half import store_half

LOOK, PAINT = "mini_look.onnx", "mini_paint.onnx"


class _LookGraph(nn.Module):
    def __init__(self, net: MiniNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, tile: Tensor, reference: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net.look(tile, reference))


class _PaintGraph(nn.Module):
    def __init__(self, net: MiniNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, tile: Tensor, *rest: Tensor) -> Tensor:
        look, (strength, others, reference_others) = Look(*rest[:5]), rest[5:]
        return self.net.paint(tile, look, strength, others, reference_others)


def export_mini(net: MiniNet, folder: Path) -> None:
    """Write ``mini_look.onnx`` and ``mini_paint.onnx``: one tile, weights in half precision, computed in single.

    ``look``: tile [1, 9, 128, 128], reference [1, 3, 128, 128] -> fine, middle, coarse, reference_middle,
    reference_coarse. ``paint``: tile, those five, strength [1], others [1, K, C2, 8, 8], reference_others
    [1, K, C2, 8, 8] -> made [1, 3, 128, 128]; K others, in the order of the network's offsets.
    """
    net = net.eval()
    tile, reference = torch.zeros(1, INPUTS, TILE, TILE), torch.zeros(1, 3, TILE, TILE)
    with torch.no_grad():
        look = net.look(tile, reference)
    others = [
        level[:, None].repeat(1, len(net.config.offsets), 1, 1, 1) for level in (look.coarse, look.reference_coarse)
    ]
    graphs: tuple[tuple[str, nn.Module, tuple[Tensor, ...], list[str], list[str]], ...] = (
        (LOOK, _LookGraph(net), (tile, reference), ["tile", "reference"], list(Look._fields)),
        (PAINT, _PaintGraph(net), (tile, *look, torch.full((1,), 0.02), *others),
         ["tile", *Look._fields, "strength", "others", "reference_others"], ["made"]),
    )  # fmt: skip
    for name, graph, inputs, input_names, output_names in graphs:
        scratch = folder / f".{name}.full"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that become constants: tiles have one size
            torch.onnx.export(
                graph, inputs, str(scratch), input_names=input_names, output_names=output_names, opset_version=17,
                dynamo=False,
            )  # fmt: skip
        store_half(scratch, folder / name)
