"""Covariances and leverages from the information of refitted points."""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.compiled.lens import project_jacobian
from multiview.geometry.compiled.polish import CANDIDATES, CHI2, INFO, INLIERS

__all__ = ["accept_points", "finish_points", "invert_information", "residuals"]


@compiled
def invert_information(info: F64, scale: F64, out: F64) -> None:
    """Inverse of information (N, 6), the upper triangle by rows, times a variance (N,).

    ``out`` (N, 3, 3) is NaN where it is singular or the variance is NaN.
    """
    for n in range(len(info)):
        _invert(info[n], scale[n], out[n])


@compiled
def _invert(info: F64, scale: float, out: F64) -> None:
    a, d, e, f, g, h = info[0], info[1], info[2], info[3], info[4], info[5]
    c00, c01, c02 = f * h - g * g, e * g - d * h, d * g - e * f
    c11, c12, c22 = a * h - e * e, d * e - a * g, a * f - d * d
    det = a * c00 + d * c01 + e * c02
    # relative to the product of the diagonal (Hadamard's bound), so that units do not matter
    q = scale / det if det > 1e-14 * a * f * h else np.nan
    out[0, 0], out[0, 1], out[0, 2] = q * c00, q * c01, q * c02
    out[1, 0], out[1, 1], out[1, 2] = q * c01, q * c11, q * c12
    out[2, 0], out[2, 1], out[2, 2] = q * c02, q * c12, q * c22


@compiled
def residuals(
    cameras: F64, xyz: F64, xy: F64, cov: F64, sigma: F64, out_px: F64, out_rest: F64
) -> None:
    """Distance of every observation from its point, and 1 less its leverage on it.

    ``cov`` is the inverse information (N, 3, 3), ``sigma`` one noise a camera (V,); the outputs
    have shape (V, N), NaN where a camera cannot see the point.
    """
    for v in range(len(cameras)):
        for n in range(len(xyz)):
            X, Y, Z = xyz[n, 0], xyz[n, 1], xyz[n, 2]
            u, q, z, a0, a1, a2, b0, b1, b2 = project_jacobian(cameras[v], X, Y, Z)
            out_px[v, n] = out_rest[v, n] = np.nan
            if not z > 0:
                continue
            out_px[v, n] = np.hypot(u - xy[v, n, 0], q - xy[v, n, 1])
            c = cov[n]
            share = _form(c, a0, a1, a2) + _form(c, b0, b1, b2)
            out_rest[v, n] = 1 - share / (2 * sigma[v] * sigma[v])


@compiled
def _form(c: F64, x: float, y: float, z: float) -> float:
    cross: float = c[0, 1] * x * y + c[0, 2] * x * z + c[1, 2] * y * z
    square: float = c[0, 0] * x * x + c[1, 1] * y * y + c[2, 2] * z * z
    return square + 2 * cross


@compiled
def accept_points(
    xy: F64,
    conf: F64,
    least: F64,
    odds: F64,
    ratio: float,
    needed: IntArray,
    stats: F64,
    inlier: BoolArray,
    start: int,
    stop: int,
    out_trust: F64,
    out_keep: BoolArray,
) -> None:
    """Say which points enough views carry, and how far to believe those of two.

    ``least`` holds the confidence of candidates, the trust that two views need, the chi-square
    within which they meet, and how many views must agree (0: as ``needed`` by the number of
    candidates); ``odds`` are given at equal steps of the confidence.
    """
    for n in range(start, stop):
        m, k, chi2 = int(stats[n, CANDIDATES]), int(stats[n, INLIERS]), stats[n, CHI2]
        if k == 2:
            met = chi2 <= least[2]
            trust = _pair_trust(xy, conf, least[0], odds, ratio, inlier, n, chi2) if met else np.nan
            keep = trust >= least[1]
        else:
            trust = 1.0 if k > 2 else np.nan
            keep = k >= needed[m]
        if least[3] > 0:
            keep = k >= least[3] and trust > 0
        out_trust[n], out_keep[n] = trust, keep


@compiled
def _pair_trust(
    xy: F64,
    conf: F64,
    least: float,
    odds: F64,
    ratio: float,
    inlier: BoolArray,
    n: int,
    chi2: float,
) -> float:
    """Trust of a point that two views carry: `multiview.geometry.agreement.pair_trust`."""
    steps, first, second, right = len(odds) - 1, 0.0, 0.0, 1.0
    for v in range(len(xy)):
        sure = conf[v, n if conf.shape[1] > 1 else 0]
        if not (sure >= least and abs(xy[v, n, 0]) < np.inf):
            continue
        o = odds[int(min(max(sure, 0.0), 1.0) * steps)]
        first, second = first + o, second + o * o
        if inlier[v, n]:
            right *= o
    others = max((first * first - second) / 2 - right, 0.0)
    # right pairs meet as normal noise does, wrong ones at any distance
    worse = erfc(sqrt(chi2 / 2))
    chance = ratio * np.exp(chi2 / 2) * (1 + first + worse * others)
    return float(right / (right + chance))


@compiled
def finish_points(
    stats: F64,
    common: float,
    prior: float,
    coarse: F64,
    start: int,
    stop: int,
    xyz: F64,
    cov: F64,
    inlier: BoolArray,
    trust: F64,
    keep: BoolArray,
) -> None:
    """Give the points that are kept their covariances, and take the others out.

    The variance of a point's noise is drawn to the ``common`` one of a ``prior`` with so many
    degrees of freedom: `multiview.geometry.spread.point_scale`. Where ``coarse`` (N,) is a number
    it is the factor itself.
    """
    for n in range(start, stop):
        k, chi2 = stats[n, INLIERS], stats[n, CHI2]
        if keep[n]:
            scale = (prior * common + chi2) / (prior + max(2 * k - 3, 1.0))
            if len(coarse) > 0 and coarse[n] > 0:
                scale = coarse[n]
            _invert(stats[n, INFO:], scale, cov[n])
            keep[n] = cov[n, 0, 0] < np.inf
        if not keep[n]:
            trust[n], xyz[n, :], cov[n] = np.nan, np.nan, np.nan
            if k > 0:
                inlier[:, n] = False
