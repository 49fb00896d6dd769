"""The table of a review, which a person may fill in: one row a frame, the doubtful ones first."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.verdict_store import FrameRow
from multiview.review.candidates import Candidate
from multiview.review.verdicts import tidy

__all__ = ["read_table", "rows_of", "write_table"]

FIELDS = ("frame", "montage", "worst_residual_px", "verdict")


def rows_of(found: Sequence[Candidate]) -> list[FrameRow]:
    """Return a row without a verdict for every frame."""
    return [
        FrameRow(
            c.frame, f"{c.frame:06d}.jpg", f"{c.worst_px:.1f}" if np.isfinite(c.worst_px) else ""
        )
        for c in found
    ]


def write_table(table: Path, rows: Sequence[FrameRow]) -> None:
    """Write the table, the doubtful frames first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    for row in sorted(rows, key=lambda row: (-float(row.worst or 0), row.frame)):
        writer.writerow((row.frame, row.montage, row.worst, row.verdict))
    write_text(table, text.getvalue())


def read_table(table: Path) -> list[FrameRow]:
    """Read the table and refuse what is no verdict.

    Raises
    ------
    InputError
        Naming the file and the line.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: cannot be read ({error})", "save it as CSV in UTF-8") from None
    return [_row(table, line, row) for line, row in enumerate(rows, start=2)]


def _row(table: Path, line: int, row: dict[str, str]) -> FrameRow:
    verdict = row.get("verdict")
    try:
        if verdict is None or not str(row.get("frame", "")).isdigit():
            raise InputError(f"{verdict!r} is no verdict", "keep the columns as they are")
        worst = row.get("worst_residual_px") or ""
        float(worst or 0)
        return FrameRow(int(row["frame"]), row.get("montage") or "", worst, tidy(verdict))
    except InputError as error:
        raise InputError(f"{table} line {line}: {error.what}", error.next_step) from None
    except ValueError:
        raise InputError(
            f"{table} line {line}: {worst!r} is no number", "keep the columns as they are"
        ) from None
