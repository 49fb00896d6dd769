"""From the information of a refit to a covariance that holds what it promises."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray

__all__ = ["point_scale", "scale_prior"]

# More degrees of freedom than this in the prior are as good as a common noise.
MOST_PRIOR = 1e4
# Points from which the noise and its scatter over points are told: too few, and as many as tell the
# noise to 1 %.
ENOUGH, SAMPLE = 50, 2000


def point_scale(
    chi2: F64, count: IntArray, keep: BoolArray, *, pool: bool = True
) -> tuple[F64, float]:
    """Variance factor of each point from its own residuals and from all others'.

    Parameters
    ----------
    chi2, count, keep, pool
        As in `scale_prior`.

    Returns
    -------
    scale, pooled
        Factor of the variance, shape (N,), and of the common standard deviation.
    """
    common, prior = scale_prior(chi2, count, keep, pool=pool)
    freedom = np.maximum(2.0 * count - 3, 1.0)
    return np.asarray((prior * common + chi2) / (prior + freedom)), float(np.sqrt(common))


def scale_prior(
    chi2: F64, count: F64 | IntArray, keep: BoolArray, *, pool: bool = True
) -> tuple[float, float]:
    """Give the common variance factor, and the degrees of freedom that it counts for.

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
    """
    use = np.flatnonzero(keep & (count >= 2))
    if not use.size:
        return 1.0, MOST_PRIOR
    some = use[np.linspace(0, len(use) - 1, min(SAMPLE, len(use))).astype(int)]
    chi2, freedom = chi2[some], np.maximum(2.0 * count[some] - 3, 1.0)
    # noise-free input leaves only rounding
    common = max(float(chi2.sum() / freedom.sum()), 1e-12) if pool else 1.0
    return common, _prior_freedom(chi2 / common, freedom)


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
