"""Stage one of MediaPipe Hands: where palms are, and how they are turned.

Follows the calculators of mediapipe 0.10.21 (SSD anchors, decoding, weighted suppression, palm to
rectangle, association); numbers below are those of its graph.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.models._crops import (
    blob,
    letterbox,
    overlap,
    roi_of_box,
    rotation_up,
    sample_letterbox,
)
from multiview.models.base import U8
from multiview.models.runtime import Network, run_each

INPUT_SIZE = 192
OUTPUTS = ("boxes", "scores")
GRIDS = ((24, 2), (12, 6))  # cells a side, anchors a cell: strides 8 and 16, 2016 anchors in all
LOGIT_LIMIT = 100.0
SAME_PALM = 0.3  # overlap above which two palm boxes are averaged
SAME_HAND = 0.5  # overlap above which two crops show one hand
WRIST, MIDDLE_BASE = 0, 2  # among the seven keypoints of a palm
ROI_SHIFT, ROI_SCALE = -0.5, 2.6


@functools.cache
def anchors() -> F64:
    """Anchor centres in the unit square, shape (2016, 2), x first; all anchors have size 1."""
    layers = []
    for cells, repeats in GRIDS:
        ticks = (np.arange(cells) + 0.5) / cells
        centres = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
        layers.append(np.repeat(centres, repeats, axis=0))
    return np.concatenate(layers)


def decode(raw: F64, logits: F64, min_score: float) -> tuple[F64, F64]:
    """Turn network outputs into palms.

    Parameters
    ----------
    raw
        Box and keypoints per anchor, shape (2016, 18): centre x, y, width, height, then 7 points,
        in input pixels relative to the anchor.
    logits
        Score per anchor, shape (2016,).
    min_score
        Palms below are dropped.

    Returns
    -------
    tuple
        Scores (M,) and palms (M, 9, 2) in the unit square: corner, opposite corner, 7 keypoints.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT)))
    keep = (scores >= min_score) & np.all(raw[:, 2:4] >= 0, axis=1)
    values = raw[keep].reshape(-1, 9, 2) / INPUT_SIZE
    centre, half = values[:, 0] + anchors()[keep], values[:, 1] / 2
    keypoints = values[:, 2:] + anchors()[keep][:, None]
    palms = np.concatenate([(centre - half)[:, None], (centre + half)[:, None], keypoints], axis=1)
    return scores[keep], palms


def suppress(scores: F64, palms: F64) -> tuple[F64, F64]:
    """Weighted non-maximum suppression: overlapping palms become their score-weighted mean.

    Returns
    -------
    tuple
        Best score of each group, descending, and the mean palms.
    """
    rest = np.argsort(-scores, kind="stable")
    best, means = [], []
    while rest.size:
        boxes = palms[rest, :2].reshape(-1, 4)
        same = overlap(boxes, boxes[0]) > SAME_PALM
        same[0] = True  # also when its box is empty and overlaps nothing
        group = rest[same]
        best.append(scores[group[0]])
        means.append(np.average(palms[group], axis=0, weights=scores[group]))
        rest = rest[~same]
    return np.array(best), np.array(means).reshape(-1, *palms.shape[1:])


def palm_to_roi(palm: F64) -> F64:
    """Crop that shows the whole hand of a palm (9, 2) [px]: fingers up, wrist at the bottom."""
    keypoints = palm[2:]
    angle = rotation_up(keypoints[WRIST], keypoints[MIDDLE_BASE])
    box = np.concatenate([palm[:2].mean(axis=0), palm[1] - palm[0]])
    return roi_of_box(box, angle, ROI_SHIFT, ROI_SCALE)


def distinct(rois: F64) -> NDArray[np.int64]:
    """Rows that show different hands; of two that overlap the later stays, as in MediaPipe.

    The overlap is that of the unrotated squares.
    """
    boxes = np.concatenate([rois[:, :2] - rois[:, 2:3] / 2, rois[:, :2] + rois[:, 2:3] / 2], axis=1)
    kept: list[int] = []
    for row in range(len(rois)):
        kept = [k for k in kept if overlap(boxes[row], boxes[k]) <= SAME_HAND] + [row]
    return np.array(kept, np.int64)


def find_palms(net: Network, images: Sequence[U8], max_hands: int, min_score: float) -> list[F64]:
    """Crops of the hands of BGR images: (N, 4) each, N <= max_hands, best palm first."""
    inputs = (blob(sample_letterbox(image, INPUT_SIZE)) for image in images)
    rois = []
    for image, found in zip(images, run_each(net, inputs), strict=True):
        raw, logits = (np.asarray(found[name], np.float64) for name in OUTPUTS)
        scores, palms = decode(raw.reshape(-1, 18), logits.reshape(-1), min_score)
        _, palms = suppress(scores, palms)
        square = letterbox(image.shape[1], image.shape[0])
        palms_px = (palms[:max_hands] - 0.5) * square[2] + square[:2]
        hands = np.array([palm_to_roi(palm) for palm in palms_px]).reshape(-1, 4)
        rois.append(hands[distinct(hands)])
    return rois
