"""Caffe's two files as protobuf messages: the part of its schema that a keypoint network needs.

Field numbers and types are those of Caffe's ``caffe.proto`` (version 1.0); everything else that
a file holds (fillers, learning rates, solver state) is skipped by the parser. The messages live in
a descriptor pool of their own, so that a Caffe installed in the same process does not collide.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from multiview.errors import ModelError
from multiview.models.card import read_weights

__all__ = ["GET_AGAIN", "PAIR_OF_FILES", "read_blobs", "read_prototxt"]

PACKAGE = "multiview.caffe"
# OpenPose's have 26 kB; a prototxt is text that a person can read.
MAX_PROTOTXT_BYTES = 4 * 2**20
PAIR_OF_FILES = "use the prototxt and the caffemodel that were published together"
GET_AGAIN = "download the file again"
# Types of old files (field `layers`) in the order of their numbers; most are listed only so that an
# error can name them.
_V1_TYPES = (
    *("NONE", "ACCURACY", "BNLL", "CONCAT", "CONVOLUTION", "DATA", "DROPOUT", "EUCLIDEAN_LOSS"),
    *("FLATTEN", "HDF5_DATA", "HDF5_OUTPUT", "IM2COL", "IMAGE_DATA", "INFOGAIN_LOSS"),
    *("INNER_PRODUCT", "LRN", "MULTINOMIAL_LOGISTIC_LOSS", "POOLING", "RELU", "SIGMOID"),
    *("SOFTMAX", "SOFTMAX_LOSS", "SPLIT", "TANH", "WINDOW_DATA", "ELTWISE", "POWER"),
    *("SIGMOID_CROSS_ENTROPY_LOSS", "HINGE_LOSS", "MEMORY_DATA", "ARGMAX", "THRESHOLD"),
    *("DUMMY_DATA", "SLICE", "MVN", "ABSVAL", "SILENCE", "CONTRASTIVE_LOSS", "EXP"),
    "DECONVOLUTION",
)
_ENUMS = {
    "V1Type": _V1_TYPES,
    "Pool": ("MAX", "AVE", "STOCHASTIC"),
    "Rounding": ("CEIL", "FLOOR"),
    "Phase": ("TRAIN", "TEST"),
}
# message -> field -> (number, type); "*" marks a repeated field. Numbers in `data` stay bytes: a
# packed field has the same encoding, and 37 million floats are then read without one Python object.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "BlobShape": {"dim": (1, "int64*")},
    "Blob": {
        "num": (1, "int64"),
        "channels": (2, "int64"),
        "height": (3, "int64"),
        "width": (4, "int64"),
        "data": (5, "bytes*"),
        "shape": (7, "BlobShape"),
        "double_data": (8, "bytes*"),
    },
    "Convolution": {
        "num_output": (1, "uint32"),
        "bias_term": (2, "bool"),
        "pad": (3, "uint32*"),
        "kernel_size": (4, "uint32*"),
        "group": (5, "uint32"),
        "stride": (6, "uint32*"),
        "pad_h": (9, "uint32"),
        "pad_w": (10, "uint32"),
        "kernel_h": (11, "uint32"),
        "kernel_w": (12, "uint32"),
        "stride_h": (13, "uint32"),
        "stride_w": (14, "uint32"),
        "axis": (16, "int32"),
        "dilation": (18, "uint32*"),
    },
    "Pooling": {
        "pool": (1, "Pool"),
        "kernel_size": (2, "uint32"),
        "stride": (3, "uint32"),
        "pad": (4, "uint32"),
        "kernel_h": (5, "uint32"),
        "kernel_w": (6, "uint32"),
        "stride_h": (7, "uint32"),
        "stride_w": (8, "uint32"),
        "pad_h": (9, "uint32"),
        "pad_w": (10, "uint32"),
        "global_pooling": (12, "bool"),
        "round_mode": (13, "Rounding"),
    },
    "ReLU": {"negative_slope": (1, "float")},
    "Concat": {"concat_dim": (1, "uint32"), "axis": (2, "int32")},
    "Input": {"shape": (1, "BlobShape*")},
    "Rule": {
        "phase": (1, "Phase"),
        "min_level": (2, "int32"),
        "max_level": (3, "int32"),
        "stage": (4, "string*"),
        "not_stage": (5, "string*"),
    },
    "Layer": {
        "name": (1, "string"),
        "type": (2, "string"),
        "bottom": (3, "string*"),
        "top": (4, "string*"),
        "blobs": (7, "Blob*"),
        "include": (8, "Rule*"),
        "exclude": (9, "Rule*"),
        "concat_param": (104, "Concat"),
        "convolution_param": (106, "Convolution"),
        "pooling_param": (121, "Pooling"),
        "relu_param": (123, "ReLU"),
        "input_param": (143, "Input"),
    },
    "V1Layer": {
        "bottom": (2, "string*"),
        "top": (3, "string*"),
        "name": (4, "string"),
        "type": (5, "V1Type"),
        "blobs": (6, "Blob*"),
        "concat_param": (9, "Concat"),
        "convolution_param": (10, "Convolution"),
        "pooling_param": (19, "Pooling"),
        "relu_param": (30, "ReLU"),
        "include": (32, "Rule*"),
        "exclude": (33, "Rule*"),
    },
    "Net": {
        "name": (1, "string"),
        "layers": (2, "V1Layer*"),
        "input": (3, "string*"),
        "input_dim": (4, "int64*"),
        "input_shape": (8, "BlobShape*"),
        "layer": (100, "Layer*"),
    },
}
_DEFAULTS = {
    ("Convolution", "bias_term"): "true",
    ("Convolution", "group"): "1",
    ("Convolution", "axis"): "1",
    ("Concat", "axis"): "1",
    ("Concat", "concat_dim"): "1",
}


class _Messages(NamedTuple):
    """The message class of a network and protobuf's modules to read it with."""

    net: Any
    text_format: Any
    decode_error: type[Exception]


