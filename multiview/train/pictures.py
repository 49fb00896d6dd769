"""Whole pictures with all their labelled hands: what the network that finds hands learns from.

A picture is stored once, letterboxed as detection does it, half as large again as the network
sees it, so that it can be enlarged without inventing pixels. Pixels follow
`multiview.models._crops`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, BoolArray
from multiview.errors import InputError
from multiview.models._crops import F32, letterbox, sample_letterbox
from multiview.models.base import U8
from multiview.models.card import InputSpec
from multiview.models.keypoint_network import as_input
from multiview.models.mediapipe_palm import INPUT_SIZE, anchors
from multiview.train.augment import cover, disturb, take_view, view_matrix
from multiview.train.batches import Order, made_ahead
from multiview.train.config import AugmentConfig, PalmConfig, TrainConfig
from multiview.train.hands import TrainingHands
from multiview.train.palm import match_anchors, palms_of, wanted_boxes

__all__ = ["PalmBatch", "PictureSet", "picture_batches", "plain_inputs", "store_pictures"]

ENLARGED = 1.5
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95]
SMALLEST = 6.0  # side of a palm [input px] below which nothing tells it from a face far away
# Patches over a palm, in its sides: how wide, and how far from its middle at least, so that some of
# it is left to see.
PATCH, ASIDE = (0.3, 0.9), (0.4, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSet:
    """Stored pictures and their labels in stored pixels.

    Parameters
    ----------
    jpegs
        The pictures, `side` px wide and high.
    side
        Width of a stored picture [px].
    xy
        Keypoints of each picture's hands, each (H, 21, 2); NaN where not labelled.
    start
        Whether a hand of it is of the start set, shape (N,).
    """

    jpegs: tuple[bytes, ...]
    side: int
    xy: tuple[F64, ...]
    start: BoolArray

    def __len__(self) -> int:
        return len(self.jpegs)

    @property
    def hand(self) -> BoolArray:
        """Every picture shows a labelled hand, shape (N,)."""
        return np.ones(len(self), np.bool_)

    @property
    def hands(self) -> int:
        """Hands with a whole palm, in all pictures."""
        return sum(int(np.isfinite(palms_of(xy)).all((1, 2)).sum()) for xy in self.xy)

    def image(self, n: int) -> U8:
        """Decode a picture, (side, side, 3) BGR."""
        data = np.frombuffer(self.jpegs[n], np.uint8)
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class PalmBatch:
    """B pictures as the network sees them, and what its anchors should answer.

    Parameters
    ----------
    image
        Network input, shape (B, 3, n, n).
    picture, anchor
        Picture and anchor of each answer, shape (P,).
    box, side
        What it should be, shape (P, 18), and the side of its palm [px], shape (P,).
    silent
        Anchors that have nothing to answer, shape (B, 2016); those of neither may do as they like.
    """

    image: F32
    picture: NDArray[np.int64]
    anchor: NDArray[np.int64]
    box: F64
    side: F64
    silent: BoolArray


def store_pictures(
    hands: TrainingHands,
    read: Callable[[str], U8],
    *,
    enlarged: float = ENLARGED,
    progress: Callable[[int, int], None] | None = None,
) -> PictureSet:
    """Read every picture once.

    Parameters
    ----------
    hands
        Labels; those with weight 0 do not count.
    read
        Gives the BGR picture of a name in ``hands.picture``.
    enlarged
        Side of a stored picture in sides of the network's input; 1 to validate, as detection sees.
    progress
        Called with the number of pictures read, and of all.

    Raises
    ------
    InputError
        If no hand has a whole palm.
    """
    xy_px = np.where(hands.weight[..., None] > 0, hands.xy_px, np.nan)
    members: dict[str, list[int]] = {}
    for n, name in enumerate(hands.picture):
        members.setdefault(name, []).append(n)
    side, jpegs, points = round(enlarged * INPUT_SIZE), list[bytes](), list[F64]()
    for done, (name, rows) in enumerate(members.items(), 1):
        picture = read(name)
        square = letterbox(picture.shape[1], picture.shape[0])
        stored = sample_letterbox(picture, side)
        jpegs.append(bytes(cv2.imencode(".jpg", stored, JPEG)[1].tobytes()))
        points.append(((xy_px[rows] - square[:2]) / square[2] + 0.5) * side)
        if progress is not None:
            progress(done, len(members))
    start = np.array([hands.start[rows].any() for rows in members.values()], np.bool_)
    pictures = PictureSet(jpegs=tuple(jpegs), side=side, xy=tuple(points), start=start)
    if not pictures.hands:
        raise InputError(
            f"none of {len(hands)} hands has a whole labelled palm",
            "wrist, thumb base and the four knuckles must be labelled to learn where palms are",
        )
    return pictures


def picture_batches(
    pictures: PictureSet, order: Order, spec: InputSpec, config: TrainConfig, steps: range
) -> Iterator[PalmBatch]:
    """Give the augmented batches of these steps; a picture depends on seed, row and epoch only."""

    def make(step: int) -> PalmBatch:
        images, points = [], []
        for row, epoch in order.rows(step):
            rng = np.random.default_rng([config.seed, 22, row, epoch])
            stored = pictures.image(row), pictures.xy[row]
            image, xy = vary_picture(*stored, config.palm, config.augment, rng)
            images.append(image)
            points.append(xy)
        return palm_batch(as_input(np.stack(images), spec), points)

    return made_ahead(make, steps)


def plain_inputs(
    pictures: PictureSet, spec: InputSpec, count: int
) -> Iterator[tuple[F32, list[F64]]]:
    """Give all pictures once, as detection sees them, and the keypoints in them."""
    for at in range(0, len(pictures), count):
        rows, images, points = range(at, min(at + count, len(pictures))), [], []
        matrix = view_matrix(
            pictures.side, INPUT_SIZE, 0.0, pictures.side / INPUT_SIZE, np.zeros(2)
        )
        for row in rows:
            image, xy = take_view(pictures.image(row), pictures.xy[row], INPUT_SIZE, matrix)
            images.append(image)
            points.append(xy)
        yield as_input(np.stack(images), spec), points


def vary_picture(
    image: U8, xy: F64, config: PalmConfig, augment: AugmentConfig, rng: np.random.Generator
) -> tuple[U8, F64]:
    """Turn, scale, shift, mirror, cover, blur and discolour a stored picture.

    Returns
    -------
    tuple
        Network input (192, 192, 3), and the hands' keypoints in it.
    """
    most = 180.0 if rng.random() < config.turn_share else augment.rotate_deg
    angle = np.deg2rad(rng.uniform(-most, most))
    zoom = np.exp(rng.uniform(-1, 1) * np.log1p(config.scale))
    side = image.shape[0]
    shift = rng.uniform(-config.shift, config.shift, 2) * side
    # towards a hand, or enlarged pictures would show none
    hand = xy[rng.integers(len(xy))]
    known = hand[np.isfinite(hand).all(1)]
    shift += rng.random() * (known.mean(axis=0) - side / 2 if len(known) else 0.0)
    matrix = view_matrix(side, INPUT_SIZE, angle, side / INPUT_SIZE / zoom, shift)
    view, moved = take_view(image, xy, INPUT_SIZE, matrix, cv2.BORDER_CONSTANT)
    if rng.random() < 0.5:
        view = np.ascontiguousarray(view[:, ::-1])
        moved = np.stack([INPUT_SIZE - 1 - moved[..., 0], moved[..., 1]], axis=-1)
    return disturb(view, augment, rng, lambda v, r: _cover_parts(v, moved, r)), moved


def _cover_parts(view: U8, xy: F64, rng: np.random.Generator) -> U8:
    """Hide a part of every palm, as an object in the hand does."""
    for palm in palms_of(xy):
        side = palm[1, 0] - palm[0, 0]
        if np.isfinite(side) and side > SMALLEST:
            angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(*ASIDE) * side
            centre = palm[:2].mean(axis=0) + away * np.array([np.cos(angle), np.sin(angle)])
            view = cover(view, centre, rng.uniform(*PATCH, 2) * side, rng)
    return view


def palm_batch(image: F32, points: list[F64]) -> PalmBatch:
    """Say what the anchors should answer to pictures with these hands [input px]."""
    answers, silent = [], []
    for n, xy in enumerate(points):
        palms = palms_of(xy)
        seen = _in_view(palms)
        row, near = match_anchors(palms[seen])
        free = (near >= 0) | _about(xy[~seen])
        silent.append((row < 0) & ~free)
        at = np.flatnonzero(row >= 0)
        sides = palms[seen][row[at], 1, 0] - palms[seen][row[at], 0, 0]
        answers.append((np.full(len(at), n), at, wanted_boxes(palms[seen], row[at], at), sides))
    picture, anchor, box, side = (np.concatenate(parts) for parts in zip(*answers, strict=True))
    return PalmBatch(
        image=image, picture=picture, anchor=anchor, box=box, side=side, silent=np.stack(silent)
    )


def _in_view(palms: F64) -> BoolArray:
    """Whole palms whose middle and most of whose keypoints the picture shows, shape (H,)."""
    inside = np.asarray(((palms > -0.5) & (palms < INPUT_SIZE - 0.5)).all(-1), np.bool_)
    middle = palms[:, :2].mean(axis=1)
    shown = ((middle > 0) & (middle < INPUT_SIZE)).all(-1) & (inside[:, 2:].mean(axis=1) > 0.5)
    return np.asarray(shown & (palms[:, 1, 0] - palms[:, 0, 0] > SMALLEST), np.bool_)


def _about(xy: F64) -> BoolArray:
    """Anchors within the box of hands that are cut off or labelled in parts, shape (2016,)."""
    at, about = anchors() * INPUT_SIZE, np.zeros(len(anchors()), np.bool_)
    for points in xy:
        known = points[np.isfinite(points).all(1)]
        if len(known):
            low, high = known.min(axis=0), known.max(axis=0)
            margin = (high - low).max() / 2  # fingers alone: the palm is beside them
            about |= ((at > low - margin) & (at < high + margin)).all(1)
    return about
