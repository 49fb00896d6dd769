"""A small network: EfficientNet-Lite0's trunk (Tan and Le, ICML 2019) and maps at stride 4.

The tensors of the trunk have the names of the PyTorch port of EfficientNet, so ImageNet weights of
that port fit by name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from multiview.models.card import CropSpec, InputSpec
from multiview.train.config import LightConfig
from multiview.train.design import Design
from multiview.train.graph import GraphBuilder

__all__ = ["light_design", "maps_head"]

STEM = 32
# kernel, stride, expansion, channels, repeats; the last stage of EfficientNet has one repeat more,
# and one stage more follows: a crop of a hand needs them less than a thousand classes do.
BLOCKS = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 3),
)
STRIDE = 4
LAST_FIRST = 0.01  # of a He-normal start: logits start near 0, so that maps start flat
# What the port was trained with.
INPUT = {"channels": "RGB", "scale": 1 / 255, "mean": (0.498,) * 3, "std": (0.502,) * 3}


def light_design(config: LightConfig, keypoints: int, seed: int) -> Design:
    """Build the network; its output is a map a keypoint."""
    graph = GraphBuilder(np.random.default_rng([seed, 2]))
    levels = _trunk(graph, config.width)
    side = config.size_px // STRIDE
    logits = maps_head(graph, levels, keypoints, config.head)
    graph.spatial_softmax(logits, side, 2 * np.pi * config.sigma**2, "maps")
    return Design(
        model=graph.build("image", config.size_px, {"maps": (keypoints, side, side)}),
        outputs=("maps",),
        learnt=(logits,),
        loss="cross_entropy",
        input=InputSpec.model_validate({"size_hw": (config.size_px,) * 2, **INPUT}),
        crop=CropSpec(scale=2.2, mirror_left=True),
        keypoints=keypoints,
        sigma=config.sigma,
        about="EfficientNet-Lite0 trunk and maps at a quarter of the size",
    )


def maps_head(graph: GraphBuilder, levels: Sequence[str], keypoints: int, channels: int) -> str:
    """Bring features together from coarse to fine, each level twice the one before.

    Parameters
    ----------
    graph
        Gets the layers.
    levels
        Features, coarsest first; each has twice the height and width of the one before.
    keypoints, channels
        Number of maps and width of the head.

    Returns
    -------
    str
        The logits of the maps, at the size of the last level.
    """
    x = _lateral(graph, levels[0], channels, 0)
    for n, level in enumerate(levels[1:], 1):
        x = graph.add(graph.double(x), _lateral(graph, level, channels, n), f"head{n}.sum")
        x = graph.conv(x, channels, 3, f"head{n}.depthwise", groups=channels, bias=False)
        x = graph.relu(graph.batch_norm(x, f"head{n}.bn1"))
        x = graph.conv(x, channels, 1, f"head{n}.mix", bias=False)
        x = graph.relu(graph.batch_norm(x, f"head{n}.bn2"))
    logits = graph.conv(x, keypoints, 1, "logits")
    graph.tensors["logits.weight"] *= np.float32(LAST_FIRST)
    return logits


def _lateral(graph: GraphBuilder, x: str, channels: int, n: int) -> str:
    x = graph.conv(x, channels, 1, f"lateral{n}", bias=False)
    return graph.batch_norm(x, f"lateral{n}.bn")


def _trunk(graph: GraphBuilder, width: float) -> list[str]:
    """Features at strides 32, 16, 8 and 4."""

    def wide(channels: int) -> int:
        return max(8, 8 * round(channels * width / 8))

    x = graph.conv(graph.image("image"), wide(STEM), 3, "_conv_stem", stride=2, bias=False)
    x = graph.relu(graph.batch_norm(x, "_bn0"), most=6)
    levels, number = [x], 0
    for kernel, stride, expansion, channels, repeats in BLOCKS:
        for n in range(repeats):
            first = stride if n == 0 else 1
            x = _block(graph, x, f"_blocks.{number}", kernel, first, expansion, wide(channels))
            number += 1
        levels = [*levels, x] if stride == 2 else [*levels[:-1], x]
    return levels[:0:-1]


def _block(
    graph: GraphBuilder, x: str, name: str, kernel: int, stride: int, expansion: int, out: int
) -> str:
    """Inverted residual (Sandler et al., MobileNetV2, CVPR 2018)."""
    before, have = x, graph.channels[x]
    if expansion > 1:
        x = graph.conv(x, have * expansion, 1, f"{name}._expand_conv", bias=False)
        x = graph.relu(graph.batch_norm(x, f"{name}._bn0"), most=6)
    inner = have * expansion
    x = graph.conv(
        x, inner, kernel, f"{name}._depthwise_conv", stride=stride, groups=inner, bias=False
    )
    x = graph.relu(graph.batch_norm(x, f"{name}._bn1"), most=6)
    x = graph.conv(x, out, 1, f"{name}._project_conv", bias=False)
    x = graph.batch_norm(x, f"{name}._bn2")
    return graph.add(x, before, f"{name}.sum") if stride == 1 and have == out else x
