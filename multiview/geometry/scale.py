"""How large what was filmed is, in the rig's own unit: the yardstick of all tolerances."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64
from multiview.core import HAND_21, Rig, Skeleton
from multiview.geometry.dlt import pair_points, view_pairs

__all__ = ["bone_lengths", "hand_length", "subject_length"]

# Hands that the scale of a take is measured on: the median of a few hundred is stable to 1 %.
SCALE_SAMPLE = 200


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
    xyz = _sample(rig, xy_norm)
    some = np.isfinite(xyz).any((0, 1, 3))
    if not some.any():
        return 0.0
    # one position an instant, robust to half of the pairs; then distances, robust to half of those
    middle = np.full(xyz.shape[1:], np.nan)
    seen = np.isfinite(xyz[..., 0]).any(0)
    middle[seen] = np.nanmedian(xyz[:, seen], axis=0)
    return max((_reach(middle, k) for k in range(len(skeleton.keypoints) - 1)), default=0.0)


def _reach(xyz: F64, k: int) -> float:
    """Largest median distance of keypoint ``k`` from a later one, over instants (N, K, 3)."""
    distance = np.linalg.norm(xyz[:, k + 1 :] - xyz[:, k : k + 1], axis=-1)
    some = np.isfinite(distance).any(0)
    return float(np.nanmedian(distance[:, some], axis=0).max()) if some.any() else 0.0


def _sample(rig: Rig, xy_norm: F64) -> F64:
    """Points of all pairs of views (P, n, K, 3) at instants evenly over those that two saw."""
    seen = np.flatnonzero((np.isfinite(xy_norm).all((-1, -2))).sum(0) >= 2)
    if seen.size == 0:
        seen = np.flatnonzero((np.isfinite(xy_norm[..., 0]).any(-1)).sum(0) >= 2)
    pick = seen[np.linspace(0, len(seen) - 1, min(SCALE_SAMPLE, len(seen))).astype(int)]
    return pair_points(*rig.cam_from_world, xy_norm[:, pick], view_pairs(len(rig.cameras)))


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
    xyz = _sample(rig, xy_norm)
    a, b = np.array(skeleton.edges, np.int64).reshape(-1, 2).T
    length = np.linalg.norm(xyz[..., a, :] - xyz[..., b, :], axis=-1).reshape(-1, len(a))
    out = np.full(len(a), np.nan)
    some = np.isfinite(length).any(0)
    out[some] = np.nanmedian(length[:, some], axis=0)
    return out


def hand_length(bones: F64, skeleton: Skeleton) -> float:
    """Longest chain of bones from a root to a leaf: for a hand, wrist to middle tip."""
    reach = np.zeros(len(skeleton.keypoints))
    for (parent, child), length in zip(skeleton.edges, bones, strict=True):
        reach[child] = reach[parent] + (length if np.isfinite(length) else 0.0)
    return float(reach.max())
