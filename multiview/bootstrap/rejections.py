"""Reasons not to trust a label, each a small function: which keypoints, and why.

The first five are those of Simon et al. (CVPR 2017, section 4): inliers, confidence, velocity, bone
lengths, occlusion. The others keep out errors that agree over views.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.bootstrap.anatomy import (
    HAND_BONES,
    beyond_range,
    bone_vectors,
    is_hand,
    joint_angles,
)
from multiview.bootstrap.occlusion import flesh_of_hands, hidden_by
from multiview.bootstrap.shape import read_shapes
from multiview.core import Detections, Points3D, Rig, Skeleton
from multiview.geometry.median import median_of

__all__ = [
    "Rejection",
    "beyond_joint_range",
    "bones_too_long",
    "distal_to",
    "few_inliers",
    "fingers_exchanged",
    "hidden_views",
    "low_confidence",
    "mirrored",
    "odd_velocity",
    "unlike_subject",
    "views_disagree",
]

# Limits of the capture group's code in metres: wrist to a finger's first joint, its first bone, the
# others; and as shares of a large hand (0.19 m) for rigs without a metric unit.
_LIMITS_M = np.tile([0.13, 0.09, 0.07, 0.07], 5)
_LARGE_HAND_M = 0.19
_METRES = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
# Bones of a subject vary in a take by noise alone; fewer frames give no median worth the name.
_LEAST_FRAMES = 10
_MAD = 1.4826
# Frames farther apart tell no velocity, seconds and frame numbers.
_LONGEST_S, _LONGEST_FRAMES = 0.2, 3
_FPS = 30.0
# Where the typical keypoint moves against its hand by more than this share of the limit, the whole
# pose changed between two frames (a cut, another person): no keypoint is to blame.
_OF_ONE_MOTION = 0.25
# A hand is hidden in a view if that much of it is: nothing is left to be recognised.
_FULLY = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Labels that one rule takes out.

    Parameters
    ----------
    name
        Short name, for tables.
    mask
        Shape (F, H, K).
    reason
        What the rule found, with its limit.
    change
        What lets more labels pass.
    """

    name: str
    mask: BoolArray
    reason: str
    change: str


def few_inliers(points: Points3D, least: float) -> Rejection:
    """Hands whose keypoints rest on fewer views than ``least`` in the mean."""
    count = np.where(points.valid, points.inlier.sum(0), np.nan)
    mean = mean_of(count)
    return Rejection(
        name="inliers",
        mask=_whole(mean < least, points),
        reason=f"fewer than {least:g} agreeing views in the mean of the hand",
        change="lower --select.min-inliers, or add cameras",
    )


def low_confidence(points: Points3D, dets: Detections, least: float) -> Rejection:
    """Hands whose inlier detections have a mean confidence below ``least``."""
    mean = mean_of(np.where(points.inlier, dets.conf, np.nan).transpose(1, 2, 3, 0))
    mean = mean_of(mean)
    return Rejection(
        name="confidence",
        mask=_whole(mean < least, points),
        reason=f"mean confidence of the agreeing views below {least:g}",
        change="lower --select.min-confidence, or calibrate the detector's (models calibrate)",
    )


def odd_velocity(points: Points3D, times: F64, sizes: F64, most: float) -> Rejection:
    """Keypoints that leap against the median motion of their hand, and back.

    A keypoint at an end of a track is judged by its one neighbour; in the middle both must agree,
    so that the leap is blamed on one frame.

    Parameters
    ----------
    points
        F frames.
    times
        Seconds, shape (F,); NaN: 30 frames a second by number.
    sizes
        Hand sizes (F, H), rig units.
    most
        Hand lengths per second.
    """
    xyz, ids = points.xyz_world, points.frame_ids
    mask = np.zeros(points.valid.shape, np.bool_)
    if len(xyz) >= 2:
        gap = np.diff(times)
        gap = np.where(np.isfinite(gap) & (gap > 0), gap, np.diff(ids) / _FPS)
        near = (gap <= _LONGEST_S) & (np.diff(ids) <= _LONGEST_FRAMES)
        step = np.diff(xyz, axis=0)
        middle = median_of(step.transpose(0, 1, 3, 2), least=3)[..., None, :]
        speed = np.linalg.norm(step - middle, axis=-1) / gap[:, None, None]
        speed /= np.fmin(sizes[1:], sizes[:-1])[..., None]
        with np.errstate(invalid="ignore"):
            one_motion = near[:, None] & (median_of(speed) <= _OF_ONE_MOTION * most)
        odd = np.where(one_motion[..., None], speed, np.nan)
        before = np.concatenate([np.full_like(odd[:1], np.nan), odd])
        after = np.concatenate([odd, np.full_like(odd[:1], np.nan)])
        mask = np.fmin(before, after) > most
    return Rejection(
        name="velocity",
        mask=np.asarray(mask & points.valid),
        reason=f"moves against its hand by more than {most:g} hand lengths a second",
        change="raise --select.max-speed, or film at a higher rate",
    )


