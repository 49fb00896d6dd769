"""Read a network from Caffe's files: a prototxt (its layers) and a caffemodel (its weights).

Neither Caffe nor OpenCV's importer is needed (OpenCV 5 has none). Known are the layers of
convolutional keypoint networks: Input, Convolution, Pooling, ReLU, Concat, Dropout and Split, in
the present form (field ``layer``) and the old one (``layers``, typed by number, four-number blob
shapes). Any other layer is an error that names it: a network that is half understood is wrong.

Files come from strangers: sizes are compared before anything is allocated for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from multiview.errors import ModelError
from multiview.models.caffe_messages import GET_AGAIN, PAIR_OF_FILES, read_blobs, read_prototxt

__all__ = ["CaffeNet", "Concat", "Convolution", "Layer", "Pass", "Pooling", "ReLU", "read_caffe"]

F32 = NDArray[np.float32]
Pair = tuple[int, int]

# No network has larger windows; keeps nonsense (4294967295) out of the runtimes.
MAX_WINDOW = 1024
_V1_NAMES = {
    "CONCAT": "Concat",
    "CONVOLUTION": "Convolution",
    "DROPOUT": "Dropout",
    "POOLING": "Pooling",
    "RELU": "ReLU",
    "SPLIT": "Split",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """Windows as (y, x); weights (out, in / group, ky, kx), bias (out,) or None."""

    weights: F32
    bias: F32 | None
    stride: Pair
    pad: Pair
    dilation: Pair
    group: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling:
    """Maximum or mean over windows; kernel None: over the whole map. Pads on all four sides."""

    kind: Literal["MAX", "AVE"]
    kernel: Pair | None
    stride: Pair
    pad: Pair
    ceil: bool


@dataclass(frozen=True, slots=True)
class ReLU:
    """``max(x, 0) + slope * min(x, 0)``."""

    slope: float


@dataclass(frozen=True, slots=True)
class Concat:
    """Channels of all bottoms, one after another."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What changes nothing when a network is used: Dropout, Split."""


