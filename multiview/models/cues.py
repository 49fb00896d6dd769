"""Signs by which a wrong keypoint can be told, all relative to the hand: no pixels, no image size.

A cue is one number a keypoint, shape (N, K). `hand_cues` needs one reading of a hand and costs
nothing; `spread_cues` compares readings of the same hand in several crops, which
`multiview.models.jitter` makes. `multiview.models.confidence` turns cues into probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from multiview._shapes import F64
from multiview.core import Skeleton
from multiview.models.base import ImageHands

__all__ = ["DIRECTIONS", "STEP", "hand_cues", "hand_size", "spread_cues"]

# How crops vary anyway, from the one that the palm network proposes to the one that the keypoints
# read in it ask for: shift along and across the crop in its sides, log of the side, rotation [rad].
# Robust standard deviations on 766 hands are 0.9 to 1.25 of these (experiments/05-confidence).
STEP = np.array([0.05, 0.05, 0.09, 0.13])
# Presence saturates: float32 sigmoids say nothing beyond these odds.
MAX_LOGIT = 10.0
# Distances to other fingers matter up to a finger's width; beyond a fifth of the hand, they do not.
FAR = 0.5
# Smallest spread that is told from none: crops are sampled in steps of 1/32 px.
LEAST_SPREAD = 0.003
# A reading in which the network saw no hand lies this far from the others [hand sizes].
NO_HAND = 1.0

# +1: larger is better; -1: larger is worse. The probability never moves the other way.
DIRECTIONS: Mapping[str, int] = {
    "presence": 1,
    "behind": -1,
    "clearance": 1,
    "recrop": -1,
    "spread": -1,
    "peak": 1,
    "mass": 1,
}
"""Every known cue and the sign of its effect; ``peak`` and ``mass`` are a heatmap backend's."""


def hand_size(xy_px: F64) -> F64:
    """Longer side of the tight box around the keypoints (..., K, 2) [px]; NaN where one is NaN."""
    size: F64 = np.ptp(xy_px, axis=-2).max(-1)
    return size


def hand_cues(hands: ImageHands, skeleton: Skeleton, wanted: F64) -> dict[str, F64]:
    """Cues of a single reading.

    Parameters
    ----------
    hands
        N hands; NaN rows give NaN cues.
    skeleton
        Meaning of axis K.
    wanted
        Crops that the detector would ask for, given these keypoints (`Detector.rois_of`), shape
        (N, 4).

    Returns
    -------
    dict
        Arrays (N, K): ``presence`` (log odds), ``behind`` (how far the keypoint lies behind the
        nearest one, in hand sizes; only if the detector gives depth), ``clearance`` (distance to
        the nearest bone of another finger, in hand sizes), ``recrop`` (distance between the crop
        read and the crop wanted, in `STEP`), and, if the detector has maps, ``peak`` (height of
        the keypoint's map, 0 to 1) and ``mass`` (share of the map near its peak).
    """
    count, keypoints = hands.conf.shape
    size = hand_size(hands.xy_px)[:, None]
    whole = np.where(np.isfinite(size), 1.0, np.nan) * np.ones(keypoints)
    cues = {
        "presence": _log_odds(hands.presence)[:, None] * whole,
        "clearance": _clearance(hands.xy_px, skeleton) / size,
        "recrop": np.linalg.norm(crop_steps(hands.rois, wanted), axis=1)[:, None] * whole,
    }
    if hands.z_rel is not None and count:
        cues["behind"] = (hands.z_rel - hands.z_rel.min(1, keepdims=True)) / size
    elif hands.z_rel is not None:
        cues["behind"] = np.empty((0, keypoints))
    cues["clearance"] = np.minimum(cues["clearance"], FAR)
    of_maps = {"peak": hands.peak, "mass": hands.mass}
    return cues | {name: cue * whole for name, cue in of_maps.items() if cue is not None}


def spread_cues(readings: F64, centre: F64) -> dict[str, F64]:
    """Cues of several readings.

    Parameters
    ----------
    readings
        The same hand read in R crops, shape (N, R, K, 2) [px]; NaN where a crop showed no hand.
    centre
        What is returned for the hand, shape (N, K, 2) [px].

    Returns
    -------
    dict
        ``spread``, shape (N, K): logarithm of the mean distance of a keypoint's readings from the
        centre, in hand sizes.
    """
    size = hand_size(centre)[:, None, None]
    distance = np.linalg.norm(readings - centre[:, None], axis=-1) / size
    distance = np.where(np.isfinite(distance), distance, NO_HAND)
    whole = np.where(np.isfinite(size[:, 0]), 1.0, np.nan)
    return {"spread": np.log(distance.mean(1) + LEAST_SPREAD) * whole}


def crop_steps(rois: F64, others: F64) -> F64:
    """Difference of two crops in units of `STEP`: along x, y, log side, rotation, shape (N, 4)."""
    cos, sin = np.cos(rois[:, 3]), np.sin(rois[:, 3])
    dx, dy = ((others[:, :2] - rois[:, :2]) / rois[:, 2:3]).T
    turn = others[:, 3] - rois[:, 3]
    steps = [
        cos * dx + sin * dy,
        cos * dy - sin * dx,
        np.log(others[:, 2] / rois[:, 2]),
        (turn + np.pi) % (2 * np.pi) - np.pi,
    ]
    scaled: F64 = np.stack(steps, axis=1) / STEP
    return scaled


def _log_odds(p: F64) -> F64:
    with np.errstate(divide="ignore"):
        odds = np.log(p) - np.log1p(-p)
    return np.asarray(np.clip(odds, -MAX_LOGIT, MAX_LOGIT))


def _clearance(xy: F64, skeleton: Skeleton) -> F64:
    """Distance of every keypoint to the nearest bone of another group, shape (N, K) [px]."""
    start, end = np.array(skeleton.edges, np.int64).reshape(-1, 2).T
    group, k = skeleton.group_index, np.arange(len(skeleton.keypoints))
    own = (group[k][:, None] == group[end]) | (k[:, None] == start) | (k[:, None] == end)
    if not len(start):
        return np.full(xy.shape[:-1], np.inf)
    a, along = xy[:, None, start], (xy[:, end] - xy[:, start])[:, None]
    length2 = np.maximum((along**2).sum(-1), np.finfo(float).tiny)
    t = np.clip(((xy[:, :, None] - a) * along).sum(-1) / length2, 0, 1)
    distance = np.linalg.norm(xy[:, :, None] - a - t[..., None] * along, axis=-1)
    nearest: F64 = np.where(own, np.inf, distance).min(-1)
    return nearest
