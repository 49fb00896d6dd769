"""Sampson's error of a relative pose, its derivatives, and its robust minimum."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64
from multiview.calib.bundle import CAUCHY_SIGMA, NOISE_FLOOR_PX
from multiview.calib.so3 import exp_so3

__all__ = ["cross_matrix", "homogeneous", "pair_jacobian", "refine_pair", "sampson_px", "spread"]

# Steps of the refinement, the fall of its chi-square that ends it, and rounds of measuring noise.
PAIR_STEPS, PAIR_SETTLED, NOISE_ROUNDS = 20, 0.05, 3
# An error normal to an epipolar line, whose median is 0.67 sigma.
MEDIAN_NORMAL = 0.6745


def homogeneous(xy: F64) -> F64:
    """Append z = 1 to rays (..., 2)."""
    return np.concatenate([xy, np.ones_like(xy[..., :1])], -1)


def sampson_px(E: F64, first: F64, second: F64, px: tuple[float, float]) -> F64:
    """Signed distance of correspondences from agreeing with E, to first order.

    Parameters
    ----------
    E
        Shape (..., 3, 3), ``second^T E first = 0``.
    first, second
        Rays, z = 1, shape (n, 2).
    px
        Pixels per unit in each picture (focal lengths).

    Returns
    -------
    F64
        Shape (..., n), in units of one coordinate's error in pixels.
    """
    a, b = homogeneous(first), homogeneous(second)
    line2 = a @ np.swapaxes(E, -1, -2)
    line1 = b @ E
    value = (line2 * b).sum(-1)
    slope = (line1[..., :2] ** 2).sum(-1) / px[0] ** 2 + (line2[..., :2] ** 2).sum(-1) / px[1] ** 2
    return np.asarray(value / np.sqrt(np.maximum(slope, 1e-300)))


def _tangents(t: F64) -> F64:
    """Two unit vectors normal to t, shape (3, 2)."""
    return np.asarray(np.linalg.svd(t[None])[2][1:].T)


def cross_matrix(t: F64) -> F64:
    """Matrix (3, 3) of the product ``t x``."""
    return np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])


def pair_jacobian(
    R: F64, t: F64, first: F64, second: F64, px: tuple[float, float]
) -> tuple[F64, F64]:
    """Sampson errors (n,) and their derivatives (n, 5) by rotation and the tangents of t."""
    a, b, T = homogeneous(first), homogeneous(second), cross_matrix(t)
    E = T @ R
    turns = [T @ cross_matrix(axis) @ R for axis in np.eye(3)]
    shifts = [cross_matrix(axis) @ R for axis in _tangents(t).T]
    dE = np.stack(turns + shifts)
    line1, line2 = (b @ E)[:, :2] / px[0], (a @ E.T) / px[1]
    slope = (line1**2).sum(-1) + (line2[:, :2] ** 2).sum(-1)
    size = np.sqrt(np.maximum(slope, 1e-300))
    value = px[1] * (line2 * b).sum(-1)
    # derivatives of both lines by the five parameters, as one product each
    d1 = (b @ dE[:, :, :2].transpose(1, 0, 2).reshape(3, 10)).reshape(-1, 5, 2) / px[0]
    d2 = (a @ dE.transpose(2, 0, 1).reshape(3, 15)).reshape(-1, 5, 3) / px[1]
    d_value = px[1] * (d2 @ b[:, :, None])[..., 0]
    half = (d1 @ line1[:, :, None])[..., 0] + (d2[:, :, :2] @ line2[:, :2, None])[..., 0]
    J = d_value / size[:, None] - (value / size**3)[:, None] * half
    return value / size, np.asarray(J)


def _loss(error: F64, sigma: float) -> float:
    return float(np.log1p((error / sigma / CAUCHY_SIGMA) ** 2).sum() * CAUCHY_SIGMA**2)


def refine_pair(
    R: F64, t: F64, first: F64, second: F64, px: tuple[float, float], sigma: float
) -> tuple[F64, F64, F64, float, float]:
    """Minimise Sampson's error with Cauchy's loss; return R, t, covariance, cost and sigma."""
    for _ in range(NOISE_ROUNDS):
        R, t, H = _minimise(R, t, first, second, px, sigma)
        error, _ = pair_jacobian(R, t, first, second, px)
        before = sigma
        sigma = max(spread(error), NOISE_FLOOR_PX)
        if abs(sigma / before - 1) < 0.05:
            break
    return R, t, np.asarray(np.linalg.pinv(H, hermitian=True)), _loss(error, sigma), sigma


def spread(error: F64) -> float:
    """Noise of errors of which up to half are gross."""
    size = np.abs(error)
    near = size[size < 3 * float(np.median(size)) / MEDIAN_NORMAL]
    return float(np.median(near)) / MEDIAN_NORMAL if near.size else 0.0


def _minimise(
    R: F64, t: F64, first: F64, second: F64, px: tuple[float, float], sigma: float
) -> tuple[F64, F64, F64]:
    """Levenberg-Marquardt on rotation and direction, the noise given; also the information."""
    error, J = pair_jacobian(R, t, first, second, px)
    cost, damping = _loss(error, sigma), 1e-3
    H = np.eye(5)
    for _ in range(PAIR_STEPS):
        weight = 1 / (1 + (error / sigma / CAUCHY_SIGMA) ** 2) / sigma**2
        H, g = (J * weight[:, None]).T @ J, J.T @ (weight * error)
        step = -np.linalg.solve(H + damping * np.diag(np.diag(H) + 1e-9 * np.trace(H)), g)
        turned = exp_so3(np.asarray(step[:3], np.float64)) @ R
        moved = t + _tangents(t) @ step[3:]
        moved = moved / np.linalg.norm(moved)
        new_error, new_J = pair_jacobian(turned, moved, first, second, px)
        new = _loss(new_error, sigma)
        if new < cost:
            settled = cost - new < PAIR_SETTLED
            R, t, error, J, cost, damping = turned, moved, new_error, new_J, new, damping / 10
            if settled:
                break
        else:
            damping *= 10
            if damping > 1e6:
                break
    return R, t, H
