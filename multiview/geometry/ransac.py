"""Robust triangulation by exhaustive pairs and whole-group votes.

Every pair of views proposes a position of a whole group of keypoints (a finger); every view whose
mean error over the group is small votes for it (Simon et al., CVPR 2017, section 3.1: errors inside
a finger are correlated, and a false label costs more than a missing one). All pairs of up to twelve
views are tried instead of a random sample, and those of more until more than half of the views and
a half agree: two different positions share at most one view, so none can have more. No chance is
involved. Single keypoints are the matter of `multiview.geometry.robust`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, as_f64, check_shapes
from multiview.geometry.threads import over_blocks

__all__ = ["Tolerance", "Vote", "vote_groups"]

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.intp]

# Frames a thread works on at once.
BLOCK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What counts as agreement between a detection and a hypothesis.

    Parameters
    ----------
    length
        Lateral distance at the depth of the point, in the rig's unit.
    norm
        The same in normalised coordinates, one per view, shape (V,): a floor for points so far
        away that ``length`` is less than the detector can resolve. The larger of the two counts.
    min_angle_rad
        Pairs whose rays meet at less than this do not propose.
    """

    length: float
    norm: F64
    min_angle_rad: float = np.deg2rad(1.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """Outcome of `vote_groups`.

    Parameters
    ----------
    xyz
        Linear refit on the inliers of the winning hypothesis, shape (N, K, 3); NaN without one.
    inlier
        Views that agree, shape (V, N, K); the same for all keypoints of a group.
    candidates
        Number of views that saw the whole group, shape (N, K).
    error
        Mean error of the inliers over the group relative to the tolerance, shape (N, K).
    """

    xyz: F64
    inlier: BoolArray
    candidates: IntArray
    error: F64


def vote_groups(
    R: F64,
    t: F64,
    xy_norm: F64,
    group_index: NDArray[np.integer],
    tolerance: Tolerance,
    *,
    workers: int = 0,
) -> Vote:
    """Find, for every group of keypoints, the position that most views agree on.

    Parameters
    ----------
    R, t
        ``cam_from_world``, shapes (V, 3, 3) and (V, 3).
    xy_norm
        Undistorted detections, shape (V, N, K, 2); NaN where missing. A view is a candidate for
        a group only if it saw all of its keypoints.
    group_index
        Group of every keypoint, shape (K,).
    tolerance
        What agreement means.
    workers
        Threads; 0 for all cores.

    Returns
    -------
    Vote
        With at least the two views of the winning pair as inliers, or none.
    """
    check_shapes(
        "vote_groups",
        {
            "R": (R, "V 3 3"),
            "t": (t, "V 3"),
            "xy_norm": (xy_norm, "V N K 2"),
            "group_index": (group_index, "K"),
            "tolerance.norm": (tolerance.norm, "V"),
        },
    )
    from multiview.geometry.compiled import groups

    n, k = xy_norm.shape[1:3]
    found = Vote(
        xyz=np.full((n, k, 3), np.nan),
        inlier=np.zeros(xy_norm.shape[:3], np.bool_),
        candidates=np.zeros((n, k), np.int64),
        error=np.full((n, k), np.nan),
    )
    order = np.argsort(group_index, kind="stable").astype(np.int64)
    starts = np.flatnonzero(np.diff(group_index[order], prepend=-1, append=-1)).astype(np.int64)
    R, t, norm, xy = (as_f64(a, "vote_groups") for a in (R, t, tolerance.norm, xy_norm))
    length, least = float(tolerance.length), float(np.cos(tolerance.min_angle_rad))
    out = (found.xyz, found.inlier, found.candidates, found.error)

    def work(start: int, stop: int) -> None:
        groups.vote_groups(R, t, norm, length, least, xy, order, starts, start, stop, *out)

    over_blocks(work, n, workers, block=BLOCK)
    return found
