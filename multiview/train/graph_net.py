"""Run an ONNX graph in torch, its stored tensors as parameters, and give them back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from multiview.errors import ModelError

__all__ = ["GraphNet", "fill_model"]

# Of the new in a running mean: EfficientNet's is 0.01, too slow for some hundred steps.
MOMENTUM = 0.1
STATISTICS = (3, 4)  # inputs of a batch normalisation that are running means, not parameters


class GraphNet(nn.Module):
    """An ONNX graph of convolutions as a torch module.

    Parameters
    ----------
    model
        The graph. Stored floats with an axis become parameters, running means of batch
        normalisations buffers; scalars, scales and integers stay constants.

    Raises
    ------
    ModelError
        If it has a layer that is not known here; names it.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        from onnx import helper, numpy_helper

        self._nodes = [
            (
                n.op_type,
                list(n.input),
                list(n.output),
                {a.name: helper.get_attribute_value(a) for a in n.attribute},
            )
            for n in model.graph.node
        ]
        self._input = model.graph.input[0].name
        unknown = sorted({op for op, *_ in self._nodes} - set(OPS))
        if unknown:
            raise ModelError(
                f"the network has layers that cannot be trained here: {', '.join(unknown)}",
                f"known are {', '.join(OPS)}",
            )
        self._place: dict[str, str] = {}
        self._constants: dict[str, NDArray[Any]] = {}
        stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        learnt, means = self._roles(stored)
        for number, (name, value) in enumerate(stored.items()):
            self._store(f"t{number}", name, np.array(value), name in learnt, name in means)

    def _roles(self, stored: dict[str, NDArray[Any]]) -> tuple[set[str], set[str]]:
        """Which stored tensors are learnt, and which are running means."""
        means = {
            i[s] for op, i, *_ in self._nodes if op == "BatchNormalization" for s in STATISTICS
        }
        layers = {"Conv", "ConvTranspose", "Gemm", "PRelu", "BatchNormalization"}
        used = {name for op, i, *_ in self._nodes if op in layers for name in i[1:]}
        floats = {n for n, a in stored.items() if a.dtype == np.float32 and a.ndim}
        return (used - means) & floats, means

    def _store(self, place: str, name: str, value: NDArray[Any], learnt: bool, mean: bool) -> None:
        if not learnt and not mean:
            self._constants[name] = value
            return
        self._place[name] = place
        tensor = torch.from_numpy(value)
        if learnt:
            self.register_parameter(place, nn.Parameter(tensor))
        else:
            self.register_buffer(place, tensor)

    def forward(self, image: Tensor, wanted: tuple[str, ...]) -> dict[str, Tensor]:
        """Return tensors of the graph by name."""
        values: dict[str, Any] = {self._input: image, "": None}
        for op, inputs, outputs, given in self._plan(wanted):
            values[outputs[0]] = OPS[op](self, [self._value(values, i) for i in inputs], given)
        return {name: values[name] for name in wanted}

    def summands(self, image: Tensor, name: str) -> Tensor:
        """Sum the sizes of the terms of a linear layer's output, in the output's shape."""
        (inputs, given), *_ = ((i, g) for _, i, o, g in self._nodes if o[0] == name)
        x = self(image, (inputs[0],))[inputs[0]]
        stored = [self._value({}, i) for i in inputs[1:]]
        terms: Tensor = OPS["Gemm"](self, [v.abs() for v in (x, *stored)], given)
        return terms

    def _plan(self, wanted: tuple[str, ...]) -> list[Any]:
        """Layers on which these tensors depend, in order."""
        need, plan = set(wanted), []
        for node in reversed(self._nodes):
            if need & set(node[2]):
                plan.append(node)
                need |= set(node[1])
        return plan[::-1]

    def _value(self, values: dict[str, Any], name: str) -> Any:
        if name in self._place:
            return getattr(self, self._place[name])
        return self._constants[name] if name in self._constants else values[name]

    def named_tensors(self) -> dict[str, Tensor]:
        """Parameters and running means by their names in the graph."""
        return {name: getattr(self, place).detach() for name, place in self._place.items()}

    def names_of(self, parameters: Iterable[str]) -> dict[str, str]:
        """Names in the graph of torch's parameter names."""
        back = {place: name for name, place in self._place.items()}
        return {p: back[p] for p in parameters}

    def assign(self, tensors: dict[str, Tensor]) -> None:
        """Set parameters and running means by name."""
        with torch.no_grad():
            for name, value in tensors.items():
                getattr(self, self._place[name]).copy_(value)

    def statistics(self) -> dict[str, Tensor]:
        """Copy the running means, which a forward pass in training changes."""
        places = dict(self.named_buffers())
        return {n: places[p].clone() for n, p in self._place.items() if p in places}


