"""A mini network as two ONNX graphs, so that convert needs no torch."""

import warnings
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from spatialdreamer_core.models.mini.config import INPUTS, OTHERS, PAINTED, TILE
from spatialdreamer_core.models.mini.net import Look, MiniNet, Shared
from spatialdreamer_core.training.onnx_half import store_half

LOOK, PAINT = "mini_look.onnx", "mini_paint.onnx"


class _LookGraph(nn.Module):
    def __init__(self, net: MiniNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, tile: Tensor, reference: Tensor) -> tuple[Tensor, ...]:
        look = self.net.look(tile, reference)
        return (*look, *self.net.share(look))


class _PaintGraph(nn.Module):
    def __init__(self, net: MiniNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, *told: Tensor) -> tuple[Tensor, ...]:
        net = self.net
        patches = net.patches(Look(*told[:5]), told[5], Shared(*told[6:]))
        layers = [part for layer in (net.finish, net.last) for part in (layer.weight, layer.bias)]
        return (patches, *cast(list[Tensor], layers))


def export_mini(net: MiniNet, folder: Path) -> None:
    """Write ``mini_look.onnx`` and ``mini_paint.onnx``: one tile, weights in half precision, computed in single.

    ``look``: tile [1, 9, 128, 128], reference [1, 3, 128, 128] -> the fields of ``Look`` and of ``Shared``.
    ``paint``: the fields of ``Look``, strength [1] and, as ``others_NAME`` [1, K, ...], those of ``Shared`` of K other
    frames, in the order of the network's offsets -> ``models.mini.config.PAINTED``.
    """
    net = net.folded()
    tile, reference = torch.zeros(1, INPUTS, TILE, TILE), torch.zeros(1, 3, TILE, TILE)
    with torch.no_grad():
        look = net.look(tile, reference)
        others = [torch.stack([told] * len(net.config.offsets), 1) for told in net.share(look)]
    graphs: tuple[tuple[str, nn.Module, tuple[Tensor, ...], list[str], list[str]], ...] = (
        (LOOK, _LookGraph(net), (tile, reference), ["tile", "reference"], [*Look._fields, *Shared._fields]),
        (PAINT, _PaintGraph(net), (*look, torch.full((1,), 0.02), *others),
         [*Look._fields, "strength", *(OTHERS + name for name in Shared._fields)], list(PAINTED)),
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
