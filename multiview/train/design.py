"""An architecture ready to train: its graph, what the loss looks at, and what the card will say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from multiview.models.card import CropSpec, InputSpec
from multiview.train.config import TrainConfig

__all__ = ["Design", "build_design", "odd_blur"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A network to train.

    Parameters
    ----------
    model
        ONNX graph with starting weights.
    outputs
        What the exported network gives.
    learnt
        Tensors that the loss looks at, in the order of the loss.
    loss
        Which loss: `cross_entropy` and `mse` look at maps, `landmarks` and `palms` at
        MediaPipe's outputs.
    input, crop
        As on the card.
    keypoints
        Number of keypoints; with `background` there is one map more.
    sigma
        Of the targets [map px].
    trained
        Tensors that start from trained ones.
    rate
        Share of the learning rate that it bears.
    about, start
        What it is and where its weights start, for the card.
    """

    model: Any
    outputs: tuple[str, ...]
    learnt: tuple[str, ...]
    loss: Literal["cross_entropy", "mse", "landmarks", "palms"]
    input: InputSpec
    crop: CropSpec
    keypoints: int
    background: bool = False
    sigma: float = 1.5
    trained: frozenset[str] = frozenset()
    rate: float = 1.0
    about: str = ""
    start: str = "random weights"

    @property
    def size_px(self) -> int:
        """Side of the input."""
        return self.input.size_hw[0]

    @property
    def by_landmarks(self) -> bool:
        """Whether crops follow MediaPipe's rule and the outputs are coordinates."""
        return self.loss == "landmarks"

    @property
    def keeps(self) -> bool:
        """Whether the loss also looks at what the original network says."""
        return self.loss in {"landmarks", "palms"}

    @property
    def part(self) -> str:
        """Key of the network among the weights of its card."""
        return {"landmarks": "hand", "palms": "palm"}.get(self.loss, "maps")


def build_design(config: TrainConfig, keypoints: int = 21) -> Design:
    """Build the architecture that a configuration names.

    Raises
    ------
    InputError
        If it cannot have so many keypoints.
    """
    if config.arch == "cpm":
        from multiview.train.cpm import cpm_design

        return cpm_design(config.cpm, keypoints, config.seed)
    if config.arch == "light":
        from multiview.train.light import light_design

        return light_design(config.light, keypoints, config.seed)
    if config.arch == "palm":
        from multiview.train.palm import palm_design

        return palm_design(config.palm, keypoints)
    from multiview.train.landmark import landmark_design

    return landmark_design(config.mediapipe, keypoints, config.seed)


def odd_blur(sigma: float) -> int:
    """Width of the decoding's kernel that fits blobs of this size [map px]; see docs/models.md."""
    return max(2 * round((5.5 * sigma - 1) / 2) + 1, 3)
