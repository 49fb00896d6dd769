"""One thread for linear algebra: calibrations solve many small systems.

On matrices of some hundred rows BLAS threads mostly wait for each other, burning all cores.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]

P = ParamSpec("P")
T = TypeVar("T")
# made once, for it looks through all loaded libraries
_controller = functools.cache(ThreadpoolController)


def one_blas_thread(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function with one thread for linear algebra."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with _controller().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return run
