"""Shape checks that bind letters across fields: ``"V F K 2"`` means the same V everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.errors import ShapeError

__all__ = [
    "CONVENTIONS",
    "F64",
    "BoolArray",
    "IntArray",
    "as_f64",
    "check_shapes",
    "freeze",
    "present",
]

F64 = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

CONVENTIONS = (
    "see docs/conventions.md: axes are V views, F frames, H hands, K keypoints, coordinate"
)


def as_f64(value: Any, name: str) -> F64:
    """Convert to a contiguous float64 array.

    Raises
    ------
    ShapeError
        If the value is not numeric.
    """
    try:
        array = np.ascontiguousarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name} is not an array of numbers ({error})", CONVENTIONS) from None
    # ascontiguousarray turns scalars into shape (1,)
    return array.reshape(np.shape(value)) if np.ndim(value) == 0 else array


def check_shapes(owner: str, fields: Mapping[str, tuple[NDArray[Any], str]]) -> dict[str, int]:
    """Check several arrays against shape patterns that share letters.

    Parameters
    ----------
    owner
        Name of the type or function, for the message.
    fields
        ``{field: (array, pattern)}``; a pattern is letters and integers, e.g. ``"V F H K 2"``.

    Returns
    -------
    dict
        The size bound to each letter.

    Raises
    ------
    ShapeError
        Naming the field, the expected and the received shape.
    """
    bound: dict[str, int] = {}
    for field, (array, pattern) in fields.items():
        tokens = pattern.split()
        ok = array.ndim == len(tokens)
        for token, size in zip(tokens, array.shape, strict=False):
            expected = int(token) if token.isdigit() else bound.setdefault(token, size)
            ok = ok and expected == size
        if not ok:
            wanted = ", ".join(f"{t}={bound[t]}" if t in bound else t for t in tokens)
            raise ShapeError(
                f"{owner}.{field} has shape {array.shape}, expected ({wanted})", CONVENTIONS
            )
    return bound


def present(xy: F64) -> NDArray[np.bool_]:
    """Where no coordinate of the last axis is missing."""
    return np.asarray(np.isfinite(xy).all(-1), np.bool_)


def freeze(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view; the caller's own array stays writable."""
    view = array.view()
    view.flags.writeable = False
    return view
