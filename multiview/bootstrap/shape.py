"""Whether each finger is the one it is said to be, and the hand the right one of the two.

A swap that all views agree on passes every multiview test, and the next round would learn it. Here
the 3D hand itself is asked: its cost under proportions, knuckle arc and joint ranges
(`multiview.bootstrap.anatomy`) is compared with that of the same points under every permutation of
the fingers, under exchanges of the outer parts of two neighbouring fingers, and of the mirrored
hand. Where another reading is clearly likelier, the labels are not to be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.bootstrap.anatomy import (
    BONE_LOG_SD,
    BONE_SHARE,
    beyond_range,
    bone_vectors,
    hand_scale,
    joint_angles,
    palm_axes,
)

__all__ = ["Reading", "read_shapes", "shape_costs", "swap_hypotheses"]

# Knuckles: index to middle to ring to little, one and two apart, and the whole arc, as shares of
# the hand's length: breadth over the knuckles is 0.44 of it (79 of 180 mm, Garrett, "The adult
# human hand", 1971) less the flesh of two half fingers.
_KNUCKLES = np.array([[5, 9], [9, 13], [13, 17], [5, 13], [9, 17], [5, 17]])
_ARC = np.array([0.115, 0.105, 0.105, 0.22, 0.21, 0.32])
_ARC_LOG_SD = 0.22
# Degrees beyond a joint's range that cost as much as one standard deviation.
_BEND_SD = 10.0
# Spread of fingers from their metacarpals' lines: the range of 20 to 25 degrees to both sides is
# taken for two standard deviations; the same for keypoints beside a hinge's plane.
_ASIDE_SD = 12.0
# Most that one term may cost: a single misplaced keypoint must not decide.
_CAP = 8.0
# The thumb's column stands before the palm; hand lengths that cost one standard deviation.
_THUMB_SD = 0.05
_CHUNK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What else the points of a hand could be.

    Parameters
    ----------
    finger_gain
        By how much (log likelihood) the best exchange of fingers explains the hand better than the
        fingers as they are, shape (...); negative where they are fine, NaN where nothing is known
        or asked.
    exchanged
        Fingers (0 thumb to 4 little) that it moves, shape (..., 5).
    mirror_gain
        The same for the mirrored hand; 0 where the side is not known.
    side
        1 right, -1 left: as was said, or the likelier one where nothing was, shape (...).
    """

    finger_gain: F64
    exchanged: BoolArray
    mirror_gain: F64
    side: IntArray


@lru_cache(maxsize=1)
def swap_hypotheses() -> tuple[IntArray, BoolArray]:
    """Every exchange of fingers, the first of which is none.

    Returns
    -------
    source
        Keypoint that is read as each keypoint, shape (M, 21).
    moved
        Fingers that differ, shape (M, 5).
    """
    rows = [_source(np.array(p), 0) for p in permutations(range(5))]
    for first in range(4):
        pair = np.arange(5)
        pair[[first, first + 1]] = first + 1, first
        rows += [_source(pair, joint) for joint in (1, 2, 3)]
    source = np.array(rows)
    moved = (source[:, 1:] != np.arange(1, 21)).reshape(-1, 5, 4).any(-1)
    return source, np.asarray(moved, np.bool_)


def _source(fingers: IntArray, joint: int) -> IntArray:
    """Exchange fingers from one joint on (0: whole fingers)."""
    out = np.arange(21)
    grid = 1 + 4 * np.arange(5)[:, None] + np.arange(4)
    grid[:, joint:] = 1 + 4 * fingers[:, None] + np.arange(joint, 4)
    out[1:] = grid.ravel()
    return out


def shape_costs(xyz: F64, sign: F64 | IntArray | int) -> F64:
    """Negative log likelihood of hands, up to a constant: lower is more like a hand.

    Parameters
    ----------
    xyz
        Shape (..., 21, 3); missing keypoints cost what an average one does.
    sign
        1 right, -1 left; broadcasts over the leading axes.

    Returns
    -------
    F64
        Shape (...).
    """
    scale = hand_scale(xyz)[..., None]
    length = np.linalg.norm(bone_vectors(xyz), axis=-1)
    arc = np.linalg.norm(xyz[..., _KNUCKLES[:, 1], :] - xyz[..., _KNUCKLES[:, 0], :], axis=-1)
    terms = [
        _term(np.log(length / scale / BONE_SHARE) / BONE_LOG_SD),
        _term(np.log(arc / scale / _ARC) / _ARC_LOG_SD),
    ]
    bend, aside = joint_angles(xyz, sign)
    over = beyond_range(bend, aside)[0].reshape(*xyz.shape[:-2], 15)
    # the thumb's saddle joint turns too freely for an expectation
    aside = aside[..., 1:, :].reshape(*xyz.shape[:-2], 12)
    terms += [_term(over / _BEND_SD), _term(aside / _ASIDE_SD)]
    palmar = palm_axes(xyz, sign)[1]
    before = ((xyz[..., 2:5, :] - xyz[..., :1, :]) * palmar[..., None, :]).sum(-1) / scale
    terms.append(_term(np.minimum(before, 0.0) / _THUMB_SD))
    return np.asarray(np.concatenate(terms, axis=-1).sum(-1))


def _term(z: F64) -> F64:
    return np.where(np.isfinite(z), np.minimum(z**2 / 2, _CAP), 0.5)


def read_shapes(xyz: F64, sign: F64 | IntArray | int, *, swaps: bool = True) -> Reading:
    """Compare every hand with all exchanges of its fingers and with its mirror image.

    Parameters
    ----------
    xyz
        Shape (N, 21, 3).
    sign
        Shape (N,) or one number: 1 right, -1 left, 0 not known (then the likelier side is taken).
    swaps
        Whether exchanges of fingers are asked too; most of the time goes there.

    Returns
    -------
    Reading
        Leading axes (N,).
    """
    source, moved = swap_hypotheses()
    sign = np.broadcast_to(np.asarray(sign, np.int64), xyz.shape[:1])
    own, mirror, best = (np.full(len(xyz), np.nan) for _ in range(3))
    which, told = np.zeros(len(xyz), np.int64), np.where(sign == 0, 1, sign)
    framed = np.isfinite(palm_axes(xyz)[1]).all(-1)
    enough = np.flatnonzero(np.isfinite(hand_scale(xyz)) & framed)
    for start in range(0, len(enough), _CHUNK):
        rows = enough[start : start + _CHUNK]
        right, left = (shape_costs(xyz[rows], s) for s in (1, -1))
        side = np.where(sign[rows] != 0, sign[rows], np.where(right <= left, 1, -1))
        told[rows] = side
        own[rows] = np.where(side > 0, right, left)
        mirror[rows] = np.where(sign[rows] != 0, np.where(side > 0, left, right), own[rows])
        if swaps:
            cost = shape_costs(xyz[rows][:, source], side[:, None])[:, 1:]
            which[rows], best[rows] = 1 + cost.argmin(1), cost.min(1)
    return Reading(
        finger_gain=own - best, exchanged=moved[which], mirror_gain=own - mirror, side=told
    )