Op = Convolution | Pooling | ReLU | Concat | Pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer; a top with the name of a bottom replaces it from here on."""

    name: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    op: Op


@dataclass(frozen=True, slots=True, kw_only=True)
class CaffeNet:
    """A network with its weights.

    Parameters
    ----------
    input, channels
        Name of the input blob and its channels; batch, height and width are free.
    layers
        In order of execution.
    outputs
        Blobs that no layer consumes, and their channels.
    """

    input: str
    channels: int
    layers: tuple[Layer, ...]
    outputs: dict[str, int]


def read_caffe(prototxt: Path, caffemodel: Path) -> CaffeNet:
    """Read a network and check that the two files belong together.

    Parameters
    ----------
    prototxt
        Text file of the layers, for use (``deploy``), not for training.
    caffemodel
        Binary file of the weights.

    Raises
    ------
    ModelError
        If a file is missing, a web page, cut short or no such file; if a layer or an option is
        unknown; if weights are missing, not finite, or of another shape than the prototxt says.
    """
    net = read_prototxt(prototxt)
    return _Builder(prototxt, caffemodel, read_blobs(caffemodel)).build(net)


class _Builder:
    """Follows the layers in order, with the channels of every blob."""

    def __init__(self, prototxt: Path, caffemodel: Path, blobs: dict[str, Sequence[Any]]) -> None:
        self.prototxt, self.caffemodel, self.blobs = prototxt, caffemodel, blobs
        self.channels: dict[str, int] = {}
        self.unused: dict[str, None] = {}
        self.names: set[str] = set()

    def build(self, net: Any) -> CaffeNet:
        """Make the network of a parsed prototxt."""
        layers = [layer for layer in net.layer or net.layers if _at_test(layer, self.prototxt)]
        inputs = [layer for layer in layers if _kind(layer) == "Input"]
        shapes = _input_shapes(net) + [s for layer in inputs for s in _shapes_of(layer)]
        if len(shapes) != 1 or len(shapes[0][1]) != 4:
            found = ", ".join(f"{name} {list(shape)}" for name, shape in shapes) or "none"
            raise ModelError(
                f"{self.prototxt}: the network must have one input of 4 numbers (batch, channels, "
                f"height, width); it has {found}",
                "use the deploy prototxt, not the one for training",
            )
        (name, shape) = shapes[0]
        if not 0 < shape[1] <= MAX_WINDOW:
            raise ModelError(f"{self.prototxt}: input {name!r} has {shape[1]} channels", GET_AGAIN)
        self.channels[name] = shape[1]
        self.unused[name] = None
        done = tuple(self.layer(layer) for layer in layers if _kind(layer) != "Input")
        outputs = {blob: self.channels[blob] for blob in self.unused}
        return CaffeNet(input=name, channels=shape[1], layers=done, outputs=outputs)

    def layer(self, layer: Any) -> Layer:
        """Check one layer and note the channels of its tops."""
        kind, where = _kind(layer), f"{self.prototxt}: layer {layer.name!r}"
        if kind not in _LAYERS:
            raise ModelError(
                f"{where} has type {kind}, which is not supported",
                f"supported are Input, {', '.join(_LAYERS)}",
            )
        bottoms, tops = tuple(layer.bottom), tuple(layer.top)
        several_in, several_out = kind == "Concat", kind == "Split"
        if not bottoms or not tops or (len(bottoms) > 1) > several_in:
            raise ModelError(f"{where} ({kind}) has bottoms {bottoms} and tops {tops}", GET_AGAIN)
        if (len(tops) > 1) > several_out or layer.name in self.names:
            what = "occurs twice" if layer.name in self.names else f"({kind}) has tops {tops}"
            raise ModelError(f"{where} {what}", GET_AGAIN)
        for blob in bottoms:
            if blob not in self.channels:
                raise ModelError(
                    f"{where} reads {blob!r}, which no layer before it makes", GET_AGAIN
                )
        for blob in tops:
            if blob in self.channels and blob not in bottoms:
                raise ModelError(f"{where} makes {blob!r}, which exists already", GET_AGAIN)
        op, channels = _LAYERS[kind](self, layer, where)
        self.names.add(layer.name)
        for blob in bottoms:
            self.unused.pop(blob, None)
        for blob in tops:
            self.channels[blob], self.unused[blob] = channels, None
        return Layer(name=layer.name, bottoms=bottoms, tops=tops, op=op)

    def convolution(self, layer: Any, where: str) -> tuple[Convolution, int]:
        """Compare the weights with what the prototxt and the layer before ask for."""
        p, into = layer.convolution_param, self.channels[layer.bottom[0]]
        if p.axis != 1:
            raise ModelError(f"{where}: convolution over axis {p.axis} is not supported")
        out, group = p.num_output, p.group
        kernel = _pair(p, "kernel_size", "kernel_h", "kernel_w", None, where)
        if group < 1 or out < 1 or out % group or into % group:
            raise ModelError(f"{where}: {into} to {out} channels in {group} groups", GET_AGAIN)
        weights = self._weights(layer.name, 0, (out, into // group, *kernel))
        bias = self._weights(layer.name, 1, (out,)) if p.bias_term else None
        op = Convolution(
            weights=weights,
            bias=bias,
            stride=_pair(p, "stride", "stride_h", "stride_w", 1, where),
            pad=_pair(p, "pad", "pad_h", "pad_w", 0, where),
            dilation=_pair(p, "dilation", "", "", 1, where),
            group=group,
        )
        return op, out

    def pooling(self, layer: Any, where: str) -> tuple[Pooling, int]:
        """Pooling as Caffe does it: the number of windows is rounded up."""
        p = layer.pooling_param
        kind = ("MAX", "AVE", "STOCHASTIC")[p.pool]
        kernel = stride = (1, 1)
        pad = (0, 0)
        if not p.global_pooling:
            kernel = _pair(p, "kernel_size", "kernel_h", "kernel_w", None, where)
            stride = _pair(p, "stride", "stride_h", "stride_w", 1, where)
            pad = _pair(p, "pad", "pad_h", "pad_w", 0, where)
        # Elsewhere Caffe drops a last window that starts in the padding; not all runtimes do.
        odd = any(k < s + q for k, s, q in zip(kernel, stride, pad, strict=True))
        if kind == "STOCHASTIC" or odd:
            raise ModelError(
                f"{where}: {kind} pooling with kernel {kernel}, stride {stride}, pad {pad} is not "
                "supported",
                "MAX and AVE are, with a kernel of at least stride + pad",
            )
        op = Pooling(
            kind="MAX" if kind == "MAX" else "AVE",
            kernel=None if p.global_pooling else kernel,
            stride=stride,
            pad=pad,
            ceil=p.round_mode == 0,
        )
        return op, self.channels[layer.bottom[0]]

    def relu(self, layer: Any, where: str) -> tuple[ReLU, int]:
        """Leaky where negative_slope is given."""
        slope = layer.relu_param.negative_slope
        if not np.isfinite(slope):
            raise ModelError(f"{where}: negative_slope is {slope}", GET_AGAIN)
        return ReLU(slope), self.channels[layer.bottom[0]]

    def concat(self, layer: Any, where: str) -> tuple[Concat, int]:
        """Over channels only."""
        p = layer.concat_param
        axis = p.concat_dim if p.HasField("concat_dim") else p.axis
        if axis not in (1, -3):
            raise ModelError(f"{where}: Concat over axis {axis} is not supported, only channels")
        return Concat(), sum(self.channels[blob] for blob in layer.bottom)

    def nothing(self, layer: Any, where: str) -> tuple[Pass, int]:
        """Dropout and Split."""
        return Pass(), self.channels[layer.bottom[0]]

    def _weights(self, name: str, number: int, shape: tuple[int, ...]) -> F32:
        """Blob of a layer: checked against the prototxt, then against the bytes that are there."""
        where = f"{self.caffemodel}: layer {name!r}"
        part = ("weights", "bias")[number]
        blobs = self.blobs.get(name, ())
        if len(blobs) <= number:
            raise ModelError(f"{where} has no {part}; {self.prototxt} asks for it", PAIR_OF_FILES)
        blob = blobs[number]
        legacy = (blob.num, blob.channels, blob.height, blob.width)
        found = tuple(blob.shape.dim) if blob.HasField("shape") else legacy
        # old files write a bias as 1 x 1 x 1 x out
        same = found == shape or (number == 1 and found == (1, 1, 1, *shape))
        if not same:
            raise ModelError(
                f"{where}: its {part} have shape {found}, {self.prototxt} asks for {shape}",
                PAIR_OF_FILES,
            )
        return _values(blob, shape, f"{where}: its {part}")


def _values(blob: Any, shape: tuple[int, ...], what: str) -> F32:
    chunks, kind = (blob.double_data, "<f8") if blob.double_data else (blob.data, "<f4")
    size, count = np.dtype(kind).itemsize, int(np.prod(shape, dtype=object))
    have = sum(len(chunk) for chunk in chunks)
    if have != count * size:
        raise ModelError(f"{what} hold {have // size} numbers, {shape} are {count}", GET_AGAIN)
    data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    with np.errstate(over="ignore"):  # a double beyond float32 is caught as infinite
        values = np.frombuffer(data, kind).reshape(shape).astype(np.float32)
    if not np.isfinite(values).all():
        raise ModelError(f"{what} hold NaN or infinite numbers", GET_AGAIN)
    return values


def _kind(layer: Any) -> str:
    """Type of a layer by its present name; an old name that has none stays as it is."""
    kind = layer.type
    if isinstance(kind, str):
        return kind or "''"
    name = str(layer.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[kind].name)
    return _V1_NAMES.get(name, name)


def _at_test(layer: Any, prototxt: Path) -> bool:
    """Whether the layer is part of the network in use: Caffe's include and exclude rules."""
    for rule in (*layer.include, *layer.exclude):
        if rule.stage or rule.not_stage or rule.HasField("min_level") or rule.HasField("max_level"):
            raise ModelError(
                f"{prototxt}: layer {layer.name!r} depends on a stage or level, which is not "
                "supported",
                "use a prototxt without include and exclude rules",
            )
    if layer.include:
        return any(_meets(rule) for rule in layer.include)
    return not any(_meets(rule) for rule in layer.exclude)


