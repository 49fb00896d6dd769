"""The noise of a detector, measured on its own detections: no truth, no threshold.

A scale is right when residuals within a fixed number of standard deviations are as large as normal
noise of that scale makes them. The smallest such scale is looked for, from 1/1000 of the picture's
diagonal up or down: a wrong detection is uniform over the scales of interest, so scales above the
right one hold together worse.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.core import Rig
from multiview.geometry.project import project_jacobian

__all__ = ["chi2_median", "measure_noise"]

# Points looked at: 400 of five views have 2800 degrees of freedom, which fix a scale to 2 %.
SAMPLE = 400
ROUNDS = 12
# Scales that differ by less give the same inliers.
SAME_SCALE = 0.03
# In diagonals of the picture; no detector resolves less than 0.05 px.
START, MOST, LEAST_PX = 1e-3, 1e-2, 0.05
# Points of three and more views are used when there are this many: pairs agree by chance.
ENOUGH = 30
# A camera's own noise counts as this many residuals of the rig's; it is within this factor of it.
PRIOR_RESIDUALS, FACTOR = 100, 4.0

Run = Callable[[F64, IntArray], tuple[F64, BoolArray, F64]]


def chi2_median(freedom: F64) -> F64:
    """Median of chi-square (Wilson and Hilferty 1931), good to 1 % from one degree of freedom."""
    return np.asarray(freedom * (1 - 2 / (9 * freedom)) ** 3)


def measure_noise(rig: Rig, run: Run, xy_px: F64, limit: float) -> F64:
    """Measure the standard deviation of one coordinate for every camera.

    Parameters
    ----------
    rig
        V cameras.
    run
        Triangulates points ``rows`` with a noise (V, 1): returns points, inliers, and statistics
        whose columns 1 and 2 are the number of inliers and their chi-square.
    xy_px
        Shape (V, N, 2).
    limit
        Standard deviations within which a view agrees.

    Returns
    -------
    F64
        Shape (V, 1), pixels.
    """
    diagonal = np.array([np.hypot(*c.intrinsics.size_wh) for c in rig.cameras])[:, None]
    sigma = START * diagonal
    two = np.flatnonzero(np.isfinite(xy_px[..., 0]).sum(0) >= 2)
    rows = two[np.linspace(0, len(two) - 1, min(SAMPLE, len(two))).astype(int)]
    if not rows.size:
        return sigma
    for _ in range(ROUNDS):
        xyz, inlier, stats = run(sigma, rows)
        factor = _factor(stats[:, 1], stats[:, 2])
        sigma = np.clip(sigma * factor, LEAST_PX, MOST * diagonal)
        if abs(factor - 1) < SAME_SCALE:
            break
    return np.maximum(sigma * _by_camera(rig, xyz, xy_px[:, rows], inlier, sigma), LEAST_PX)


def _factor(count: F64, chi2: F64) -> float:
    """By how much the noise that was assumed is to be multiplied."""
    use = count >= 3
    if use.sum() < ENOUGH:
        use = count >= 2
    if not use.any():
        return 2.0
    ratio = chi2[use] / chi2_median(2 * count[use] - 3)
    return float(np.sqrt(np.clip(np.median(ratio), 1e-4, 16.0)))


def _by_camera(rig: Rig, xyz: F64, xy: F64, inlier: BoolArray, sigma: F64) -> F64:
    """Noise of every camera over the rig's, shape (V, 1), from residuals less their leverage."""
    use = np.isfinite(xyz).all(-1) & (inlier.sum(0) >= 4)
    out = np.ones((len(xy), 1))
    if use.sum() < ENOUGH:
        return out
    xyz, xy, inlier = xyz[use], xy[:, use], inlier[:, use]
    J, squared = [], np.full(inlier.shape, np.nan)
    for v, camera in enumerate(rig.cameras):
        lens, pose = camera.intrinsics, camera.cam_from_world
        seen, by_cam = project_jacobian(pose.apply(xyz), lens.K, lens.dist, lens.model)
        J.append(np.where(inlier[v][:, None, None], by_cam @ pose.R, 0.0) / sigma[v, 0])
        squared[v] = (np.where(inlier[v][:, None], seen - xy[v], 0.0) ** 2).sum(-1) / sigma[v] ** 2
    inverse = np.linalg.pinv(sum(np.swapaxes(j, 1, 2) @ j for j in J), hermitian=True)
    for v, j in enumerate(J):
        rest = 1 - np.einsum("nci,nij,ncj->n", j, inverse, j) / 2
        ok = inlier[v] & (rest > 0.1)
        if ok.any():
            # half of the squared residuals are below 2 ln 2 variances
            own = np.median(squared[v, ok] / rest[ok]) / (2 * np.log(2))
            share = ok.sum() / (ok.sum() + PRIOR_RESIDUALS)
            out[v] = np.clip(np.sqrt(share * own + 1 - share), 1 / FACTOR, FACTOR)
    return out
