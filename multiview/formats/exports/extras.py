"""Libraries that only some exports need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from multiview.errors import InputError

__all__ = ["library"]


def library(module: str, extra: str, what: str) -> Any:
    """Import a library of an extra.

    Raises
    ------
    InputError
        If it is not installed; names the extra.
    """
    try:
        return import_module(module)
    except ImportError:
        raise InputError(
            f"writing {what} needs {module.replace('_', '-')}",
            f'pip install "multiview-bootstrapping[{extra}]"',
        ) from None
