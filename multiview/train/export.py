"""From trained weights to an ONNX file and its card, checked against torch before it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multiview.errors import ModelError
from multiview.models._crops import F32
from multiview.train.design import Design, odd_blur
from multiview.train.graph_net import GraphNet, fill_model

__all__ = ["SAME", "card_fields", "check_export", "export_onnx"]

# Of the size of an output (`_sizes`): float32 sums in another order differ by 1e-6 (measured), a
# layer that is computed differently by over 1e-2.
SAME = 1e-5
FITTED = "with confidence.yaml, the probability that a keypoint is right"
LARGEST = 1e-6  # an output that is all zeros has no scale of its own


def export_onnx(design: Design, tensors: dict[str, NDArray[np.float32]]) -> bytes:
    """Write the weights into the graph; ONNX of opset 13."""
    import onnx

    model = fill_model(design.model, tensors)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def check_export(data: bytes, design: Design, images: F32) -> dict[str, float]:
    """Run the file by OpenCV, and by onnxruntime where installed, and compare with torch.

    Parameters
    ----------
    data
        The ONNX file.
    design
        What it should be.
    images
        Network inputs, shape (N, 3, n, n).

    Returns
    -------
    dict
        By runtime the largest difference, in units of the size of its output: what is rounded.

    Raises
    ------
    ModelError
        If one is larger than `SAME`.
    """
    import onnx

    model = onnx.load_model_from_string(data)
    net = GraphNet(model).eval()
    with torch.no_grad():
        found = net(torch.from_numpy(images), design.outputs)
        sizes = _sizes(model, net, torch.from_numpy(images), found)
    wanted = {name: value.numpy() for name, value in found.items()}
    worst = {}
    for runtime, run in _runtimes(data, design).items():
        apart = [_apart(wanted, run(images[n : n + 1]), sizes, n) for n in range(len(images))]
        worst[runtime] = float(np.max(apart))
        if not worst[runtime] <= SAME:  # nor is NaN the same
            raise ModelError(
                f"the exported network differs by {worst[runtime]:.2g} between torch and {runtime} "
                f"(at most {SAME:g} is rounding)",
                "report this with the training's configuration; nothing was written",
            )
    return worst


def _sizes(
    model: Any, net: GraphNet, images: Tensor, found: dict[str, Tensor]
) -> dict[str, NDArray[np.float32]]:
    """Find what rounding is relative to, by output; shape (N,).

    A sum is rounded in units of its terms, not of what they leave (Higham, Accuracy and Stability
    of Numerical Algorithms, 2002, section 3.1): MediaPipe's world output is a tenth of its terms. A
    share is rounded in units of 1: onnxruntime's sigmoid is right to 1e-7 (measured), also where
    the share is 1e-4. Other outputs: of their largest value.
    """
    makers = {node.output[0]: node for node in model.graph.node}
    sizes = {}
    for name, value in found.items():
        maker = makers[name]
        if maker.op_type == "Sigmoid":
            sizes[name] = np.ones(len(images), np.float32)
            continue
        if maker.op_type == "Gemm":
            value = net.summands(images, name)
        sizes[name] = value.abs().flatten(1).amax(1).clamp(min=LARGEST).numpy()
    return sizes


def _apart(wanted: dict[str, F32], found: dict[str, F32], sizes: dict[str, F32], n: int) -> float:
    apart = [
        np.abs(value[n] - found[name].reshape(value[n].shape)).max() / sizes[name][n]
        for name, value in wanted.items()
    ]
    return float(np.max(apart))  # Python's max passes over NaN


def _runtimes(data: bytes, design: Design) -> dict[str, Callable[[F32], dict[str, F32]]]:
    names = list(design.outputs)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))

    def by_opencv(image: F32) -> dict[str, F32]:
        net.setInput(image, design.input.name)
        values = [np.asarray(v, np.float32) for v in net.forward(names)]
        return dict(zip(names, values, strict=True))

    runtimes: dict[str, Callable[[F32], dict[str, F32]]] = {"cv2": by_opencv}
    try:
        import onnxruntime
    except ImportError:
        return runtimes
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def by_onnxruntime(image: F32) -> dict[str, F32]:
        return dict(zip(names, session.run(names, {design.input.name: image}), strict=True))

    return runtimes | {"onnxruntime": by_onnxruntime}


def card_fields(
    design: Design, name: str, data: bytes, *, licence: str, training: dict[str, Any]
) -> dict[str, Any]:
    """Fields of the model card, without the other network that backend `mediapipe` also needs.

    Parameters
    ----------
    design
        The architecture.
    name
        Of the model, and of its files.
    data
        The ONNX file.
    licence
        Of the weights.
    training
        How they came to be: data, configuration, scores.
    """
    file = {"file": f"{name}.onnx", "sha256": hashlib.sha256(data).hexdigest()}
    file["source"] = "multiview train"
    fields: dict[str, Any] = {
        "name": name,
        "backend": "mediapipe" if design.keeps else "heatmap",
        "about": design.about,
        "licence": licence,
        "source": f"trained by multiview from {design.start}",
        "weights": {design.part: file},
        "input": design.input.model_dump(mode="json"),
        "crop": design.crop.model_dump(mode="json"),
        "training": training,
    }
    if design.keeps:
        outputs = [o for o in design.outputs if o != "world"]
        fields["confidence"] = f"of a hand to be there, for all its keypoints alike; {FITTED}"
        return fields | {"decoding": {"kind": "regression", "output": outputs}}
    decoding: dict[str, Any] = {
        "kind": "heatmap",
        "output": list(design.outputs),
        "grid": "half_pixel",
    }
    decoding["blur"] = odd_blur(design.sigma)
    if design.background:
        decoding["background"] = design.keypoints
    return fields | {"decoding": decoding, "confidence": _confidence(design)}


def _confidence(design: Design) -> str:
    if design.loss == "mse":
        return f"height of the map at its peak, near 1 where the network is sure; {FITTED}"
    return (
        "height of the map at its peak: 1 for a single blob as wide as in training, less the more "
        f"it is spread; {FITTED}"
    )
