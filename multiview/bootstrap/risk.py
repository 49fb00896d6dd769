"""How likely a label is false, and which labels keep a promised rate of false ones.

A label is false if its 3D keypoint is farther from the truth than a stated share of the hand's size
(0.1 by default: 18 mm of a hand of 180 mm, the width of a finger; what is farther off lies on
another finger, or on the next joint). Three things make false labels, and their probabilities are
added:

* wrong detections that meet by chance (`multiview.bootstrap.chance`);
* noise, by the point's covariance;
* errors that the detector makes alike in many views: the cues of `multiview.bootstrap.evidence`,
  weighed by a logistic model that was fitted on captures with truth. Only doubt can raise the risk:
  no weight is negative.

The promise is about the mean over the accepted labels, and is held by the 95 % quantile over models
fitted to resampled captures. The take's own held-out errors raise the odds where its views disagree
more often than those the model was fitted on; they never lower them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from multiview._shapes import F64, IntArray
from multiview.bootstrap.chance import chance_risk, hit_rate
from multiview.bootstrap.evidence import CUES, Evidence
from multiview.config import Config, read_yaml

__all__ = [
    "Count",
    "LabelRisk",
    "RiskConfig",
    "RiskModel",
    "estimate_risk",
    "load_risk_model",
    "risk_of_cues",
]

SHIPPED = "data/label_risk.yaml"
# What a detector says of itself lowers the risk no further than in the fitted captures: others are
# sure of everything. Standard deviations below the mean, where 2 % of labels lie.
LEAST_DOUBT = -2.0


class Count(Config):
    """Labels with truth whose estimated risk was at most ``risk``.

    Parameters
    ----------
    risk
        Threshold.
    labels, false
        How many there were, and how many of them were false.
    together
        Labels that count as one, because those of a hand err together (design effect).
    """

    risk: float
    labels: int
    false: int
    together: float = Field(1.0, ge=1)


class RiskModel(Config):
    """Parameters, with where they come from.

    Parameters
    ----------
    about
        Detector, captures and command that the parameters were fitted with.
    wrong
        Share of the hand's size beyond which a label counts as false.
    cues
        Names, in the order of the columns below.
    mean, sd
        Of every cue on the fitted captures; a cue that does not apply counts as average.
    weights
        One row per resample of the captures: intercept, then one weight a cue, none negative.
    heldout
        Share of held-out detections farther than ``wrong`` from the others' point there.
    counts
        What was counted on labels with truth that the model was not fitted on.
    """

    about: str
    wrong: float = Field(gt=0)
    cues: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    heldout: float = Field(gt=0, lt=1)
    counts: tuple[Count, ...] = ()


class RiskConfig(Config):
    """How false labels are kept out.

    Parameters
    ----------
    errors
        "agreeing": the detector may make the same error in many views, as detectors of hands do
        (gripped objects, bent fingers). "independent": errors of different views have nothing in
        common; chance and noise are all there is. An assumption about the detector that nothing
        in the take can check.
    basis
        "model": the promise rests on the fitted model, beyond what can be counted. "counted": on
        nothing but labels counted against truth; rates below about 1 % then take thousands of
        verified labels.
    model
        Parameters of another detector or hand size (`experiments/18-false-labels/fit.py`); by
        default those that ship with the package.
    """

    errors: Literal["agreeing", "independent"] = "agreeing"
    basis: Literal["model", "counted"] = "model"
    model: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRisk:
    """Risk of every label of a take.

    Parameters
    ----------
    risk
        Probability to be false, shape (F, H, K); NaN where there is no label.
    draws
        The same by every resampled model, shape (B, N), for the labels of ``index``.
    index
        Frame, hand, keypoint, shape (N, 3).
    rate
        Hit rate of a view's detection on this take.
    heldout
        Share of held-out detections that are farther off than the limit.
    shift
        Log odds added because of it.
    """

    risk: F64
    draws: F64
    index: IntArray
    rate: float
    heldout: float
    shift: float


@lru_cache(maxsize=4)
def load_risk_model(path: Path | None = None) -> RiskModel:
    """Read parameters; those that ship with the package by default.

    Raises
    ------
    ConfigError
        If the file is missing or is not a risk model.
    """
    found = path or Path(str(files("multiview.bootstrap") / SHIPPED))
    return read_yaml(found, RiskModel)


def risk_of_cues(model: RiskModel, cues: F64) -> F64:
    """Risk that the detector erred alike in the agreeing views, as log odds.

    Parameters
    ----------
    model
        B rows of weights.
    cues
        Shape (N, P) in the order of `CUES`.

    Returns
    -------
    F64
        Shape (B, N).
    """
    columns = [list(CUES).index(name) for name in model.cues]
    z = (cues[:, columns] - np.array(model.mean)) / np.array(model.sd)
    told = [i for i, name in enumerate(model.cues) if name == "conf"]
    z[:, told] = np.maximum(z[:, told], LEAST_DOUBT)
    W = np.array(model.weights)
    return np.asarray(W[:, 1:] @ np.where(np.isfinite(z), z, 0.0).T + W[:, :1])


def estimate_risk(
    evidence: Evidence, shape: tuple[int, ...], config: RiskConfig | None = None
) -> LabelRisk:
    """Estimate the probability of every label to be false.

    Parameters
    ----------
    evidence
        Of a take (`gather_evidence`).
    shape
        (F, H, K).
    config
        What is assumed.

    Raises
    ------
    ConfigError
        If ``config.model`` cannot be read.
    """
    config = config or RiskConfig()
    model = load_risk_model(config.model)
    rate = hit_rate(evidence.candidates, evidence.agree)
    heldout = _heldout_rate(evidence, model.wrong)
    assumed = rate if np.isfinite(rate) else 0.5
    chance = chance_risk(evidence.candidates, evidence.agree, assumed)
    noise = _noise(evidence, model.wrong, own=config.errors == "independent")
    chance, shift = 1 - (1 - chance) * (1 - noise), 0.0
    if config.errors == "agreeing":
        if np.isfinite(heldout):
            shift = max(0.0, _logit(heldout) - _logit(model.heldout))
        alike = 1 / (1 + np.exp(-(risk_of_cues(model, evidence.cues) + shift)))
        draws = 1 - (1 - alike) * (1 - chance)
    else:
        draws = chance[None]
    # of what cannot be told, the worst is assumed
    draws = np.where(np.isfinite(draws), draws, 1.0)
    risk = np.full(shape, np.nan)
    risk[tuple(evidence.index.T)] = draws.mean(0)
    return LabelRisk(
        risk=risk, draws=draws, index=evidence.index, rate=rate, heldout=heldout, shift=shift
    )


def _logit(p: float) -> float:
    p = min(max(p, 1e-4), 1 - 1e-4)
    return float(np.log(p / (1 - p)))


def _heldout_rate(evidence: Evidence, wrong: float) -> float:
    """Share of held-out detections farther than ``wrong`` from the point of the others."""
    told = np.isfinite(evidence.heldout) & (evidence.agree >= 3)
    return float((evidence.heldout[told] > wrong).mean()) if told.any() else float("nan")


def _noise(evidence: Evidence, wrong: float, *, own: bool) -> F64:
    """Probability that noise alone carries the point too far.

    By its largest standard deviation in every direction, which is at least the ellipsoid's
    probability. With ``own`` the deviation is one told by the point's few residuals (F instead of
    chi-square tails): wrong detections near a point hide among its agreeing views.
    """
    from scipy.stats import chi2, f

    square = (wrong / np.maximum(evidence.z, 1e-12)) ** 2
    if own:
        return np.asarray(f.sf(square / 3, 3, np.maximum(2 * evidence.agree - 3, 1)))
    return np.asarray(chi2.sf(square, 3))
