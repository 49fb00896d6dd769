"""The vote of whole groups in NumPy: the oracle of the compiled one.

All pairs of views, all at once; the formulas as they are written.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.geometry.dlt import pair_points, solve3, view_pairs
from multiview.geometry.ransac import Tolerance, Vote

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.intp]

# Floats of one chunk's hypotheses (pairs x points x 3), 2.4 MB; their normal equations take three
# times that, twice over, so a chunk stays within some tens of megabytes and near the cache.
CHUNK_FLOATS = 300_000
# Rounds of "refit on the inliers, then ask every view again" after the best pair is known.
LOCAL_ROUNDS = 3


def vote_groups(
    R: F64, t: F64, xy_norm: F64, group_index: NDArray[np.integer], tolerance: Tolerance
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

    Returns
    -------
    Vote
        With at least the two views of the winning pair as inliers, or none.
    """
    n_views, n, k = xy_norm.shape[:3]
    pairs = view_pairs(n_views)
    size = max(1, CHUNK_FLOATS // max(1, len(pairs[0]) * k * 3))
    ballot = _Ballot(R=R, t=t, groups=_Groups.of(group_index), tolerance=tolerance, pairs=pairs)
    parts = [ballot.run(xy_norm[:, start : start + size]) for start in range(0, n, size)]
    if not parts:
        parts = [ballot.run(xy_norm)]
    return Vote(
        xyz=np.concatenate([p.xyz for p in parts]),
        inlier=np.concatenate([p.inlier for p in parts], axis=1),
        candidates=np.concatenate([p.candidates for p in parts]),
        error=np.concatenate([p.error for p in parts]),
    )


@dataclass(frozen=True, slots=True)
class _Groups:
    """Keypoints sorted by group, so that a group's mean is one ``reduceat``."""

    order: IntArray
    starts: IntArray
    index: NDArray[np.integer]

    @classmethod
    def of(cls, index: NDArray[np.integer]) -> _Groups:
        order = np.argsort(index, kind="stable")
        starts = np.flatnonzero(np.diff(index[order], prepend=-1))
        return cls(order, starts, np.searchsorted(index[order][starts], index))

    def mean(self, values: F64) -> F64:
        """Mean over each group of the last axis; NaN if any member is."""
        sizes = np.diff(self.starts, append=len(self.order))
        total = np.add.reduceat(values[..., self.order], self.starts, axis=-1)
        return np.asarray(total / sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ballot:
    R: F64
    t: F64
    groups: _Groups
    tolerance: Tolerance
    pairs: tuple[IntArray, IntArray]

    def run(self, xy: F64) -> Vote:
        """Vote on one chunk, shape (V, n, K, 2)."""
        xy = self._whole_groups(xy)
        candidates = np.isfinite(xy[..., 0]).sum(0)
        inlier = self._best_pair(xy)
        for _ in range(LOCAL_ROUNDS):
            wider = self._ratio(self._refit(xy, inlier[..., self.groups.index]), xy) < 1
            more = wider.sum(0) > inlier.sum(0)
            if not more.any():
                break
            inlier = np.where(more, wider, inlier)
        inlier = self._consistent(xy, inlier)[..., self.groups.index]
        xyz = self._refit(xy, inlier)
        ratio = np.where(inlier, self._ratio(xyz, xy)[..., self.groups.index], 0.0)
        count = inlier.sum(0)
        error = np.where(count > 0, ratio.sum(0) / np.maximum(count, 1), np.nan)
        return Vote(xyz=xyz, inlier=inlier, candidates=candidates, error=error)

    def _consistent(self, xy: F64, inlier: BoolArray) -> BoolArray:
        """Drop views that the refit on all inliers contradicts, until none is left."""
        for _ in range(len(self.R)):
            agree = self._ratio(self._refit(xy, inlier[..., self.groups.index]), xy) < 1
            kept = inlier & agree
            kept &= kept.sum(0) >= 2
            if (kept == inlier).all():
                break
            inlier = kept
        return inlier

    def _whole_groups(self, xy: F64) -> F64:
        """Drop the detections of a group that a view saw only in part."""
        seen = self.groups.mean(np.where(np.isfinite(xy).all(-1), 1.0, np.nan)) > 0
        return np.where(seen[..., self.groups.index, None], xy, np.nan)

    def _ratio(self, xyz: F64, xy: F64) -> F64:
        """Group means of error over tolerance of points (..., n, K, 3) in every view.

        The result has shape (V, ..., n, G); NaN where a view is no candidate.
        """
        out = []
        for R, t, norm, seen in zip(self.R, self.t, self.tolerance.norm, xy, strict=True):
            cam = xyz @ R.T + t
            z = np.where(cam[..., 2] > 0, cam[..., 2], np.nan)
            dx = cam[..., 0] / z - seen[..., 0]
            dy = cam[..., 1] / z - seen[..., 1]
            allowed = np.maximum(self.tolerance.length / z, norm)
            out.append(self.groups.mean(np.sqrt(dx * dx + dy * dy) / allowed))
        return np.stack(out)

    def _best_pair(self, xy: F64) -> BoolArray:
        """Inlier views (V, n, G) of the pair with the most votes, ties to the smaller error."""
        if len(self.R) < 2:
            return np.zeros((len(self.R), xy.shape[1], len(self.groups.starts)), np.bool_)
        ratio = self._ratio(pair_points(self.R, self.t, xy, self.pairs), xy)
        votes = np.asarray(ratio < 1, np.bool_)
        first, second = self.pairs
        p = np.arange(len(first))
        seeded = votes[first, p] & votes[second, p] & self._wide_enough(xy)
        count = votes.sum(0)
        error = np.where(votes, ratio, 0.0).sum(0) / np.maximum(count, 1)
        score = np.where(seeded, count - error, -1.0)
        best = score.argmax(0)
        won = np.take_along_axis(votes, best[None, None], axis=1)[:, 0]
        seen = np.take_along_axis(score, best[None], axis=0)[0] > 0
        return np.asarray(won & seen, np.bool_)

    def _wide_enough(self, xy: F64) -> BoolArray:
        """Whether the rays of each pair meet at a usable angle, shape (P, n, G)."""
        ray = np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1)
        ray = ray / np.linalg.norm(ray, axis=-1, keepdims=True)
        world = np.einsum("vji,vnkj->vnki", self.R, ray)
        cosine = np.einsum("pnki,pnki->pnk", world[self.pairs[0]], world[self.pairs[1]])
        return np.asarray(
            self.groups.mean(np.abs(cosine)) < np.cos(self.tolerance.min_angle_rad), np.bool_
        )

    def _refit(self, xy: F64, inlier: BoolArray) -> F64:
        """Linear least squares on the inlier views (V, n, K)."""
        A, b = np.zeros((*xy.shape[1:3], 3, 3)), np.zeros((*xy.shape[1:3], 3))
        for R, t, seen, use in zip(self.R, self.t, xy, inlier, strict=True):
            x = np.where(use[..., None], seen, 0.0)
            rows = np.where(use[..., None, None], x[..., None] * R[2] - R[:2], 0.0)
            right = np.where(use[..., None], t[:2] - x * t[2], 0.0)
            A += np.einsum("nkci,nkcj->nkij", rows, rows)
            b += np.einsum("nkci,nkc->nki", rows, right)
        return np.where((inlier.sum(0) >= 2)[..., None], solve3(A, b), np.nan)
