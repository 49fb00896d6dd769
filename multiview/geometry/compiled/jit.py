"""The compiler's options in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

__all__ = ["compiled"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile on first call: float64 as written (no fast-math, NaN kept), division like NumPy's.

    Where no folder can be written, the code is compiled anew in every process.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        made: F = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder for its cache
        made = numba.njit(**options)(function)
    return made
