"""Errors of 2D and 3D keypoints, and checks that need no truth."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64
from multiview.geometry.align import estimate_alignment

__all__ = ["auc", "bone_variation", "pa_mpjpe", "pck", "point_errors"]


def point_errors(estimate: F64, truth: F64) -> F64:
    """Euclidean distance of points (..., D); NaN where either is missing."""
    return np.asarray(np.linalg.norm(estimate - truth, axis=-1))


def pck(errors: F64, thresholds: F64) -> F64:
    """Share of keypoints within each threshold; a missing estimate counts as wrong.

    Parameters
    ----------
    errors
        Any shape; NaN where missing. Pixels, metres, or divided by hand size.
    thresholds
        Shape (T,), the same unit.
    """
    flat = np.sort(np.where(np.isfinite(errors), errors, np.inf).ravel())
    return np.searchsorted(flat, thresholds, side="right") / max(flat.size, 1)


def auc(errors: F64, low: float, high: float, steps: int = 101) -> float:
    """Area under the PCK curve between two thresholds by the trapezoid rule, in [0, 1]."""
    x = np.linspace(low, high, steps)
    return float(np.trapezoid(pck(errors, x), x) / (high - low))


def pa_mpjpe(estimate: F64, truth: F64) -> F64:
    """Mean joint error of each hand after its own similarity alignment (Procrustes).

    Parameters
    ----------
    estimate, truth
        Shape (N, K, 3).

    Returns
    -------
    F64
        Shape (N,); NaN for hands with fewer than three common points.
    """
    out = np.full(len(estimate), np.nan)
    common = np.isfinite(estimate).all(-1) & np.isfinite(truth).all(-1)
    for n in np.flatnonzero(common.sum(-1) >= 3):
        s, R, t = estimate_alignment(estimate[n], truth[n], with_scale=True)
        out[n] = np.nanmean(point_errors(s * estimate[n] @ R.T + t, truth[n]))
    return out


def bone_variation(xyz: F64, edges: tuple[tuple[int, int], ...]) -> F64:
    """Coefficient of variation of every bone's length over frames; 0 for a rigid hand.

    Parameters
    ----------
    xyz
        Shape (F, K, 3).
    edges
        Bones as pairs of keypoint numbers.

    Returns
    -------
    F64
        One value per bone; NaN for a bone never seen.
    """
    a, b = np.array(edges).T
    length = np.linalg.norm(xyz[:, a] - xyz[:, b], axis=-1)
    seen = np.isfinite(length).any(0)
    out = np.full(len(edges), np.nan)
    out[seen] = np.nanstd(length[:, seen], axis=0) / np.nanmean(length[:, seen], axis=0)
    return out
