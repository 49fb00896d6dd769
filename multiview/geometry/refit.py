"""Compiled counterparts of `Rig.undistort`, `refine_points` and reprojection, for whole takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.core import Rig
from multiview.geometry.noise import by_camera, chi2_median, point_residuals
from multiview.geometry.robust import LIMIT, Search
from multiview.geometry.spread import point_scale
from multiview.geometry.threads import over_blocks

__all__ = ["Refit", "pixel_errors", "refit", "undistort"]

# Points on which the noise of the cameras is measured.
SAMPLE = 2000
# The weights of cameras with four times the noise of others are right to 5 % after three.
NOISE_ROUNDS = 3
# Squared limit of a plain least-squares fit.
NO_LIMIT = 1e200
# No detector resolves less, pixels.
LEAST_PX = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Refit:
    """Refitted points.

    Parameters
    ----------
    xyz
        Shape (N, 3); NaN where the observations determine none.
    cov
        Shape (N, 3, 3).
    use
        Observations that agree with the result, shape (V, N).
    sigma_px
        Noise of one coordinate per camera, shape (V,).
    """

    xyz: F64
    cov: F64
    use: BoolArray
    sigma_px: F64


def undistort(rig: Rig, xy_px: F64, *, workers: int = 0) -> F64:
    """Undistort recorded pixels (V, N, 2) to normalised coordinates: `Rig.undistort`, compiled."""
    from multiview.geometry.compiled import lens

    xy, packed = np.ascontiguousarray(xy_px), lens.pack_cameras(rig)
    out = np.empty_like(xy)
    over_blocks(lambda a, b: lens.undistort_points(*packed, xy, a, b, out), xy.shape[1], workers)
    return out


def pixel_errors(rig: Rig, xyz: F64, xy_px: F64, *, workers: int = 0) -> F64:
    """Reprojection errors (V, N) of points (N, 3) in pixels; NaN where a view has none."""
    from multiview.geometry.compiled import lens

    cameras, out = lens.pack_cameras(rig)[0], np.empty(xy_px.shape[:2])
    xyz, xy = np.ascontiguousarray(xyz), np.ascontiguousarray(xy_px)
    over_blocks(lambda a, b: lens.pixel_errors(cameras, xyz, xy, a, b, out), xy.shape[1], workers)
    return out


def refit(
    rig: Rig, xyz: F64, xy_px: F64, use: BoolArray, *, length: float = np.inf, workers: int = 0
) -> Refit:
    """Refit points on recorded pixels, weighted by each camera's noise, and say how sure they are.

    Parameters
    ----------
    rig
        V cameras.
    xyz
        Start, shape (N, 3).
    xy_px
        Recorded pixels, shape (V, N, 2).
    use
        Observations that count, shape (V, N).
    length
        An observation farther from the point than this (rig units), and than normal noise explains,
        is left out; by default all stay in.
    workers
        Threads; 0 for all cores.
    """
    from multiview.geometry.compiled.lens import pack_cameras

    task = _Task(pack_cameras(rig)[0], np.ascontiguousarray(xy_px), length, workers)
    sigma = _noise(task, xyz, use)
    points, kept, stats = task.run(xyz, use, sigma)
    count, good = kept.sum(0), np.isfinite(points[:, 0])
    scale, pooled = point_scale(stats[:, 2], count, good)
    return Refit(
        xyz=points,
        cov=_covariance(stats, np.where(good, scale, np.nan)),
        use=kept,
        sigma_px=sigma[:, 0] * pooled,
    )


@dataclass(frozen=True, slots=True)
class _Task:
    cameras: F64
    xy: F64
    length: float
    workers: int

    def run(self, xyz: F64, use: BoolArray, sigma: F64) -> tuple[F64, BoolArray, F64]:
        from multiview.geometry.compiled.polish import STATS, refit_points

        bounded = np.isfinite(self.length)
        options = Search(length=self.length if bounded else 0.0).options()
        limit = LIMIT**2 if bounded else NO_LIMIT
        xyz, use, stats = xyz.copy(), use.copy(), np.empty((len(xyz), STATS))
        given = (self.cameras, self.xy, sigma, options, limit)
        over_blocks(
            lambda a, b: refit_points(*given, a, b, use, xyz, stats), len(xyz), self.workers
        )
        return xyz, use, stats


def _noise(task: _Task, xyz: F64, use: BoolArray) -> F64:
    """Noise of every camera, shape (V, 1), by refits of a sample with better and better weights."""
    sigma = np.ones((len(use), 1))
    good = np.flatnonzero(np.isfinite(xyz[:, 0]) & (use.sum(0) >= 2))
    if not good.size:
        return sigma
    rows = good[np.linspace(0, len(good) - 1, min(SAMPLE, len(good))).astype(int)]
    part = _Task(task.cameras, np.ascontiguousarray(task.xy[:, rows]), task.length, task.workers)
    for _ in range(NOISE_ROUNDS):
        points, kept, stats = part.run(xyz[rows], use[:, rows], sigma)
        count = kept.sum(0)
        told = count >= 2
        if not told.any():
            return sigma
        common = np.median(stats[told, 2] / chi2_median(2.0 * count[told] - 3)) ** 0.5
        common = max(float(common), LEAST_PX / float(sigma.max()))  # exact points have no noise
        sigma = np.maximum(sigma * common, LEAST_PX)
        one = np.ascontiguousarray(sigma[:, 0])
        info = stats[:, 4:10] / common**2
        off, rest = point_residuals(task.cameras, points, part.xy, info, one)
        sigma = np.maximum(sigma * by_camera(off / sigma, rest, kept), LEAST_PX)
    return sigma


def _covariance(stats: F64, scale: F64) -> F64:
    from multiview.geometry.compiled.spread import invert_information

    cov = np.empty((len(stats), 3, 3))
    invert_information(np.ascontiguousarray(stats[:, 4:10]), scale, cov)
    return cov
