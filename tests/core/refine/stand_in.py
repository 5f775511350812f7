"""A network with the inputs and outputs of ``mini`` that is not trained: it shows what it was told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OFFSETS = (-2, -1, 1, 2)
FINE, MIDDLE, COARSE = 4, 4, 6


def write_stand_in(
    folder: Path, *, offsets: tuple[int, ...] = OFFSETS, asked: int | None = None, bright: float = 0.0
) -> Path:
    """Write the three files of a network.

    What it paints is the filled colours, changed (by tanh, as in the real one) by the mean of the tile's features in
    the other frames (so a wrong window shows) and by the deviation strength, and made brighter by ``bright``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    count = len(offsets) if asked is None else asked
    _save(folder / "mini_look.onnx", *_look(rng))
    _save(folder / "mini_paint.onnx", *_paint(rng, count, bright))
    about = {"size": "mini", "network": {"offsets": list(offsets)}, "sha256": ""}
    (folder / "mini.json").write_text(json.dumps(about))
    return folder


def _info(name: str, *shape: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def _save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], tensors: dict[str, Any]) -> None:
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _weights(rng: np.random.Generator, *shape: int) -> Any:
    return rng.normal(0, 0.3, shape).astype(np.float32)


def _look(rng: np.random.Generator) -> Any:
    nodes, tensors = [], {}
    for source, channels, name, width, size in (
        ("tile", 9, "fine", FINE, 4),
        ("tile", 9, "middle", MIDDLE, 8),
        ("tile", 9, "coarse", COARSE, 16),
        ("reference", 3, "reference_middle", MIDDLE, 8),
        ("reference", 3, "reference_coarse", COARSE, 16),
    ):
        tensors[f"w_{name}"] = _weights(rng, width, channels, 1, 1)
        nodes.append(helper.make_node("Conv", [source, f"w_{name}"], [f"c_{name}"]))
        nodes.append(
            helper.make_node("AveragePool", [f"c_{name}"], [name], kernel_shape=[size, size], strides=[size, size])
        )
    outputs = [
        _info("fine", 1, FINE, 32, 32),
        _info("middle", 1, MIDDLE, 16, 16),
        _info("coarse", 1, COARSE, 8, 8),
        _info("reference_middle", 1, MIDDLE, 16, 16),
        _info("reference_coarse", 1, COARSE, 8, 8),
    ]
    return nodes, [_info("tile", 1, 9, 128, 128), _info("reference", 1, 3, 128, 128)], outputs, tensors


def _paint(rng: np.random.Generator, count: int, bright: float) -> Any:
    spread = np.zeros((4 * 256, COARSE, 1, 1), np.float32)
    spread[: 3 * 256] = _weights(rng, 3 * 256, COARSE, 1, 1) * np.float32(0.2)
    shapes = {"by_place": np.array([1, 16, 4, 32, 32]), "as_patches": np.array([1, 64, 32, 32])}
    tensors = {"spread": spread, **shapes, **{f"{name}_kept": value for name, value in _last_layers(bright).items()}}
    nodes = [
        helper.make_node("ReduceMean", ["others_coarse"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("ReduceMean", ["others_reference_coarse"], ["reference_mean"], axes=[1], keepdims=0),
        helper.make_node("Sub", ["mean", "reference_mean"], ["apart"]),
        helper.make_node("Mul", ["apart", "strength"], ["told"]),
        helper.make_node("Conv", ["told", "spread"], ["wide"]),
        helper.make_node("DepthToSpace", ["wide"], ["pixels"], blocksize=16),
        helper.make_node("SpaceToDepth", ["pixels"], ["turned"], blocksize=4),
        helper.make_node("Reshape", ["turned", "by_place"], ["apart_channels"]),
        helper.make_node("Transpose", ["apart_channels"], ["by_channel"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["by_channel", "as_patches"], ["patches"]),
        *(helper.make_node("Identity", [f"{name}_kept"], [name]) for name in _last_layers(bright)),
    ]
    inputs = [
        _info("fine", 1, FINE, 32, 32),
        _info("middle", 1, MIDDLE, 16, 16),
        _info("coarse", 1, COARSE, 8, 8),
        _info("reference_middle", 1, MIDDLE, 16, 16),
        _info("reference_coarse", 1, COARSE, 8, 8),
        _info("strength", 1),
        _info("others_coarse", 1, count, COARSE, 8, 8),
        _info("others_reference_coarse", 1, count, COARSE, 8, 8),
    ]
    outputs = [_info("patches", 1, 64, 32, 32), *(_info(n, *v.shape) for n, v in _last_layers(bright).items())]
    return nodes, inputs, outputs, tensors


def _last_layers(bright: float) -> dict[str, Any]:
    """Let three channels through: silu(x) - silu(-x) is x."""
    first, last = np.zeros((6, 11, 3, 3), np.float32), np.zeros((4, 6, 3, 3), np.float32)
    for k in range(3):
        first[k, k, 1, 1], first[3 + k, k, 1, 1] = 1, -1
        last[k, k, 1, 1], last[k, 3 + k, 1, 1] = 1, -1
    bias = np.array([np.arctanh(bright)] * 3 + [-100], np.float32)
    return {"finish_weight": first, "finish_bias": np.zeros(6, np.float32), "last_weight": last, "last_bias": bias}
