"""MediaPipe's landmark network as a start: with its own outputs, or with maps on its features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from multiview.models.card import CropSpec, ModelCard
from multiview.models.mediapipe import KEYPOINTS, OUTPUTS
from multiview.train.config import MediaPipeConfig
from multiview.train.design import Design
from multiview.train.graph import GraphBuilder
from multiview.train.light import maps_head
from multiview.train.shipped import open_shipped

__all__ = ["landmark_design"]

LEVELS = (14, 28, 56)  # sides of the features that the maps' head sees, coarsest first
# Of the longer side of the tight box: the median of MediaPipe's own crops, whose rule frames palm
# and middle joints (1.70 on 240 labelled views of start4), so that the features see what they know.
CROP_SCALE = 1.7


def landmark_design(config: MediaPipeConfig, keypoints: int, seed: int) -> Design:
    """Build the network from the shipped file.

    Raises
    ------
    InputError
        If the keypoints are not the 21 of a hand.
    """
    needs = f"MediaPipe's network has {KEYPOINTS} keypoints"
    card, model = open_shipped(config.network, "hand", keypoints, needs)
    names = frozenset(t.name for t in model.graph.initializer)
    common: dict[str, Any] = {"keypoints": keypoints, "trained": names, "input": card.input}
    common["start"] = f"{config.network} ({card.source})"
    if config.head == "regression":
        return Design(
            model=model,
            outputs=tuple(o.name for o in model.graph.output),
            learnt=(*OUTPUTS, "world"),
            loss="landmarks",
            crop=card.crop,
            about=f"{config.network}, trained further",
            **common,
        )
    return _with_maps(config, card, model, seed, common)


def _with_maps(
    config: MediaPipeConfig, card: ModelCard, model: Any, seed: int, common: dict[str, Any]
) -> Design:
    graph = GraphBuilder(np.random.default_rng([seed, 3]))
    features = _features(model)
    _adopt(graph, model, [f.name for f in features])
    graph.channels |= {f.name: f.channels for f in features}
    logits = maps_head(graph, [f.name for f in features], common["keypoints"], config.channels)
    side = LEVELS[-1]
    graph.spatial_softmax(logits, side, 2 * np.pi * config.sigma**2, "maps")
    shape = (common["keypoints"], side, side)
    return Design(
        model=graph.build("image", card.input.size_hw[0], {"maps": shape}),
        outputs=("maps",),
        learnt=(logits,),
        loss="cross_entropy",
        crop=CropSpec(scale=CROP_SCALE, rotate=True, border="replicate"),
        sigma=config.sigma,
        about=f"features of {config.network}, maps at a quarter of the size",
        **common,
    )


@dataclass(frozen=True, slots=True)
class _Feature:
    name: str
    channels: int


def _features(model: Any) -> list[_Feature]:
    """Find the last tensor of each size in `LEVELS`."""
    import onnx

    found: dict[int, _Feature] = {}
    for value in onnx.shape_inference.infer_shapes(model).graph.value_info:
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if len(dims) == 4 and dims[2] in LEVELS:
            found[dims[2]] = _Feature(value.name, dims[1])
    return [found[side] for side in LEVELS]


def _adopt(graph: GraphBuilder, model: Any, wanted: list[str]) -> None:
    """Take over the layers on which the features depend."""
    from onnx import numpy_helper

    need, kept = set(wanted), []
    for node in reversed(model.graph.node):
        if need & set(node.output):
            kept.append(node)
            need |= set(node.input)
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name in need}
    graph.adopt(kept[::-1], tensors)
