"""Frames that are noisier than the take: searched again with more noise, if that is likelier.

Blurred or half hidden hands scatter more than the take's noise. Views that are right then seem
wrong, those that are left agree too well, and the covariance is too small. A point alone cannot
tell, the points of a hand in a frame can. So where far more of them than usual have views that are
not far from agreeing, or agree less than chance lets them, multiples of the noise are tried, and
what is likeliest is kept: with normal noise for the views that agree, and the density of the take's
wrong detections for those that do not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.geometry.agreement import Agreement
from multiview.geometry.uncertainty import min_agreeing_views

__all__ = ["search_coarser"]

# Multiples of the noise: steps over which the likelihood of eight views falls by a factor of two.
SCALES = (1.5, 2.0, 3.0, 4.0, 6.0)
# One group in twenty has another noise: odds against it, and twice their logarithm.
ODDS = 19.0
RARE = 2 * float(np.log(ODDS))
# Normal quantile that is exceeded once in a thousand times.
QUANTILE = 3.09
# Share of a group's points whose views hardly agree, above twice the usual one: two of a hand's.
SHARE = 0.1
# The variance within a step of the scales is uniform in its logarithm over a factor of two: as much
# scatter as that of an estimate with so many degrees of freedom.
STEP_FREEDOM = 50.0

Run = Callable[[F64, IntArray, F64], tuple[F64, BoolArray, F64]]


def search_coarser(
    run: Run,
    sigma: F64,
    agreement: Agreement,
    limits: tuple[float, float],
    xyz: F64,
    inlier: BoolArray,
    stats: F64,
    groups: IntArray,
    usual: float | None = None,
) -> tuple[F64, float]:
    """Replace, in place, the points of groups that are likelier with more noise.

    Parameters
    ----------
    run
        Triangulates points with a noise and squared limits by confidence: points, inliers,
        statistics.
    sigma, agreement
        Noise and agreement of the take.
    limits
        Tolerance in pixels with ``sigma``, and chance agreements allowed per point.
    xyz, inlier, stats
        Points (N, 3), inliers (V, N) and statistics of the search with ``sigma``.
    groups
        Number of every point's group (N,): points that are noisier together.
    usual
        Share of a group's points whose views hardly agree, median over the take; by default that
        of these points.

    Returns
    -------
    level, usual
        Variance over that of the search which made them, shape (N,), of the points that were
        replaced; NaN for the others; empty if there are none.
    """
    odd = _odd(stats)
    rows, usual = _suspects(odd, stats[:, 0] >= 3, groups, usual)
    if not rows.size:
        return np.empty(0), usual
    label = np.unique(groups[rows], return_inverse=True)[1]
    tolerance_px, spurious = limits
    middle, size = float(np.median(sigma)), int(label.max()) + 1
    wrong = agreement.limit(middle)
    chosen = [(xyz[rows], inlier[:, rows], stats[rows])]
    plain = _cost(stats[rows], 1.0, wrong)
    best = np.bincount(label, plain, size)
    which = np.zeros(size, np.int64)
    for number, scale in enumerate(SCALES, 1):
        found = run(sigma * scale, rows, agreement.limits(scale * middle))
        _drop_chance(agreement, scale * tolerance_px, spurious / ODDS, *found)
        chosen.append(found)
        each = _cost(found[2], scale, wrong)
        cost = np.bincount(label, each, size) + RARE
        # blur is in all points of a hand; a finger that was read wrong is not
        most = np.bincount(label, each < plain, size) > np.bincount(label) / 2
        cost = np.where(most, cost, np.inf)
        which = np.where(cost < best, number, which)
        best = np.minimum(cost, best)
    return _put(rows, label, which, chosen, xyz, inlier, stats), usual


def _drop_chance(
    agreement: Agreement,
    tolerance_px: float,
    spurious: float,
    xyz: F64,
    inlier: BoolArray,
    stats: F64,
) -> None:
    """Take out what wider tolerances let agree by chance; two views are never enough."""
    m, k = stats[:, 0].astype(np.int64), stats[:, 1]
    needed = np.zeros(m.max(initial=0) + 1)
    for v in np.unique(m):
        needed[v] = max(
            min_agreeing_views(int(v), agreement.rate, tolerance_px, agreement.patch_px, spurious),
            3,
        )
    few = k < needed[m]
    xyz[few], inlier[:, few], stats[few, 1] = np.nan, False, 0.0


def _odd(stats: F64) -> BoolArray:
    """Points of which some view is not far from agreeing, or whose residuals are large."""
    m, k, chi2 = stats[:, 0], stats[:, 1], stats[:, 2]
    f = np.maximum(2 * k - 3, 1.0)
    # Wilson and Hilferty 1931
    upper = f * (1 - 2 / (9 * f) + QUANTILE * np.sqrt(2 / (9 * f))) ** 3
    return np.asarray((m >= 3) & ((stats[:, 10] > 0) | (chi2 > upper)), np.bool_)


def _suspects(
    odd: BoolArray, can: BoolArray, groups: IntArray, usual: float | None
) -> tuple[IntArray, float]:
    """Points to search again: of groups with far more odd points than others have."""
    points = np.bincount(groups, can)
    share = np.bincount(groups, odd) / np.maximum(points, 1)
    if usual is None:
        usual = float(np.median(share[points > 0])) if points.any() else 0.0
    # wrong detections make some points odd
    return np.flatnonzero((share > SHARE + 2 * usual)[groups] & can), usual


def _cost(stats: F64, scale: float, wrong: float) -> F64:
    """Minus twice the log likelihood of points, the same constant left out of all.

    The place of a point takes three of the residuals' dimensions.
    """
    m, k, chi2 = stats[:, 0], stats[:, 1], stats[:, 2]
    there = chi2 + (2 * k - 3) * 2 * np.log(scale) + (m - k + 1.5) * wrong
    return np.asarray(np.where(k >= 2, there, m * wrong))


def _put(
    rows: IntArray,
    label: IntArray,
    which: IntArray,
    chosen: list[tuple[F64, BoolArray, F64]],
    xyz: F64,
    inlier: BoolArray,
    stats: F64,
) -> F64:
    level = np.full(len(xyz), np.nan)
    for number in range(1, len(chosen)):
        some = which[label] == number
        to, (new_xyz, new_inlier, new_stats) = rows[some], chosen[number]
        xyz[to], inlier[:, to], stats[to] = new_xyz[some], new_inlier[:, some], new_stats[some]
    moved = which[label] > 0
    k, chi2 = stats[rows, 1], stats[rows, 2]
    counts = np.where(k >= 2, 2 * k - 3, 0.0)
    freedom = np.bincount(label, counts, len(which))
    total = np.bincount(label, np.where(k >= 2, chi2, 0), len(which))
    variance = (STEP_FREEDOM + total) / (STEP_FREEDOM + freedom)
    level[rows[moved]] = variance[label][moved]
    return level if moved.any() else np.empty(0)
