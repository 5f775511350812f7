"""Padding as part of the convolution that follows it: a runtime then keeps its own memory layout between the two."""

from typing import Any


def fold_padding(onnx: Any, model: Any) -> None:
    """Remove each Pad that only a Conv reads, and let that Conv pad by as much; the results stay the same.

    torch pads both sides of a convolution alike, so what is uneven is exported as a node of its own, before which ONNX
    Runtime brings the whole map into the plain layout and after it back.

    Args:
        onnx: The module.
        model: A ``ModelProto`` whose Pads are constants; changed in place.
    """
    nodes = list(model.graph.node)
    readers: dict[str, list[Any]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in [n for n in nodes if n.op_type == "Pad"]:
        (conv, *others) = readers[node.output[0]]
        if others or conv.op_type != "Conv" or conv.input[0] != node.output[0]:
            continue
        top, left, bottom, right = (int(_constant(onnx, model, node.input[1])[k]) for k in (2, 3, 6, 7))
        for attribute in conv.attribute:
            if attribute.name == "pads":
                first_top, first_left, last_bottom, last_right = attribute.ints
                del attribute.ints[:]
                attribute.ints.extend([top + first_top, left + first_left, bottom + last_bottom, right + last_right])
        conv.input[0] = node.input[0]
    _drop_unread(model)


def _constant(onnx: Any, model: Any, name: str) -> Any:
    """The value of a tensor that depends on no input of the graph."""
    helper = onnx.helper
    wanted, kept = {name}, list[Any]()
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            kept.insert(0, node)
            wanted.update(node.input)
    output = helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None)
    graph = helper.make_graph(kept, "constant", [], [output], [t for t in model.graph.initializer if t.name in wanted])
    part = helper.make_model(graph, opset_imports=model.opset_import)
    return onnx.reference.ReferenceEvaluator(part).run(None, {})[0]


def _drop_unread(model: Any) -> None:
    """Remove nodes and stored tensors that no output of the graph depends on."""
    wanted, kept = {output.name for output in model.graph.output}, list[Any]()
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            kept.insert(0, node)
            wanted.update(node.input)
    stored = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend(stored)
