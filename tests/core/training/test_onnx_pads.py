import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn
from torch.nn import functional as F

from spatialdreamer_core.training.onnx_half import store_half


class Uneven(nn.Module):
    """Pads more at the right and bottom, as TensorFlow does; the second pad is read by two nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 8, 5, 2, padding=1)

    def forward(self, x):
        padded = F.pad(self.first(F.pad(x, (0, 1, 0, 1))), (1, 2, 1, 2))
        return self.second(padded), padded


def ops_and_outputs(data, picture):
    model = onnx.load_model_from_string(data)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return [node.op_type for node in model.graph.node], session.run(None, {"picture": picture})


def test_a_pad_that_one_convolution_reads_becomes_its_own_and_the_results_stay(tmp_path):
    torch.manual_seed(0)
    scratch, path = tmp_path / "full.onnx", tmp_path / "out.onnx"
    torch.onnx.export(
        Uneven().eval(), (torch.rand(1, 3, 32, 48),), str(scratch), input_names=["picture"], opset_version=17,
        dynamic_axes={"picture": {2: "h", 3: "w"}}, dynamo=False,
    )  # fmt: skip
    before = scratch.read_bytes()
    store_half(scratch, path)
    picture = np.random.default_rng(0).random((1, 3, 24, 40), np.float32)
    old_ops, old = ops_and_outputs(before, picture)
    new_ops, new = ops_and_outputs(path.read_bytes(), picture)
    assert old_ops.count("Pad") == 2
    assert new_ops.count("Pad") == 1, "the one that is an output as well stays"
    for a, b in zip(old, new, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=2e-3)  # weights in half precision


def test_the_depth_network_that_ships_has_no_padding_of_its_own():
    from spatialdreamer_core.depth.builtin import WEIGHTS

    model = onnx.load_model_from_string(WEIGHTS.read_bytes())
    assert "Pad" not in {node.op_type for node in model.graph.node}
