"""Progress for people: a bar with time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ["Progress", "progress_bar", "say", "say_table"]

Progress = Callable[[str, int, int], None]
# Seconds between two plain lines, so that a log of an hour stays readable.
PLAIN_EVERY = 10.0


def say(text: str) -> None:
    """Print a line for the user (standard output; progress goes to standard error)."""
    print(text, flush=True)


def say_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print a table: with rules on a terminal, plain columns elsewhere.

    Parameters
    ----------
    header, rows
        Cells as text.
    left
        Number of first columns, besides the last one, that are aligned to the left.
    """
    sides = ["left" if n < left or n == len(header) - 1 else "right" for n in range(len(header))]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name, side in zip(header, sides, strict=True):
            table.add_column(name, justify=side)  # type: ignore[arg-type]
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        return
    lines = [header, *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(header))]
    for line in lines:
        cells = [
            c.ljust(w) if side == "left" else c.rjust(w)
            for c, w, side in zip(line, widths, sides, strict=True)
        ]
        print("  ".join(cells).rstrip(), flush=True)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Give a function ``(what, done, total)`` that shows how far a stage is."""
    if not sys.stderr.isatty():
        yield _plain_progress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, int] = {}

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = int(bar.add_task(what, total=total))
            bar.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

        yield update


def _plain_progress() -> Progress:
    started: dict[str, float] = {}
    spoken: dict[str, float] = {}

    def update(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        began = started.setdefault(what, now)
        if now - spoken.setdefault(what, now) < PLAIN_EVERY or not done:
            return
        spoken[what] = now
        left = (now - began) / done * (total - done)
        print(f"{what}: {done} of {total}, about {left:.0f} s left", file=sys.stderr, flush=True)

    return update
