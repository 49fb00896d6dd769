"""What each rejection took, in numbers; and what to change where nothing is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import BoolArray
from multiview.bootstrap.select import Selection
from multiview.errors import NoLabelError

__all__ = ["Row", "empty_selection", "rejection_table", "table_lines"]

# Rules named in the message of an empty selection.
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rule.

    Parameters
    ----------
    name, reason, change
        As in `multiview.bootstrap.rejections.Rejection`.
    alone
        Labels that it marks.
    first
        Labels that no rule before it marks.
    wrong_alone, wrong_first
        How many of those are wrong by truth; None without truth.
    """

    name: str
    reason: str
    change: str
    alone: int
    first: int
    wrong_alone: int | None
    wrong_first: int | None


def rejection_table(selection: Selection, wrong: BoolArray | None = None) -> list[Row]:
    """Count what every rule took.

    Parameters
    ----------
    selection
        Of a take.
    wrong
        Labels that truth calls wrong, shape (F, H, K).
    """
    rows = []
    for number, rule in enumerate(selection.rejections):
        first = selection.first == number
        rows.append(
            Row(
                name=rule.name,
                reason=rule.reason,
                change=rule.change,
                alone=int(rule.mask.sum()),
                first=int(first.sum()),
                wrong_alone=None if wrong is None else int((rule.mask & wrong).sum()),
                wrong_first=None if wrong is None else int((first & wrong).sum()),
            )
        )
    return rows


def table_lines(selection: Selection, wrong: BoolArray | None = None) -> list[str]:
    """Markdown table of the rules, and of what is left."""
    rows = rejection_table(selection, wrong)
    head = ["rejected by", "alone", "first", "why"]
    if wrong is not None:
        head = ["rejected by", "alone", "wrong", "first", "wrong", "why"]
    lines = [
        f"| {' | '.join(head)} |",
        "| --- |" + " ---: |" * (len(head) - 2) + " --- |",
    ]
    for r in rows:
        cells = [r.name, r.alone, r.first, r.reason]
        if wrong is not None:
            cells = [r.name, r.alone, r.wrong_alone, r.first, r.wrong_first, r.reason]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    kept = int(selection.labels.sum())
    cells = ["selected", "", kept, ""]
    if wrong is not None:
        cells = ["selected", "", "", kept, int((selection.labels & wrong).sum()), ""]
    lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def up(rate: float) -> str:
    """Two digits of a rate, rounded up so that what is said does hold."""
    digits = 1 - int(np.floor(np.log10(rate)))
    return f"{np.ceil(rate * 10**digits) / 10**digits:.{max(digits, 0)}f}"


def empty_selection(selection: Selection) -> NoLabelError:
    """Say which rule took what, and what to change."""
    rows = [r for r in rejection_table(selection) if r.first]
    total = sum(r.first for r in rows)
    if not total:
        return NoLabelError(
            "no label: nothing was triangulated",
            "look at the report of `multiview triangulate`: too few views see or agree on a hand",
        )
    rows = sorted(rows, key=lambda r: -r.first)
    taken = "; ".join(f"{r.name} {r.first} ({r.reason})" for r in rows)
    promise = selection.acceptance
    if promise is not None and not promise.keep.any() and np.isfinite(promise.smallest):
        advice = (
            f"the least rate of false labels that can be promised here is {up(promise.smallest)}: "
            "give it as --max-false-label-rate, or add cameras"
        )
    else:
        advice = "; or ".join(r.change for r in rows[:_NAMED])
    return NoLabelError(f"no label passes: of {total} 3D keypoints, {taken}", advice)
