"""The loop of multiview bootstrapping, as data: how rounds are judged, and when it stops.

Simon et al., CVPR 2017, algorithm 1. Every round labels the same footage anew by its detector; the
labels of earlier rounds are dropped, the start set stays. Files are touched in
`multiview.stages.bootstrap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from multiview.config import Config

__all__ = ["Plateau", "StopConfig", "best_round"]

Measure = (
    Literal["crop_pck_0.05", "crop_pck_0.1", "crop_pck_0.2", "crop_auc"]
    | Literal[
        "picture_pck_0.05", "picture_pck_0.1", "picture_pck_0.2", "picture_auc", "detection_rate"
    ]
)


class StopConfig(Config):
    """When another round is not worth it.

    Parameters
    ----------
    measure
        What is watched on the held-out pictures: ``crop_...`` with the hand's crop given, as the
        paper reports it, ``picture_...`` from the bare picture.
    min_gain
        A round that gains less over the best so far has not risen.
    patience
        Rounds that may fail to rise before the loop stops.
    """

    measure: Measure = "crop_pck_0.1"
    min_gain: float = Field(0.0, ge=0, lt=1)
    patience: int = Field(1, ge=1)


@dataclass(frozen=True, slots=True)
class Plateau:
    """Whether to stop, and why.

    Parameters
    ----------
    stop
        No further round.
    best
        Number of the best detector so far; 0 is the first.
    """

    stop: bool
    best: int


def best_round(scores: Sequence[float], config: StopConfig) -> Plateau:
    """Judge the detectors so far.

    Parameters
    ----------
    scores
        The measure of every detector, the first one's included; at least one.
    config
        The rule.
    """
    best, idle = 0, 0
    for number, score in enumerate(scores[1:], start=1):
        risen = score > scores[best] + config.min_gain
        best, idle = (number, 0) if risen else (best, idle + 1)
    return Plateau(stop=idle >= config.patience, best=best)
