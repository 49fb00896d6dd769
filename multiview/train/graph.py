"""Build ONNX graphs layer by layer, with He-normal starting weights; opset 13.

Tensors are named by the layer that makes them: ``name`` is its output, ``name.weight``,
``name.bias`` its stored tensors; those of a batch normalisation are named as PyTorch names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
OPSET, IR_VERSION = 13, 8


class GraphBuilder:
    """A graph that grows.

    Parameters
    ----------
    rng
        Of the starting weights.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._nodes: list[Any] = []
        self.tensors: dict[str, NDArray[Any]] = {}
        self.channels: dict[str, int] = {}

    def image(self, name: str, channels: int = 3) -> str:
        """Declare the input."""
        self.channels[name] = channels
        return name

    def adopt(self, nodes: Sequence[Any], tensors: dict[str, NDArray[Any]]) -> None:
        """Take over layers of another graph as they are."""
        self._nodes += nodes
        self.tensors |= tensors

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int,
        name: str,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> str:
        """Convolve with "same" padding; what cannot be halved goes right and below."""
        have = self.channels[x]
        shape = (channels, have // groups, kernel, kernel)
        deviation = np.sqrt(2 / (shape[1] * kernel * kernel))
        self.tensors[f"{name}.weight"] = self._normal(shape, float(deviation))
        inputs = [x, f"{name}.weight"]
        if bias:
            self.tensors[f"{name}.bias"] = np.zeros(channels, np.float32)
            inputs.append(f"{name}.bias")
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        pads = [before, before, after, after]
        return self._add(
            "Conv",
            inputs,
            name,
            channels,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=pads,
            group=groups,
            dilations=[1, 1],
        )

    def batch_norm(self, x: str, name: str, epsilon: float = 1e-3) -> str:
        """Normalise every channel."""
        count = self.channels[x]
        parts = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
        self.tensors |= {f"{name}.{p}": np.full(count, v, np.float32) for p, v in parts.items()}
        return self._add(
            "BatchNormalization", [x, *(f"{name}.{p}" for p in parts)], name, count, epsilon=epsilon
        )

    def relu(self, x: str, *, most: float | None = None) -> str:
        """Cut below 0, and above a limit if there is one."""
        name = f"{x}.relu"
        if most is None:
            return self._add("Relu", [x], name, self.channels[x])
        low, high = self._scalar(0.0), self._scalar(most)
        return self._add("Clip", [x, low, high], name, self.channels[x])

    def pool(self, x: str) -> str:
        """Take the largest of every 2 x 2 pixels."""
        name, two = f"{x}.pool", [2, 2]
        return self._add("MaxPool", [x], name, self.channels[x], kernel_shape=two, strides=two)

    def double(self, x: str) -> str:
        """Double height and width, bilinear, edge to edge."""
        self.tensors["scales.2"] = np.array([1, 1, 2, 2], np.float32)
        return self._add(
            "Resize",
            [x, "", "scales.2"],
            f"{x}.double",
            self.channels[x],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )

    def add(self, a: str, b: str, name: str) -> str:
        """Add two tensors of one size."""
        return self._add("Add", [a, b], name, self.channels[a])

    def join(self, parts: Sequence[str], name: str) -> str:
        """Put channels side by side."""
        return self._add("Concat", list(parts), name, sum(self.channels[p] for p in parts), axis=1)

    def spatial_softmax(self, x: str, side: int, gain: float, name: str) -> str:
        """Make each map a probability over its pixels, times a gain."""
        count = self.channels[x]
        self.tensors[f"{name}.line"] = np.array([0, count, side * side], np.int64)
        self.tensors[f"{name}.square"] = np.array([0, count, side, side], np.int64)
        line = self._add("Reshape", [x, f"{name}.line"], f"{name}.flat", count)
        soft = self._add("Softmax", [line], f"{name}.soft", count, axis=2)
        scaled = self._add("Mul", [soft, self._scalar(gain)], f"{name}.scaled", count)
        return self._add("Reshape", [scaled, f"{name}.square"], name, count)

    def build(self, image: str, size: int, outputs: dict[str, Sequence[int]]) -> Any:
        """Return the ONNX model; ``outputs`` have their shapes without the batch."""
        from onnx import TensorProto, helper, numpy_helper

        def info(name: str, shape: Sequence[int]) -> Any:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])

        graph = helper.make_graph(
            self._nodes,
            "multiview",
            [info(image, (3, size, size))],
            [info(n, s) for n, s in outputs.items()],
            [numpy_helper.from_array(a, n) for n, a in self.tensors.items()],
        )
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="multiview"
        )

    def _normal(self, shape: tuple[int, ...], deviation: float) -> F32:
        return self._rng.normal(0, deviation, shape).astype(np.float32)

    def _scalar(self, value: float) -> str:
        name = f"const.{value:.9g}"
        self.tensors[name] = np.array(value, np.float32)
        return name

    def _add(self, op: str, inputs: list[str], name: str, channels: int, **given: Any) -> str:
        from onnx import helper

        self._nodes.append(helper.make_node(op, inputs, [name], name=name, **given))
        self.channels[name] = channels
        return name
