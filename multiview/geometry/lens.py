r"""Lens distortion of OpenCV's models, forwards, backwards and differentiated.

Brown's polynomial and rational model (OpenCV, ``calib3d`` reference: ``k1 k2 p1 p2 k3 k4 k5 k6 s1
s2 s3 s4``), with :math:`r^2 = x^2 + y^2`,

.. math:: x_d = x \frac{1 + k_1 r^2 + k_2 r^4 + k_3 r^6}{1 + k_4 r^2 + k_5 r^4 + k_6 r^6}
          + 2 p_1 x y + p_2 (r^2 + 2 x^2) + s_1 r^2 + s_2 r^4

and the fisheye model :math:`\theta_d = \theta (1 + k_1 \theta^2 + \dots + k_4 \theta^8)`.

Polynomials fold back outside the field they were fitted on: a point far off the axis can land
inside the picture. Here a lens ends where its radial curve stops rising; beyond it both directions
give NaN instead of a ghost.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from multiview._shapes import F64

__all__ = ["distort", "distort_jacobian", "distort_parts", "lens_table", "undistort"]

# Newton doubles the digits each step: from the 1e-4 of the table below, 3 steps reach 1e-16;
# the rest is a margin for strong tangential terms.
NEWTON_STEPS = 12
# Residual in normalised units that counts as converged: 1e-12 is 1e-9 px at f = 1000 px.
CONVERGED = 1e-12
# Radii (tangents of the field angle) at which a radial curve is sampled; 1.5 rad is 86 degrees.
TABLE_SIZE = 2048
MAX_FIELD_ANGLE = 1.5
# Numbers too large for a polynomial are beyond every lens's field: NaN, and no cause for a warning.
_quiet = np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")


def _padded(dist: F64) -> F64:
    out = np.zeros(12)
    out[: dist.size] = dist
    return out


def _radial(r2: F64, c: F64) -> tuple[F64, F64]:
    """Radial factor and its derivative by r^2."""
    num = 1 + r2 * (c[0] + r2 * (c[1] + r2 * c[4]))
    if not c[5:8].any():  # no rational part
        return num, c[0] + r2 * (2 * c[1] + r2 * 3 * c[4])
    den = 1 + r2 * (c[5] + r2 * (c[6] + r2 * c[7]))
    dnum = c[0] + r2 * (2 * c[1] + r2 * 3 * c[4])
    dden = c[5] + r2 * (2 * c[6] + r2 * 3 * c[7])
    return num / den, (dnum - num / den * dden) / den


def _theta_poly(theta: F64, k: F64) -> tuple[F64, F64]:
    """Distorted angle and its derivative by the angle."""
    t2 = theta * theta
    value = theta * (1 + t2 * (k[0] + t2 * (k[1] + t2 * (k[2] + t2 * k[3]))))
    slope = 1 + t2 * (3 * k[0] + t2 * (5 * k[1] + t2 * (7 * k[2] + t2 * 9 * k[3])))
    return value, slope


@lru_cache(maxsize=256)
def _radial_table(dist: bytes, model: str) -> tuple[F64, F64]:
    """Undistorted and distorted radius, both rising, up to where the lens ends."""
    coefficients = np.frombuffer(dist)
    theta = np.linspace(0, MAX_FIELD_ANGLE, TABLE_SIZE)
    r = np.tan(theta)
    if model == "fisheye":
        distorted, slope = _theta_poly(theta, coefficients)
    else:
        factor, derivative = _radial(r * r, coefficients)
        distorted, slope = r * factor, factor + 2 * r * r * derivative
    bad = np.flatnonzero(~(slope > 0) | (distorted < 0))
    end = bad[0] if bad.size else TABLE_SIZE
    return r[: max(end, 2)], distorted[: max(end, 2)]


def _table(dist: F64, model: str) -> tuple[F64, F64]:
    coefficients = dist if model == "fisheye" else _padded(dist)
    return _radial_table(np.ascontiguousarray(coefficients).tobytes(), model)


def distort(xy_norm: F64, dist: F64, model: str = "brown") -> F64:
    """Apply a lens to normalised coordinates.

    Parameters
    ----------
    xy_norm
        Undistorted, shape (..., 2), z = 1.
    dist
        0, 4, 5, 8 or 12 coefficients (``"brown"``) or 4 (``"fisheye"``).
    model
        ``"brown"`` or ``"fisheye"``.

    Returns
    -------
    F64
        Distorted normalised coordinates, shape (..., 2); NaN beyond the lens's field.
    """
    return distort_jacobian(xy_norm, dist, model)[0]


def distort_jacobian(xy_norm: F64, dist: F64, model: str = "brown") -> tuple[F64, F64]:
    """Apply a lens; also return the derivative, shape (..., 2, 2), by ``xy_norm``."""
    parts = distort_parts(xy_norm[..., 0], xy_norm[..., 1], dist, model)
    return _stacked(parts)


@_quiet
def distort_parts(x: F64, y: F64, dist: F64, model: str = "brown") -> tuple[F64, ...]:
    """Apply a lens to coordinates given apart, which keeps large problems in the cache.

    Parameters
    ----------
    x, y
        Undistorted normalised coordinates, equal shapes.
    dist, model
        As in `distort`.

    Returns
    -------
    tuple
        Distorted ``x`` and ``y`` (NaN beyond the lens's field), then their derivatives: ``x`` by
        ``x``, ``x`` by ``y``, ``y`` by ``x``, ``y`` by ``y``.
    """
    if dist.size == 0:
        one, zero = np.ones_like(x), np.zeros_like(x)
        return x.copy(), y.copy(), one, zero, zero, one
    parts = _fisheye(x, y, dist) if model == "fisheye" else _brown(x, y, dist)
    r_end = _table(dist, model)[0][-1]
    beyond = x * x + y * y > r_end * r_end
    if beyond.any():
        parts = (np.where(beyond, np.nan, parts[0]), np.where(beyond, np.nan, parts[1]), *parts[2:])
    return parts


def _stacked(parts: tuple[F64, ...]) -> tuple[F64, F64]:
    x, y, xx, xy, yx, yy = parts
    jacobian = np.stack([np.stack([xx, xy], -1), np.stack([yx, yy], -1)], -2)
    return np.stack([x, y], axis=-1), jacobian


def _brown(x: F64, y: F64, dist: F64) -> tuple[F64, ...]:
    c = _padded(dist)
    xx, yy, xy = x * x, y * y, x * y
    r2 = xx + yy
    factor, slope = _radial(r2, c)
    p1, p2 = c[2], c[3]
    mixed = 2 * xy * slope + 2 * p1 * x + 2 * p2 * y
    parts = [
        x * factor + 2 * p1 * xy + p2 * (r2 + 2 * xx),
        y * factor + p1 * (r2 + 2 * yy) + 2 * p2 * xy,
        factor + 2 * xx * slope + 2 * p1 * y + 6 * p2 * x,
        mixed,
        mixed,
        factor + 2 * yy * slope + 6 * p1 * y + 2 * p2 * x,
    ]
    s1, s2, s3, s4 = c[8:12]
    if s1 or s2 or s3 or s4:  # a thin prism
        by_x, by_y = 2 * (s1 + 2 * s2 * r2), 2 * (s3 + 2 * s4 * r2)
        prism = [r2 * (s1 + s2 * r2), r2 * (s3 + s4 * r2), by_x * x, by_x * y, by_y * x, by_y * y]
        parts = [a + b for a, b in zip(parts, prism, strict=True)]
    return tuple(parts)


def _fisheye(x: F64, y: F64, dist: F64) -> tuple[F64, ...]:
    r = np.hypot(x, y)
    theta_d, slope = _theta_poly(np.arctan(r), dist)
    safe = np.where(r > 0, r, 1.0)
    factor = np.where(r > 0, theta_d / safe, 1.0)
    # d(theta_d / r) / dr, divided by r once more so that the outer product below is in xy
    dfactor = np.where(r > 0, (slope / (1 + r * r) - factor) / (safe * safe), 0.0)
    mixed = dfactor * x * y
    by_x, by_y = factor + dfactor * x * x, factor + dfactor * y * y
    return x * factor, y * factor, by_x, mixed, mixed, by_y


@_quiet
def undistort(xy_dist: F64, dist: F64, model: str = "brown") -> F64:
    """Invert `distort` to float64 accuracy by Newton's method with the analytic Jacobian.

    The start comes from a table of the radial curve, so that strong distortion converges too
    (a fixed-point iteration, as in ``cv2.undistortPoints``, does not).

    Parameters
    ----------
    xy_dist
        Distorted normalised coordinates, shape (..., 2).
    dist, model
        As in `distort`.

    Returns
    -------
    F64
        Shape (..., 2); NaN where no ray of the lens ends there.
    """
    if dist.size == 0:
        return xy_dist.copy()
    target = xy_dist.reshape(-1, 2)
    radius, distorted = _table(dist, model)
    r_d = np.hypot(target[:, 0], target[:, 1])
    scale = np.interp(r_d, distorted, radius) / np.where(r_d > 0, r_d, 1.0)
    xy = target * np.where(r_d > 0, scale, 1.0)[:, None]

    def compute(xy: F64) -> tuple[F64, F64]:
        formula = _fisheye if model == "fisheye" else _brown
        return _stacked(formula(xy[:, 0], xy[:, 1], dist))

    # past the end of the curve np.interp clamps; those points do not converge and become NaN
    for _ in range(NEWTON_STEPS):
        value, jacobian = compute(xy)
        residual = value - target
        if not (np.abs(residual) > CONVERGED / 10).any():
            break
        a, b = jacobian[:, 0, 0], jacobian[:, 0, 1]
        c, d = jacobian[:, 1, 0], jacobian[:, 1, 1]
        det = a * d - b * c
        det = np.where(np.abs(det) < 1e-9, np.nan, det)
        step = np.stack(
            [d * residual[:, 0] - b * residual[:, 1], a * residual[:, 1] - c * residual[:, 0]], -1
        )
        xy = xy - step / det[:, None]
    bad = ~(np.abs(compute(xy)[0] - target).max(-1) < CONVERGED)
    bad |= np.hypot(xy[:, 0], xy[:, 1]) > radius[-1] * (1 + 1e-9)
    return np.where(bad[:, None], np.nan, xy).reshape(xy_dist.shape)


def lens_table(dist: F64, model: str = "brown") -> tuple[F64, F64]:
    """Return undistorted and distorted radii, both rising from 0 to where the lens ends."""
    return _table(dist, model)
