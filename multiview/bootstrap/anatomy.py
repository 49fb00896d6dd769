"""What is known of every hand: proportions of its bones, the arc of its knuckles, how joints bend.

Lengths are shares of the hand's length (wrist to middle tip along the bones): any unit works.

Sources. Bones: Buryanov and Kotiuk, "Proportions of hand segments", Int. J. Morphol. 28(3), 2010
(radiographs of 66 adults: mean and standard deviation of every bone; 4 mm of pulp are added to
the last phalanges, whose keypoints lie in the skin). Ranges of motion: American Academy of
Orthopaedic Surgeons, "Joint Motion", 1965, and Hume, Gellman, McKellop and Brumfield, "Functional
range of motion of the joints of the hand", J. Hand Surg. 15A, 1990; what active people bend beyond
(hyperextended knuckles, fingertips pressed on a table) is included.
"""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, IntArray
from multiview.core import HAND_21, Skeleton
from multiview.geometry.median import median_of

__all__ = [
    "BENDS_DEG",
    "BONE_LOG_SD",
    "BONE_SHARE",
    "HAND_BONES",
    "KNUCKLE_DEG",
    "beyond_range",
    "bone_scales",
    "bone_vectors",
    "hand_scale",
    "is_hand",
    "joint_angles",
    "palm_axes",
    "palm_coordinates",
]

# Thumb: carpus to saddle joint (as drawn by hand models: no bone), metacarpal, two phalanges; other
# fingers: carpus to knuckle, three phalanges. Millimetres.
_BONES_MM = np.array(
    [
        [36.0, 46.2, 31.6, 26.0],
        [91.0, 39.8, 22.4, 20.0],
        [88.0, 44.6, 26.3, 21.5],
        [82.0, 41.4, 25.7, 21.5],
        [77.0, 32.7, 18.1, 19.5],
    ]
)
HAND_BONES = np.array(HAND_21.edges)
"""Bones of the hand, parent first, shape (20, 2)."""
BONE_SHARE = (_BONES_MM / _BONES_MM[2].sum()).ravel()
"""Length of every bone (20,) as a share of the hand's length."""
# Persons differ by 8 to 14 %; detectors define wrist, saddle joint and tips each in their own way.
BONE_LOG_SD = np.tile([0.20, 0.15, 0.15, 0.20], 5)
"""Standard deviation of the logarithm of every bone's share (20,): persons and conventions."""
BONE_LOG_SD[:2] = 0.30, 0.20

# Joints per finger: knuckle (bend), middle joint, end joint; low and high.
BENDS_DEG = np.array(
    [
        [[-45.0, 75.0], [-25.0, 75.0], [-30.0, 95.0]],
        *[[[-50.0, 105.0], [-15.0, 125.0], [-30.0, 100.0]]] * 4,
    ]
)
"""Range of bending, positive to the palm, of the three joints of each finger, shape (5, 3, 2)."""
KNUCKLE_DEG = 45.0
"""Most that a finger is spread at its knuckle from the line through its metacarpal."""
# Sideways at a hinge joint: none in life; keypoints are on skin and bones, not on axes.
HINGE_DEG = 30.0
# The thumb bends across the palm: its palmar direction is turned by this about its own length.
_THUMB_TWIST = np.radians(60.0)
# Bones that the scale of a hand is told from: all but those that start at the wrist.
_SCALE_BONES = np.flatnonzero(HAND_BONES[:, 0] > 0)
_LEAST_BONES = 4


def is_hand(skeleton: Skeleton) -> bool:
    """Whether keypoints mean what this module says of them."""
    return skeleton.keypoints == HAND_21.keypoints


def bone_vectors(xyz: F64) -> F64:
    """Bones of hands (..., 21, 3), from parent to child, shape (..., 20, 3)."""
    return np.asarray(xyz[..., HAND_BONES[:, 1], :] - xyz[..., HAND_BONES[:, 0], :])


def hand_scale(xyz: F64) -> F64:
    """Length of each hand as its bones tell it: median of length over usual share.

    Parameters
    ----------
    xyz
        Shape (..., 21, 3).

    Returns
    -------
    F64
        Shape (...), the unit of the points; NaN where fewer than four bones are known.
    """
    return median_of(bone_scales(xyz), least=_LEAST_BONES)


def bone_scales(xyz: F64) -> F64:
    """Length of the hand as each bone beyond the wrist tells it, shape (..., 15)."""
    length = np.linalg.norm(bone_vectors(xyz)[..., _SCALE_BONES, :], axis=-1)
    return np.asarray(length / BONE_SHARE[_SCALE_BONES])


