"""Confidence as a probability: the keypoint lies within 10 % of the hand's size of the truth.

The hand's size is the longer side of the tight box around its keypoints. The log odds are a sum of
one number a keypoint and one curve a cue (`multiview.models.cues`), piecewise linear and monotone,
so that every answer can be explained and checked by hand. `calibrate` fits them to cues and known
errors; parameters travel as a strict YAML file that names the weights they hold for.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from multiview._shapes import F64
from multiview.config import Config, read_yaml
from multiview.errors import ConfigError, InputError, ModelError
from multiview.models.card import DATA, REINSTALL, WORKSPACE, ModelCard
from multiview.models.cues import DIRECTIONS

__all__ = [
    "WITHIN",
    "Calibration",
    "CalibrationFile",
    "Curve",
    "HasCalibration",
    "calibrate",
    "confidence_digest",
    "find_calibration",
    "read_calibrations",
    "reliability",
]

WITHIN = 0.1
"""Error that still counts as right, in hand sizes."""

SHIPPED = DATA / "confidence.yaml"
# Corners of a curve; 3 to 8 were measured to do equally well on the capture left out.
CORNERS = 5
# Cues beyond these quantiles have too few examples for a slope of their own.
ENDS = (0.02, 0.98)
# Keypoints of one hand err together: this many count as one example against the prior.
TOGETHER = 10
# Prior: standard deviation of a curve's step and of a keypoint's own log odds.
STEP_SIGMA, OFFSET_SIGMA = 1.0, 0.45
DIGITS = 3
MOST_ITERATIONS = 2000

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Curve(Config):
    """Log odds against a cue: straight between corners, constant beyond the ends."""

    at: tuple[Finite, ...] = Field(min_length=2)
    """Cue at the corners, increasing."""
    log_odds: tuple[Finite, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.at) != len(self.log_odds):
            raise ValueError(f"at has {len(self.at)} entries, log_odds {len(self.log_odds)}")
        if np.any(np.diff(self.at) <= 0):
            raise ValueError("at must increase")
        return self


class Calibration(Config):
    """Log odds of one network's keypoints, for one number of extra passes."""

    model: str
    """Name of the model card; for people."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Digest of the network that reads the keypoints: parameters hold for no other."""
    passes: int = Field(ge=0)
    """Extra crops read; see `multiview.models.jitter`."""
    fitted_on: str
    offsets: tuple[Finite, ...] = Field(min_length=1)
    """One log odds a keypoint."""
    curves: dict[str, Curve]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, curve in self.curves.items():
            if name not in DIRECTIONS:
                raise ValueError(f"unknown cue {name!r} (known: {', '.join(DIRECTIONS)})")
            if np.any(np.diff(curve.log_odds) * DIRECTIONS[name] < 0):
                way = "rise" if DIRECTIONS[name] > 0 else "fall"
                raise ValueError(f"the curve of cue {name!r} must nowhere {_other(way)}")
        return self

    def probability(self, cues: Mapping[str, F64]) -> F64:
        """Probability that each keypoint is right.

        Parameters
        ----------
        cues
            Arrays (N, K); those without a curve are not used.

        Returns
        -------
        ndarray
            Shape (N, K), between 0 and 1; 0 where a cue is NaN.

        Raises
        ------
        InputError
            If a cue is missing or has another number of keypoints.
        """
        missing = [name for name in self.curves if name not in cues]
        wrong = [n for n in self.curves if n in cues and cues[n].shape[-1] != len(self.offsets)]
        if missing or wrong:
            raise InputError(
                f"calibration of {self.model}: cue {', '.join(missing + wrong)} is "
                + ("missing" if missing else f"not given for {len(self.offsets)} keypoints"),
                "calibrate again with the cues that this detector has",
            )
        odds = np.array(self.offsets) + sum(
            (
                np.interp(cues[name], curve.at, curve.log_odds)
                for name, curve in self.curves.items()
            ),
            np.zeros(()),
        )
        p = 1 / (1 + np.exp(-odds))
        return np.where(np.isfinite(p), p, 0.0)


