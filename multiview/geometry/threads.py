"""Spread a compiled loop over cores: blocks of points, plain threads, the same numbers for any."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["BLOCK", "cores", "over_blocks"]

# Points per block: some milliseconds of work, so that starting a thread is nothing beside it.
BLOCK = 4096


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def over_blocks(
    work: Callable[[int, int], None], n: int, workers: int = 0, block: int = BLOCK
) -> None:
    """Call ``work(start, stop)`` for blocks that cover ``range(n)``.

    Parameters
    ----------
    work
        Releases the interpreter's lock and writes only to its own points.
    n
        Number of points.
    workers
        Threads; 0 for all cores of the process.
    block
        Points per block.
    """
    blocks = [(start, min(start + block, n)) for start in range(0, n, block)]
    workers = min(workers or cores(), len(blocks))
    if workers <= 1:
        for start, stop in blocks:
            work(start, stop)
        return
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work, *block) for block in blocks]:
            done.result()
