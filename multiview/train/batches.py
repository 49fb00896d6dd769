"""Batches as a function of the step alone: nothing to store, so training resumes exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, BoolArray
from multiview.models._crops import F32
from multiview.models.base import U8
from multiview.models.card import InputSpec
from multiview.models.keypoint_network import as_input
from multiview.train.augment import augment, centre_crop
from multiview.train.config import AugmentConfig, TrainConfig
from multiview.train.crops import CropSet

__all__ = ["Batch", "Order", "Rows", "made_ahead", "plain_batches", "training_batches"]

Made = TypeVar("Made")


class Rows(Protocol):
    """What an order needs to know of what it orders: crops, or whole pictures."""

    @property
    def hand(self) -> BoolArray:
        """Whether a row shows a hand."""

    @property
    def start(self) -> BoolArray:
        """Whether it is of the start set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """B crops as the network sees them, and their labels in its pixels.

    Parameters
    ----------
    image
        Network input, shape (B, 3, n, n).
    uv, weight, sigma
        Shapes (B, K, 2), (B, K), (B, K); uv is 0 and the weight 0 where there is no label in the
        crop.
    right, hand
        Shape (B,).
    size
        Longer side of the hand [px], shape (B,).
    """

    image: F32
    uv: F64
    weight: F64
    sigma: F64
    right: F64
    hand: BoolArray
    size: F64


class Order:
    """Which rows make the batch of a step.

    Every source is gone through in a new random order each epoch; a batch takes a fixed number of
    each, so a small start set is neither drowned nor left out.

    Parameters
    ----------
    crops
        All crops, or pictures.
    config
        Batch size, shares, seed.

    Attributes
    ----------
    sources
        Rows of each source, and how many of it a batch has.
    """

    def __init__(self, crops: Rows, config: TrainConfig, negatives: float = 0.0) -> None:
        self._seed = config.seed
        empty = np.flatnonzero(~crops.hand)
        start, rest = (
            np.flatnonzero(crops.hand & crops.start),
            np.flatnonzero(crops.hand & ~crops.start),
        )
        none = round(negatives * config.batch) if empty.size else 0
        hands = config.batch - none
        if config.start_share is None or not start.size or not rest.size:
            parts = [(np.concatenate([start, rest]), hands)]
        else:
            of_start = round(config.start_share * hands)
            parts = [(start, of_start), (rest, hands - of_start)]
        self.sources = [(rows, count) for rows, count in [*parts, (empty, none)] if count]

    def rows(self, step: int) -> list[tuple[int, int]]:
        """Rows of the batch of a step, each with its epoch."""
        chosen = []
        for number, (rows, count) in enumerate(self.sources):
            for at in range(step * count, (step + 1) * count):
                epoch, place = divmod(at, len(rows))
                chosen.append((int(rows[self._shuffle(number, epoch, len(rows))[place]]), epoch))
        return chosen

    def _shuffle(self, source: int, epoch: int, count: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._seed, 20, source, epoch]).permutation(count)


def training_batches(
    crops: CropSet,
    order: Order,
    size: int,
    spec: InputSpec,
    config: AugmentConfig,
    *,
    steps: range,
    seed: int,
) -> Iterator[Batch]:
    """Give the augmented batches of these steps; the next one is made while one is used.

    Parameters
    ----------
    crops, order
        The data.
    size, spec
        Of the network's input.
    config, seed
        Augmentation; a crop depends on the seed, its row and the epoch only.
    steps
        Numbers of the batches.
    """

    def make(step: int) -> Batch:
        made = []
        for row, epoch in order.rows(step):
            rng = np.random.default_rng([seed, 21, row, epoch])
            made.append(augment(crops.image(row), crops.uv[row], size, config, rng))
        rows = np.array([row for row, _ in order.rows(step)])
        zoom = np.array([z for *_, z in made])
        return _batch(crops, rows, [c for c, *_ in made], [u for _, u, _ in made], zoom, spec)

    return made_ahead(make, steps)


def made_ahead(make: Callable[[int], Made], steps: range) -> Iterator[Made]:
    """Make a thing for each step, the next one while one is used."""
    with ThreadPoolExecutor(1) as pool:
        ahead = None
        for step in steps:
            ready = ahead.result() if ahead else make(step)
            ahead = pool.submit(make, step + 1) if step + 1 in steps else None
            yield ready


def plain_batches(crops: CropSet, size: int, spec: InputSpec, count: int) -> Iterator[Batch]:
    """Give all crops that show a hand once, as detection would see them."""
    rows = np.flatnonzero(crops.hand)
    for at in range(0, len(rows), count):
        part = rows[at : at + count]
        made = [centre_crop(crops.image(n), crops.uv[n], size) for n in part.tolist()]
        zoom = np.ones(len(part))
        yield _batch(crops, part, [c for c, _ in made], [u for _, u in made], zoom, spec)


def _batch(
    crops: CropSet,
    rows: NDArray[np.int64],
    images: list[U8],
    points: list[F64],
    zoom: F64,
    spec: InputSpec,
) -> Batch:
    uv, size = np.stack(points), images[0].shape[0]
    inside = ((uv > -0.5) & (uv < size - 0.5)).all(-1)
    return Batch(
        image=as_input(np.stack(images), spec),
        uv=np.where(inside[..., None], uv, 0.0),
        weight=np.where(inside, crops.weight[rows], 0.0),
        sigma=crops.sigma[rows] * zoom[:, None],
        right=crops.right[rows],
        hand=crops.hand[rows],
        size=crops.size[rows] * zoom,
    )
