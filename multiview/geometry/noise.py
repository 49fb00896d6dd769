"""The noise of a detector, measured on its own detections: no truth, no threshold.

A scale is right when residuals within a fixed number of standard deviations are as large as normal
noise of that scale makes them. It is looked for from 1/1000 of the picture's diagonal, up or down:
wrong detections are spread over much more than the noise, so that a scale above the right one finds
its residuals too small and shrinks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.core import Rig

__all__ = ["Sample", "by_camera", "chi2_median", "measure_noise", "point_residuals"]

# Points looked at: 400 of five views have 2800 degrees of freedom, which fix a scale to 2 %.
SAMPLE = 400
ROUNDS = 12
# Scales that differ by less give the same inliers.
SAME_SCALE = 0.03
# In diagonals of the picture; no detector resolves less than 0.05 px.
START, MOST, LEAST_PX = 1e-3, 1e-2, 0.05
# Points of three and more views are used when there are this many: pairs agree by chance.
ENOUGH = 30
# Cameras whose noise differs by less are alike; weights are right after three rounds.
ALIKE, CAMERA_ROUNDS = 0.2, 3
# A camera's own noise counts as this many residuals of the rig's; it is within this factor of it.
PRIOR_RESIDUALS, FACTOR = 100, 4.0

Run = Callable[[F64, IntArray], tuple[F64, BoolArray, F64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Some points of a take and what became of them.

    Parameters
    ----------
    sigma
        Noise of each camera, shape (V, 1), pixels.
    rows
        Which points, shape (n,).
    inlier
        Views that agree, shape (V, n).
    candidates
        Views that were asked, shape (n,).
    off_px
        Distance of every observation from its point, shape (V, n); NaN without.
    """

    sigma: F64
    rows: IntArray
    inlier: BoolArray
    candidates: IntArray
    off_px: F64


def chi2_median(freedom: F64) -> F64:
    """Median of chi-square (Wilson and Hilferty 1931), good to 1 % from one degree of freedom."""
    return np.asarray(freedom * (1 - 2 / (9 * freedom)) ** 3)


def measure_noise(rig: Rig, cameras: F64, run: Run, xy_px: F64, given: F64 | None = None) -> Sample:
    """Measure the standard deviation of one coordinate for every camera.

    Parameters
    ----------
    rig
        V cameras.
    cameras
        The same as `multiview.geometry.compiled.lens.pack_cameras` gives them.
    run
        Triangulates points ``rows`` with a noise (V, 1) or (V, N): returns points, inliers, and
        statistics whose columns are candidates, inliers, chi-square, cost, and information.
    xy_px
        Shape (V, N, 2).
    given
        Noise that is known, (V, 1) or (V, N): then only the sample is made.

    Returns
    -------
    Sample
        At most `SAMPLE` points, evenly over all that two views saw.
    """
    diagonal = np.array([np.hypot(*c.intrinsics.size_wh) for c in rig.cameras])[:, None]
    sigma = START * diagonal if given is None else given
    two = np.flatnonzero(np.isfinite(xy_px[..., 0]).sum(0) >= 2)
    rows = two[np.linspace(0, len(two) - 1, min(SAMPLE, len(two))).astype(int)]
    xyz, inlier, stats = run(sigma, rows)
    for _ in range(ROUNDS if given is None and rows.size else 0):
        common = _factor(stats[:, 1], stats[:, 2])
        sigma = np.clip(sigma * common, LEAST_PX, MOST * diagonal)
        if abs(common - 1) < SAME_SCALE:
            break
        xyz, inlier, stats = run(sigma, rows)
    for _ in range(CAMERA_ROUNDS):
        one = np.ascontiguousarray(np.median(sigma, axis=1))
        off, rest = point_residuals(cameras, xyz, xy_px[:, rows], stats[:, 4:10], one)
        factor = by_camera(off / one[:, None], rest, inlier)
        if given is not None:
            break
        sigma = np.maximum(sigma * factor, LEAST_PX)
        if np.abs(factor - 1).max() < ALIKE:
            break
        xyz, inlier, stats = run(sigma, rows)
    return Sample(
        sigma=sigma, rows=rows, inlier=inlier, candidates=stats[:, 0].astype(np.int64), off_px=off
    )


def _factor(count: F64, chi2: F64) -> float:
    """By how much the noise that was assumed is to be multiplied."""
    use = count >= 3
    if use.sum() < ENOUGH:
        use = count >= 2
    if not use.any():
        return 2.0
    ratio = chi2[use] / chi2_median(2 * count[use] - 3)
    return float(np.sqrt(np.clip(np.median(ratio), 1e-4, 16.0)))


def point_residuals(cameras: F64, xyz: F64, xy: F64, info: F64, sigma: F64) -> tuple[F64, F64]:
    """Distance of observations from their points, and 1 less their leverage, both (V, N).

    Parameters
    ----------
    cameras
        As `multiview.geometry.compiled.lens.pack_cameras` gives them.
    xyz, xy
        Points (N, 3) and recorded pixels (V, N, 2).
    info
        Information of the points, shape (N, 6), at noise ``sigma`` (V,).
    """
    from multiview.geometry.compiled.spread import invert_information, residuals

    cov, off, rest = np.empty((len(xyz), 3, 3)), np.empty(xy.shape[:2]), np.empty(xy.shape[:2])
    invert_information(np.ascontiguousarray(info), np.ones(len(xyz)), cov)
    residuals(cameras, xyz, np.ascontiguousarray(xy), cov, sigma, off, rest)
    return off, rest


def by_camera(ratio: F64, rest: F64, inlier: BoolArray) -> F64:
    """Noise of every camera over the rig's, shape (V, 1), from residuals less their leverage."""
    use = inlier & (inlier.sum(0) >= 4) & (rest > 0.1)
    out = np.ones((len(ratio), 1))
    for v in np.flatnonzero(use.sum(1) >= ENOUGH):
        # half of the squared residuals are below 2 ln 2 variances
        own = np.median(ratio[v, use[v]] ** 2 / rest[v, use[v]]) / (2 * np.log(2))
        share = use[v].sum() / (use[v].sum() + PRIOR_RESIDUALS)
        out[v] = np.clip(np.sqrt(share * own + 1 - share), 1 / FACTOR, FACTOR)
    return out
