"""Rewrite of PRelu networks so that onnxruntime keeps its fast memory layout on x86 CPUs.

There onnxruntime stores feature maps in blocks of 8 or 16 channels (NCHWc), in which a
convolution is faster. It has no blocked PRelu, so it goes back to the plain layout and a slow PRelu
after every convolution (``experiments/07-speed`` measures the result).
Here ``PRelu(x)`` becomes ``Relu(x) - slope * Relu(-x)``, the factors being depthwise 1 x 1
convolutions, which it has in blocks: exact but for the order of sums that it then fuses.

OpenCV fuses PRelu into the convolution before it, so it reads the file as it is.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["blocked", "gains_from_blocks"]

X86_64 = ("x86_64", "amd64")
Array = NDArray[Any]


def gains_from_blocks(data: bytes) -> bool:
    """Whether `blocked` is worth its time: an x86-64 machine, and PRelu in the network."""
    return platform.machine().lower() in X86_64 and b"PRelu" in data


def blocked(data: bytes) -> bytes:
    """Rewrite an ONNX file; a PRelu that is not one slope a channel is left as it is.

    Parameters
    ----------
    data
        Bytes of an ONNX file.

    Returns
    -------
    bytes
        The same function as an ONNX file.

    Raises
    ------
    Exception
        Of protobuf, if it is no ONNX file.
    """
    import onnx

    model = onnx.load_from_string(data)
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [*graph.value_info, *graph.input]
    channels = {v.name: _channels(v) for v in values}
    constants = {i.name: i for i in graph.initializer}
    nodes: list[Any] = []
    for node in model.graph.node:
        made = _rewrite(node, channels, constants, model.graph.initializer)
        nodes += made or [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString(deterministic=True))


def _channels(value: Any) -> int:
    """Return C of an (N, C, H, W) float tensor; 0 for any other or unknown."""
    tensor = value.type.tensor_type
    known = len(tensor.shape.dim) == 4 and tensor.elem_type == 1
    return int(tensor.shape.dim[1].dim_value) if known else 0


def _rewrite(node: Any, channels: dict[str, int], constants: dict[str, Any], new: Any) -> list[Any]:
    """Nodes that replace a node; none if it stays."""
    from onnx import numpy_helper

    if node.op_type != "PRelu" or node.input[1] not in constants:
        return []
    slope: Array = numpy_helper.to_array(constants[node.input[1]])
    count = channels.get(node.input[0], 0)
    if not count or slope.shape not in ((count, 1, 1), (1, count, 1, 1)):
        return []
    return _prelu(node.input[0], node.output[0], slope.reshape(-1, 1, 1, 1), new)


def _prelu(x: str, y: str, slope: Array, new: Any) -> list[Any]:
    from onnx import helper

    return [
        helper.make_node("Relu", [x], [f"{y}/positive"]),
        _conv(x, -np.ones_like(slope), f"{y}/flipped", new),
        helper.make_node("Relu", [f"{y}/flipped"], [f"{y}/negative"]),
        _conv(f"{y}/negative", -slope, f"{y}/scaled", new),
        helper.make_node("Add", [f"{y}/scaled", f"{y}/positive"], [y]),
    ]


def _conv(x: str, weights: Array, y: str, new: Any) -> Any:
    """Factors of channels; their weights are appended to `new`."""
    from onnx import helper, numpy_helper

    name = f"{y}/weights"
    new.append(numpy_helper.from_array(np.ascontiguousarray(weights, np.float32), name))
    return helper.make_node("Conv", [x, name], [y], group=len(weights), kernel_shape=[1, 1])
