"""Covariances and leverages from the information of refitted points."""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.compiled.lens import project_jacobian

__all__ = ["invert_information", "pair_trusts", "residuals"]


@compiled
def invert_information(info: F64, scale: F64, out: F64) -> None:
    """Inverse of information (N, 6), the upper triangle by rows, times a variance (N,).

    ``out`` (N, 3, 3) is NaN where it is singular or the variance is NaN.
    """
    for n in range(len(info)):
        a, d, e, f, g, h = info[n, 0], info[n, 1], info[n, 2], info[n, 3], info[n, 4], info[n, 5]
        c00, c01, c02 = f * h - g * g, e * g - d * h, d * g - e * f
        c11, c12, c22 = a * h - e * e, d * e - a * g, a * f - d * d
        det = a * c00 + d * c01 + e * c02
        # relative to the product of the diagonal (Hadamard's bound), so that units do not matter
        q = scale[n] / det if det > 1e-14 * a * f * h else np.nan
        out[n, 0, 0], out[n, 0, 1], out[n, 0, 2] = q * c00, q * c01, q * c02
        out[n, 1, 0], out[n, 1, 1], out[n, 1, 2] = q * c01, q * c11, q * c12
        out[n, 2, 0], out[n, 2, 1], out[n, 2, 2] = q * c02, q * c12, q * c22


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
def pair_trusts(
    xy: F64, conf: F64, least: float, odds: F64, ratio: float, inlier: BoolArray, out: F64
) -> None:
    """Trust of the points that two views carry: `multiview.geometry.agreement.pair_trust`.

    ``odds`` are given at equal steps of the confidence; ``out`` (N,) holds the chi-square of such
    points (NaN for others) and is overwritten by their trust.
    """
    steps = len(odds) - 1
    for n in range(len(out)):
        if not out[n] >= 0:
            continue
        first, second, right = 0.0, 0.0, 1.0
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
        worse = erfc(sqrt(out[n] / 2))
        chance = ratio * np.exp(out[n] / 2) * (1 + first + worse * others)
        out[n] = right / (right + chance)
