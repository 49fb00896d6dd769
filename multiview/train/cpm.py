"""The paper's network: a VGG trunk to stride 8, then stages that refine each other's maps."""

from __future__ import annotations

import numpy as np

from multiview.models.card import CropSpec, InputSpec
from multiview.train.config import CpmConfig
from multiview.train.design import Design
from multiview.train.graph import GraphBuilder

__all__ = ["cpm_design"]

STRIDE = 8
TRUNK = (64, 128, 256, 512)  # VGG-19
NECK = (256, 128)  # between VGG's conv4_4 and the stages
FIRST, LATER = 512, 128  # channels of stage 1, of the others
REACH, REFINEMENTS = 7, 5  # kernel and number of convolutions of a later stage
# 8-bit values to about -0.5 to 0.5, as in the paper's training code.
INPUT = {"channels": "RGB", "scale": 1 / 256, "mean": (0.5, 0.5, 0.5)}


def cpm_design(config: CpmConfig, keypoints: int, seed: int) -> Design:
    """Build the network; its outputs are a map a keypoint, and one of the background with `mse`.

    Cross-entropy makes every map a probability, which leaves a background nothing to say.
    """
    by_mse = config.loss == "mse"
    graph, maps, side = _Cpm(config, seed), keypoints + by_mse, config.size_px // STRIDE
    features = graph.trunk()
    stage = graph.first(features, maps)
    learnt = [stage]
    for number in range(2, config.stages + 1):
        stage = graph.later(features, stage, maps, number)
        learnt.append(stage)
    if not by_mse:
        gain = 2 * np.pi * config.sigma**2
        stage = graph.build.spatial_softmax(stage, side, gain, "maps")
    return Design(
        model=graph.build.build("image", config.size_px, {stage: (maps, side, side)}),
        outputs=(stage,),
        learnt=tuple(learnt),
        loss=config.loss,
        input=InputSpec.model_validate({"size_hw": (config.size_px,) * 2, **INPUT}),
        crop=CropSpec(scale=2.2, mirror_left=True),
        keypoints=keypoints,
        background=by_mse,
        sigma=config.sigma,
        about=f"convolutional pose machine, {config.stages} stages, width {config.width:g}",
    )


class _Cpm:
    def __init__(self, config: CpmConfig, seed: int) -> None:
        self._config = config
        self.build = GraphBuilder(np.random.default_rng([seed, 1]))

    def trunk(self) -> str:
        """VGG blocks and two convolutions that narrow their 512 channels to 128."""
        x = self.build.image("image")
        for block, (channels, count) in enumerate(zip(TRUNK, self._config.blocks, strict=True), 1):
            x = self.build.pool(x) if block > 1 else x
            for n in range(1, count + 1):
                x = self._layer(x, channels, 3, f"conv{block}_{n}")
        for n, channels in enumerate(NECK):
            x = self._layer(x, channels, 3, f"neck{n + 1}")
        return x

    def first(self, features: str, maps: int) -> str:
        """Stage 1 looks at the features alone."""
        x = self._layer(features, FIRST, 1, "stage1_1")
        return self.build.conv(x, maps, 1, "stage1")

    def later(self, features: str, before: str, maps: int, number: int) -> str:
        """Look at the features and the maps of the stage before, over a wide field."""
        x = self.build.join([features, before], f"stage{number}_in")
        for n in range(1, REFINEMENTS + 1):
            x = self._layer(x, LATER, REACH, f"stage{number}_{n}")
        x = self._layer(x, LATER, 1, f"stage{number}_6")
        return self.build.conv(x, maps, 1, f"stage{number}")

    def _layer(self, x: str, channels: int, kernel: int, name: str) -> str:
        wanted = max(4, round(channels * self._config.width))
        x = self.build.conv(x, wanted, kernel, name, bias=not self._config.batch_norm)
        if self._config.batch_norm:
            x = self.build.batch_norm(x, f"{name}.bn")
        return self.build.relu(x)