def bones_too_long(points: Points3D, sizes: F64) -> Rejection:
    """Keypoints at the far end of a bone that no hand has.

    Parameters
    ----------
    points
        Hands.
    sizes
        Hand sizes (F, H), used where the rig has no metric unit.
    """
    length = np.linalg.norm(bone_vectors(points.xyz_world), axis=-1)
    if points.unit in _METRES:
        limit = np.broadcast_to(_LIMITS_M * _METRES[points.unit], length.shape)
    else:
        limit = _LIMITS_M / _LARGE_HAND_M * np.where(np.isfinite(sizes), sizes, np.inf)[..., None]
    return Rejection(
        name="bone length",
        mask=_far_ends(length > limit, points),
        reason="a bone longer than 13 cm from the wrist, 9 cm first or 7 cm further in a finger"
        if points.unit in _METRES
        else "a bone longer than any hand of this size has",
        change="check the rig's scale (unit and board size)",
    )


def unlike_subject(points: Points3D, subjects: IntArray, most: float) -> Rejection:
    """Keypoints whose bone differs from the subject's own median length.

    Parameters
    ----------
    points
        Hands of a take.
    subjects
        Whose hands are in each frame, shape (F,).
    most
        Largest relative difference that is always allowed; beyond, 3.5 times the take's own
        scatter is (median absolute deviation).
    """
    length = np.log(np.linalg.norm(bone_vectors(points.xyz_world), axis=-1))
    odd = np.zeros(length.shape, np.bool_)
    for s in np.unique(subjects):
        rows = np.flatnonzero(subjects == s)
        for h in range(length.shape[1]):
            part = length[rows, h]
            usual = median_of(part.T, least=_LEAST_FRAMES)
            off = np.abs(part - usual)
            scatter = _MAD * median_of(off.T, least=_LEAST_FRAMES)
            odd[rows, h] = off > np.maximum(3.5 * scatter, np.log1p(most))
    return Rejection(
        name="subject",
        mask=_far_ends(odd, points),
        reason=f"a bone differs by more than {most:.0%} from the same subject's other frames",
        change="raise --select.max-bone-change",
    )


def beyond_joint_range(points: Points3D, signs: IntArray, slack_deg: float) -> Rejection:
    """Keypoints beyond a joint that is bent or turned as no hand can.

    Parameters
    ----------
    points
        Hands.
    signs
        Side of every hand, 1 right, -1 left, shape (F, H).
    slack_deg
        Allowed beyond the ranges of the literature, for noise and definitions.
    """
    over, aside = beyond_range(*joint_angles(points.xyz_world, signs))
    bad = np.fmax(over, aside) > slack_deg
    mask = np.zeros(points.valid.shape, np.bool_)
    for finger in range(5):
        for joint in range(3):
            mask[..., 1 + 4 * finger + joint + 1] |= bad[..., finger, joint]
    return Rejection(
        name="joint angle",
        mask=mask & points.valid,
        reason=f"a joint more than {slack_deg:g} degrees beyond its range",
        change="raise --select.joint-slack-deg",
    )


def fingers_exchanged(points: Points3D, signs: IntArray, least: float) -> Rejection:
    """Fingers that are likelier to be others.

    Parameters
    ----------
    points
        Hands.
    signs
        Shape (F, H): 1 right, -1 left.
    least
        Log likelihood that the exchange must gain.
    """
    shape = points.valid.shape
    reading = read_shapes(points.xyz_world.reshape(-1, *shape[2:], 3), signs.ravel())
    moved = reading.exchanged & (reading.finger_gain > least)[:, None]
    mask = np.zeros((len(moved), shape[2]), np.bool_)
    mask[:, 1:] = np.repeat(moved, 4, axis=1)
    return Rejection(
        name="finger swap",
        mask=mask.reshape(shape) & points.valid,
        reason="the hand looks likelier with these fingers exchanged",
        change="raise --select.swap-gain; look at the frames first",
    )


