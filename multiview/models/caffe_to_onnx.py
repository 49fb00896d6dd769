"""OpenPose's hand network from the user's own Caffe files, once, as an ONNX file and its card.

OpenPose's licence forbids shipping the files: the user brings ``pose_deploy.prototxt`` and
``pose_iter_102000.caffemodel``. The result runs like any other network, in OpenCV 4 and 5 and in
onnxruntime; batch, height and width are free.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from multiview.errors import ConfigError, InputError, ModelError
from multiview.models.caffe import (
    CaffeNet,
    Concat,
    Convolution,
    Layer,
    Pooling,
    ReLU,
    read_caffe,
)
from multiview.models.card import (
    DATA,
    CropSpec,
    DecodingSpec,
    InputSpec,
    ModelCard,
    WeightFile,
    load_card,
    read_weights,
)

__all__ = ["HAND_MD5", "Conversion", "convert_openpose", "to_onnx"]

HAND_MD5 = "a82cfc3fea7c62f159e11bd3674c1531"  # of the published pose_iter_102000.caffemodel
MAPS = 22  # 21 keypoints, then the background
PART = "hand"
OPSET, IR_VERSION = 13, 8  # as in tflite_to_onnx
# Counted up when the same Caffe files would give another ONNX file or card.
CONVERTER = "multiview.models.caffe_to_onnx 1"
LICENCE = (
    "OpenPose's own: academic or non-profit organization, non-commercial research use only; the "
    "files were brought by the user, they are not part of this project and must not be passed on"
)
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")  # as in ModelCard
ABOUT = (
    "OpenPose's hand network (Simon et al., CVPR 2017): 21 keypoints of a right hand in an upright "
    "square crop; left hands are mirrored"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What `convert_openpose` did.

    Parameters
    ----------
    card
        Path of the model's card.
    cached
        Whether it was there already, made from the same files.
    warnings
        What the user should know; may be empty.
    """

    card: Path
    cached: bool
    warnings: tuple[str, ...]


