"""How often views agree, how many must, and how far a point of few views is to be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.core import Rig
from multiview.geometry.noise import Sample
from multiview.geometry.uncertainty import min_agreeing_views

__all__ = ["GRID", "PAIR_CHI2", "Agreement", "measure_agreement", "pair_trust"]

# Two views agree when a right pair would be farther apart once in a thousand times.
PAIR_CHI2 = 10.8276
# Where hardly a wrong detection was seen: they lie within this share of the picture's diagonal.
ENOUGH, PATCH = 20, 0.1
RATES = np.linspace(0.02, 0.99, 98)
# Steps of the confidence for which rates are given; equally filled bins from which they are told.
GRID, BINS = 64, 10
# Limits within which views agree, in squared standard deviations: right ones exceed the least once
# in a hundred times, the most once in a million times.
LEAST_LIMIT, MOST_LIMIT = -2 * np.log(1e-2), -2 * np.log(1e-6)
# Rates are never certain: one wrong in a hundred that nobody saw yet.
SURE = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What the take says about the detector.

    Parameters
    ----------
    rate
        Share p of detections that are right.
    rate_of_conf
        The same at `GRID` + 1 equal steps of the confidence: rising.
    patch_px
        Width w of the square in which wrong ones lie.
    pair_ratio
        Density of the distance of two detections, one of them wrong, over that of right ones, where
        they meet exactly.
    needed
        Agreeing views needed of 0, 1, ... V candidates where three and more agree.
    """

    rate: float
    rate_of_conf: F64
    patch_px: float
    pair_ratio: float
    needed: IntArray

    def limits(self, sigma_px: float) -> F64:
        """Squared limits in units of the noise, by confidence.

        A detection is rather right than wrong where normal noise, weighed by how often it is right,
        exceeds the uniform density of wrong ones (Torr and Zisserman, MLESAC).
        """
        return self._limits(self.rate_of_conf, sigma_px)

    def limit(self, sigma_px: float) -> float:
        """Return the same of the mean rate."""
        return float(self._limits(np.array(self.rate), sigma_px))

    def _limits(self, rate: F64, sigma_px: float) -> F64:
        room = max(self.patch_px / sigma_px, 1.0) ** 2 / (2 * np.pi)
        return np.asarray(np.clip(2 * np.log(rate / (1 - rate) * room), LEAST_LIMIT, MOST_LIMIT))


def pair_trust(odds: F64, inlier: BoolArray, ratio: F64 | float, worse: F64 | float) -> F64:
    """Probability that a pair is right that no other view supports.

    Against it: at most one detection is right and these two met by chance; or another pair is
    right, but this one met closer by chance.

    Parameters
    ----------
    odds
        Of all candidates to be right, shape (V, N); 0 where there is none.
    inlier
        The pair, shape (V, N).
    ratio
        How likely two detections, one of them wrong, meet like this, over how likely right ones do,
        shape (N,).
    worse
        Probability that a right pair meets worse than this one, shape (N,).
    """
    first, second = odds.sum(0), (odds**2).sum(0)
    right = np.where(inlier, odds, 1.0).prod(0)
    others = np.maximum((first**2 - second) / 2 - right, 0.0)
    by_chance = ratio * (1 + first + worse * others)
    return np.asarray(right / (right + by_chance))


def measure_agreement(
    rig: Rig, sample: Sample, conf: F64, tolerance_px: float, spurious: float
) -> Agreement:
    """Measure how often views agree, and derive how many must (Simon et al. 2017, section 3).

    Parameters
    ----------
    rig
        V cameras.
    sample
        Points that were triangulated.
    conf
        Their confidences, shape (V, n); NaN for no candidate.
    tolerance_px
        Within which a view agrees.
    spurious
        Expected number of chance agreements of three and more views allowed per point.
    """
    patch = _patch(rig, sample)
    # a strip of the pair's limit to both sides of the epipolar line
    sigma = float(np.median(sample.sigma))
    q2 = min(1.0, 2 * np.sqrt(2 * PAIR_CHI2) * sigma / patch)
    rate = _rate(sample.candidates, sample.inlier.sum(0), q2)
    needed = [
        min_agreeing_views(m, rate, tolerance_px, patch, spurious) for m in range(len(conf) + 1)
    ]
    return Agreement(
        rate=rate,
        rate_of_conf=_calibrate(sample, conf, rate),
        patch_px=patch,
        pair_ratio=2 * np.sqrt(np.pi) * sigma / patch,
        needed=np.array(needed),
    )


