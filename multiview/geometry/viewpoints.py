"""Cameras that look from one place: each sees what the other sees, so they are one witness."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.core import Rig
from multiview.geometry.robust import LEAST_ANGLE

__all__ = ["count_places", "places"]


def places(rig: Rig, xyz: F64) -> IntArray:
    """Tell the places apart from which the cameras look at some points.

    Parameters
    ----------
    rig
        V cameras.
    xyz
        Points, shape (N, 3); their median counts.

    Returns
    -------
    IntArray
        Shape (V,): cameras that see the points in directions less than `LEAST_ANGLE` apart share a
        number. All have their own if there is no point.
    """
    own = np.arange(len(rig.cameras))
    some = np.isfinite(xyz).all(-1)
    if not some.any():
        return own
    away = rig.centres_world - np.median(xyz[some], axis=0)
    distance = np.linalg.norm(away, axis=-1, keepdims=True)
    rays = away / np.where(distance > 0, distance, 1.0)
    # small angles by the sine: the cosine of 1e-8 is 1
    close = np.linalg.norm(rays[:, None] - rays[None], axis=-1) < 2 * np.sin(LEAST_ANGLE / 2)
    for v in own[1:]:
        first = np.flatnonzero(close[v, :v] & (own[:v] == np.arange(v)))
        own[v] = first[0] if first.size else v
    return own


def count_places(inlier: BoolArray, place: IntArray) -> IntArray:
    """Count the places of the views (V, ...) that carry each point."""
    total = np.zeros(inlier.shape[1:], np.int64)
    for number in np.unique(place):
        total += inlier[place == number].any(0)
    return total