def convert_openpose(
    prototxt: Path, caffemodel: Path, out_folder: Path, name: str = "openpose-hand"
) -> Conversion:
    """Convert OpenPose's hand network to ``<name>.onnx`` and write its card ``<name>.yaml``.

    The same files are converted once: the card keeps their digests. Both results appear in one
    step each, the card last.

    Parameters
    ----------
    prototxt, caffemodel
        The user's ``pose_deploy.prototxt`` and ``pose_iter_102000.caffemodel``.
    out_folder
        Folder of the results, made if missing; ``models/`` of a workspace.
    name
        Name of the model.

    Raises
    ------
    ModelError
        If the files cannot be read (see `read_caffe`) or are another network.
    InputError
        If the folder cannot be written, or the name is no file name or that of a shipped model.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} cannot name a model", "use letters, digits, '.', '_' and '-'")
    if (DATA / f"{name}.yaml").exists():
        raise InputError(f"a shipped model has the name {name!r} too", "give another --name")
    card_path, text = out_folder / f"{name}.yaml", read_weights(prototxt)
    weights = read_weights(caffemodel)
    md5 = hashlib.md5(weights, usedforsecurity=False).hexdigest()
    warnings = () if md5 == HAND_MD5 else (_unknown_file(caffemodel, md5),)
    file = WeightFile(
        file=f"{name}.onnx",
        sha256="0" * 64,
        source=f"{caffemodel.name} (md5 {md5}), {prototxt.name} (sha256 {_sha256(text)}); "
        f"converted by {CONVERTER}",
        source_sha256=_sha256(weights),
    )
    del weights  # 150 MB, read anew when needed
    if _is_there(card_path, file):
        return Conversion(card=card_path, cached=True, warnings=warnings)
    net = read_caffe(prototxt, caffemodel)
    output = _hand_output(net, prototxt)
    data = to_onnx(net, name)
    card = _card(name, file.model_copy(update={"sha256": _sha256(data)}), output)
    _write(out_folder / file.file, data)
    _write(card_path, _yaml(card).encode())
    return Conversion(card=card_path, cached=False, warnings=warnings)


def _unknown_file(caffemodel: Path, md5: str) -> str:
    return (
        f"{caffemodel} has md5 {md5}, OpenPose's published pose_iter_102000.caffemodel {HAND_MD5}: "
        "it was trained anew, or damaged in a way that its format does not show"
    )


def _hand_output(net: CaffeNet, prototxt: Path) -> str:
    if net.channels != 3 or len(net.outputs) != 1 or set(net.outputs.values()) != {MAPS}:
        made = ", ".join(f"{blob} ({channels})" for blob, channels in net.outputs.items())
        raise ModelError(
            f"{prototxt} is not the hand network: it makes {made or 'nothing'} of {net.channels} "
            f"channels, not {MAPS} maps of a colour image",
            "give pose_deploy.prototxt of OpenPose's models/hand folder",
        )
    return next(iter(net.outputs))


def _card(name: str, file: WeightFile, output: str) -> ModelCard:
    return ModelCard(
        name=name,
        backend="openpose",
        about=ABOUT,
        licence=LICENCE,
        source="OpenPose, models/hand (CMU Perceptual Computing Lab); user-supplied",
        weights={PART: file},
        input=InputSpec(size_hw=(368, 368), channels="BGR", scale=1 / 256, mean=(0.5, 0.5, 0.5)),
        crop=CropSpec(scale=2.2, mirror_left=True, border="zero"),
        # Trained on blobs of about 1 map px: the matched filter of 5 px has 1.1 px.
        decoding=DecodingSpec(kind="heatmap", output=(output,), background=MAPS - 1, blur=5),
        confidence="height of the keypoint's map at its peak, 0 to 1",
    )


def _yaml(card: ModelCard) -> str:
    fields = card.model_dump(mode="json", exclude={"folder"}, exclude_unset=True)
    text: str = yaml.safe_dump(
        fields, sort_keys=False, width=100, allow_unicode=True, default_flow_style=None
    )
    return "# Written by `multiview models convert`.\n" + text


def _is_there(path: Path, file: WeightFile) -> bool:
    """Whether the card is there, of the same files, and its ONNX file is whole."""
    try:
        card = load_card(path)
        found = card.weights[PART].model_copy(update={"sha256": file.sha256})
        if found == file:
            card.read(PART)
        return found == file
    except (OSError, KeyError, ConfigError, InputError, ModelError):
        return False


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Write a file completely or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.stem}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            umask = os.umask(0)
            os.umask(umask)
            Path(temporary).chmod(0o666 & ~umask)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror})",
            "free some space, or choose another --out folder or change its permissions",
        ) from None


def to_onnx(net: CaffeNet, name: str = "net") -> bytes:
    """Convert a network to ONNX.

    Parameters
    ----------
    net
        The network.
    name
        Name of the ONNX graph.

    Returns
    -------
    bytes
        The ONNX file: input ``image`` (N, C, H, W), outputs by the names of their Caffe blobs. The
        same bytes for the same network.

    Raises
    ------
    ModelError
        If the result fails ONNX's own checks. Maps of different sizes in a Concat show only when
        the network runs.
    """
    graph = _Graph(net)
    for number, layer in enumerate(net.layers):
        graph.add(number, layer)
    return graph.build(name)


class _Graph:
    """Nodes and weights; in-place layers give a blob a new ONNX value each time."""

    def __init__(self, net: CaffeNet) -> None:
        import onnx

        self.onnx = onnx
        self.net = net
        self.now = {net.input: "image"}
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, number: int, layer: Layer) -> None:
        """Append one layer's nodes; Dropout and Split only rename."""
        made, ins = f"{number}_{layer.tops[0]}", [self.now[blob] for blob in layer.bottoms]
        op = layer.op
        if isinstance(op, Convolution):
            self._convolution(op, ins[0], made)
        elif isinstance(op, Pooling):
            self._pooling(op, ins[0], made)
        elif isinstance(op, ReLU):
            leaky = {"alpha": op.slope} if op.slope else {}
            self._node("LeakyRelu" if leaky else "Relu", ins, made, **leaky)
        elif isinstance(op, Concat):
            self._node("Concat", ins, made, axis=1)
        else:
            made = ins[0]
        self.now.update(dict.fromkeys(layer.tops, made))

    def build(self, name: str) -> bytes:
        """Close the graph and check it."""
        make = self.onnx.helper
        for blob in self.net.outputs:
            # a node of its own also where two outputs, or input and output, are one value
            self._node("Identity", [self.now[blob]], blob)
        image = make.make_tensor_value_info(
            "image", self.onnx.TensorProto.FLOAT, ["N", self.net.channels, "H", "W"]
        )
        outputs = [
            make.make_tensor_value_info(
                blob, self.onnx.TensorProto.FLOAT, ["N", channels, f"{blob}_h", f"{blob}_w"]
            )
            for blob, channels in self.net.outputs.items()
        ]
        graph = make.make_graph(self.nodes, name, [image], outputs, self.weights)
        model = make.make_model(
            graph,
            producer_name="multiview.models.caffe_to_onnx",
            opset_imports=[make.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        try:
            self.onnx.checker.check_model(model)
        except self.onnx.checker.ValidationError as error:
            raise ModelError(f"{name}: the network is inconsistent ({error})") from None
        return bytes(model.SerializeToString(deterministic=True))

    def _node(self, kind: str, ins: list[str], out: str, **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, ins, [out], name=out, **attributes))
        return out

    def _weight(self, value: Any, name: str) -> str:
        self.weights.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _convolution(self, op: Convolution, source: str, made: str) -> None:
        ins = [source, self._weight(op.weights, f"{made}_weights")]
        if op.bias is not None:
            ins.append(self._weight(op.bias, f"{made}_bias"))
        self._node(
            "Conv",
            ins,
            made,
            kernel_shape=list(op.weights.shape[2:]),
            strides=list(op.stride),
            pads=[*op.pad, *op.pad],
            dilations=list(op.dilation),
            group=op.group,
        )

    def _pooling(self, op: Pooling, source: str, made: str) -> None:
        short = {"MAX": "Max", "AVE": "Average"}[op.kind]
        if op.kernel is None:
            self._node(f"Global{short}Pool", [source], made)
            return
        pads = [*op.pad, *op.pad]
        if op.kind == "AVE" and any(pads):
            # Caffe counts padding as zeros, up to the end of the padding. The runtimes read ONNX's
            # own wording of that (count_include_pad with ceil_mode) in three ways, so pad first.
            sizes = self._weight(np.array([0, 0, *op.pad] * 2, np.int64), f"{made}_pads")
            source, pads = self._node("Pad", [source, sizes], f"{made}_padded"), [0, 0, 0, 0]
        self._node(
            f"{short}Pool",
            [source],
            made,
            kernel_shape=list(op.kernel),
            strides=list(op.stride),
            pads=pads,
            ceil_mode=int(op.ceil),
        )
