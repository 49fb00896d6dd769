"""Colours that eyes of every kind tell apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64

__all__ = ["CERTAINTY", "graded"]

# From sure to unsure: blue, sand, orange. Blue and orange stay apart for red-green and for
# blue-yellow blind eyes, and each is legible on dark and on white.
CERTAINTY = ((60, 150, 255), (205, 190, 160), (255, 110, 0))


def graded(grade: F64) -> NDArray[np.uint8]:
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
