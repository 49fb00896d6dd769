"""Two detectors or runs on the same frames: differences with a confidence interval over blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from multiview._shapes import F64

__all__ = ["Difference", "block_length", "paired_difference"]

DRAWS, LEVEL = 2000, 0.95
# Blocks that a take is cut into at least: fewer say nothing about their spread.
MIN_BLOCKS = 5
# Block length in autocorrelation times: shorter blocks lose more of the variance at their joints,
# fewer blocks tell less of it; both are made up for.
TIMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The second less the first.

    Parameters
    ----------
    first, second
        Means over all frames.
    value, low, high
        Their difference and its 95 % interval; NaN ends where there are too few frames.
    block
        Frames a block: neighbours are alike and count as one.
    frames
        Frames with something to compare.
    """

    first: float
    second: float
    value: float
    low: float
    high: float
    block: int
    frames: int

    @property
    def certain(self) -> bool:
        """Whether the interval excludes zero."""
        return bool(self.low > 0 or self.high < 0)


def block_length(series: F64) -> tuple[int, float]:
    """Length of a block of a series (F,): three times the frames over which it resembles itself.

    Those are its integrated autocorrelation time, 1 for noise; the sum ends at the first negative
    value. At least 1, and at most what leaves five blocks.

    Returns
    -------
    int, float
        The length, and the share of the variance of a mean that blocks of it do not hold, because
        neighbours across a joint are drawn apart.
    """
    n = len(series)
    centred = series - series.mean()
    power = float(centred @ centred)
    if not power > 0:
        return 1, 0.0
    rho = []
    for lag in range(1, n // 2):
        value = float(centred[lag:] @ centred[:-lag]) / power
        if value <= 0:
            break
        rho.append(value)
    lags, values = np.arange(1, len(rho) + 1), np.array(rho)
    time = 1 + 2 * values.sum()
    block = int(np.clip(np.ceil(TIMES * time - 1e-9), 1, max(1, n // MIN_BLOCKS)))
    lost = 2 * (np.minimum(lags / block, 1) * values).sum() / time
    return block, float(lost)


def paired_difference(first: F64, second: F64, weight: F64) -> Difference:
    """Compare sums over frames: every frame counts with the number of keypoints it holds.

    The interval is that of the moving-block bootstrap (Kuensch 1989): blocks of frames are drawn
    with replacement, the same for both, from a fixed seed; widened for few blocks.

    Parameters
    ----------
    first, second
        Sum over the keypoints of every frame (hits, errors), shape (F,), of the same keypoints.
    weight
        Number of keypoints of every frame, shape (F,).

    Returns
    -------
    Difference
        All NaN where no frame has a keypoint.
    """
    use = weight > 0
    a, b, w = first[use], second[use], weight[use]
    if not len(w):
        return Difference(
            first=np.nan, second=np.nan, value=np.nan, low=np.nan, high=np.nan, block=1, frames=0
        )
    block, lost = block_length((b - a) / w)
    low, high = _interval(b - a, w, block, lost)
    return Difference(
        first=float(a.sum() / w.sum()),
        second=float(b.sum() / w.sum()),
        value=float((b - a).sum() / w.sum()),
        low=low,
        high=high,
        block=block,
        frames=len(w),
    )


def _interval(difference: F64, weight: F64, block: int, lost: float) -> tuple[float, float]:
    """Quantiles of drawn takes, widened for what few blocks and their joints hide."""
    n = len(weight)
    if n < MIN_BLOCKS:
        return float("nan"), float("nan")
    rng = np.random.default_rng(0)
    starts = rng.integers(0, n, (DRAWS, -(-n // block)))
    # blocks run on over the end of the take, so that every frame is as likely as any other
    rows = ((starts[..., None] + np.arange(block)) % n).reshape(DRAWS, -1)[:, :n]
    means = difference[rows].sum(1) / weight[rows].sum(1)
    tails = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    middle, blocks = difference.sum() / weight.sum(), n / block
    # as Student's t widens the normal, for a variance of so many blocks about their own mean
    wider = t.ppf(tails[1], blocks - 1) / norm.ppf(tails[1])
    wider *= np.sqrt(blocks / (blocks - 1) / (1 - lost))
    low, high = middle + wider * (np.quantile(means, tails) - middle)
    return float(low), float(high)
