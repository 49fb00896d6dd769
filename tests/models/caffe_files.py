"""Write small Caffe files, byte by byte: an oracle that shares no schema with the reader."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

V1_TYPES = {"Concat": 3, "Convolution": 4, "Dropout": 6, "Pooling": 17, "ReLU": 18, "Split": 22}
MIXED_HW = (19, 23)  # odd at every pooling


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number, payload):
    """One length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def number_field(number, value):
    return varint(number << 3) + varint(value)


def blob(values, *, legacy=False, double=False, shape=None):
    values = np.asarray(values)
    shape = values.shape if shape is None else shape
    if legacy:
        four = (1,) * (4 - len(shape)) + tuple(shape)
        head = b"".join(number_field(n + 1, v) for n, v in enumerate(four))
    else:
        head = field(7, field(1, b"".join(varint(v) for v in shape)))
    data = values.astype("<f8" if double else "<f4").tobytes()
    return head + field(8 if double else 5, data)


def caffemodel(weights, *, v1=False, **options):
    """Bytes of ``{layer: [arrays]}``, with fields that a reader must pass over."""
    out = field(1, b"net") + number_field(5, 1)
    for name, arrays in weights.items():
        blobs = [blob(a, **options) for a in arrays]
        if v1:
            rate = varint(7 << 3 | 5) + struct.pack("<f", 1.0)  # blobs_lr
            body = field(4, name.encode()) + number_field(5, 4) + rate
            out += field(2, body + b"".join(field(6, b) for b in blobs))
        else:
            body = field(1, name.encode()) + field(2, b"Convolution") + number_field(10, 1)
            out += field(100, body + b"".join(field(7, b) for b in blobs))
    return out


def layer(name, kind, bottoms, tops, more="", *, v1=False):
    head, kind = ("layers", kind.upper()) if v1 else ("layer", f'"{kind}"')
    ends = " ".join([f'bottom: "{b}"' for b in bottoms] + [f'top: "{t}"' for t in tops])
    return f'{head} {{ name: "{name}" type: {kind} {ends} {more} }}\n'


def convolution(name, bottom, top, options, *, v1=False):
    filler = 'weight_filler { type: "gaussian" std: 0.01 }'
    return layer(
        name, "Convolution", [bottom], [top], f"convolution_param {{ {options} {filler} }}", v1=v1
    )


INPUT_DIM = 'input: "image"\n' + "".join(f"input_dim: {n}\n" for n in (1, 3, 1, 1))
INPUT_SHAPE = 'input: "image"\ninput_shape { dim: 1 dim: 3 dim: 1 dim: 1 }\n'
INPUT_LAYER = (
    'layer { name: "in" type: "Input" top: "image" input_param { shape { dim: 1 dim: 3 dim: 19 '
    "dim: 23 } } }\n"
)


def mixed_prototxt(*, v1=False, head=INPUT_DIM):
    """Every layer and option that is known, as one network."""
    lines = [
        head,
        convolution("c1", "image", "c1", "num_output: 8 pad: 1 kernel_size: 3 dilation: 1", v1=v1),
        layer("r1", "ReLU", ["c1"], ["c1"], v1=v1),
        layer(
            "p1",
            "Pooling",
            ["c1"],
            ["p1"],
            "pooling_param { pool: MAX kernel_size: 2 stride: 2 }",
            v1=v1,
        ),
        layer("s1", "Split", ["p1"], ["p1_a", "p1_b"], v1=v1),
        convolution(
            "c2",
            "p1_a",
            "c2",
            "num_output: 6 group: 2 kernel_h: 3 kernel_w: 1 pad_h: 1 pad_w: 0",
            v1=v1,
        ),
        layer("r2", "ReLU", ["c2"], ["c2"], "relu_param { negative_slope: 0.1 }", v1=v1),
        convolution(
            "c3",
            "p1_b",
            "c3",
            "num_output: 5 pad: 2 kernel_size: 3 dilation: 2 bias_term: false",
            v1=v1,
        ),
        layer("d1", "Dropout", ["c3"], ["c3"], "dropout_param { dropout_ratio: 0.5 }", v1=v1),
        layer("k1", "Concat", ["c2", "c3"], ["k1"], v1=v1),
        layer(
            "p2",
            "Pooling",
            ["k1"],
            ["p2"],
            "pooling_param { pool: AVE kernel_size: 3 stride: 2 }",
            v1=v1,
        ),
        convolution("c4", "p2", "out", "num_output: 4 kernel_size: 1 stride: 1", v1=v1),
    ]
    return "".join(lines)


def mixed_weights():
    shapes = {
        "c1": [(8, 3, 3, 3), (8,)],
        "c2": [(6, 4, 3, 1), (6,)],
        "c3": [(5, 8, 3, 3)],
        "c4": [(4, 11, 1, 1), (4,)],
    }
    rng = np.random.default_rng(4)
    return {n: [rng.normal(0, 0.3, s).astype(np.float32) for s in ss] for n, ss in shapes.items()}


def mixed_input():
    return np.random.default_rng(5).normal(size=(2, 3, *MIXED_HW)).astype(np.float32)


def write(folder, prototxt, model):
    """Write both files and return their paths."""
    folder = Path(folder)
    paths = folder / "net.prototxt", folder / "net.caffemodel"
    paths[0].write_text(prototxt)
    paths[1].write_bytes(model)
    return paths


# A network whose answer is known: channel 0 (blue) and 1 (green) of the picture, averaged down to a
# stride of 8. Keypoints 0-9 are blue dots with a green dot `APART` map pixels to their right, the
# others those green dots. The other way round (a left hand) the maps are half as high. The 22nd map
# is 1 everywhere: decoded as a keypoint it would show.
APART = 3


def dots_prototxt(pool="AVE"):
    lines = [INPUT_DIM, convolution("pick", "image", "pick", "num_output: 2 kernel_size: 1")]
    below = "pick"
    for n in (1, 2, 3):
        options = f"pooling_param {{ pool: {pool} kernel_size: 2 stride: 2 }}"
        lines.append(layer(f"pool{n}", "Pooling", [below], [f"pool{n}"], options))
        below = f"pool{n}"
    options = f"num_output: 22 kernel_h: 1 kernel_w: {2 * APART + 1} pad_h: 0 pad_w: {APART}"
    return "".join([*lines, convolution("pair", below, "net_output", options)])


def dots_weights():
    pick = np.zeros((2, 3, 1, 1), np.float32)
    pick[0, 0], pick[1, 1] = 1, 1
    pair = np.zeros((22, 2, 1, 2 * APART + 1), np.float32)
    pair[:10, 0, 0, APART], pair[:10, 1, 0, 2 * APART] = 0.5, 0.5
    pair[10:21, 1, 0, APART], pair[10:21, 0, 0, 0] = 0.5, 0.5
    background = np.zeros(22, np.float32)
    background[21] = 1
    # x / 256 - 0.5 of black is -0.5
    return {"pick": [pick, np.full(2, 0.5, np.float32)], "pair": [pair, background]}


def write_dots(folder, pool="AVE"):
    return write(folder, dots_prototxt(pool), caffemodel(dots_weights()))
