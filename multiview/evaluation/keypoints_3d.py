"""3D keypoints against a truth: absolute, about the wrist, aligned; and their covariances."""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from multiview._shapes import F64, BoolArray
from multiview.geometry.metrics import auc, pa_errors, point_errors

__all__ = ["coverage", "errors_3d", "figures_3d"]

ROOT = 0
SHORT = {"absolute": "mpjpe", "root_relative": "rr_mpjpe", "aligned": "pa_mpjpe"}
# Shares that the ellipsoids of covariances are asked to hold.
LEVELS = (0.68, 0.95)


def errors_3d(estimate: F64, truth: F64) -> dict[str, F64]:
    """Errors of every keypoint, in the unit of the points, shape (F, H, K); NaN where missing.

    Parameters
    ----------
    estimate, truth
        In one world, shape (F, H, K, 3); NaN where missing.

    Returns
    -------
    dict
        ``absolute``; ``root_relative``, both hands shifted to have the wrist at 0 (needs the
        wrist); ``aligned``, each hand moved, turned and scaled onto its truth (Procrustes).
    """
    flat = (-1, *estimate.shape[-2:])
    aligned = pa_errors(estimate.reshape(flat), truth.reshape(flat))
    return {
        "absolute": point_errors(estimate, truth),
        "root_relative": point_errors(
            estimate - estimate[..., [ROOT], :], truth - truth[..., [ROOT], :]
        ),
        "aligned": aligned.reshape(estimate.shape[:-1]),
    }


def figures_3d(errors_mm: dict[str, F64], exists: BoolArray) -> dict[str, float]:
    """Numbers over all keypoints.

    Parameters
    ----------
    errors_mm
        As `errors_3d` gave them, millimetres.
    exists
        Where there is a truth, shape (F, H, K); missing estimates count as wrong in the AUCs.
    """
    out = {"recovered": _mean(np.isfinite(errors_mm["absolute"][exists]))}
    for name, short in SHORT.items():
        error = errors_mm[name][exists]
        out[f"{short}_mm"] = _mean(error[np.isfinite(error)])
        out[f"{short}_auc_20_50"] = auc(error, 20, 50, 301)
        out[f"{short}_auc_0_50"] = auc(error, 0, 50, 501)
    return out


def coverage(difference: F64, cov: F64) -> dict[str, float]:
    """Share of the truths inside the 68 % and 95 % ellipsoids of the covariances.

    Parameters
    ----------
    difference
        Estimate less truth, shape (..., 3).
    cov
        Covariances, shape (..., 3, 3), the same unit squared.
    """
    ok = np.isfinite(difference).all(-1) & np.isfinite(cov).all((-1, -2))
    d = difference[ok]
    square = (d * np.linalg.solve(cov[ok], d[..., None])[..., 0]).sum(-1)
    return {f"within_{100 * p:.0f}": _mean(square <= chi2.ppf(p, 3)) for p in LEVELS}


def _mean(values: F64 | BoolArray) -> float:
    return float(np.mean(values)) if values.size else float("nan")
