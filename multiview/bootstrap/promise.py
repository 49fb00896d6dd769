"""Labels that together keep a promised rate of false ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.bootstrap.risk import Count, LabelRisk, RiskConfig, load_risk_model

__all__ = ["SURE", "Acceptance", "Promise", "counted_bound", "upper_bound"]

# Confidence of the promise.
SURE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Labels that keep the promise.

    Parameters
    ----------
    keep
        Shape (F, H, K).
    expected
        Mean risk of those kept; NaN if none.
    bound
        Its upper 95 % bound: what is promised.
    smallest
        Smallest rate that could be promised for at least one hand; NaN where there is none.
    """

    keep: BoolArray
    expected: float
    bound: float
    smallest: float


@dataclass(frozen=True)
class Promise:
    """A rate of false labels to be kept.

    Parameters
    ----------
    risk
        Of the take.
    target
        Promised rate among the labels that are kept.
    config
        What the promise rests on.
    need
        Labels without which a hand is not kept at all.
    counts
        Labels of this take that were looked at; what was counted elsewhere then has no say.
    """

    risk: LabelRisk
    target: float
    config: RiskConfig
    need: int
    counts: tuple[Count, ...] = ()

    def keep(self, eligible: BoolArray) -> Acceptance:
        """Keep as many labels as the promise allows, the safest first.

        Hands that lose too many labels go as a whole, and the rest is judged again. Where no hand
        is left that way, whole hands are taken in the order of their safest labels.

        Parameters
        ----------
        eligible
            Labels that may be kept, shape (F, H, K).
        """
        first = self._safest(eligible)
        found, left = first, eligible
        while found.keep.any():
            left = found.keep & (found.keep.sum(-1) >= self.need)[..., None]
            if (left == found.keep).all():
                break
            found = self._safest(left)
        if not found.keep.any():
            found = self._hands(eligible)
        return replace(found, smallest=self._smallest(eligible))

    def _safest(self, eligible: BoolArray) -> Acceptance:
        rows = self._rows(eligible)
        rows = rows[np.argsort(self._mean[rows], kind="stable")]
        upper = self._upper(rows)
        return self._accepted(rows[: int((upper <= self.target).sum())], eligible)

    def _hands(self, eligible: BoolArray) -> Acceptance:
        taken = np.zeros(0, np.int64)
        for rows in self._by_hand(eligible):
            more = np.concatenate([taken, rows])
            if self._upper(more)[-1] > self.target:
                break
            taken = more
        return self._accepted(taken, eligible)

    def _smallest(self, eligible: BoolArray) -> float:
        hands = self._by_hand(eligible)
        return min((float(self._upper(r)[-1]) for r in hands), default=float("nan"))

    def _by_hand(self, eligible: BoolArray) -> list[IntArray]:
        """Safest labels of every hand that has enough, the safest hand first."""
        rows = self._rows(eligible)
        f, h, _ = self.risk.index[rows].T
        label = np.unique(f * eligible.shape[1] + h, return_inverse=True)[1]
        rows = rows[np.lexsort((self._mean[rows], label))]
        parts = np.split(rows, np.cumsum(np.bincount(label))[:-1]) if rows.size else []
        best = [p[: self.need] for p in parts if len(p) >= self.need]
        return sorted(best, key=lambda p: float(self._mean[p].mean()))

    @cached_property
    def _mean(self) -> F64:
        return np.asarray(self.risk.draws.mean(0))

    def _rows(self, eligible: BoolArray) -> IntArray:
        return np.flatnonzero(eligible[tuple(self.risk.index.T)])

    def _upper(self, rows: IntArray) -> F64:
        """Bound of the mean risk of the first 1, 2, ... labels; never falling."""
        means = np.cumsum(self.risk.draws[:, rows], axis=1) / np.arange(1, len(rows) + 1)
        upper = np.quantile(means, SURE, axis=0)
        if self.counts or self.config.basis == "counted":
            counts = self.counts or load_risk_model(self.config.model).counts
            worst = np.maximum.accumulate(self._mean[rows])
            upper = np.maximum(upper, counted_bound(counts, worst))
        return np.asarray(np.maximum.accumulate(upper))

    def _accepted(self, rows: IntArray, eligible: BoolArray) -> Acceptance:
        keep = np.zeros(eligible.shape, np.bool_)
        keep[tuple(self.risk.index[rows].T)] = True
        nan = float("nan")
        return Acceptance(
            keep=keep,
            expected=float(self._mean[rows].mean()) if rows.size else nan,
            bound=float(self._upper(rows)[-1]) if rows.size else nan,
            smallest=nan,
        )


def counted_bound(counts: tuple[Count, ...], threshold: F64) -> F64:
    """Upper bound of the false rate of labels up to a risk, by counting alone.

    Counted at the next threshold of the counts; 95 % for all thresholds together (Bonferroni).
    """
    level = 1 - (1 - SURE) / max(len(counts), 1)
    ordered = sorted(counts, key=lambda c: c.risk)
    bounds = [upper_bound(c.false, c.labels, c.together, level) for c in ordered]
    at = np.searchsorted([c.risk for c in ordered], threshold)
    return np.asarray(np.array([*bounds, 1.0])[at])


def upper_bound(false: int, labels: int, together: float = 1.0, level: float = SURE) -> float:
    """Clopper-Pearson upper bound of a rate.

    Parameters
    ----------
    false, labels
        Counted.
    together
        Labels that count as one, because those of a hand err together (design effect).
    level
        Confidence.
    """
    from scipy.stats import beta

    n, k = labels / together, false / together
    return float(beta.ppf(level, k + 1, n - k)) if n > k else 1.0