class CalibrationFile(Config):
    """``confidence.yaml``."""

    version: Literal[1]
    within: float
    """Error that still counts as right, in hand sizes: `WITHIN`, or the file is not for us."""
    calibrations: tuple[Calibration, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.within != WITHIN:
            raise ValueError(f"within is {self.within}, confidences here are for {WITHIN}")
        keys = [(c.sha256, c.passes) for c in self.calibrations]
        twice = [
            c.model for c, key in zip(self.calibrations, keys, strict=True) if keys.count(key) > 1
        ]
        if twice:
            raise ValueError(f"two calibrations of {twice[0]} have the same sha256 and passes")
        return self


@runtime_checkable
class HasCalibration(Protocol):
    """A detector whose weights may have been calibrated."""

    @property
    def keypoint_weights(self) -> str:
        """Digest (sha256) of the network that reads the keypoints."""
        ...

    def calibration(self, passes: int) -> Calibration | None:
        """Calibration for so many extra passes; None if there is none for these weights."""
        ...


def read_calibrations(path: str | Path) -> tuple[Calibration, ...]:
    """Read a calibration file.

    Raises
    ------
    ConfigError
        If it is missing, misspelt, or a curve is not monotone; names the file and the key.
    """
    return read_yaml(path, CalibrationFile).calibrations


@functools.cache
def _shipped() -> tuple[Calibration, ...]:
    try:
        return read_calibrations(SHIPPED)
    except ConfigError as error:
        raise ModelError(error.what, REINSTALL) from None


def find_calibration(sha256: str, passes: int, folder: Path | None = None) -> Calibration | None:
    """Calibration of a network; None if it was never calibrated for this number of passes.

    Parameters
    ----------
    sha256
        Digest of the network that reads the keypoints.
    passes
        Extra crops.
    folder
        Where the model's card lies: its ``confidence.yaml`` counts first, then that of ``./models``
        (which `multiview models calibrate` writes for the shipped networks), then the shipped one.

    Raises
    ------
    ConfigError
        If that file is misspelt.
    """
    files = {(folder or DATA) / SHIPPED.name: None, WORKSPACE / SHIPPED.name: None}
    extra = [read_calibrations(f) for f in files if f != SHIPPED and f.exists()]
    for calibration in (*(c for part in extra for c in part), *_shipped()):
        if (calibration.sha256, calibration.passes) == (sha256, passes):
            return calibration
    return None


def confidence_digest(card: ModelCard, passes: int) -> str | None:
    """Digest of the calibration that a model is used with, 16 hex digits; None without.

    For manifests: another calibration gives other confidences.
    """
    for part in card.weights.values():
        found = find_calibration(part.sha256, passes, card.folder)
        if found is not None:
            return hashlib.sha256(found.model_dump_json().encode()).hexdigest()[:16]
    return None


def calibrate(
    cues: Mapping[str, F64],
    right: NDArray[np.bool_],
    *,
    known: NDArray[np.bool_] | None = None,
    model: str,
    sha256: str,
    passes: int,
    fitted_on: str,
) -> Calibration:
    """Fit the curves to hands whose errors are known: penalised maximum likelihood.

    Parameters
    ----------
    cues
        Arrays (N, K) named as in `multiview.models.cues.DIRECTIONS`; hands with a NaN are left out.
    right
        Whether each keypoint lies within `WITHIN` hand sizes of the truth, shape (N, K).
    known
        Keypoints whose truth is known, shape (N, K); by default all.
    model, sha256, passes, fitted_on
        Stored with the result.

    Raises
    ------
    InputError
        If there is no cue, an unknown one, no hand, or all keypoints are right or all wrong.
    """
    unknown = [name for name in cues if name not in DIRECTIONS]
    if unknown or not cues:
        raise InputError(
            f"unknown cue {', '.join(unknown)}" if unknown else "there is no cue",
            f"known cues are {', '.join(DIRECTIONS)}",
        )
    whole = np.all([np.isfinite(c).all(1) for c in cues.values()], axis=0)
    right = right[whole]
    told = np.ones(right.shape, np.bool_) if known is None else known[whole]
    some = right[told]
    if some.size == 0 or some.all() or not some.any():
        raise InputError(
            f"{len(right)} hands with {some.mean() if some.size else 0:.0%} of keypoints right: "
            "nothing to calibrate on",
            "give hands of which some keypoints are right and some wrong",
        )
    corners = {name: _corners(cue[whole]) for name, cue in cues.items()}
    blocks = [_ramps(cues[name][whole].ravel(), at) for name, at in corners.items()]
    own = np.tile(np.eye(right.shape[1]), (len(right), 1))
    signs = np.repeat([DIRECTIONS[name] for name in corners], [b.shape[1] for b in blocks])
    flat = told.ravel()
    steps, offsets = _fit(np.hstack(blocks)[flat], own[flat], some, signs)
    ends = np.cumsum([b.shape[1] for b in blocks])[:-1]
    curves = {
        name: Curve(at=_rounded(at), log_odds=_rounded(np.concatenate([[0.0], np.cumsum(step)])))
        for (name, at), step in zip(corners.items(), np.split(steps, ends), strict=True)
    }
    return Calibration(
        model=model,
        sha256=sha256,
        passes=passes,
        fitted_on=fitted_on,
        offsets=_rounded(offsets),
        curves=curves,
    )


def _corners(cue: F64) -> F64:
    """Corners at quantiles, so that each piece has as many examples; at least two."""
    at = np.unique(np.round(np.quantile(cue, np.linspace(*ENDS, CORNERS)), DIGITS))
    return at if len(at) > 1 else np.array([at[0] - 1, at[0] + 1])


def _ramps(cue: F64, at: F64) -> F64:
    """One column a piece: how far through it the cue is, 0 to 1; shape (n, corners - 1)."""
    return np.clip((cue[:, None] - at[:-1]) / np.diff(at), 0, 1)


def _fit(ramps: F64, own: F64, right: NDArray[np.bool_], signs: F64) -> tuple[F64, F64]:
    """Return the steps of all curves and the offsets of all keypoints."""
    # scipy takes 0.1 s to import, and only calibration needs it
    from scipy.optimize import minimize

    n = ramps.shape[1]
    design = np.hstack([ramps, own])
    # around a common level that has no prior, so that no keypoint is thought right or wrong
    precision = np.concatenate(
        [np.full(n, STEP_SIGMA**-2), np.full(own.shape[1], OFFSET_SIGMA**-2)]
    )

    def loss(beta: F64) -> tuple[float, F64]:
        odds = design @ beta[:-1] + beta[-1]
        wrong = 1 / (1 + np.exp(-odds)) - right
        fit = (np.logaddexp(0, odds) - right * odds).sum() / TOGETHER
        prior = 0.5 * (precision * beta[:-1] ** 2).sum()
        slope = design.T @ wrong / TOGETHER + precision * beta[:-1]
        return float(fit + prior), np.append(slope, wrong.sum() / TOGETHER)

    bounds = [(0, None) if s > 0 else (None, 0) for s in signs] + [(None, None)] * own.shape[1]
    found = minimize(
        loss,
        np.zeros(design.shape[1] + 1),
        jac=True,
        bounds=[*bounds, (None, None)],
        method="L-BFGS-B",
        options={"maxiter": MOST_ITERATIONS},
    )
    return found.x[:n], found.x[n:-1] + found.x[-1]


def reliability(
    conf: F64, right: NDArray[np.bool_], bins: int = 10
) -> tuple[F64, F64, NDArray[np.int64]]:
    """Compare confidence with what came true, in bins of equal width.

    Parameters
    ----------
    conf
        Confidences, any shape.
    right
        Whether each was right, same shape.
    bins
        Number of bins between 0 and 1.

    Returns
    -------
    tuple
        Mean confidence, share right (both NaN in an empty bin) and count of each bin. The mean of
        ``abs(confidence - share)`` weighted by count is the expected calibration error.
    """
    bin_of = np.minimum((conf.ravel() * bins).astype(np.int64), bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):
        said = np.bincount(bin_of, conf.ravel(), minlength=bins) / count
        came = np.bincount(bin_of, right.ravel().astype(np.float64), minlength=bins) / count
    return said, came, count


def _rounded(values: F64) -> tuple[float, ...]:
    return tuple(np.round(values, DIGITS).tolist())


def _other(way: str) -> str:
    return "fall" if way == "rise" else "rise"
