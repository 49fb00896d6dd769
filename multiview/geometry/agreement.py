"""How often views agree, how many must, and how far a point of few views is to be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, chi2

from multiview._shapes import F64, BoolArray, IntArray
from multiview.core import Rig
from multiview.geometry.uncertainty import min_agreeing_views

__all__ = ["Agreement", "measure_agreement"]

# Two views agree when a right pair would be farther apart once in a thousand times.
PAIR_CHI2 = float(chi2.isf(1e-3, 1))
SAMPLE, ENOUGH = 400, 20
# Where no wrong detection was seen: they lie within this share of the picture.
PATCH = 0.1
RATES = np.linspace(0.02, 0.99, 98)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What the take says about the detector.

    Parameters
    ----------
    rate
        Share p of detections that are right.
    patch_px
        Width w of the square in which wrong ones lie.
    needed
        Agreeing views needed of 0, 1, ... V candidates.
    pair_trust
        Probability that a point of two views is right, of 0, 1, ... V candidates.
    set_trust
        The same for points of three and more.
    """

    rate: float
    patch_px: float
    needed: IntArray
    pair_trust: F64
    set_trust: F64

    def trust(self, candidates: IntArray, count: IntArray) -> F64:
        """Probability that each point is no chance agreement, shape (N,)."""
        three = self.set_trust[candidates, np.minimum(count, self.set_trust.shape[1] - 1)]
        return np.asarray(np.where(count <= 2, self.pair_trust[candidates], three))

    def consistent(self, count: IntArray, chi2_sum: F64) -> BoolArray:
        """Whether a pair meets closely enough; more views were asked one by one already."""
        return np.asarray((count > 2) | (chi2_sum <= PAIR_CHI2), np.bool_)


def measure_agreement(
    rig: Rig,
    xy_px: F64,
    xyz: F64,
    inlier: BoolArray,
    candidates: IntArray,
    tolerance_px: float,
    trust: float,
    spurious: float,
) -> Agreement:
    """Measure how often views agree, and derive how many must (METHOD: formulas of section 5).

    Parameters
    ----------
    rig
        V cameras.
    xy_px, xyz, inlier, candidates
        Observations (V, N, 2), points (N, 3), views that agree (V, N), views asked (N,).
    tolerance_px
        Within which a view agrees.
    trust
        Least probability to be right of a point of two views.
    spurious
        Expected number of chance agreements of three and more views allowed per point.
    """
    views, count = len(xy_px), inlier.sum(0)
    patch = _patch(rig, xy_px, xyz, inlier)
    # a strip of the pair's limit to both sides of the epipolar line
    q2 = min(1.0, 2 * np.sqrt(2 * PAIR_CHI2) * tolerance_px / 3.717 / patch)
    rate = _rate(candidates, count, q2)
    pair = _pair_trust(views, rate, q2)
    q3 = min(1.0, np.pi * tolerance_px**2 / patch**2)
    needed = [
        2
        if m <= 2 or pair[m] >= trust
        else min_agreeing_views(m, rate, tolerance_px, patch, spurious)
        for m in range(views + 1)
    ]
    if views >= 2 and pair[2] < trust and views > 2:
        needed[2] = 3  # unreachable: a pair that is likelier wrong than allowed is no point
    return Agreement(
        rate=rate,
        patch_px=patch,
        needed=np.array(needed),
        pair_trust=pair,
        set_trust=_set_trust(views, rate, q2, q3),
    )


def _patch(rig: Rig, xy: F64, xyz: F64, inlier: BoolArray) -> float:
    """Width of a square as large as the disc whose median radius wrong detections have."""
    fallback = PATCH * float(np.median([np.hypot(*c.intrinsics.size_wh) for c in rig.cameras]))
    sure = np.flatnonzero(inlier.sum(0) >= 3)
    rows = sure[np.linspace(0, len(sure) - 1, min(SAMPLE, len(sure))).astype(int)]
    if not rows.size:
        return fallback
    off = np.linalg.norm(rig.project(xyz[rows]) - xy[:, rows], axis=-1)
    off = off[~inlier[:, rows] & np.isfinite(off)]
    return float(np.median(off) * np.sqrt(2 * np.pi)) if len(off) >= ENOUGH else fallback


def _rate(candidates: IntArray, count: IntArray, q2: float) -> float:
    """Likeliest share of right detections, from how many of how many views agree.

    Sets of three and more are taken for right, the others say only that fewer than three were;
    two candidates agree if both are right, or by chance.
    """
    size = int(candidates.max(initial=0)) + 1
    hist = np.bincount(candidates * (size + 1) + count, minlength=size * (size + 1))
    table = hist.reshape(size, size + 1)
    total = np.zeros(len(RATES))
    for m in range(2, size):
        if m == 2:
            agree = RATES**2 + (1 - RATES**2) * q2
            total += table[m, 2] * np.log(agree) + table[m, 0] * np.log1p(-np.minimum(agree, 1 - 1e-9))
            continue
        total += table[m, :3].sum() * binom.logcdf(2, m, RATES)
        for k in np.flatnonzero(table[m, 3:]) + 3:
            total += table[m, k] * binom.logpmf(k, m, RATES)
    return float(RATES[total.argmax()]) if np.ptp(total) > 0 else 0.5


def _pair_trust(views: int, rate: float, q2: float) -> F64:
    """Probability that the best pair of m views is right, given that no third view agrees."""
    m = np.arange(views + 1)
    pairs = m * (m - 1) / 2
    right = binom.pmf(2, m, rate)
    fewer = binom.cdf(1, m, rate)
    # another pair may meet closer by chance than the right one, half of the time
    wins = 1 - 0.5 * np.minimum(1.0, np.maximum(pairs - 1, 0) * q2)
    chance = fewer * np.minimum(1.0, pairs * q2) + right * (1 - wins)
    return np.asarray(np.where(m >= 2, right * wins / np.maximum(right * wins + chance, 1e-300), 0.0))


def _set_trust(views: int, rate: float, q2: float, q3: float) -> F64:
    """Probability that k of m agreeing views are right: against all wrong or all but one wrong."""
    m, k = np.arange(views + 1)[:, None], np.arange(views + 1)[None]
    right = binom.pmf(k, m, rate)
    pairs = m * (m - 1) / 2
    chance = binom.cdf(1, m, rate) * np.minimum(1.0, pairs * q2)
    more = binom.pmf(np.maximum(k - 2, 0), np.maximum(m - 2, 0), q3)
    return np.asarray(right / np.maximum(right + chance * more, 1e-300))
