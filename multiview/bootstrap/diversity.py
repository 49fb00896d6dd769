"""Different poses and views, so that the N best frames are not N times the same easy one."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray

__all__ = ["farthest_clusters", "stratified_order"]

# Missing keypoints of a pose lie where the mean pose has them; fewer than this share: no pose.
_LEAST = 0.5


def farthest_clusters(features: F64, n: int) -> IntArray:
    """Group rows around n of them that are far apart (Gonzalez 1985); no chance is involved.

    Parameters
    ----------
    features
        Shape (N, D); NaN where unknown.
    n
        Groups at most; identical rows make fewer.

    Returns
    -------
    IntArray
        Shape (N,): number of the group; -1 for rows of which less than half is known.
    """
    out = np.full(len(features), -1, np.int64)
    if not features.size:
        return out
    known = np.flatnonzero(np.isfinite(features).mean(1) >= _LEAST)
    if not len(known) or n < 1:
        return out
    rows = features[known]
    there = np.isfinite(rows)
    mean = np.where(there, rows, 0.0).sum(0) / np.maximum(there.sum(0), 1)
    rows = np.where(there, rows, mean)
    first = int(np.linalg.norm(rows - rows.mean(0), axis=1).argmin())
    distance = np.linalg.norm(rows - rows[first], axis=1)
    label = np.zeros(len(rows), np.int64)
    for number in range(1, n):
        far = int(distance.argmax())
        if distance[far] <= 0:
            break
        new = np.linalg.norm(rows - rows[far], axis=1)
        label[new < distance] = number
        distance = np.minimum(distance, new)
    out[known] = label
    return out


def stratified_order(score: F64, stratum: IntArray, use: BoolArray) -> IntArray:
    """Order rows by score, taking one of every stratum in turn.

    Parameters
    ----------
    score
        Shape (N,), larger is better.
    stratum
        Shape (N,).
    use
        Rows that take part, shape (N,).

    Returns
    -------
    IntArray
        Row numbers: the best of each stratum, best first, then the second of each, and so on.
    """
    rows = np.flatnonzero(use)
    rows = rows[np.argsort(-score[rows], kind="stable")]
    turn = np.zeros(len(rows), np.int64)
    seen: dict[int, int] = {}
    for i, s in enumerate(stratum[rows].tolist()):
        turn[i] = seen.get(s, 0)
        seen[s] = int(turn[i]) + 1
    return np.asarray(rows[np.argsort(turn, kind="stable")])
