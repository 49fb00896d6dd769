"""What an ONNX file of a stranger declares, read without running it and without trusting its sizes.

Only the file's own bytes are used: tensors kept in other files are refused, as their paths could
point anywhere. Sizes are checked before any array is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multiview.errors import ModelError

__all__ = ["OnnxFile", "Tensor", "check_input", "inspect_onnx"]

# A picture of 4096 x 4096 in three channels is 50 million values.
MAX_VALUES = 2**28
AGAIN = "get the file again, or export it anew"
FLOATS = {1: np.float32, 10: np.float16, 11: np.float64}  # TensorProto.DataType
BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output: its name and size; None for an axis that is free."""

    name: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        """Name and shape for messages."""
        return f"{self.name} ({', '.join('free' if n is None else str(n) for n in self.shape)})"


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """Inputs and outputs of a network, its number of parameters, and its opset."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    parameters: int
    opset: int


def inspect_onnx(data: bytes, where: str) -> OnnxFile:
    """Read what a network declares and check its weights.

    Parameters
    ----------
    data
        Bytes of the file.
    where
        Its name, for messages.

    Raises
    ------
    ModelError
        If it is no ONNX file, refers to other files, declares tensors that are larger than it or
        larger than a network of pictures has, or holds weights that are not finite.
    """
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError) as error:
        raise ModelError(f"{where} is no complete ONNX file ({error})", AGAIN) from None
    graph = model.graph
    if not graph.node or not graph.input or not graph.output:
        raise ModelError(f"{where} is no ONNX file: it has no network", AGAIN)
    parameters = sum(_check_weights(tensor, where) for tensor in _tensors(graph))
    stored = {tensor.name for tensor in graph.initializer}
    return OnnxFile(
        inputs=tuple(_tensor(v, where) for v in graph.input if v.name not in stored),
        outputs=tuple(_tensor(v, where) for v in graph.output),
        parameters=parameters,
        opset=max((o.version for o in model.opset_import if o.domain == ""), default=0),
    )


def check_input(found: OnnxFile, size: tuple[int | None, ...], path: Path) -> Tensor:
    """Check that a network takes one picture of a size; return that input.

    Parameters
    ----------
    found
        The network.
    size
        Channels, height, width; None for any.
    path
        Its file, for the message.

    Raises
    ------
    ModelError
        If it does not.
    """
    image = found.inputs[0] if len(found.inputs) == 1 else None
    fits = image is not None and len(image.shape) == 4
    if image is None or not fits or any(map(_differ, size, image.shape[1:])):
        have = ", ".join(map(str, found.inputs)) or "no input"
        raise ModelError(
            f"{path} wants {have}, its card promises an image of (N, {', '.join(map(str, size))})",
            "correct input in the card, or get the network that it describes",
        )
    return image


def _differ(promise: int | None, have: int | None) -> bool:
    return promise is not None and have is not None and promise != have


def _tensors(graph: Any) -> Iterator[Any]:
    """All stored tensors, those of subgraphs too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _tensors(inner)


def _check_weights(tensor: Any, where: str) -> int:
    """Check one stored tensor; return its number of values."""
    if tensor.data_location or tensor.external_data:
        raise ModelError(
            f"{where} keeps the tensor {tensor.name!r} in another file",
            "save the network as one file (onnx.save_model without external data)",
        )
    count = int(math.prod(tensor.dims))
    if min(tensor.dims, default=0) < 0 or count > MAX_VALUES:
        raise ModelError(
            f"{where} declares a tensor {tensor.name!r} of {list(tensor.dims)} values", AGAIN
        )
    size = BYTES.get(tensor.data_type)
    if size is not None and tensor.HasField("raw_data") and len(tensor.raw_data) != count * size:
        raise ModelError(
            f"{where} declares {count} values of tensor {tensor.name!r} and holds "
            f"{len(tensor.raw_data) // size}",
            AGAIN,
        )
    values = _values(tensor)
    if values is not None and not np.isfinite(values).all():
        raise ModelError(
            f"{where} holds weights that are not finite, in tensor {tensor.name!r}",
            "its training diverged or the file was damaged; get another",
        )
    return count


def _values(tensor: Any) -> Any:
    """Read a floating-point tensor as it lies in the file; None for others."""
    if tensor.data_type not in FLOATS:
        return None
    if tensor.HasField("raw_data"):
        return np.frombuffer(tensor.raw_data, FLOATS[tensor.data_type])
    return np.array([*tensor.float_data, *tensor.double_data])


def _tensor(value: Any, where: str) -> Tensor:
    dims = value.type.tensor_type.shape.dim
    shape = tuple(d.dim_value if d.HasField("dim_value") and d.dim_value else None for d in dims)
    known = [n for n in shape if n is not None]
    if min(known, default=1) < 0 or math.prod(known) > MAX_VALUES:
        raise ModelError(f"{where} declares {Tensor(value.name, shape)}: too large", AGAIN)
    return Tensor(value.name, shape)
