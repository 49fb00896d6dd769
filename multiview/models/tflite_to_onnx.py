"""Build tool: the four TFLite networks of MediaPipe Hands as ONNX files that OpenCV can run.

``python -m multiview.models.tflite_to_onnx WHEEL_OR_DIR OUT_DIR`` needs the extra ``convert``
(packages ``tflite`` and ``onnx``). WHEEL_OR_DIR is the wheel ``mediapipe-0.10.21-*.whl``, a folder
it was unpacked to, or any folder holding the four ``.tflite`` files. Nothing here runs at detection
time. The output is byte for byte repeatable: source and result are checked against the model cards.

What the conversion does: NHWC to NCHW, float16 weights to float32 (their ``DEQUANTIZE`` folded
away), TFLite's ``SAME`` to explicit and, at stride 2, asymmetric pads, batch left free. It knows
just the operators and options that occur in these networks, and stops at any other.

Two rewrites keep OpenCV 5 in its fast memory layout, in which it has no Clip (measured in
``experiments/07-speed``). Both are exact but for rounding:

* A network with ReLU6 computes in sixths: the first weights and all biases are divided by 6, the
  outputs multiplied by 6, and ``min(max(x, 0), 6)`` becomes ``HardSigmoid`` of slope 1, which is
  fused into the convolution before it. All operators in between are homogeneous.
* Zero channels are appended by a 1 x 1 convolution with a rectangular identity matrix.

Why not OpenCV's own TFLite importer: that of 4.13 and 4.14 silently drops a bias.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.errors import ModelError
from multiview.models.card import load_card
from multiview.models.tflite_source import read_tflite

try:
    import onnx  # type: ignore[import-not-found,unused-ignore]
    import tflite  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:  # pragma: no cover - depends on the installation
    raise ImportError(
        f"{error.name} is missing: pip install 'multiview-bootstrapping[convert]'"
    ) from error

MODELS = ("full", "lite")
OUTPUTS = {
    "palm": ("boxes", "scores"),
    "hand": ("landmarks", "presence", "handedness", "world"),
}
OPSET = 13  # the lowest with every operator below in its present form; read by OpenCV >= 4.5
IR_VERSION = 8
Array = NDArray[Any]

RELU6 = 3
_ACTIVATIONS = {0: None, 1: "Relu", RELU6: "Relu6"}
_CONVOLUTIONS = {
    tflite.BuiltinOperator.CONV_2D: tflite.Conv2DOptions,
    tflite.BuiltinOperator.DEPTHWISE_CONV_2D: tflite.DepthwiseConv2DOptions,
}
_NAMES = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
_DTYPES = {
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.INT32: np.int32,
}


class _Converter:
    """One TFLite graph on its way to ONNX: reads tensors, collects nodes and weights."""

    def __init__(self, data: bytes) -> None:
        self.model = tflite.Model.GetRootAsModel(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.folded: dict[int, Array] = {}  # tensors that DEQUANTIZE makes from constants
        self.unit = np.float32(6 if self._has_relu6() else 1)  # of all features, see above

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape as TFLite has it (NHWC)."""
        return tuple(self.graph.Tensors(tensor).ShapeAsNumpy().tolist())

    def constant(self, tensor: int) -> Array:
        """Value of a constant tensor; float32 if it was stored as float16."""
        if tensor in self.folded:
            return self.folded[tensor]
        info = self.graph.Tensors(tensor)
        buffer = self.model.Buffers(info.Buffer()).DataAsNumpy()
        if info.Type() not in _DTYPES or isinstance(buffer, int):
            raise ModelError(f"tensor {info.Name()!r} is no float or int32 constant")
        return np.frombuffer(buffer.tobytes(), _DTYPES[info.Type()]).reshape(self.shape(tensor))

    def weight(self, name: str, value: Array) -> str:
        """Store a weight under `name` and return the name."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append one ONNX node with one output and return the output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def activated(self, output: str, code: int, emit: Callable[[str], str]) -> None:
        """Emit a node named `output`, followed by TFLite's fused activation if there is one."""
        if code not in _ACTIVATIONS:
            raise ModelError(f"fused activation {code} of {output} is not supported")
        kind = _ACTIVATIONS[code]
        before = emit(output if kind is None else f"{output}_linear")
        if kind == "Relu":
            self.node("Relu", [before], output)
        elif kind == "Relu6":
            self.node("HardSigmoid", [before], output, alpha=1.0, beta=0.0)

    def _has_relu6(self) -> bool:
        """Whether a convolution has it fused; `activated` refuses what else may have it."""
        operators = [self.graph.Operators(i) for i in range(self.graph.OperatorsLength())]
        return any(
            _options(op, kind).FusedActivationFunction() == RELU6
            for op in operators
            for code, kind in _CONVOLUTIONS.items()
            if self.code(op) == code
        )

    def code(self, op: Any) -> int:
        """Kind of an operator; files before schema 3a have it in the deprecated field."""
        entry = self.model.OperatorCodes(op.OpcodeIndex())
        return int(max(entry.BuiltinCode(), entry.DeprecatedBuiltinCode()))

    def run(self) -> None:
        """Convert every operator, in the file's order (which is an order of execution)."""
        for i in range(self.graph.OperatorsLength()):
            op = self.graph.Operators(i)
            code = self.code(op)
            if code not in _OPERATORS:
                raise ModelError(
                    f"operator {i} is {_NAMES.get(code, code)}, which this converter does not "
                    f"know; add it to _OPERATORS in {__name__}"
                )
            ins, outs = op.InputsAsNumpy().tolist(), op.OutputsAsNumpy().tolist()
            _OPERATORS[code](self, op, ins, outs[0])


