"""OpenPose's hand network (`pose_deploy.prototxt`) with random weights: its shape, not its data.

The published files may not be passed on. What is known of them: the layers, the size of the
caffemodel, and the work a crop costs; `run.py` checks both numbers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from multiview.models.caffe import CaffeNet, Convolution, Pooling

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "models"))
import caffe_files as files

PUBLISHED_BYTES = 147_344_024
PUBLISHED_GFLOP = 206
TRUNK = ((64, 2), (128, 2), (256, 4))  # channels, convolutions; a pooling after each block
MAPS, FEATURES, STAGES = 22, 128, 6

Row = tuple[str, str, int, int]  # name, bottom, outputs, kernel


def convolutions() -> Iterator[Row | str]:
    """All convolutions in order; a bare string is the pooling of that name or a concat."""
    below = "image"
    for block, (channels, count) in enumerate(TRUNK, 1):
        for i in range(1, count + 1):
            yield f"conv{block}_{i}", below, channels, 3
            below = f"conv{block}_{i}"
        yield f"pool{block}_stage1"
        below = f"pool{block}_stage1"
    for name in ("conv4_1", "conv4_2", "conv4_3", "conv4_4", "conv5_1", "conv5_2"):
        yield name, below, 512, 3
        below = name
    yield "conv5_3_CPM", below, FEATURES, 3
    yield "conv6_1_CPM", "conv5_3_CPM", 512, 1
    yield "conv6_2_CPM", "conv6_1_CPM", MAPS, 1
    for stage in range(2, STAGES + 1):
        yield f"concat_stage{stage}"
        below = f"concat_stage{stage}"
        for i in range(1, 7):
            name = f"Mconv{i}_stage{stage}"
            yield name, below, 128, 7 if i < 6 else 1
            below = name
        yield f"Mconv7_stage{stage}", below, MAPS, 1


def is_linear(name: str) -> bool:
    """Whether no ReLU follows: the maps of a stage."""
    return name == "conv6_2_CPM" or name.startswith("Mconv7")


def prototxt() -> str:
    """Text of the layers, as OpenPose has them (``input_dim``, in-place ReLU, ``net_output``)."""
    lines, below, maps = [files.INPUT_DIM], "", "conv6_2_CPM"
    for row in convolutions():
        if isinstance(row, str) and row.startswith("pool"):
            options = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
            lines.append(files.layer(row, "Pooling", [below], [row], options))
        elif isinstance(row, str):
            lines.append(files.layer(row, "Concat", [maps, "conv5_3_CPM"], [row]))
        else:
            name, below, outputs, kernel = row
            top = "net_output" if name == f"Mconv7_stage{STAGES}" else name
            options = f"num_output: {outputs} pad: {kernel // 2} kernel_size: {kernel} dilation: 1"
            lines.append(files.convolution(name, below, top, options))
            if is_linear(name):
                maps = top
            else:
                lines.append(files.layer(f"relu_{name}", "ReLU", [top], [top]))
            below = top
    return "".join(lines)


def weights(seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Random weights that keep the size of the signal (He et al., ICCV 2015); biases about 0.1."""
    rng, channels = np.random.default_rng(seed), {"image": 3}
    made, below = {}, "image"
    for row in convolutions():
        if isinstance(row, str):
            channels[row] = MAPS + FEATURES if row.startswith("concat") else channels[below]
            continue
        name, below, outputs, kernel = row
        into = channels[below]
        gain = 1 if is_linear(name) else 2
        deviation = math.sqrt(gain / (into * kernel**2))
        shape = (outputs, into, kernel, kernel)
        made[name] = [
            rng.normal(0, deviation, shape).astype(np.float32),
            rng.normal(0, 0.1, outputs).astype(np.float32),
        ]
        channels[name], below = outputs, name
    return made


def write(folder: Path) -> tuple[Path, Path]:
    """Write prototxt and caffemodel (147 MB)."""
    return files.write(folder, prototxt(), files.caffemodel(weights()))


def parameters(net: CaffeNet) -> int:
    """Number of weights and biases."""
    convs = [layer.op for layer in net.layers if isinstance(layer.op, Convolution)]
    return sum(op.weights.size + (op.bias.size if op.bias is not None else 0) for op in convs)


def gflop(net: CaffeNet, size: int) -> float:
    """Work for one square input, a multiplication and an addition counted as two."""
    sides, total = {net.input: size}, 0.0
    for layer in net.layers:
        side = sides[layer.bottoms[0]]
        if isinstance(layer.op, Pooling):
            side = -(-side // layer.op.stride[0])
        elif isinstance(layer.op, Convolution):
            total += 2 * layer.op.weights.size * side**2  # all keep the size
        sides.update(dict.fromkeys(layer.tops, side))
    return total / 1e9
