"""From the information of a refit to a covariance that holds what it promises."""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, polygamma

from multiview._shapes import F64, BoolArray, IntArray

__all__ = ["point_scale", "unpack_information"]

# More degrees of freedom than this in the prior are as good as a common noise.
MOST_PRIOR = 1e4
# Points from which the scatter of the noise over points is told.
ENOUGH = 50


def point_scale(
    chi2: F64, count: IntArray, keep: BoolArray, *, pool: bool = True
) -> tuple[F64, float]:
    """Variance factor of each point from its own residuals and from all others'.

    Points differ (blur, occlusion), and one point of three views has three degrees of freedom, too
    few to tell its noise. So the scatter of all points' residuals says how much points differ, and
    each point's variance is drawn to the common one accordingly (empirical Bayes with an inverse
    gamma prior: Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004). Where they differ by no more than
    chance, all have the common one.

    Parameters
    ----------
    chi2, count
        Squared residuals over the assumed variance, and number of inlier views, shape (N,).
    keep
        Points that count, shape (N,).
    pool
        Whether the assumed variance is itself corrected by the residuals of all.

    Returns
    -------
    scale, pooled
        Factor of the variance, shape (N,), and of the common standard deviation.
    """
    freedom = np.maximum(2.0 * count - 3, 1.0)
    use = keep & (count >= 2)
    if not use.any():
        return np.ones(len(chi2)), 1.0
    common = float(chi2[use].sum() / freedom[use].sum()) if pool else 1.0
    # noise-free input leaves only rounding
    common = max(common, 1e-12)
    prior = _prior_freedom(chi2[use] / common, freedom[use])
    own = (prior * common + chi2) / (prior + freedom)
    return np.asarray(own), float(np.sqrt(common))


def _prior_freedom(chi2: F64, freedom: F64) -> float:
    """Degrees of freedom of the prior: few where points differ much, many where they do not."""
    if len(chi2) < ENOUGH:
        return MOST_PRIOR
    # log variances, less what their own few degrees of freedom scatter
    half = freedom / 2
    log = np.log(np.maximum(chi2 / freedom, 1e-12)) - digamma(half) + np.log(half)
    low, high = np.percentile(log, (2, 98))
    log = np.clip(log, low, high)
    excess = float(np.var(log) - np.mean(polygamma(1, half)))
    if not excess > 1 / MOST_PRIOR:
        return MOST_PRIOR
    # trigamma(prior / 2) = excess, by bisection of a falling function
    a, b = 1e-2, MOST_PRIOR
    for _ in range(60):
        middle = np.sqrt(a * b)
        a, b = (middle, b) if polygamma(1, middle / 2) > excess else (a, middle)
    return float(np.clip(a, 1.0, MOST_PRIOR))


def unpack_information(info: F64, scale: F64) -> F64:
    """Invert information (N, 6), the upper triangle by rows, and multiply by a variance (N,).

    Returns
    -------
    F64
        Shape (N, 3, 3); NaN where singular or the variance is NaN.
    """
    a, d, e, f, g, h = info.T
    c00, c01, c02 = f * h - g * g, e * g - d * h, d * g - e * f
    c11, c12, c22 = a * h - e * e, d * e - a * g, a * f - d * d
    det = a * c00 + d * c01 + e * c02
    factor = np.divide(scale, det, out=np.full(len(info), np.nan), where=det > 1e-14 * a * f * h)
    cov = np.stack([c00, c01, c02, c01, c11, c12, c02, c12, c22], axis=-1)
    return (cov * factor[:, None]).reshape(-1, 3, 3)
