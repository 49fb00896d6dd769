"""A real ONNX network whose keypoints are coloured dots, so that the truth is known.

Two 1 x 1 convolutions measure how far a pixel's colour is from each keypoint's, and a Gaussian of
stride 2 turns the pixels that are close into maps: everything a heatmap network has, in 60 kB.
"""

import hashlib
import itertools

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from multiview.models.card import load_card

STRIDE = 2
RADIUS = 5.0  # of a dot [px]
KERNEL_SIGMA = 4.0
NEAR = 0.45  # summed over the channels; the levels are 0.5 apart
# Any colour but black, the background: 26 of them
COLOURS = np.array([c for c in itertools.product((0, 128, 255), repeat=3) if any(c)])[::-1]


def draw(xy, size_wh, radius=RADIUS):
    """Draw an antialiased dot (BGR picture) at every sub-pixel position (K, 2)."""
    x, y = np.meshgrid(np.arange(size_wh[0]), np.arange(size_wh[1]))
    image = np.zeros((size_wh[1], size_wh[0], 3))
    for (u, v), rgb in zip(xy, COLOURS, strict=False):
        cover = np.clip(radius + 0.5 - np.hypot(x - u, y - v), 0, 1)[..., None]
        image = image * (1 - cover) + cover * rgb[::-1]
    return np.rint(image).astype(np.uint8)


def _maps(count, grid, channels):
    """Nodes and weights that end in a map of every dot, ``maps0``."""
    colours = COLOURS[:count] / 255
    colours = colours if channels == "RGB" else colours[:, ::-1]
    # distance in L1: |x - c| is relu(x - c) + relu(c - x)
    sign = np.repeat([1.0, -1.0], 3)
    first = np.tile(np.vstack([np.eye(3), -np.eye(3)]), (count, 1))
    offset = -(np.tile(colours, (1, 2)) * sign).ravel()
    second = -np.kron(np.eye(count), np.ones(6)) / NEAR
    taps = np.arange(24) - 11.5 if grid == "half_pixel" else np.arange(25) - 12.0
    line = np.exp(-(taps**2) / 2 / KERNEL_SIGMA**2)
    blur = np.tile(np.outer(line, line) / line.sum() ** 2, (count, 1, 1, 1))
    half = (len(taps) - 1) // 2
    weights = {
        "w1": first[..., None, None],
        "b1": offset,
        "w2": second[..., None, None],
        "b2": np.ones(count),
        "w3": blur * 2,  # a dot fills about half of the kernel
    }
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["apart"]),
        helper.make_node("Relu", ["apart"], ["far"]),
        helper.make_node("Conv", ["far", "w2", "b2"], ["close"]),
        helper.make_node("Relu", ["close"], ["found"]),
        helper.make_node(
            "Conv", ["found", "w3"], ["maps0"], strides=[STRIDE] * 2, pads=[half] * 4, group=count
        ),
    ]
    return nodes, weights


def _model(nodes, weights, outputs, input_shape):
    """Put the graph together and check it."""
    kinds = {"shape": np.int64}
    initializers = [
        numpy_helper.from_array(np.ascontiguousarray(v, kinds.get(n, np.float32)), n)
        for n, v in weights.items()
    ]
    graph = helper.make_graph(
        nodes,
        "dots",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, input_shape)],
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, [input_shape[0], *s])
            for n, s in outputs.items()
        ],
        initializers,
    )
    opset = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model)
    return model


def net(
    count=21,
    size_hw=(96, 96),
    *,
    grid="half_pixel",
    simcc=False,
    batch="N",
    channels="RGB",
    background=None,
    right_only=False,
):
    """Build the network as an ONNX model; input 0 to 1."""
    height, width = (n // STRIDE for n in size_hw)
    nodes, weights = _maps(count, grid, channels)
    last = "maps0"
    if right_only:
        weights["side"] = np.tile(np.arange(width) >= width / 2, (1, count, height, 1)) * 1.0
        nodes.append(helper.make_node("Mul", [last, "side"], ["sided"]))
        last = "sided"
    total = count
    if background is not None:
        total += 1
        pick = np.insert(np.eye(count), background, 0, axis=0)
        weights |= {"w4": pick[..., None, None], "b4": np.eye(total)[background]}
        nodes.append(helper.make_node("Conv", [last, "w4", "b4"], ["with_background"]))
        last = "with_background"
    if batch == 1:
        weights["shape"] = np.array([1, total, height, width])
        nodes.append(helper.make_node("Reshape", [last, "shape"], ["fixed"]))
        last = "fixed"
    if simcc:
        nodes += [
            helper.make_node("ReduceMax", [last], ["x"], axes=[2], keepdims=0),
            helper.make_node("ReduceMax", [last], ["y"], axes=[3], keepdims=0),
        ]
        outputs = {"x": [total, width], "y": [total, height]}
    else:
        nodes.append(helper.make_node("Identity", [last], ["maps"]))
        outputs = {"maps": [total, height, width]}
    return _model(nodes, weights, outputs, [batch, 3, *size_hw])


def card_fields(data, *, count=21, size_hw=(96, 96), simcc=False, **more):
    """Fields of a card for the bytes of a network."""
    skeleton = "hand21"
    if count != 21:
        skeleton = {"name": "dots", "keypoints": [f"dot{k}" for k in range(count)]}
    decoding = {"kind": "heatmap", "output": ["maps"], "blur": 5, "grid": "half_pixel"}
    if simcc:
        decoding = {"kind": "simcc", "output": ["x", "y"], "simcc_split": 1 / STRIDE, "blur": 1}
    fields = {
        "name": "dots",
        "backend": "heatmap",
        "about": "coloured dots",
        "licence": "CC0-1.0",
        "source": "tests/models/dot_net.py",
        "skeleton": skeleton,
        "weights": {"net": {"file": "dots.onnx", "sha256": hashlib.sha256(data).hexdigest()}},
        "input": {"size_hw": list(size_hw), "channels": "RGB", "scale": 1 / 255},
        "crop": {"scale": 1.4},
        "decoding": decoding,
    }
    for name, value in more.items():
        same = isinstance(value, dict) and isinstance(fields.get(name), dict)
        fields[name] = fields[name] | value if same else value
    return fields


def write(folder, model, **fields):
    """Write network and card into a folder; return the card's path."""
    folder.mkdir(parents=True, exist_ok=True)
    data = model if isinstance(model, bytes) else model.SerializeToString()
    (folder / "dots.onnx").write_bytes(data)
    path = folder / "dots.yaml"
    path.write_text(yaml.safe_dump(card_fields(data, **fields)))
    return path


def dots_card(folder, *, grid="half_pixel", simcc=False, count=21, size_hw=(96, 96), **options):
    """Network and matching card; options of `net`, and `fields` of the card."""
    fields = options.pop("fields", {})
    model = net(count, size_hw, grid=grid, simcc=simcc, **options)
    decoding = {} if simcc else {"grid": grid}
    decoding["background"] = options.get("background")
    channels = {"channels": options.get("channels", "RGB")}
    crop = {"mirror_left": options.get("right_only", False)}
    more = {"decoding": decoding, "input": channels, "crop": crop}
    for name, value in fields.items():
        more[name] = more.get(name, {}) | value if isinstance(value, dict) else value
    path = write(folder, model, count=count, size_hw=size_hw, simcc=simcc, **more)
    return load_card(path)
