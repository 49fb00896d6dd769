"""Fit the risk of labels on captures with truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.bootstrap.evidence import CUES, Evidence
from multiview.bootstrap.risk import Count, RiskModel, risk_of_cues
from multiview.errors import InputError

__all__ = ["Verified", "count_labels", "fit_risk"]

# Prior of a weight, per standard deviation of its cue: 0.6 doubles the odds in one of its units.
WEIGHT_SD = 0.6
# Resamples whose 95 % quantile bounds the promise: its own error is a twentieth of its width.
DRAWS = 60
# Thresholds at which labels are counted.
THRESHOLDS = (0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
DIGITS = 4
_CONSTANT = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Labels of one capture whose truth is known.

    Parameters
    ----------
    evidence
        Cues of N labels.
    wrong
        Which are false, shape (N,).
    group
        Labels that err together (one subject, one stretch of time) share a number, shape (N,).
    """

    evidence: Evidence
    wrong: BoolArray
    group: IntArray


def fit_risk(
    captures: list[Verified],
    about: str,
    wrong: float,
    rng: np.random.Generator,
    also: list[Verified] | None = None,
) -> RiskModel:
    """Fit a logistic model without negative weights to captures, and to resamples of them.

    The counts are honest: every capture's labels are judged by a model of the other captures.

    Parameters
    ----------
    captures
        At least two.
    about
        Where they come from.
    wrong
        Share of the hand's size that ``captures`` call false.
    rng
        Source of the resamples.
    also
        Captures on which labels are counted only.

    Raises
    ------
    InputError
        If there are fewer than two captures, or a capture has no label of either kind.
    """
    captures = [_voted(c) for c in captures]
    if len(captures) < 2 or not all(0 < c.wrong.sum() < len(c.wrong) for c in captures):
        raise InputError(
            f"{len(captures)} captures: at least two, each with true and false labels, are needed",
            "add captures with truth, or lower the share of the hand that counts as false",
        )
    counted = []
    for left, capture in enumerate(captures):
        others = [c for i, c in enumerate(captures) if i != left]
        model = _model(others, about, wrong, rng, draws=1)
        score = risk_of_cues(model, capture.evidence.cues)[0]
        counted.append(1 / (1 + np.exp(-score)))
    model = _model(captures, about, wrong, rng, draws=DRAWS)
    for capture in map(_voted, also or []):
        score = risk_of_cues(model, capture.evidence.cues).mean(0)
        counted.append(1 / (1 + np.exp(-score)))
        captures.append(capture)
    together = [c.group + 10**6 * i for i, c in enumerate(captures)]
    counts = count_labels(
        np.concatenate(counted),
        np.concatenate([c.wrong for c in captures]),
        np.concatenate(together),
    )
    return model.model_copy(update={"counts": counts})


def count_labels(risk: F64, wrong: BoolArray, group: IntArray) -> tuple[Count, ...]:
    """Count false labels up to each threshold, with the design effect of their groups.

    Parameters
    ----------
    risk, wrong, group
        Of labels that the model was not fitted on, shape (N,).
    """
    out = []
    for threshold in THRESHOLDS:
        use = risk <= threshold
        together = _design_effect(wrong[use], group[use])
        out.append(
            Count(
                risk=threshold,
                labels=int(use.sum()),
                false=int(wrong[use].sum()),
                together=round(together, 2),
            )
        )
    # few false labels say little of how they cluster: no threshold does better than a laxer one
    for i in range(len(out) - 2, -1, -1):
        if out[i].together < out[i + 1].together:
            out[i] = out[i].model_copy(update={"together": out[i + 1].together})
    return tuple(out)


def _design_effect(wrong: BoolArray, group: IntArray) -> float:
    """Variance of the rate over groups, relative to independent labels (Kish 1965); at least 1."""
    if not wrong.any():
        return 1.0
    which = np.unique(group, return_inverse=True)[1]
    n, k = np.bincount(which), np.bincount(which, wrong)
    rate = k.sum() / n.sum()
    spread = ((k - rate * n) ** 2).sum() / n.sum()
    return float(max(1.0, spread / (rate * (1 - rate)) if rate < 1 else 1.0))


def _voted(capture: Verified) -> Verified:
    """Labels that three views carry: others have no held-out evidence."""
    e = capture.evidence
    use = e.agree >= 3
    kept = Evidence(
        index=e.index[use],
        cues=e.cues[use],
        candidates=e.candidates[use],
        agree=e.agree[use],
        z=e.z[use],
        size=e.size,
        heldout=e.heldout[:, use],
    )
    return Verified(evidence=kept, wrong=capture.wrong[use], group=capture.group[use])


def _model(
    captures: list[Verified], about: str, wrong: float, rng: np.random.Generator, draws: int
) -> RiskModel:
    cues = np.concatenate([c.evidence.cues for c in captures])
    y = np.concatenate([c.wrong for c in captures]).astype(np.float64)
    group = np.concatenate([c.group + 10**6 * i for i, c in enumerate(captures)])
    mean, sd = np.nanmean(cues, axis=0), np.nanstd(cues, axis=0)
    sd = np.where(sd > _CONSTANT, sd, 1.0)  # a cue that never changed says nothing
    z = (cues - mean) / sd
    z = np.where(np.isfinite(z), z, 0.0)
    rows = [_logistic(z, y, np.ones(len(y)))]
    names = np.unique(group)
    for _ in range(draws - 1):
        # Bayesian bootstrap over groups (Rubin 1981): no resample lacks false labels
        share = rng.exponential(size=len(names))
        rows.append(_logistic(z, y, share[np.searchsorted(names, group)]))
    held = np.concatenate([c.evidence.heldout[np.isfinite(c.evidence.heldout)] for c in captures])
    return RiskModel(
        about=about,
        wrong=wrong,
        cues=tuple(CUES),
        mean=_round(mean),
        sd=_round(sd),
        weights=tuple(_round(row) for row in rows),
        heldout=round(float((held > wrong).mean()), DIGITS),
    )


def _logistic(z: F64, y: F64, share: F64) -> F64:
    """Weights (1 + P,) of least penalised log loss, none but the intercept negative."""
    from scipy.optimize import minimize

    def loss(w: F64) -> tuple[float, F64]:
        s = z @ w[1:] + w[0]
        off = share * (1 / (1 + np.exp(-s)) - y)
        value = (share * (np.logaddexp(0, s) - s * y)).sum() + (w[1:] ** 2).sum() / 2 / WEIGHT_SD**2
        return float(value), np.r_[off.sum(), z.T @ off + w[1:] / WEIGHT_SD**2]

    bounds = [(None, None), *[(0.0, None)] * z.shape[1]]
    return np.asarray(minimize(loss, np.zeros(1 + z.shape[1]), jac=True, bounds=bounds).x)


def _round(values: F64) -> tuple[float, ...]:
    return tuple(round(float(v), DIGITS) for v in values)