def fill_model(model: Any, tensors: dict[str, NDArray[np.float32]]) -> Any:
    """Return a copy of an ONNX model with these values in its stored tensors."""
    import onnx
    from onnx import numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for stored in copy.graph.initializer:
        if stored.name in tensors:
            value = np.ascontiguousarray(tensors[stored.name], np.float32)
            stored.CopyFrom(numpy_helper.from_array(value, stored.name))
    return copy


def _padded(x: Tensor, given: dict[str, Any]) -> tuple[Tensor, list[int]]:
    """Pad by hand where the two sides differ; return what the layer has to pad itself."""
    top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
    if (top, left) == (bottom, right):
        return x, [top, left]
    return functional.pad(x, (left, right, top, bottom)), [0, 0]


def _conv(net: GraphNet, inputs: list[Any], given: dict[str, Any]) -> Tensor:
    x, pads = _padded(inputs[0], given)
    bias = inputs[2] if len(inputs) > 2 else None
    strides, dilations = given.get("strides", [1, 1]), given.get("dilations", [1, 1])
    return functional.conv2d(x, inputs[1], bias, strides, pads, dilations, given.get("group", 1))


def _batch_norm(net: GraphNet, inputs: list[Any], given: dict[str, Any]) -> Tensor:
    x, weight, bias, mean, variance = inputs
    epsilon = given.get("epsilon", 1e-5)
    return functional.batch_norm(x, mean, variance, weight, bias, net.training, MOMENTUM, epsilon)


def _clip(net: GraphNet, inputs: list[Any], given: dict[str, Any]) -> Tensor:
    low, high = (float(v) if v is not None else None for v in (*inputs[1:], None, None)[:2])
    if low is None or high is None:
        return torch.clamp(inputs[0], low, high)
    # the same as clamp; the slope of a clamp takes three passes more over every layer
    return functional.hardtanh(inputs[0], low, high)


def _pool(net: GraphNet, inputs: list[Any], given: dict[str, Any]) -> Tensor:
    x, pads = _padded(inputs[0], given)
    return functional.max_pool2d(x, given["kernel_shape"], given.get("strides"), pads)


def _gemm(net: GraphNet, inputs: list[Any], given: dict[str, Any]) -> Tensor:
    weight = inputs[1] if given.get("transB") else inputs[1].T
    product = given.get("alpha", 1.0) * functional.linear(inputs[0], weight)
    return product + given.get("beta", 1.0) * inputs[2] if len(inputs) > 2 else product


def _resize(net: GraphNet, inputs: list[Any], given: dict[str, Any]) -> Tensor:
    factors = tuple(float(s) for s in inputs[2][2:])
    return functional.interpolate(
        inputs[0], scale_factor=factors, mode="bilinear", align_corners=False
    )


def _reshape(net: GraphNet, inputs: list[Any], given: dict[str, Any]) -> Tensor:
    x, shape = inputs[0], inputs[1].tolist()
    return x.reshape([x.shape[n] if size == 0 else size for n, size in enumerate(shape)])


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def run(net: GraphNet, inputs: list[Any], given: dict[str, Any]) -> Tensor:
        a, b = (float(v) if isinstance(v, np.ndarray) and not v.ndim else v for v in inputs)
        return function(a, b)

    return run


def _hard_sigmoid(net: GraphNet, inputs: list[Any], given: dict[str, Any]) -> Tensor:
    x, slope, offset = inputs[0], given.get("alpha", 0.2), given.get("beta", 0.5)
    # MediaPipe's are plain cuts; passes that change nothing would cost a tenth of a step
    return functional.hardtanh(x if (slope, offset) == (1, 0) else slope * x + offset, 0.0, 1.0)


OPS: dict[str, Callable[[GraphNet, list[Any], dict[str, Any]], Tensor]] = {
    "Add": _binary(torch.add),
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": lambda net, inputs, given: torch.cat(inputs, given["axis"]),
    "Conv": _conv,
    "Flatten": lambda net, inputs, given: torch.flatten(inputs[0], given.get("axis", 1)),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda net, inputs, given: inputs[0].mean((2, 3), keepdim=True),
    "HardSigmoid": _hard_sigmoid,
    "MaxPool": _pool,
    "Mul": _binary(torch.mul),
    "PRelu": lambda net, inputs, given: functional.prelu(inputs[0], inputs[1].flatten()),
    "Relu": lambda net, inputs, given: functional.relu(inputs[0]),
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": lambda net, inputs, given: torch.sigmoid(inputs[0]),
    "Softmax": lambda net, inputs, given: torch.softmax(inputs[0], given.get("axis", -1)),
    "Transpose": lambda net, inputs, given: inputs[0].permute(*given["perm"]),
}
"""Layers by ONNX name: of the module, its inputs, its attributes."""