def _meets(rule: Any) -> bool:
    return not rule.HasField("phase") or rule.phase == 1


def _input_shapes(net: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Find inputs given at the top of the file: by input_shape, or four numbers of input_dim."""
    if net.input_shape:
        shapes: Iterable[tuple[int, ...]] = (tuple(s.dim) for s in net.input_shape)
    else:
        shapes = (tuple(net.input_dim[i : i + 4]) for i in range(0, len(net.input_dim), 4))
    given = list(shapes)
    return [(n, given[i] if i < len(given) else ()) for i, n in enumerate(net.input)]


def _shapes_of(layer: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Input layers: one shape for every top, or one for all."""
    shapes = [tuple(s.dim) for s in layer.input_param.shape] or [()]
    return [(top, shapes[min(i, len(shapes) - 1)]) for i, top in enumerate(layer.top)]


def _pair(p: Any, both: str, y: str, x: str, default: int | None, where: str) -> Pair:
    """Read a window's size as (y, x): one number, two, or the fields for y and x."""
    value = getattr(p, both)
    # a single number where Pooling has it, a list where Convolution has it
    given = list(value) if not isinstance(value, int) else [value] * p.HasField(both)
    if y and (p.HasField(y) or p.HasField(x)):
        given += [getattr(p, y), getattr(p, x)]
    if not given and default is not None:
        given = [default]
    least = 0 if default == 0 else 1
    if len(given) not in (1, 2) or not all(least <= v <= MAX_WINDOW for v in given):
        raise ModelError(
            f"{where}: {both} is {given or 'missing'}",
            f"it is one number or two, for y and x, between {least} and {MAX_WINDOW}",
        )
    return given[0], given[-1]


_LAYERS: dict[str, Callable[[_Builder, Any, str], tuple[Op, int]]] = {
    "Convolution": _Builder.convolution,
    "Pooling": _Builder.pooling,
    "ReLU": _Builder.relu,
    "Concat": _Builder.concat,
    "Dropout": _Builder.nothing,
    "Split": _Builder.nothing,
}
