"""Left or right: the detector's opinions summed over views and time, and how the fingers bend."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, IntArray
from multiview.core import Skeleton

__all__ = ["BENT", "BENT_LOGIT", "MAX_LOGIT", "bend", "log_odds", "sides_of_tracks"]

# One view's opinion on left/right is worth at most this: it may be wrong with any confidence.
MAX_LOGIT = float(np.log(0.95 / 0.05))
# Fingers whose joints bend one way only, and the ends of the knuckle line.
FINGERS = ("index", "middle", "ring", "little")
# Bending (mean sine) of this much and more is clear: fingers over-stretch by 0.1 at most. On
# webcams six in seven clear bends were of the voted side (experiments/14-association).
BENT, BENT_LOGIT = 0.3, float(np.log(6))


def log_odds(right: F64, slot: IntArray) -> F64:
    """Sum the log odds of "right" over the views that carry each hand.

    Parameters
    ----------
    right
        Probability of every candidate, shape (V, F, S); NaN where unknown.
    slot
        Candidate of each view, shape (F, V, R), -1 for none.
    """
    p = np.take_along_axis(right.transpose(1, 0, 2), np.maximum(slot, 0), axis=2)
    logit = np.clip(np.log(np.clip(p, 1e-6, 1) / np.clip(1 - p, 1e-6, 1)), -MAX_LOGIT, MAX_LOGIT)
    return np.asarray(np.where((slot >= 0) & np.isfinite(p), logit, 0.0).sum(1))


def bend(xyz: F64, skeleton: Skeleton) -> F64:
    """Tell left from right by the way the fingers bend: towards the palm.

    The two outer joints of a finger bend about the line of the knuckles, from index to little, in
    one direction only (up to 100 degrees, against 10 of over-stretching); in a mirrored hand it is
    the other.

    Parameters
    ----------
    xyz
        Hands, shape (..., K, 3).
    skeleton
        With groups called `FINGERS` of four; for any other the answer is 0.

    Returns
    -------
    F64
        Mean sine of the bends, signed, shape (...): positive for a right hand; 0 where unknown.
    """
    groups = [skeleton.groups.get(name, ()) for name in FINGERS]
    if any(len(g) != 4 for g in groups):
        return np.zeros(xyz.shape[:-2])
    fingers = np.stack([xyz[..., list(g), :] for g in groups], axis=-3)
    across = fingers[..., -1, 0, :] - fingers[..., 0, 0, :]
    bones = np.diff(fingers, axis=-2)
    turn = np.cross(bones[..., :-1, :], bones[..., 1:, :])
    length = np.linalg.norm(bones, axis=-1)
    scale = length[..., :-1] * length[..., 1:] * np.linalg.norm(across, axis=-1)[..., None, None]
    sine = -(turn * across[..., None, None, :]).sum(-1)
    known = np.isfinite(sine) & (scale > 0)
    ratio = np.where(known, sine / np.where(known, scale, 1.0), 0.0)
    return np.asarray(ratio.sum((-1, -2)) / np.maximum(known.sum((-1, -2)), 1))


def sides_of_tracks(track: IntArray, opinion: F64, *, one_person: bool) -> IntArray:
    """Side (0 left, 1 right) of every hand, shape (F, R).

    Parameters
    ----------
    track
        Number of every hand, shape (F, R), -1 for none.
    opinion
        Log odds of "right" of every hand in every frame, same shape.
    one_person
        Two hands at once are one left and one right: the surer track decides.
    """
    numbers = np.unique(track[track >= 0])
    total = np.zeros(int(numbers.max(initial=0)) + 1)
    np.add.at(total, track[track >= 0], opinion[track >= 0])
    side = np.where(track >= 0, total[np.maximum(track, 0)] > 0, False).astype(np.int64)
    if not one_person:
        return side
    named: dict[int, int] = {}
    for number in sorted(numbers.tolist(), key=lambda n: -abs(total[n])):
        rows = (track == number).any(1)
        beside = track[rows][(track[rows] != number) & (track[rows] >= 0)]
        neighbours = [named[n] for n in beside.tolist() if n in named]
        wanted = int(total[number] > 0)
        named[number] = 1 - round(float(np.mean(neighbours))) if neighbours else wanted
        side[track == number] = named[number]
    return _apart(track, side, total)


def _apart(track: IntArray, side: IntArray, total: F64) -> IntArray:
    """Where both hands of a frame came out alike, turn the less sure one."""
    sure = np.where(track >= 0, np.abs(total[np.maximum(track, 0)]), -1.0) if total.size else side
    order = np.argsort(-sure, axis=1, kind="stable")
    for f in np.flatnonzero((track >= 0).sum(1) == 2):
        a, b = order[f, :2]
        side[f, b] = 1 - side[f, a]
    return side
