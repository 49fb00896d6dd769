"""From the information of a refit to a covariance that holds what it promises."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray

__all__ = ["point_scale"]

# More degrees of freedom than this in the prior are as good as a common noise.
MOST_PRIOR = 1e4
# Points from which the scatter of the noise over points is told: too few, and as many as it takes.
ENOUGH, SAMPLE = 50, 2000


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
    use = np.flatnonzero(keep & (count >= 2))
    if not use.size:
        return np.ones(len(chi2)), 1.0
    common = float(chi2[use].sum() / freedom[use].sum()) if pool else 1.0
    # noise-free input leaves only rounding
    common = max(common, 1e-12)
    some = use[np.linspace(0, len(use) - 1, min(SAMPLE, len(use))).astype(int)]
    prior = _prior_freedom(chi2[some] / common, freedom[some])
    return np.asarray((prior * common + chi2) / (prior + freedom)), float(np.sqrt(common))


def _prior_freedom(chi2: F64, freedom: F64) -> float:
    """Degrees of freedom of the prior: few where points differ much, many where they do not."""
    from scipy.special import digamma, polygamma

    if len(chi2) < ENOUGH:
        return MOST_PRIOR
    # log variances, less what their own few degrees of freedom scatter
    half, which = np.unique(freedom / 2, return_inverse=True)
    log = np.log(np.maximum(chi2 / freedom, 1e-12)) + (np.log(half) - digamma(half))[which]
    low, high = np.percentile(log, (2, 98))
    excess = float(np.var(np.clip(log, low, high)) - np.mean(polygamma(1, half)[which]))
    if not excess > 1 / MOST_PRIOR:
        return MOST_PRIOR
    trigamma, prior = _trigammas()
    return float(np.interp(excess, trigamma, prior))


@lru_cache(maxsize=1)
def _trigammas() -> tuple[F64, F64]:
    """Scatter of log variances by the degrees of freedom of their prior, rising."""
    from scipy.special import polygamma

    prior = np.geomspace(MOST_PRIOR, 1.0, 400)
    return polygamma(1, prior / 2), prior
