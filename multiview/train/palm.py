"""MediaPipe's palm network as a start, and what it should say of labelled hands.

The constants were measured on the shipped full network; `experiments/17-trainer/palm.py measure`
prints them again.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.models.card import InputSpec
from multiview.models.mediapipe import KEYPOINTS
from multiview.models.mediapipe_palm import GRIDS, INPUT_SIZE, OUTPUTS, anchors, palm_to_roi
from multiview.train.config import PalmConfig
from multiview.train.design import Design
from multiview.train.shipped import open_shipped

__all__ = [
    "anchor_sizes",
    "match_anchors",
    "palm_design",
    "palms_of",
    "rois_of_palms",
    "wanted_boxes",
]

# Of `HAND_21`: wrist, four knuckles from the index's, and the thumb's first two joints.
PALM_KEYPOINTS = (0, 5, 9, 13, 17, 1, 2)
# Side of the shipped network's boxes in longer sides of the box around its own 7 keypoints: median
# of 223 views of start4 (5 to 95 %: 0.98 to 1.12; 1.02 where views are enlarged, so that palms of
# all sizes are seen); the middles agree to 1 %.
BOX = 1.03
# Palm sides [px] that each kind of anchor is for, those of the finer grid first: in the shipped
# network each answers palms from 0.7 to 1.4 times its size, the first all smaller ones too, and the
# last all larger ones.
SIZES = (24.7, 35.0, 47.0, 62.0, 78.0, 93.0, 109.0, 130.0)
# Overlap of palm and anchor: above the first the shipped network answers, below the second it is
# silent (its answer falls through 0.5 a third of a side away, as boxes that overlap by half do).
SAME, OTHER = 0.5, 0.35


def palm_design(config: PalmConfig, keypoints: int) -> Design:
    """Build the network from the shipped file.

    Raises
    ------
    InputError
        If the keypoints are not the 21 of a hand.
    """
    needs = f"palms are known by the {KEYPOINTS} keypoints of a hand"
    card, model = open_shipped(config.network, "palm", keypoints, needs)
    size = (INPUT_SIZE, INPUT_SIZE)
    return Design(
        model=model,
        outputs=OUTPUTS,
        learnt=OUTPUTS,
        loss="palms",
        input=InputSpec(size_hw=size, channels="RGB", scale=1 / 255),
        crop=card.crop,
        keypoints=keypoints,
        rate=config.rate,
        trained=frozenset(t.name for t in model.graph.initializer),
        about=f"palm network of {config.network}, trained further",
        start=f"{config.network} ({card.source})",
    )


def palms_of(xy: F64) -> F64:
    """Palms as the network gives them, of hands (H, 21, 2).

    Returns
    -------
    ndarray
        Shape (H, 9, 2): corner, opposite corner, 7 keypoints; NaN where one of these is missing.
    """
    keypoints = xy[:, PALM_KEYPOINTS]
    low, high = keypoints.min(axis=1), keypoints.max(axis=1)
    half = BOX * (high - low).max(axis=1, keepdims=True) / 2
    centre = (low + high) / 2
    palms = np.concatenate([(centre - half)[:, None], (centre + half)[:, None], keypoints], axis=1)
    return np.where(np.isfinite(palms).all((1, 2), keepdims=True), palms, np.nan)


def rois_of_palms(palms: F64) -> F64:
    """Crops (N, 4) that the landmark network is given for palms (N, 9, 2)."""
    return np.array([palm_to_roi(palm) for palm in palms]).reshape(-1, 4)


@functools.cache
def anchor_sizes() -> F64:
    """Sizes of all anchors [px], shape (2016,)."""
    sizes, kinds = [], iter(SIZES)
    for cells, repeats in GRIDS:
        sizes.append(np.tile([next(kinds) for _ in range(repeats)], cells * cells))
    return np.concatenate(sizes)


def match_anchors(palms: F64) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Say which palm each anchor should answer.

    Parameters
    ----------
    palms
        In input pixels, shape (H, 9, 2), complete.

    Returns
    -------
    tuple
        Two arrays of shape (2016,): row of the palm that the anchor answers, -1 for none; and row
        of the palm that it overlaps so far that it may as well answer as not, -1 for none.
    """
    none = np.full(len(anchor_sizes()), -1)
    if not len(palms):
        return none, none
    shared = np.stack([_overlap(palm) for palm in palms])
    nearest = shared.argmax(axis=0)
    most = shared.max(axis=0)
    answers = np.where(most >= SAME, nearest, -1)
    # alone a palm overlaps some anchor by 0.54 wherever it lies; among others it needs one too
    answers[shared.argmax(axis=1)] = np.arange(len(palms))
    return answers, np.where((most >= OTHER) & (answers < 0), nearest, -1)


def _overlap(palm: F64) -> F64:
    """Intersection over union of a palm's box and those of all anchors, shape (2016,).

    Palms smaller than the smallest anchor or larger than the largest count as they.
    """
    centre = palm[:2].mean(axis=0)
    side = np.clip(palm[1, 0] - palm[0, 0], SIZES[0], SIZES[-1])
    sizes, away = anchor_sizes(), np.abs(anchors() * INPUT_SIZE - centre)
    along = np.clip(np.minimum(side, (side + sizes[:, None]) / 2 - away), 0, sizes[:, None])
    shared = along.prod(axis=1)
    overlap: F64 = shared / (side**2 + sizes**2 - shared)
    return overlap


def wanted_boxes(palms: F64, rows: NDArray[np.int64], at: NDArray[np.int64]) -> F64:
    """Say what anchors should answer, shape (P, 18): middle, width and height, 7 keypoints [px].

    Parameters
    ----------
    palms
        In input pixels, shape (H, 9, 2).
    rows, at
        Palm and anchor of each answer, shape (P,).
    """
    palm, origin = palms[rows], anchors()[at] * INPUT_SIZE
    middle, size = palm[:, :2].mean(axis=1) - origin, palm[:, 1] - palm[:, 0]
    keypoints = palm[:, 2:] - origin[:, None]
    return np.concatenate([middle, size, keypoints.reshape(-1, 14)], axis=1)
