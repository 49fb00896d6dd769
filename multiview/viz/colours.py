"""Colours that eyes of every kind tell apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["CERTAINTY", "certainty_limits", "graded", "uncertainty_grade"]

# From sure to unsure: blue, sand, orange. Blue and orange stay apart for red-green and for
# blue-yellow blind eyes, and each is legible on dark and on white.
CERTAINTY = ((60, 150, 255), (205, 190, 160), (255, 110, 0))


def certainty_limits(sigma: NDArray[np.floating]) -> tuple[float, float] | None:
    """Find the standard deviations of the surest and the least sure 1 %; None if none is known."""
    known = sigma[np.isfinite(sigma) & (sigma > 0)]
    if not known.size:
        return None
    low, high = (float(q) for q in np.percentile(known, [1, 99]))
    return low, max(high, low * 1.01)


def uncertainty_grade(
    sigma: NDArray[np.floating], limits: tuple[float, float]
) -> NDArray[np.floating]:
    """Place standard deviations between these two, 0 to 1 on a log scale; NaN where NaN."""
    low, high = limits
    with np.errstate(invalid="ignore", divide="ignore"):
        grade = np.log(np.clip(sigma, low, high) / low) / np.log(high / low)
    return np.asarray(grade)


def graded(grade: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour of certainties.

    Parameters
    ----------
    grade
        Any shape: 0 is sure, 1 unsure; NaN is shown as unsure.

    Returns
    -------
    ndarray
        RGB, shape (..., 3).
    """
    at = np.nan_to_num(np.clip(grade, 0, 1), nan=1.0)
    stops = np.linspace(0, 1, len(CERTAINTY))
    channels = [np.interp(at, stops, [c[i] for c in CERTAINTY]) for i in range(3)]
    return np.asarray(np.rint(np.stack(channels, -1)), np.uint8)
