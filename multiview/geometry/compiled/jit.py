"""The compiler's options in one place."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled", "drop_stale"]

F = TypeVar("F", bound=Callable[..., Any])


def drop_stale(folder: Path) -> None:
    """Forget compiled code that is older than any source beside it.

    numba looks at a function's own file only, not at those of the functions it calls: after a
    change of one file the others would go on with the old code.
    """
    with suppress(OSError, ValueError):
        newest = max(source.stat().st_mtime for source in folder.glob("*.py"))
        for index in (folder / "__pycache__").glob("*.nbi"):
            if index.stat().st_mtime < newest:
                index.unlink(missing_ok=True)


drop_stale(Path(__file__).parent)


def compiled(function: F) -> F:
    """Compile on first call: float64 as written (no fast-math, NaN kept), division like NumPy's.

    Where no folder can be written, the code is compiled anew in every process.
    """
    try:
        return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:  # numba found no folder for its cache
        return cast(F, numba.njit(nogil=True, error_model="numpy")(function))
