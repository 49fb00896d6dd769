"""An order by chance that is the same everywhere, whatever else is put in order."""

from __future__ import annotations

import hashlib

__all__ = ["chance_rank"]


def chance_rank(name: str, seed: int) -> bytes:
    """Key to sort names by; another seed, another order."""
    return hashlib.sha256(f"{seed} {name}".encode()).digest()
