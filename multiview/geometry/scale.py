"""How large what was filmed is, in the rig's own unit: the yardstick of all tolerances."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.core import HAND_21, Rig, Skeleton
from multiview.geometry.dlt import pair_points, view_pairs
from multiview.geometry.median import median_of
from multiview.geometry.refit import undistort

__all__ = ["bone_lengths", "hand_length", "length_per_px", "measure_subject", "subject_length"]

# Hands that the scale of a take is measured on: the median of a few hundred is stable to 1 %.
SCALE_SAMPLE = 200
# Of hundreds of views that saw one, so many are asked: 190 pairs are enough for a median.
SCALE_VIEWS = 20
# Points that the distance of a take from its cameras is measured on.
DISTANCES = 1000


def measure_subject(rig: Rig, xy_px: F64, skeleton: Skeleton) -> float:
    """Measure what a take shows on a sample of it; see `subject_length`.

    Parameters
    ----------
    rig
        V cameras.
    xy_px
        Recorded detections, shape (V, N, K, 2).
    skeleton
        Meaning of axis K.
    """
    rows, _ = _sample(xy_px)
    some = np.ascontiguousarray(xy_px[:, rows]).reshape(len(xy_px), -1, 2)
    xy_norm = undistort(rig, some).reshape(len(xy_px), len(rows), *xy_px.shape[2:])
    return subject_length(rig, xy_norm, skeleton)


def subject_length(rig: Rig, xy_norm: F64, skeleton: Skeleton) -> float:
    """Measure a hand along its bones, anything else by the farthest two of its keypoints.

    No rule says how other skeletons are built: programs list their bones in any order, or none.

    Parameters
    ----------
    rig
        V cameras.
    xy_norm
        Undistorted detections, shape (V, N, K, 2).
    skeleton
        Meaning of axis K.

    Returns
    -------
    float
        In rig units; 0 where no two views saw the same two keypoints.
    """
    if skeleton.keypoints == HAND_21.keypoints:
        return hand_length(bone_lengths(rig, xy_norm, skeleton), skeleton)
    # one position an instant, robust to half of the pairs; then distances, robust to half of those
    xyz = [median_of(pairs, 0) for pairs in _instants(rig, xy_norm)]
    if not xyz:
        return 0.0
    return max((_reach(np.stack(xyz), k) for k in range(len(skeleton.keypoints) - 1)), default=0.0)


def _reach(xyz: F64, k: int) -> float:
    """Largest median distance of keypoint ``k`` from a later one, over instants (N, K, 3)."""
    distance = median_of(np.linalg.norm(xyz[:, k + 1 :] - xyz[:, k : k + 1], axis=-1), 0)
    return float(np.fmax.reduce(distance, initial=0.0))


def _sample(xy: F64) -> tuple[IntArray, BoolArray]:
    """Instants that two views saw whole, or else in part; and which views those are, (V, N)."""
    there = np.isfinite(xy[..., 0])
    seen = np.asarray(there.all(-1), np.bool_)
    if not (seen.sum(0) >= 2).any():
        seen = np.asarray(there.any(-1), np.bool_)
    return _evenly(np.flatnonzero(seen.sum(0) >= 2), SCALE_SAMPLE), seen


def _evenly(rows: IntArray, most: int) -> IntArray:
    """Take so many at most, spread over all."""
    return np.asarray(rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)])


def _instants(rig: Rig, xy_norm: F64) -> list[F64]:
    """Points of pairs of views (P, K, 3) at instants evenly over those that two views saw."""
    rows, seen = _sample(xy_norm)
    (R, t), out = rig.cam_from_world, []
    for n in rows:
        views = _evenly(np.flatnonzero(seen[:, n]), SCALE_VIEWS)
        out.append(pair_points(R[views], t[views], xy_norm[views, n], view_pairs(len(views))))
    return out


def bone_lengths(rig: Rig, xy_norm: F64, skeleton: Skeleton) -> F64:
    """Median length of every bone over frames and pairs of views: robust to half of them.

    Parameters
    ----------
    rig
        V cameras.
    xy_norm
        Undistorted detections, shape (V, N, K, 2).
    skeleton
        Its edges are the bones; it may have none.

    Returns
    -------
    F64
        One length per edge, rig units; NaN for a bone that no two views saw.
    """
    a, b = np.array(skeleton.edges, np.int64).reshape(-1, 2).T
    length = [np.linalg.norm(xyz[:, a] - xyz[:, b], axis=-1) for xyz in _instants(rig, xy_norm)]
    return median_of(np.concatenate([np.empty((0, len(a))), *length]), 0)


def hand_length(bones: F64, skeleton: Skeleton) -> float:
    """Longest chain of bones from a root to a leaf: for a hand, wrist to middle tip."""
    reach = np.zeros(len(skeleton.keypoints))
    for (parent, child), length in zip(skeleton.edges, bones, strict=True):
        reach[child] = reach[parent] + (length if np.isfinite(length) else 0.0)
    return float(reach.max())


def length_per_px(rig: Rig, xyz: F64) -> float:
    """Rig units that a pixel spans at the points, median over the cameras."""
    rows = np.flatnonzero(np.isfinite(xyz[:, 0]))
    if not rows.size:
        return float("nan")
    some = xyz[_evenly(rows, DISTANCES)]
    away = np.linalg.norm(rig.centres_world[:, None] - some, axis=-1)
    focal = np.array([c.intrinsics.K[0, 0] for c in rig.cameras])
    return float(np.median(away / focal[:, None]))
