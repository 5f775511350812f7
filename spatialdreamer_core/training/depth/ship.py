"""From a checkpoint to the file that ships: ONNX, weights in half precision, computed in single precision."""

from pathlib import Path

import torch

from spatialdreamer_core.models.depth_net import DepthNet, create_depth_net, net_from_onnx
from spatialdreamer_core.training.onnx_half import store_half


def load_average(checkpoint: Path, mix: Path | None = None, share: float = 1.0) -> DepthNet:
    """The averaged weights of a checkpoint, rounded to half precision as they ship.

    Args:
        checkpoint: Of a run.
        mix: An exported file that the run started from; the result lies on the line between both.
        share: How far along, from 0 (the file) to 1 (the checkpoint).

    Source: Wortsman et al., Robust fine-tuning of zero-shot models, arXiv 2109.01903, equation 1: a network that went
    on learning elsewhere is better half way, old and new material taken together.
    """
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")["average"]
    if mix is not None:
        before = load_shipped(mix).state_dict()
        state = {k: before[k].lerp(v, share) for k, v in state.items()}
    net = create_depth_net()
    net.load_state_dict({k: v.half().float() for k, v in state.items()})
    return net.eval()


def export_onnx(net: DepthNet, path: Path) -> None:
    """Write a graph with free batch, height and width; large tensors are stored as float16 and cast when loaded."""
    scratch = path.with_suffix(".full.onnx")
    torch.onnx.export(
        net, (torch.rand(1, 3, 192, 320),), str(scratch), input_names=["picture"], output_names=["inverse_depth"],
        dynamic_axes={"picture": {0: "b", 2: "h", 3: "w"}, "inverse_depth": {0: "b", 2: "h2", 3: "w2"}},
        opset_version=17, dynamo=False,
    )  # fmt: skip
    store_half(scratch, path)


def load_shipped(path: Path) -> DepthNet:
    """The torch network with the weights of an exported file: the reference, and the way to continue from it."""
    return net_from_onnx(path.read_bytes())
