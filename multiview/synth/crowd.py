"""More than two hands, hands that pass each other, are away for a while, or are found twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from multiview._shapes import F64, IntArray
from multiview.core import Detections
from multiview.errors import InputError
from multiview.synth.noise import Observation

__all__ = ["Crowd", "join_candidates", "pass_by"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Candidates of several hands with the truth behind them.

    Parameters
    ----------
    detections
        Candidates in no common order.
    hand
        Which hand (counted over all people) is in each slot, shape (V, F, S); -1: none.
    """

    detections: Detections
    hand: IntArray


def join_candidates(
    rng: np.random.Generator,
    people: Sequence[Observation],
    *,
    duplicates: float = 0.0,
    duplicate_px: float = 1.5,
    away: F64 | None = None,
) -> Crowd:
    """Pool what a detector says of several people into unordered candidates.

    Parameters
    ----------
    rng
        Source of randomness.
    people
        Observations of the same cameras and frames, each of one or two hands.
    duplicates
        Share of candidates that are there twice, the copy with another opinion on its side.
    duplicate_px
        Standard deviation of the copies' distance.
    away
        Which hands no camera finds, true or false, shape (F, hands over all people).

    Raises
    ------
    InputError
        If nobody is given or the observations have different cameras or frames.
    """
    shapes = {p.detections.xy_px.shape[:2] for p in people}
    if len(shapes) != 1:
        raise InputError(
            f"observations of {len(people)} people have (views, frames) {sorted(shapes)}",
            "observe at least one person, and all with the same rig and frames",
        )
    first = np.cumsum([0, *(p.hand.shape[2] for p in people)])
    hand = np.concatenate([p.hand + n for p, n in zip(people, first[:-1], strict=True)], axis=2)
    xy, conf, right = (
        np.concatenate([getattr(p.detections, name) for p in people], axis=2)
        for name in ("xy_px", "conf", "right")
    )
    if away is not None:
        gone = np.asarray(away, np.bool_)[np.arange(hand.shape[1])[None, :, None], hand]
        xy = np.where(gone[..., None, None], np.nan, xy)
    twice = rng.random(hand.shape) < duplicates
    copy = xy + duplicate_px * rng.normal(size=xy.shape)
    xy = np.concatenate([xy, np.where(twice[..., None, None], copy, np.nan)], axis=2)
    conf, right = np.concatenate([conf, conf], axis=2), np.concatenate([right, 1 - right], axis=2)
    hand = np.concatenate([hand, hand], axis=2)
    xy, conf, right, hand = _shuffled(rng, xy, conf, right, hand)
    detections = replace(
        people[0].detections, xy_px=xy, conf=conf, right=right, hands=(), source="multiview.synth"
    )
    return Crowd(detections=detections, hand=hand)


def _shuffled(
    rng: np.random.Generator, xy: F64, conf: F64, right: F64, hand: IntArray
) -> tuple[F64, F64, F64, IntArray]:
    """Put the slots of every picture in another order, those that are empty last."""
    there = np.isfinite(xy).all(-1)
    found = there.any(-1)
    order = np.argsort(rng.random(hand.shape) + ~found, axis=2)
    take = order[:, :, : max(1, int(found.sum(2).max()))]
    xy = np.take_along_axis(xy, take[..., None, None], axis=2)
    conf = np.take_along_axis(np.where(there, conf, 0.0), take[..., None], axis=2)
    found = np.take_along_axis(found, take, axis=2)
    right = np.where(found, np.take_along_axis(right, take, axis=2), np.nan)
    return xy, conf, right, np.where(found, np.take_along_axis(hand, take, axis=2), -1)


def pass_by(
    xyz: F64, *, apart_m: float, reach_m: float = 0.3, period_s: float = 2.0, fps: float = 30.0
) -> F64:
    """Carry two hands to and fro past each other along x, once in half a period.

    Parameters
    ----------
    xyz
        Hands in their places, shape (F, 2, K, 3).
    apart_m
        Distance of their middles along y when they meet.
    reach_m, period_s, fps
        Excursion to either side, duration of a journey there and back, frames a second.

    Returns
    -------
    F64
        The hands, each about its own path.
    """
    phase = np.cos(2 * np.pi * np.arange(len(xyz)) / fps / period_s)
    centred = xyz - xyz.mean((0, 2), keepdims=True)
    path = np.zeros((len(xyz), 2, 1, 3))
    path[:, 0, 0, 0], path[:, 1, 0, 0] = -reach_m * phase, reach_m * phase
    path[:, 0, 0, 1], path[:, 1, 0, 1] = -apart_m / 2, apart_m / 2
    return np.asarray(centred + path)
