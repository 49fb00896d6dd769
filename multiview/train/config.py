"""What can be chosen in training; all of it determines the result, and is part of its digest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from multiview.config import Config

__all__ = [
    "Arch",
    "AugmentConfig",
    "CpmConfig",
    "LightConfig",
    "MediaPipeConfig",
    "PalmConfig",
    "TrainConfig",
]

Arch = Literal["mediapipe", "light", "cpm", "palm"]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class CpmConfig(Config):
    """Convolutional pose machine (Wei et al., CVPR 2016; for hands Simon et al., CVPR 2017).

    Parameters
    ----------
    size_px
        Side of the input; a multiple of 8.
    width
        Of all channels, relative to the paper's (VGG-19 up to 512, 128 features).
    stages
        Predictions after one another, each with its own loss. The paper has 6.
    blocks
        Convolutions of each of the trunk's four blocks, between poolings. VGG-19's by default.
    batch_norm
        The paper's trunk starts from VGG weights and has none; from scratch it hardly learns
        without.
    loss
        `mse` (the paper's), or `cross_entropy` over each map.
    sigma
        Standard deviation of the target [map px].
    """

    size_px: int = Field(368, ge=32, le=1024, multiple_of=8)
    width: float = Field(1.0, gt=0, le=2)
    stages: int = Field(6, ge=1, le=8)
    blocks: tuple[int, int, int, int] = (2, 2, 4, 4)
    batch_norm: bool = True
    loss: Literal["mse", "cross_entropy"] = "mse"
    sigma: Positive = 1.5


class LightConfig(Config):
    """About 2 million parameters: EfficientNet-Lite0's trunk, and maps at a quarter of the size.

    Parameters
    ----------
    size_px
        Side of the input; a multiple of 32.
    width
        Of all channels; ImageNet weights need 1.
    head
        Channels of the head.
    sigma
        Standard deviation of the target [map px].
    """

    size_px: int = Field(128, ge=64, le=512, multiple_of=32)
    width: float = Field(1.0, gt=0, le=2)
    head: int = Field(96, ge=8, le=512)
    sigma: Positive = 1.5


class MediaPipeConfig(Config):
    """MediaPipe's landmark network, trained further.

    Parameters
    ----------
    network
        The shipped network to start from.
    head
        `regression`: its own outputs, run by backend `mediapipe` at no other cost. `maps`: a map a
        keypoint from its features, run by backend `heatmap`, with a confidence for each keypoint.
    channels
        Of the maps' head.
    sigma
        Of the maps' targets [map px].
    keep
        Weight of staying with the original network in what labels do not say: depth, the world
        output, and which crops hold no hand.
    negatives
        Share of a batch that shows no hand, from elsewhere in the pictures (`regression` only).
    """

    network: Literal["mediapipe-full", "mediapipe-lite"] = "mediapipe-full"
    head: Literal["regression", "maps"] = "regression"
    channels: int = Field(96, ge=8, le=512)
    sigma: Positive = 1.5
    keep: float = Field(0.5, ge=0)
    negatives: float = Field(0.125, ge=0, le=0.5)


class PalmConfig(Config):
    """MediaPipe's palm network, which finds the hands of a whole picture, trained further.

    Parameters
    ----------
    network
        The shipped network to start from.
    keep
        What the target is where no labelled hand is: this share of the original network's own
        answer. 1: pictures may hold hands without a label, which are found as before. 0: all
        hands in all pictures are labelled, so whatever else is found is wrong.
    rate
        Share of `lr`. The network has no normalisation left that would forgive a long step: at the
        full rate it found none of its hands after 25 steps, at this one it rose at once.
    max_false
        False palms a picture at which validation counts the hands found.
    turn_share
        Of the pictures that are turned by any angle, for hands may come from anywhere; the others
        are turned by up to `augment.rotate_deg`.
    scale
        Of the size, relative, larger or smaller.
    shift
        Of the middle, in sides of the picture, beside a move towards a hand.
    """

    network: Literal["mediapipe-full", "mediapipe-lite"] = "mediapipe-full"
    keep: Share = 1.0
    rate: float = Field(0.1, gt=0, le=1)
    max_false: Positive = 0.1
    turn_share: Share = 0.5
    scale: float = Field(0.6, ge=0, le=3)
    shift: float = Field(0.1, ge=0, le=0.4)


class AugmentConfig(Config):
    """How training crops vary. Angles in degrees, lengths in sides of the crop.

    The first three are uniform on plus or minus the value; those that end in ``_share`` say in how
    many crops the change happens at all.
    """

    rotate_deg: float = Field(40.0, ge=0, le=180)
    scale: float = Field(0.25, ge=0, lt=0.8)
    """Of the size, relative."""
    shift: float = Field(0.08, ge=0, le=0.4)
    colour: Share = 0.3
    """Largest change of brightness, contrast and of each channel, relative."""
    blur_share: Share = 0.2
    noise_share: Share = 0.2
    jpeg_share: Share = 0.2
    grey_share: Share = 0.1
    occlude_share: Share = 0.4
    """Covered by one or two patches of up to 0.4 of the crop, as by an object."""


class TrainConfig(Config):
    """One run of training."""

    arch: Arch = "mediapipe"
    cpm: CpmConfig = CpmConfig()
    light: LightConfig = LightConfig()
    mediapipe: MediaPipeConfig = MediaPipeConfig()
    palm: PalmConfig = PalmConfig()
    augment: AugmentConfig = AugmentConfig()
    steps: int = Field(2000, ge=1)
    batch: int = Field(16, ge=2)
    lr: Positive = 1e-3
    """Largest learning rate, reached after the warm-up; falls to 0 by a cosine."""
    pretrained_rate: float = Field(0.3, gt=0, le=1)
    """Share of it for tensors that start from trained ones."""
    warmup: Share = 0.05
    """Share of the steps."""
    weight_decay: float = Field(0.01, ge=0)
    clip: Positive = 5.0
    """Largest norm of the gradient."""
    ema: float = Field(0.99, ge=0, lt=1)
    """Decay of the running mean of the weights that is validated and exported; 0: the weights."""
    start_share: Share | None = None
    """Share of every batch that is of the start set (T_0); None: as they are in the data."""
    validation: float = Field(0.1, gt=0, lt=1)
    """Share of the hands, in whole sessions, that is never trained on."""
    validate_every: int = Field(100, ge=1)
    patience: int = Field(10, ge=1)
    """Validations without a better one after which training stops."""
    calibrate: tuple[Literal[0, 1, 2, 4, 8], ...] = (0, 2)
    """Extra crops a hand (`detect --passes`) for which confidences are fitted to the hands held
    back; none: the network's own."""
    seed: int = Field(0, ge=0)
    threads: int | None = Field(None, ge=1)
    """Of torch on the CPU; the same number gives the same result to the bit."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    amp: bool = True
    """bfloat16 where a CUDA device computes; never on the CPU."""

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.arch == "cpm" and self.cpm.stages > 1 and self.cpm.width * 128 < 4:
            raise ValueError("cpm.width leaves less than 4 channels")
        return self

    @property
    def size_px(self) -> int:
        """Side of the network's input."""
        sizes = {"cpm": self.cpm.size_px, "light": self.light.size_px}
        return (sizes | {"mediapipe": 224, "palm": 192})[self.arch]
