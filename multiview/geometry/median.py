"""Medians of what is known."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64

__all__ = ["median_of"]


def median_of(values: F64, axis: int = -1, *, least: int = 1) -> F64:
    """Median along an axis of what is not NaN; NaN where fewer than ``least`` are finite.

    ``numpy.nanmedian`` warns where nothing is known.
    """
    moved = np.moveaxis(values, axis, -1)
    some = np.isfinite(moved).sum(-1) >= max(least, 1)
    out = np.full(moved.shape[:-1], np.nan)
    out[some] = np.nanmedian(moved[some], axis=-1)
    return out