def _name(tensor: int) -> str:
    return f"t{tensor}"


def _options(op: Any, kind: Any) -> Any:
    """Read the operator's option table; flatbuffers wants it initialised by hand."""
    table, options = op.BuiltinOptions(), kind()
    options.Init(table.Bytes, table.Pos)
    return options


def same_pads(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> list[int]:
    """Explicit pads [top, left, bottom, right] of TFLite's ``SAME``: the odd one goes to the end.

    For an even size at stride 2 and a 5-pixel kernel that is 1 before and 2 after, where the
    symmetric habit of other frameworks (2 and 2) would shift the whole feature map by a pixel.
    """
    out = [-(-n // s) for n, s in zip(size, stride, strict=True)]
    total = [
        max((o - 1) * s + k - n, 0) for n, k, s, o in zip(size, kernel, stride, out, strict=True)
    ]
    before = [t // 2 for t in total]
    return before + [t - b for t, b in zip(total, before, strict=True)]


def _window(c: _Converter, o: Any, source: int, kernel: Sequence[int]) -> dict[str, list[int]]:
    """Strides, kernel and pads shared by convolutions and pooling."""
    stride = [o.StrideH(), o.StrideW()]
    same = o.Padding() == tflite.Padding.SAME
    pads = same_pads(c.shape(source)[1:3], kernel, stride) if same else [0, 0, 0, 0]
    return {"kernel_shape": list(kernel), "strides": stride, "pads": pads}


def _dequantize(c: _Converter, op: Any, ins: list[int], out: int) -> None:
    c.folded[out] = c.constant(ins[0]).astype(np.float32)


def _convolution(c: _Converter, o: Any, ins: list[int], out: int, w: Array, group: int) -> None:
    """Emit a Conv of OIHW weights `w`."""
    if o.DilationHFactor() != 1 or o.DilationWFactor() != 1:
        raise ModelError(f"dilated convolution {_name(out)} is not supported")
    name = _name(out)
    if ins[0] == c.graph.Inputs(0):
        w = w / c.unit
    bias = c.constant(ins[2]) / c.unit
    inputs = [_name(ins[0]), c.weight(f"{name}_w", w), c.weight(f"{name}_b", bias)]
    window = _window(c, o, ins[0], w.shape[2:])
    c.activated(
        name,
        o.FusedActivationFunction(),
        lambda made: c.node("Conv", inputs, made, group=group, dilations=[1, 1], **window),
    )


def _conv_2d(c: _Converter, op: Any, ins: list[int], out: int) -> None:
    weights = c.constant(ins[1]).transpose(0, 3, 1, 2)  # OHWI to OIHW
    _convolution(c, _options(op, tflite.Conv2DOptions), ins, out, weights, 1)


def _depthwise(c: _Converter, op: Any, ins: list[int], out: int) -> None:
    o = _options(op, tflite.DepthwiseConv2DOptions)
    if o.DepthMultiplier() not in (0, 1):
        raise ModelError(f"depth multiplier {o.DepthMultiplier()} is not supported")
    weights = c.constant(ins[1]).transpose(3, 0, 1, 2)  # 1HWC to C1HW
    _convolution(c, o, ins, out, weights, len(weights))


def _prelu(c: _Converter, op: Any, ins: list[int], out: int) -> None:
    slope = c.constant(ins[1]).reshape(-1, 1, 1)  # TFLite keeps it as (1, 1, C)
    c.node("PRelu", [_name(ins[0]), c.weight(f"{_name(out)}_slope", slope)], _name(out))


def _add(c: _Converter, op: Any, ins: list[int], out: int) -> None:
    code = _options(op, tflite.AddOptions).FusedActivationFunction()
    inputs = [_name(i) for i in ins]
    c.activated(_name(out), code, lambda made: c.node("Add", inputs, made))


def _max_pool(c: _Converter, op: Any, ins: list[int], out: int) -> None:
    o = _options(op, tflite.Pool2DOptions)
    window = _window(c, o, ins[0], [o.FilterHeight(), o.FilterWidth()])
    inputs = [_name(ins[0])]
    c.activated(
        _name(out),
        o.FusedActivationFunction(),
        lambda made: c.node("MaxPool", inputs, made, **window),
    )


def _pad(c: _Converter, op: Any, ins: list[int], out: int) -> None:
    """Zero channels appended so that a residual fits the wider layer it is added to."""
    pads = c.constant(ins[1]).astype(np.int64)
    appended = int(pads[3, 1])
    if np.count_nonzero(pads) != 1 or appended <= 0:
        raise ModelError(f"pad {_name(out)} is not of channels at the end")
    count, name = c.shape(ins[0])[3], _name(out)
    eye = np.eye(count + appended, count, dtype=np.float32)[..., None, None]
    c.node("Conv", [_name(ins[0]), c.weight(f"{name}_eye", eye)], name, kernel_shape=[1, 1])


def _resize(c: _Converter, op: Any, ins: list[int], out: int) -> None:
    o = _options(op, tflite.ResizeBilinearOptions)
    mode = "align_corners" if o.AlignCorners() else "asymmetric"
    mode = "half_pixel" if o.HalfPixelCenters() else mode
    (_, h0, w0, _), (_, h1, w1, _) = c.shape(ins[0]), c.shape(out)
    scales = np.array([1, 1, h1 / h0, w1 / w0], np.float32)
    inputs = [_name(ins[0]), "", c.weight(f"{_name(out)}_scales", scales)]
    c.node("Resize", inputs, _name(out), mode="linear", coordinate_transformation_mode=mode)


def _reshape(c: _Converter, op: Any, ins: list[int], out: int) -> None:
    """(1, H, W, C) to (1, anchors, values): needs TFLite's order, so transpose back first."""
    name = _name(out)
    nhwc = c.node("Transpose", [_name(ins[0])], f"{name}_nhwc", perm=[0, 2, 3, 1])
    shape = np.array([0, *c.shape(out)[1:]], np.int64)  # 0 keeps the batch
    c.node("Reshape", [nhwc, c.weight(f"{name}_shape", shape)], name)


def _concatenation(c: _Converter, op: Any, ins: list[int], out: int) -> None:
    o = _options(op, tflite.ConcatenationOptions)
    if len(c.shape(out)) != 3 or o.FusedActivationFunction():
        raise ModelError(f"concatenation {_name(out)} is not one of anchors")
    c.node("Concat", [_name(i) for i in ins], _name(out), axis=o.Axis())


def _mean(c: _Converter, op: Any, ins: list[int], out: int) -> None:
    if sorted(c.constant(ins[1]).tolist()) != [1, 2]:
        raise ModelError(f"mean {_name(out)} is not over height and width")
    pooled = c.node("GlobalAveragePool", [_name(ins[0])], f"{_name(out)}_pool")
    c.node("Flatten", [pooled], _name(out), axis=1)


def _fully_connected(c: _Converter, op: Any, ins: list[int], out: int) -> None:
    name, code = _name(out), _options(op, tflite.FullyConnectedOptions).FusedActivationFunction()
    if code:
        raise ModelError(f"fully connected layer {name} has an activation")
    weights = c.weight(f"{name}_w", c.constant(ins[1]))
    bias = c.weight(f"{name}_b", c.constant(ins[2]))
    inputs = [_name(ins[0]), weights, bias]
    c.node("Gemm", inputs, name, transB=1, alpha=float(c.unit))


def _logistic(c: _Converter, op: Any, ins: list[int], out: int) -> None:
    c.node("Sigmoid", [_name(ins[0])], _name(out))


_B = tflite.BuiltinOperator
_OPERATORS: dict[int, Callable[[_Converter, Any, list[int], int], None]] = {
    _B.DEQUANTIZE: _dequantize,
    _B.CONV_2D: _conv_2d,
    _B.DEPTHWISE_CONV_2D: _depthwise,
    _B.PRELU: _prelu,
    _B.ADD: _add,
    _B.MAX_POOL_2D: _max_pool,
    _B.PAD: _pad,
    _B.RESIZE_BILINEAR: _resize,
    _B.RESHAPE: _reshape,
    _B.CONCATENATION: _concatenation,
    _B.MEAN: _mean,
    _B.FULLY_CONNECTED: _fully_connected,
    _B.LOGISTIC: _logistic,
}


def convert(data: bytes, outputs: Sequence[str], name: str = "net") -> bytes:
    """Convert one TFLite file to ONNX.

    Parameters
    ----------
    data
        The bytes of the ``.tflite`` file: one float input (1, H, W, 3).
    outputs
        New names of the outputs, in the file's order. The ONNX input is ``image`` (N, 3, H, W).
    name
        Name of the ONNX graph.

    Returns
    -------
    bytes
        The ONNX file, the same bytes for the same input.

    Raises
    ------
    ModelError
        If an operator, an option or a weight type occurs that the converter does not know.
    """
    c = _Converter(data)
    c.run()
    source, targets = c.graph.Inputs(0), c.graph.OutputsAsNumpy().tolist()
    if len(targets) != len(outputs):
        raise ModelError(f"{name} has {len(targets)} outputs, {len(outputs)} names were given")
    _rename(
        c.nodes, {_name(source): "image", **dict(zip(map(_name, targets), outputs, strict=True))}
    )
    _, height, width, channels = c.shape(source)
    graph = helper.make_graph(
        c.nodes,
        name,
        [_value("image", (channels, height, width))],
        [_value(n, c.shape(t)[1:]) for n, t in zip(outputs, targets, strict=True)],
        c.weights,
    )
    model = helper.make_model(
        graph,
        producer_name="multiview.models.tflite_to_onnx",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _value(name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])


def _rename(nodes: Sequence[onnx.NodeProto], names: dict[str, str]) -> None:
    """Give the graph's ends their public names."""
    for node in nodes:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]


def main(source: str, target: str) -> None:
    """Convert all four networks and check the results against the cards."""
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    for model in MODELS:
        card = load_card(f"mediapipe-{model}")
        for part, weights in card.weights.items():
            data = convert(read_tflite(Path(source), weights), OUTPUTS[part], f"{part}_{model}")
            (folder / weights.file).write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()
            state = "as in its card" if digest == weights.sha256 else "NOT the digest in its card"
            print(f"{weights.file}  {len(data)} bytes  sha256 {digest}  {state}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m multiview.models.tflite_to_onnx WHEEL_OR_DIR OUT_DIR")
    main(*sys.argv[1:])