def mirrored(points: Points3D, signs: IntArray, least: float) -> Rejection:
    """Hands that are likelier to be the other one of left and right.

    Parameters
    ----------
    points
        Hands.
    signs
        What their slots say, shape (F, H): 1 right, -1 left, 0 unknown.
    least
        Log likelihood that the other side must gain.
    """
    shape = points.valid.shape
    xyz = points.xyz_world.reshape(-1, *shape[2:], 3)
    reading = read_shapes(xyz, signs.ravel(), swaps=False)
    return Rejection(
        name="left-right",
        mask=_whole((reading.mirror_gain > least).reshape(shape[:2]), points),
        reason="the hand bends and is built like the other side's",
        change="raise --select.swap-gain; look at the frames first",
    )


def views_disagree(points: Points3D, spread: F64, most: float) -> Rejection:
    """Keypoints whose agreeing views, each held out, lie far from the point of the others.

    Parameters
    ----------
    points
        Hands.
    spread
        Root mean square of the held-out distances over the hand's size, shape (F, H, K).
    most
        Largest that is allowed.
    """
    with np.errstate(invalid="ignore"):
        mask = spread > most
    return Rejection(
        name="held-out views",
        mask=np.asarray(mask & points.valid),
        reason=f"held-out views miss the point by more than {most:g} of the hand",
        change="raise --select.max-heldout, or check rig and timing (multiview calib check)",
    )


def distal_to(points: Points3D, rejected: BoolArray, skeleton: Skeleton) -> Rejection:
    """Keypoints beyond a rejected one of the same finger: an invalid joint invalidates the rest."""
    mask = np.zeros_like(rejected)
    for parent, child in skeleton.edges:
        inside = skeleton.group_index[parent] == skeleton.group_index[child]
        if inside:
            mask[..., child] |= rejected[..., parent] | mask[..., parent]
    return Rejection(
        name="beyond a rejected joint",
        mask=mask & points.valid,
        reason="lies beyond a rejected joint of its finger",
        change="see the rules that rejected the joints",
    )


def hidden_views(points: Points3D, rig: Rig, bodies: tuple[F64, F64] | None = None) -> BoolArray:
    """Find the views in which other hands or bodies hide a hand entirely.

    Parameters
    ----------
    points
        Hands.
    rig
        V cameras.
    bodies
        Capsules of other bodies in every frame: ends (F, C, 2, 3) and radii (F, C), rig units.

    Returns
    -------
    BoolArray
        Shape (V, F, H).
    """
    frames, hands, k = points.valid.shape
    out = np.zeros((len(rig.cameras), frames, hands), np.bool_)
    for h in range(hands):
        ends, radius = np.empty((frames, 0, 2, 3)), np.empty((frames, 0))
        if is_hand(points.skeleton):
            ends, radius = flesh_of_hands(np.delete(points.xyz_world, h, axis=1))
            ends, radius = ends.reshape(frames, -1, 2, 3), radius.reshape(frames, -1)
        if bodies is not None:
            ends = np.concatenate([ends, bodies[0]], axis=1)
            radius = np.concatenate([radius, bodies[1]], axis=1)
        if not np.isfinite(radius).any():
            continue
        xyz = points.xyz_world[:, h].reshape(-1, 3)
        hidden = hidden_by(rig, xyz, np.repeat(ends, k, axis=0), np.repeat(radius, k, axis=0))
        known = np.maximum(points.valid[:, h].sum(-1), 1)
        out[:, :, h] = hidden.reshape(-1, frames, k).sum(-1) >= _FULLY * known
    return out & points.valid.any(-1)


def mean_of(values: F64) -> F64:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    n = known.sum(-1)
    return np.where(n > 0, np.where(known, values, 0.0).sum(-1) / np.maximum(n, 1), np.nan)


def _whole(hands: BoolArray, points: Points3D) -> BoolArray:
    """Every keypoint of the hands (F, H) that are named."""
    return np.asarray(hands[..., None] & points.valid)


def _far_ends(bones: BoolArray, points: Points3D) -> BoolArray:
    """Child keypoints of bones (F, H, 20)."""
    mask = np.zeros(points.valid.shape, np.bool_)
    mask[..., HAND_BONES[:, 1]] = bones
    return mask & points.valid
