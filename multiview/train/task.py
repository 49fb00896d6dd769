"""What differs between trainings: batches, loss and score. The loop is the same for all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from multiview.models._crops import F32
from multiview.train.batches import Order, plain_batches, training_batches
from multiview.train.config import TrainConfig
from multiview.train.crops import CropSet
from multiview.train.design import Design
from multiview.train.graph_net import GraphNet
from multiview.train.loss import Targets, landmark_loss, maps_loss
from multiview.train.palm_loss import palm_loss
from multiview.train.palm_score import PalmScore, validate_palms
from multiview.train.pictures import PictureSet, picture_batches, plain_inputs
from multiview.train.validate import Score, validate

__all__ = ["AnyScore", "Examples", "Task", "some_inputs", "task_of"]

AnyScore = Score | PalmScore
Examples = CropSet | PictureSet


class Task(Protocol):
    """What the loop asks."""

    @property
    def score(self) -> type[AnyScore]:
        """What is made of a checkpoint's fields again."""

    def batches(self, steps: range) -> Iterator[Any]:
        """Give the batches of these steps, each with an `image`."""

    def loss(
        self, found: list[Tensor], kept: list[Tensor], batch: Any, device: torch.device
    ) -> Tensor:
        """Judge what `Design.learnt` names; ``kept`` of the original network, or empty."""

    def validate(self, net: GraphNet, device: torch.device) -> AnyScore:
        """Score the network on what was held back."""


def task_of(design: Design, config: TrainConfig, learn: Examples, held: Examples) -> Task:
    """Choose by what is trained: keypoints in crops, or palms in pictures."""
    if isinstance(learn, PictureSet) and isinstance(held, PictureSet):
        return _Palms(design, config, learn, held)
    assert isinstance(learn, CropSet)
    assert isinstance(held, CropSet)
    return _Keypoints(design, config, learn, held)


def some_inputs(examples: Examples, design: Design, count: int) -> F32:
    """Network inputs as detection would make them, shape (at most count, 3, n, n)."""
    if isinstance(examples, PictureSet):
        return next(plain_inputs(examples, design.input, count))[0]
    return next(plain_batches(examples, design.size_px, design.input, count)).image


class _Keypoints:
    score = Score

    def __init__(self, design: Design, config: TrainConfig, learn: CropSet, held: CropSet) -> None:
        self._design, self._config, self._learn, self._held = design, config, learn, held
        negatives = config.mediapipe.negatives if design.by_landmarks else 0.0
        self._order = Order(learn, config, negatives)

    def batches(self, steps: range) -> Iterator[Any]:
        design, config = self._design, self._config
        return training_batches(
            self._learn,
            self._order,
            design.size_px,
            design.input,
            config.augment,
            steps=steps,
            seed=config.seed,
        )

    def loss(
        self, found: list[Tensor], kept: list[Tensor], batch: Any, device: torch.device
    ) -> Tensor:
        targets, keep = Targets.of(batch, device), self._config.mediapipe.keep
        if not kept:
            return maps_loss(found, targets, self._design)
        return landmark_loss(found, kept, targets, self._design.size_px, keep)

    def validate(self, net: GraphNet, device: torch.device) -> AnyScore:
        return validate(net, self._held, self._design, device)


class _Palms:
    score = PalmScore

    def __init__(
        self, design: Design, config: TrainConfig, learn: PictureSet, held: PictureSet
    ) -> None:
        self._design, self._config, self._learn, self._held = design, config, learn, held
        self._order = Order(learn, config)

    def batches(self, steps: range) -> Iterator[Any]:
        return picture_batches(self._learn, self._order, self._design.input, self._config, steps)

    def loss(
        self, found: list[Tensor], kept: list[Tensor], batch: Any, device: torch.device
    ) -> Tensor:
        return palm_loss(found, kept, batch, self._config.palm.keep)

    def validate(self, net: GraphNet, device: torch.device) -> AnyScore:
        limit = self._config.palm.max_false
        return validate_palms(net, self._held, self._design.input, limit, device)