def joint_angles(xyz: F64, sign: F64 | IntArray | int = 1) -> tuple[F64, F64]:
    """Bending of every joint, and how far each bone leaves its finger's plane.

    Parameters
    ----------
    xyz
        Hands, shape (..., 21, 3).
    sign
        1 for right hands, -1 for left ones; broadcasts over the leading axes.

    Returns
    -------
    bend, aside
        Degrees, shape (..., 5, 3): knuckle, middle and end joint of each finger; bending is
        positive towards the palm. NaN where a keypoint is missing.
    """
    bones = bone_vectors(xyz).reshape(*xyz.shape[:-2], 5, 4, 3)
    across, palmar = palm_axes(xyz, sign)
    thumb = np.sin(_THUMB_TWIST) * across + np.cos(_THUMB_TWIST) * palmar
    normal = np.repeat(palmar[..., None, :], 5, axis=-2)
    normal[..., 0, :] = thumb
    bend, aside = np.empty((2, *bones.shape[:-2], 3))
    before = _unit(bones[..., 0, :])
    lateral = _unit(np.cross(before, normal))
    for j in range(3):
        after = _unit(bones[..., j + 1, :])
        towards = np.cross(lateral, before)
        bend[..., j] = np.arctan2((after * towards).sum(-1), (after * before).sum(-1))
        aside[..., j] = np.arcsin(np.clip((after * lateral).sum(-1), -1, 1))
        before = after
        lateral = _unit(lateral - (lateral * before).sum(-1, keepdims=True) * before)
    return np.degrees(bend), np.degrees(aside)


def palm_axes(xyz: F64, sign: F64 | IntArray | int = 1) -> tuple[F64, F64]:
    """Return unit vectors from index to little finger, and out of the palm, each (..., 3).

    NaN where the wrist or all knuckles but one are missing.
    """
    across, _, palmar = _palm_frame(xyz, sign)
    return across, palmar


def _palm_frame(xyz: F64, sign: F64 | IntArray | int) -> tuple[F64, F64, F64]:
    knuckles = xyz[..., [5, 9, 13, 17], :]
    known = np.asarray(np.isfinite(knuckles).all(-1))
    count = np.where(known.sum(-1) >= 2, known.sum(-1), np.nan)[..., None]
    middle = np.where(known[..., None], knuckles, 0.0).sum(-2) / count
    forward = _unit(middle - xyz[..., 0, :])
    # slope of the knuckles' places against their number: any two are enough
    number = np.where(known, np.arange(4.0), 0.0)
    number = np.where(known, number - number.sum(-1, keepdims=True) / count, 0.0)
    wide = (number[..., None] * np.where(known[..., None], knuckles, 0.0)).sum(-2)
    across = _unit(wide - (wide * forward).sum(-1, keepdims=True) * forward)
    side = np.asarray(sign, np.float64)[..., None]
    return across, forward, np.asarray(side * np.cross(forward, across))


def palm_coordinates(xyz: F64, sign: F64 | IntArray | int = 1) -> F64:
    """Hands without place, turn, size and side: the pose alone.

    Parameters
    ----------
    xyz
        Shape (..., 21, 3).
    sign
        As in `joint_angles`.

    Returns
    -------
    F64
        Shape (..., 21, 3): wrist at 0; across, forward, out of the palm, in hand lengths.
    """
    axes = np.stack(_palm_frame(xyz, sign), axis=-1)
    return np.asarray((xyz - xyz[..., :1, :]) @ axes / hand_scale(xyz)[..., None, None])


def beyond_range(bend: F64, aside: F64) -> tuple[F64, F64]:
    """Degrees by which joints exceed what they can do, shapes (..., 5, 3); NaN where unknown.

    The thumb's saddle joint and rotation are too free for a limit on its sideways turn.
    """
    over = np.maximum(np.maximum(BENDS_DEG[..., 0] - bend, bend - BENDS_DEG[..., 1]), 0.0)
    limit = np.broadcast_to([KNUCKLE_DEG, HINGE_DEG, HINGE_DEG], (5, 3)).copy()
    limit[0] = 180.0
    return over, np.maximum(np.abs(aside) - limit, 0.0)


def _unit(v: F64) -> F64:
    n = np.linalg.norm(v, axis=-1, keepdims=True)
    return np.asarray(v / np.where(n > 0, n, np.nan))
