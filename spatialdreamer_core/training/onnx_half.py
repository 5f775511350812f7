"""ONNX files of half the size: large tensors are stored as float16 and cast when a session loads them."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from spatialdreamer_core.training.onnx_pads import fold_padding

LARGE = 256
"""Tensors with fewer numbers stay as they are."""


def store_half(scratch: Path, path: Path) -> None:
    """Rewrite an exported file, check it, and remove the scratch file; all is still computed in single precision.

    Args:
        scratch: What ``torch.onnx.export`` wrote.
        path: Where the result goes; the same graph gives the same bytes.
    """
    onnx: Any = importlib.import_module("onnx")  # a tool of training only
    helper, numpy_helper, kinds = onnx.helper, onnx.numpy_helper, onnx.TensorProto
    model = onnx.load(str(scratch))
    importlib.import_module("onnx.reference")
    fold_padding(onnx, model)
    kept: list[Any] = []
    casts: list[Any] = []
    for tensor in model.graph.initializer:
        if tensor.data_type != kinds.FLOAT or np.prod(tensor.dims) < LARGE:
            kept.append(tensor)
            continue
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name + "_half")
        kept.append(half)
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=kinds.FLOAT, name=f"cast_{tensor.name}"))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    scratch.unlink()
