"""How sure a triangulated point is: first-order covariance, and how many views make a vote."""

from __future__ import annotations

from math import lgamma, log, pi

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, IntArray
from multiview.core import Rig
from multiview.geometry.camera_jacobian import camera_jacobian
from multiview.geometry.project import project_jacobian
from multiview.geometry.refine import BLOCK, normal_equations

__all__ = [
    "min_agreeing_views",
    "point_covariance",
    "project_sigma",
    "rig_part",
    "spurious_sets",
]

# Points times parameters of the rig worked on at once: some 5 MB.
RIG_FLOATS = 300_000
TINY = float(np.finfo(np.float64).tiny)


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


def rig_part(rig: Rig, xyz: F64, use: NDArray[np.bool_], sigma_px: F64) -> F64:
    """Covariance that the doubt about the rig itself adds to points triangulated with it.

    Points follow the cameras: with ``J`` the derivative of a pixel by the point and ``D`` that by
    the rig, a step ``d`` of the rig moves a point by ``-(sum J'J)^-1 (sum J'D) d``. All points of a
    take share this part, and it includes the rig's place in its world: distances between points are
    surer than it says.

    Parameters
    ----------
    rig
        V cameras with a covariance.
    xyz
        World points, shape (N, 3).
    use
        Observations that made them, shape (V, N).
    sigma_px
        Noise of each camera, shape (V,).

    Returns
    -------
    F64
        Shape (N, 3, 3); zero where the rig says nothing, NaN where there is no point.
    """
    out = np.zeros((len(xyz), 3, 3))
    if rig.covariance is None or not rig.covariance.matrix.size:
        return out
    slots = _rig_slots(rig)
    block = max(RIG_FLOATS // slots[0].size, 1)
    for start in range(0, len(xyz), block):
        part = slice(start, start + block)
        out[part] = _rig_block(rig, slots, xyz[part], use[:, part], sigma_px)
    return out


def _rig_block(
    rig: Rig, slots: tuple[IntArray, F64, F64], xyz: F64, use: NDArray[np.bool_], sigma_px: F64
) -> F64:
    columns, scale, matrix = slots
    n, (views, own) = len(xyz), columns.shape
    H, pull = np.zeros((n, 3, 3)), np.zeros((n, 3, views, own), np.float32)
    seen = use & np.isfinite(xyz).all(-1)
    for v, camera in enumerate(rig.cameras):
        rows, lens = np.flatnonzero(seen[v]), camera.intrinsics
        at = camera.cam_from_world.apply(xyz[rows])
        by_xyz = project_jacobian(at, lens.K, lens.dist, lens.model)[1]
        J = np.swapaxes(by_xyz @ camera.cam_from_world.R, 1, 2) / sigma_px[v]
        H[rows] += J @ np.swapaxes(J, 1, 2)
        pull[rows, :, v] = J @ (camera_jacobian(at, lens)[..., :own] * (scale[v] / sigma_px[v]))
    good = (use.sum(0) >= 2) & _well_posed(H)
    out = np.full((n, 3, 3), np.nan)
    moved = pull.reshape(3 * n, -1)
    by_rig = (moved @ matrix).reshape(n, 3, -1)[good]
    inverse = np.linalg.inv(H[good])
    middle = by_rig @ np.swapaxes(moved.reshape(n, 3, -1)[good], 1, 2)
    out[good] = inverse @ middle.astype(np.float64) @ inverse
    return out


def _well_posed(H: F64) -> NDArray[np.bool_]:
    """Whether matrices (N, 3, 3) can be inverted, whatever their size."""
    size = np.sqrt(np.diagonal(H, axis1=1, axis2=2))
    known = np.asarray((np.isfinite(size) & (size > TINY)).all(-1), np.bool_)
    size = np.where(known[:, None], size, 1.0)
    even = H / size[:, :, None] / size[:, None]
    even[~known] = 0.0
    return np.asarray(np.linalg.det(even) > 1e-14, np.bool_)


def _rig_slots(rig: Rig) -> tuple[IntArray, F64, F64]:
    """Covariance with a place for every parameter of every camera, scaled to ones.

    Returns
    -------
    columns, scale, matrix
        Shapes (V, M), (V, M) and (V M, V M): column of each camera's parameter or -1, its standard
        deviation, and correlations in single precision, which keeps six digits of a covariance.
        Cameras that share a lens have it twice, fully correlated.
    """
    assert rig.covariance is not None
    C = rig.covariance
    columns = np.concatenate([C.pose, C.lens], axis=1)
    columns = columns[:, : int(np.flatnonzero((columns >= 0).any(0)).max(initial=0)) + 1]
    known, flat = columns >= 0, np.maximum(columns, 0).ravel()
    scale = np.where(known, np.sqrt(np.diagonal(C.matrix))[flat].reshape(columns.shape), 0.0)
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0).ravel()
    matrix = C.matrix[np.ix_(flat, flat)] * inverse[:, None] * inverse
    return columns, scale, np.asarray(matrix, np.float32)


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


def spurious_sets(
    n_views: int, agree: int, rate: float, sigma: float, width: float, points: int = 1
) -> float:
    """Expect this many sets of ``agree`` or more wrong detections that agree by chance.

    Two wrong detections meet when one falls on the other's epipolar line, a third when it falls
    within ``sigma`` of their point: ``q2 = 4 sigma / w``, ``q3 = pi sigma^2 / w^2``, wrong
    detections being uniform in a patch of width w. The errors of one finger's points are taken as
    fully correlated (the cautious case), so a whole finger counts as one point; with ``points`` m
    their errors are independent (the other extreme) and only the mean of m distances must be
    within ``sigma``: ``q3 = (2 pi)^m (m sigma)^(2m) / ((2m)! w^(2m))``.

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
    points
        Points m that are judged together.
    """
    if rate >= 1 or agree > n_views:
        return 0.0
    q2 = min(1.0, 4 * sigma / width)
    # in logarithms: the volume of the ball of m distances in 2m dimensions
    reach = log(2 * pi) + 2 * log(max(points * sigma / width, TINY))
    log_q3 = points * reach - lgamma(2 * points + 1)
    log_q3 = min(0.0, max(log_q3, log(TINY)))
    # by logarithms: binomials of a thousand views are no floats
    factorial = np.cumsum(np.log(np.maximum(np.arange(n_views + 1), 1)))
    k = np.arange(agree, n_views + 1)
    terms = factorial[-1] - factorial[k] - factorial[n_views - k] + k * np.log1p(-rate)
    terms += np.where(k > 2, (k - 2) * log_q3, 0.0)
    with np.errstate(over="ignore", under="ignore"):
        return float(q2 * np.exp(terms).sum())


def min_agreeing_views(
    n_views: int,
    rate: float,
    sigma: float,
    width: float,
    allowed: float = 0.01,
    points: int = 1,
) -> int:
    """Smallest number of agreeing views that chance reaches at most ``allowed`` times.

    A fixed 3 is unsafe with many views of a weak detector (31 views, p = 0.2). With two views no
    vote is possible: the answer is 2 and the caller must flag the point.
    """
    for agree in range(3, n_views + 1):
        if spurious_sets(n_views, agree, rate, sigma, width, points) <= allowed:
            return agree
    return max(2, n_views)
