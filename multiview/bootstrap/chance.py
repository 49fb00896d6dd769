"""Could the agreeing views agree by chance? From the numbers of candidates and of agreeing views.

Wrong detections that know nothing of one another meet with the probabilities of
`multiview.geometry.uncertainty.spurious_sets`. What is estimated here is the detector's hit rate on
the take itself, and from it the probability that a set of n of m views is such a coincidence.
"""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, IntArray
from multiview.geometry.uncertainty import min_agreeing_views

__all__ = ["chance_risk", "hit_rate", "log_choose"]

# The voting tolerance of Simon et al. (2017) in hand sizes, and 1.5 of it, within which a finger is
# accepted (`TriangulationConfig.inlier_hand` and ``accept``); wrong detections in a patch of one.
VOTE = 0.045
TOLERANCE, PATCH = 1.5 * VOTE, 1.0
_RATES = np.linspace(0.02, 0.99, 98)


def chance_risk(
    candidates: IntArray,
    agree: IntArray,
    rate: float,
    tolerance: float = TOLERANCE,
    patch: float = PATCH,
) -> F64:
    """Probability that a set of agreeing views is a coincidence of wrong ones.

    Parameters
    ----------
    candidates, agree
        Views m that saw the keypoint, and n of them that agree, shape (N,), n at least 2.
    rate
        Probability that one view's detection is right.
    tolerance, patch
        Distance within which views agree, and width of the area of wrong detections, one unit.

    Returns
    -------
    F64
        Shape (N,): expected coincidences of n over those and right sets of n.
    """
    by_chance, right = _log_sets(candidates, agree, np.array([rate]), tolerance, patch)
    return np.asarray(1 / (1 + np.exp(np.clip(right - by_chance, -700, 700)))[:, 0])


def hit_rate(candidates: IntArray, agree: IntArray) -> float:
    """Likeliest probability that one view's detection is right; NaN without three candidates.

    Parameters
    ----------
    candidates, agree
        Of the sets that were accepted, shape (N,). That sets of few were not accepted is taken
        into account: as `min_agreeing_views` demands at each rate, or fewer where fewer are there.
    """
    use = (candidates >= 3) & (agree >= 2)
    if not use.any():
        return float("nan")
    pairs, times = np.unique(np.stack([candidates[use], agree[use]]), axis=1, return_counts=True)
    total = np.zeros(len(_RATES))
    for m in np.unique(pairs[0]):
        rows = pairs[0] == m
        fewest = int(pairs[1][rows].min())
        n = np.arange(2, m + 1)
        log = np.logaddexp(*_log_sets(np.full(len(n), m), n, _RATES, TOLERANCE, PATCH))
        demanded = [
            min(fewest, min_agreeing_views(int(m), p, VOTE, PATCH)) for p in _RATES.tolist()
        ]
        log -= np.logaddexp.reduce(np.where(n[:, None] >= demanded, log, -np.inf), axis=0)
        total += times[rows] @ log[pairs[1][rows] - 2]
    return float(_RATES[total.argmax()])


def _log_sets(m: IntArray, n: IntArray, p: F64, tolerance: float, patch: float) -> tuple[F64, F64]:
    """Logarithms of expected coincidences of exactly n, and of right sets; shape (N, P)."""
    q2 = min(1.0, 4 * tolerance / patch)
    q3 = min(1.0, np.pi * tolerance**2 / patch**2)
    n_ = n[:, None].astype(np.float64)
    ways = log_choose(m, n)[:, None]
    # all of them wrong, or all but one: a right one meets wrong ones as easily
    chance = ways + (n_ - 1) * np.log1p(-p) + np.log1p((n_ - 1) * p)
    chance += np.log(q2) + (n_ - 2) * np.log(q3)
    right = ways + n_ * np.log(p) + (m[:, None] - n_) * np.log1p(-p)
    return chance, right


def log_choose(n: IntArray, k: IntArray) -> F64:
    """Logarithm of the binomial coefficient."""
    from scipy.special import gammaln

    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))
