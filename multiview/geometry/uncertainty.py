"""How sure a triangulated point is: first-order covariance, and how many views make a vote."""

from __future__ import annotations

from math import comb, pi

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.core import Rig
from multiview.geometry.project import project_jacobian
from multiview.geometry.refine import BLOCK, normal_equations

__all__ = ["min_agreeing_views", "point_covariance", "project_sigma", "spurious_sets"]


def point_covariance(rig: Rig, xyz: F64, xy_px: F64, use: NDArray[np.bool_]) -> tuple[F64, float]:
    """Covariance of each refined point, ``sigma^2 (J^T J)^-1``.

    The noise is pooled over all points (a single point of three views has three degrees of
    freedom: too few to estimate its own), but a point whose own residuals say more noise than
    that gets its own.

    Parameters
    ----------
    rig, xyz, xy_px, use
        As in `multiview.geometry.refine.refine_points`, after it.

    Returns
    -------
    cov
        Shape (N, 3, 3), metres squared; NaN where there is no point.
    sigma_px
        Pooled standard deviation of one coordinate of one observation, pixels.
    """
    cov = np.full((len(xyz), 3, 3), np.nan)
    rows = np.flatnonzero(np.isfinite(xyz).all(-1) & (use.sum(0) >= 2))
    if not rows.size:
        return cov, float("nan")
    parts = []
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        parts.append(normal_equations(rig, xyz[some], xy_px[:, some], use[:, some]))
    JtJ, cost = np.concatenate([p[0] for p in parts]), np.concatenate([p[2] for p in parts])
    freedom = 2.0 * use[:, rows].sum(0) - 3
    pooled = cost.sum() / freedom.sum()
    variance = np.maximum(pooled, cost / freedom)
    # singular where all used rays are parallel
    good = np.linalg.cond(JtJ) < 1e14
    cov[rows[good]] = np.linalg.inv(JtJ[good]) * variance[good, None, None]
    return cov, float(np.sqrt(pooled))


def project_sigma(rig: Rig, xyz: F64, cov: F64) -> F64:
    """Return the standard deviation of reprojected points: root mean of both axes' variances.

    Parameters
    ----------
    rig
        V cameras.
    xyz, cov
        World points (..., 3) and covariances (..., 3, 3).

    Returns
    -------
    F64
        Shape (V, ...).
    """
    out = []
    for camera in rig.cameras:
        i = camera.intrinsics
        _, by_cam = project_jacobian(camera.cam_from_world.apply(xyz), i.K, i.dist, i.model)
        J = by_cam @ camera.cam_from_world.R
        variance = np.einsum("...ci,...ij,...cj->...", J, cov, J) / 2
        out.append(np.sqrt(variance))
    return np.stack(out)


def spurious_sets(n_views: int, agree: int, rate: float, sigma: float, width: float) -> float:
    """Expect this many sets of ``agree`` or more wrong detections that agree by chance.

    Two wrong detections meet when one falls on the other's epipolar line, a third when it falls
    within ``sigma`` of their point: ``q2 = 4 sigma / w``, ``q3 = pi sigma^2 / w^2``, wrong
    detections being uniform in a patch of width w. The errors of one finger's points are taken as
    fully correlated (the cautious case), so a whole finger counts as one point.

    Parameters
    ----------
    n_views
        Views V that detected the keypoint.
    agree
        Number n of views that must agree, at least 2.
    rate
        Probability p that one view's detection is right.
    sigma, width
        Inlier threshold and patch width in the same unit.
    """
    q2, q3 = min(1.0, 4 * sigma / width), min(1.0, pi * sigma**2 / width**2)
    return sum(
        comb(n_views, k) * (1 - rate) ** k * q2 * q3 ** (k - 2) for k in range(agree, n_views + 1)
    )


def min_agreeing_views(
    n_views: int, rate: float, sigma: float, width: float, allowed: float = 0.01
) -> int:
    """Smallest number of agreeing views that chance reaches at most ``allowed`` times.

    A fixed 3 is unsafe with many views of a weak detector (31 views, p = 0.2). With two views no
    vote is possible: the answer is 2 and the caller must flag the point.
    """
    for agree in range(3, n_views + 1):
        if spurious_sets(n_views, agree, rate, sigma, width) <= allowed:
            return agree
    return max(2, n_views)
