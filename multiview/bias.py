"""The lasting error of a detector: measured against truth, and taken off 3D points on request.

What a detector gets wrong in the same way in every view agrees over views: no vote and no number of
cameras finds it (experiments/16-views-curve). Against truth it can be measured, as a mean offset of
every keypoint in the frame of the palm. Only what stands out of the scatter over poses is kept: an
offset of `t` standard deviations is shrunk by ``1 - 1 / t^2`` (James and Stein 1961, positive
part), so that a table of few poses does next to nothing rather than harm.

Most of such errors depend on the pose and on the person, and stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from multiview._shapes import F64, BoolArray, check_shapes
from multiview.core import HAND_21, KeypointBias, Points3D, side_sign
from multiview.errors import InputError
from multiview.geometry.median import median_of
from multiview.geometry.scale import hand_length

__all__ = ["Corrected", "correct_bias", "measure_bias", "palm_frames"]

WRIST, INDEX, MIDDLE, LITTLE = (
    HAND_21.keypoints.index(n) for n in ("wrist", "index1", "middle1", "little1")
)
# A point farther off than this share of the hand is another finger's, not the same one displaced.
FALSE = 0.1
# A standard deviation from fewer is known to 40 % at best.
LEAST_POSES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """Points without the lasting error.

    Parameters
    ----------
    points
        With positions and covariances changed. ``inlier`` and ``err_px`` stay: they say how views
        agreed, which the bias does not change.
    share
        Of the points, how many were corrected: the others belong to hands without a palm.
    mean
        Mean correction, rig units.
    """

    points: Points3D
    share: float
    mean: float


def palm_frames(xyz: F64, left: BoolArray) -> F64:
    """Axes of palms, so that left and right hands have the same numbers.

    Parameters
    ----------
    xyz
        Hands, shape (N, 21, 3).
    left
        Which are left ones, shape (N,).

    Returns
    -------
    F64
        Shape (N, 3, 3), axes in columns: from the little finger's base to the index finger's, from
        the wrist to the middle finger's base, and the palm's normal, mirrored for left hands; NaN
        where the wrist or one of the bases is missing.
    """
    check_shapes("palm_frames", {"xyz": (xyz, "N K 3"), "left": (left, "N")})
    y = _unit(xyz[:, MIDDLE] - xyz[:, WRIST])
    across = xyz[:, INDEX] - xyz[:, LITTLE]
    x = _unit(across - (across * y).sum(-1, keepdims=True) * y)
    z = np.cross(x, y) * np.where(left, -1.0, 1.0)[:, None]
    return np.stack([x, y, z], axis=-1)


def _unit(v: F64) -> F64:
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    return np.asarray(v / np.where(length > 0, length, np.nan))


def measure_bias(
    points: Points3D, truth: F64, *, stretch: int = 1, about: str = ""
) -> KeypointBias:
    """Measure the lasting error against truth.

    Parameters
    ----------
    points
        Triangulated hands.
    truth
        Where the keypoints are, shape (F, H, 21, 3), in the points' world; NaN where unknown.
    stretch
        Frame sets that show one pose, or nearly: they count once.
    about
        Where this is from, in words.

    Raises
    ------
    InputError
        If these are no hands, shapes differ, or there are too few poses.
    """
    _check(points, HAND_21.keypoints)
    if truth.shape != points.xyz_world.shape:
        raise InputError(
            f"truth has shape {truth.shape}, the points {points.xyz_world.shape}",
            "give the truth of this take",
        )
    frames = _frames(points)
    error = (points.xyz_world - truth) / _length(points)
    error = np.where(np.linalg.norm(error, axis=-1, keepdims=True) < FALSE, error, np.nan)
    local = np.einsum("fhij,fhki->fhkj", frames, error)
    pose = points.frame_ids // stretch
    rows = [median_of(local[pose == p].reshape(-1, 21, 3), 0) for p in np.unique(pose)]
    return _summarise(np.stack(rows) if rows else np.empty((0, 21, 3)), about)


def _summarise(by_pose: F64, about: str) -> KeypointBias:
    """Mean over poses (P, K, 3), its standard deviation, and the shrinkage that follows."""
    count = np.isfinite(by_pose).sum(0)
    if count.min(initial=0 if not len(by_pose) else LEAST_POSES) < LEAST_POSES:
        raise InputError(
            f"only {count.min() if len(by_pose) else 0} poses of some keypoint have 3D and truth",
            f"give at least {LEAST_POSES} poses, or a smaller --stretch if poses change faster",
        )
    mean = np.nanmean(by_pose, axis=0)
    sigma = np.nanstd(by_pose, axis=0, ddof=1) / np.sqrt(count)
    t2 = (mean / np.maximum(sigma, np.finfo(np.float64).tiny)) ** 2
    keep = np.maximum(0.0, 1 - 1 / np.maximum(t2, np.finfo(np.float64).tiny))
    return KeypointBias(
        keypoints=HAND_21.keypoints,
        offset=keep * mean,
        sigma=sigma,
        poses=int(count.min()),
        about=about,
    )


def correct_bias(points: Points3D, bias: KeypointBias) -> Corrected:
    """Take the lasting error off; the doubt about it is added to the covariances.

    Parameters
    ----------
    points
        Triangulated hands of the detector that ``bias`` was measured on.
    bias
        The table.

    Raises
    ------
    InputError
        If the table is of other keypoints.
    """
    _check(points, bias.keypoints)
    length, frames = _length(points), _frames(points)
    step = length * np.einsum("fhij,kj->fhki", frames, bias.offset)
    known = np.isfinite(step).all(-1) & points.valid
    step = np.where(known[..., None], step, 0.0)
    spread = np.einsum("fhij,kj,fhlj->fhkil", frames, (length * bias.sigma) ** 2, frames)
    corrected = replace(
        points,
        xyz_world=points.xyz_world - step,
        cov=points.cov + np.where(known[..., None, None], spread, 0.0),
    )
    found = points.valid.sum()
    size = np.linalg.norm(step[known], axis=-1)
    return Corrected(
        points=corrected,
        share=float(known.sum() / found) if found else 0.0,
        mean=float(size.mean()) if size.size else 0.0,
    )


def _check(points: Points3D, keypoints: tuple[str, ...]) -> None:
    if points.skeleton.keypoints != keypoints or keypoints != HAND_21.keypoints:
        raise InputError(
            f"the points are of {points.skeleton.name} ({len(points.skeleton.keypoints)} "
            f"keypoints), the bias of {len(keypoints)} others or of no hand",
            "a bias is measured and applied on hands of 21 keypoints",
        )


def _frames(points: Points3D) -> F64:
    """Palm frames (F, H, 3, 3)."""
    shape = points.xyz_world.shape
    left = np.broadcast_to([side_sign(name) < 0 for name in points.hands], shape[:2])
    flat = palm_frames(points.xyz_world.reshape(-1, *shape[2:]), left.ravel())
    return flat.reshape(*shape[:2], 3, 3)


def _length(points: Points3D) -> float:
    """Length of the hands of the take, rig units: median bones, both hands alike."""
    a, b = np.array(points.skeleton.edges).T
    xyz = points.xyz_world
    bones = np.linalg.norm(xyz[..., a, :] - xyz[..., b, :], axis=-1).reshape(-1, len(a))
    return hand_length(median_of(bones, 0), points.skeleton)