def _patch(rig: Rig, sample: Sample) -> float:
    """Width of a square as large as the disc whose median radius wrong detections have."""
    wrong = ~sample.inlier & np.isfinite(sample.off_px) & (sample.inlier.sum(0) >= 3)
    if wrong.sum() >= ENOUGH:
        return float(np.median(sample.off_px[wrong]) * np.sqrt(2 * np.pi))
    return PATCH * float(np.median([np.hypot(*c.intrinsics.size_wh) for c in rig.cameras]))


def _rate(candidates: IntArray, count: IntArray, q2: float) -> float:
    """Likeliest share of right detections, from how many of how many views agree.

    Sets of three and more are taken for right, the others say only that fewer than three were;
    two candidates agree if both are right, or by chance.
    """
    yes, no = np.log(RATES), np.log1p(-RATES)
    total = np.zeros(len(RATES))
    for m, k, times in _tally(candidates, count):
        if m < 2:
            continue
        if m == 2:
            agree = np.minimum(RATES**2 + (1 - RATES**2) * q2, 1 - 1e-9)
            total += times * np.log(agree if k == 2 else 1 - agree)
        elif k < 3:
            few = [_log_choose(m, j) + j * yes + (m - j) * no for j in range(3)]
            total += times * np.logaddexp.reduce(few)
        else:
            total += times * (k * yes + (m - k) * no)
    return float(RATES[total.argmax()]) if np.ptp(total) > 0 else 0.5


def _tally(candidates: IntArray, count: IntArray) -> list[tuple[int, int, int]]:
    pairs, times = np.unique(np.stack([candidates, count]), axis=1, return_counts=True)
    return [(int(m), int(k), int(n)) for m, k, n in zip(*pairs, times, strict=True)]


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _calibrate(sample: Sample, conf: F64, rate: float) -> F64:
    """Share of right detections by confidence: equal bins, made to rise, around the rate."""
    flat = np.full(GRID + 1, rate)
    count = sample.inlier.sum(0)
    told = (count >= 3) & (2 * count > sample.candidates + 1)
    use = np.isfinite(conf) & told
    value, right = np.clip(conf[use], 0, 1), sample.inlier[use]
    if len(value) < BINS * ENOUGH or np.ptp(value) < 1 / GRID:
        return np.asarray(np.minimum(flat, SURE))
    order = np.argsort(value, kind="stable")
    bins = np.array_split(order, BINS)
    at = np.array([value[b].mean() for b in bins])
    share = np.array([(right[b].sum() + rate) / (len(b) + 1) for b in bins])
    share = _rising(share)
    # points with a majority flatter the detector: shift the log odds to the rate of all
    share = np.clip(share, 1 - SURE, SURE)
    odds = np.log(share / (1 - share))
    mean = np.clip(right.mean(), 1 - SURE, SURE)
    odds += np.log(rate / (1 - rate)) - np.log(mean / (1 - mean))
    steps = np.interp(np.linspace(0, 1, GRID + 1), at, 1 / (1 + np.exp(-odds)))
    return np.asarray(np.clip(steps, 1 - SURE, SURE))


def _rising(values: F64) -> F64:
    """Isotonic regression of equally weighted values (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values.tolist():
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, n), (b, m) = blocks[-2:]
            blocks[-2:] = [((a * n + b * m) / (n + m), n + m)]
    return np.concatenate([np.full(n, value) for value, n in blocks])
