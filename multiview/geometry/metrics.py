"""Errors of 2D and 3D keypoints, and checks that need no truth."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.geometry.align import estimate_alignment

__all__ = [
    "auc",
    "auc_mmpose",
    "bone_variation",
    "dimensionless_jerk",
    "jerk",
    "pa_errors",
    "pa_mpjpe",
    "pck",
    "point_errors",
]


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


def auc_mmpose(errors: F64, exists: BoolArray, top: float = 30.0, steps: int = 20) -> float:
    """Area under the PCK curve as MMPose computes it: its maximum is 0.95, not 1.

    The mean of PCK at ``i / steps * top``, i = 0 .. steps - 1, with errors strictly below the
    threshold, and keypoints averaged after their samples (``keypoint_auc`` of MMPose 1.x).

    Parameters
    ----------
    errors
        Shape (..., K), NaN where missing; pixels with the default ``top``.
    exists
        Where there is a truth, same shape.
    """
    K = errors.shape[-1]
    flat = np.where(np.isfinite(errors), errors, np.inf).reshape(-1, K)
    count = exists.reshape(-1, K).sum(0)
    thresholds = np.arange(steps) / steps * top
    right = np.array([((flat < x) & exists.reshape(-1, K)).sum(0) for x in thresholds])
    known = count > 0
    return float((right[:, known] / count[known]).mean()) if known.any() else float("nan")


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
    error = pa_errors(estimate, truth)
    some = np.isfinite(error).any(-1)
    out = np.full(len(estimate), np.nan)
    out[some] = np.nanmean(error[some], axis=-1)
    return out


def pa_errors(estimate: F64, truth: F64) -> F64:
    """Error of every joint after its hand's own similarity alignment (Procrustes).

    Parameters
    ----------
    estimate, truth
        Shape (N, K, 3).

    Returns
    -------
    F64
        Shape (N, K); NaN where missing and for hands with fewer than three common points.
    """
    out = np.full(estimate.shape[:2], np.nan)
    common = np.isfinite(estimate).all(-1) & np.isfinite(truth).all(-1)
    for n in np.flatnonzero(common.sum(-1) >= 3):
        s, R, t = estimate_alignment(estimate[n], truth[n], with_scale=True)
        out[n] = point_errors(s * estimate[n] @ R.T + t, truth[n])
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


def jerk(xyz: F64, times: F64) -> F64:
    """Third derivative of motion from four frames in a row: exact for cubic motion.

    Six times the third divided difference, so frames need not be evenly spaced.

    Parameters
    ----------
    xyz
        Shape (F, ..., 3).
    times
        Seconds, increasing, shape (F,).

    Returns
    -------
    F64
        Shape (F - 3, ..., 3), units of the points per second cubed; NaN where a frame is missing.
    """
    if len(xyz) < 4:
        return np.empty((0, *xyz.shape[1:]))
    difference, t = xyz, times.reshape(-1, *[1] * (xyz.ndim - 1))
    for order in (1, 2, 3):
        difference = np.diff(difference, axis=0) / (t[order:] - t[:-order])
    return np.asarray(6 * difference)


def dimensionless_jerk(xyz: F64, times: F64) -> F64:
    """Mean squared jerk in units of the motion's own length and duration (Hogan and Sternad 2009).

    ``integral |jerk|^2 dt  D^5 / L^2``, D the duration and L the length of the path. The fastest
    smooth movement from rest to rest has 720 (``10 u^3 - 15 u^4 + 6 u^5``); noise has far more.

    Parameters
    ----------
    xyz
        Shape (F, ..., 3), of one movement.
    times
        Seconds, shape (F,).

    Returns
    -------
    F64
        Shape (...,); NaN where a frame is missing or nothing moves.
    """
    square = (jerk(xyz, times) ** 2).sum(-1)
    length = np.linalg.norm(np.diff(xyz, axis=0), axis=-1).sum(0)
    span = times[-1] - times[0]
    moves = np.isfinite(length) & (length > 0)
    return np.asarray(
        np.where(moves, square.mean(0) * span**6 / np.where(moves, length, 1) ** 2, np.nan)
    )