@functools.cache
def _messages() -> _Messages:
    """Build the message classes (once); protobuf is imported only now."""
    from google.protobuf import (
        descriptor_pb2,
        descriptor_pool,
        message,
        message_factory,
        text_format,
    )

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="multiview/caffe.proto", package=PACKAGE, syntax="proto2"
    )
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in _MESSAGES.items():
        made = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(made, field, number, kind, kinds)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    net = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.Net"))
    return _Messages(net, text_format, message.DecodeError)


def _add_field(made: Any, name: str, number: int, kind: str, kinds: Any) -> None:
    repeated, kind = kind.endswith("*"), kind.rstrip("*")
    field = made.field.add(
        name=name, number=number, label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
    )
    if kind in _MESSAGES or kind in _ENUMS:
        field.type = kinds.TYPE_MESSAGE if kind in _MESSAGES else kinds.TYPE_ENUM
        field.type_name = f".{PACKAGE}.{kind}"
    else:
        field.type = getattr(kinds, f"TYPE_{kind.upper()}")
    if (made.name, name) in _DEFAULTS:
        field.default_value = _DEFAULTS[made.name, name]


def read_prototxt(path: Path) -> Any:
    """Read the layers of a network; fields outside the schema are passed over.

    Returns
    -------
    Net
        The message; its ``layer`` or its ``layers`` are not empty.

    Raises
    ------
    ModelError
        If the file is missing, too big, a web page, no prototxt, or without layers.
    """
    if path.is_file() and path.stat().st_size > MAX_PROTOTXT_BYTES:
        raise ModelError(
            f"{path} has {path.stat().st_size} bytes; a prototxt is a text file of a few kB",
            "give the prototxt first, then the caffemodel",
        )
    data, known = read_weights(path, GET_AGAIN), _messages()
    net = known.net()
    try:
        known.text_format.Parse(data.decode("utf-8"), net, allow_unknown_field=True)
    except UnicodeDecodeError:
        raise ModelError(
            f"{path} is no text, so no prototxt", "give the prototxt first, then the caffemodel"
        ) from None
    except RecursionError:
        raise ModelError(f"{path} is no prototxt: nested too deeply", GET_AGAIN) from None
    except known.text_format.ParseError as error:
        raise ModelError(f"{path} cannot be read as a prototxt ({error})", GET_AGAIN) from None
    if net.layer and net.layers:
        raise ModelError(f"{path} mixes the fields layer and layers", "use one of them")
    if not (net.layer or net.layers):
        raise ModelError(f"{path} holds no layers", "give the prototxt of the network (deploy)")
    return net


def read_blobs(path: Path) -> dict[str, Sequence[Any]]:
    """Read the blobs of the layers that have any, by the layer's name.

    Raises
    ------
    ModelError
        If the file is missing, a web page, cut short, no caffemodel, or without weights.
    """
    data, known = read_weights(path, GET_AGAIN), _messages()
    net = known.net()
    try:
        net.ParseFromString(data)
    except known.decode_error:
        raise ModelError(
            f"{path} is cut short or no caffemodel ({len(data)} bytes)",
            "download the file again and compare its size",
        ) from None
    blobs = {layer.name: layer.blobs for layer in (*net.layer, *net.layers) if layer.blobs}
    if not blobs:
        raise ModelError(f"{path} holds no weights", PAIR_OF_FILES)
    return blobs
