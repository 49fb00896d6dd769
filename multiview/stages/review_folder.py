"""Verification without a browser: a folder of montages and a table to fill in.

``labels.review/`` lies beside the labels that it judges. A person looks through the montages, and
writes in ``verdicts.csv``: ``ok``, ``bad`` (the frame is not used), or ``bad CAMERA ...`` (single
views are not). The page (`multiview review`) keeps the same verdicts in ``verdicts.sqlite``; once
that is there, whoever reads verdicts first takes over what was written into the table since, then
brings the table up to date: there is one set of verdicts, and either front may be used.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.datasets import Dataset, load_dataset
from multiview.formats.datasets.parquet import FILE as SAMPLES
from multiview.formats.verdict_store import FrameRow, VerdictStore, open_verdicts
from multiview.progress import progress_bar, say
from multiview.review.candidates import Candidate, candidates
from multiview.review.montage import draw_montage
from multiview.review.verdicts import BAD, bad_views, tidy
from multiview.stage import file_digest
from multiview.stages.pictures import write_image

__all__ = [
    "awaited_verdicts",
    "judged",
    "kept",
    "montage_file",
    "open_review",
    "rejected",
    "sync_table",
    "verdict_file",
    "write_montage",
    "write_review",
]

FIELDS = ("frame", "montage", "worst_residual_px", "verdict")
HELP = "write ok, bad, or bad CAMERA [CAMERA ...] in the last column of"
MADE_FROM = "labels.txt"


def verdict_file(labels: Path) -> Path:
    """Table of verdicts for a folder of labels."""
    labels = labels if labels.name not in ("", "..") else labels.resolve()
    return labels.with_name(f"{labels.name}.review") / "verdicts.csv"


def montage_file(labels: Path, frame: int) -> Path:
    """Picture of a frame's views."""
    return verdict_file(labels).with_name(f"{frame:06d}.jpg")


def write_review(labels: Path) -> Path:
    """Draw a montage for every labelled frame, and a table without verdicts; never over one.

    Parameters
    ----------
    labels
        Folder of `multiview label`, with its pictures.

    Returns
    -------
    Path
        The table.
    """
    set_aside_older(labels)
    table = verdict_file(labels)
    data = load_dataset(labels)
    found = candidates(data.samples)
    with progress_bar() as progress:
        for number, candidate in enumerate(found, start=1):
            write_montage(data, labels, candidate)
            progress("montages", number, len(found))
    if not table.exists():
        _write(table, _rows_of(found))
    return table


def write_montage(data: Dataset, labels: Path, candidate: Candidate) -> Path:
    """Draw the montage of a frame, once."""
    target = montage_file(labels, candidate.frame)
    if not target.exists():
        rows = np.flatnonzero(data.samples.frame_id == candidate.frame)
        hands = data.samples.take(rows)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_image(draw_montage(data.pictures.read, hands, candidate), target)
    return target


def set_aside_older(labels: Path) -> None:
    """Rename a review of labels that were made anew since; it says nothing of these.

    Montages of a version that did not note the labels have other tiles: they are drawn again.
    """
    folder = verdict_file(labels).parent
    if _is_older(labels):
        number = 1
        while (old := folder.with_name(f"{folder.name}-{number}")).exists():
            number += 1
        folder.rename(old)
        say(f"review: the labels were made anew; verdicts on the old ones are kept in {old}")
    note = folder / MADE_FROM
    if not note.exists():
        for montage in folder.glob("*.jpg"):
            if montage.stem.isdigit():
                montage.unlink()
        write_text(note, file_digest(labels / SAMPLES))


def open_review(labels: Path, found: Sequence[Candidate]) -> VerdictStore:
    """Open the store of a label folder with all that its table says; recover a damaged one.

    Parameters
    ----------
    labels
        The folder.
    found
        Its frames.

    Raises
    ------
    InputError
        If the store is held by another program, or the table has what is no verdict.
    """
    table = verdict_file(labels)
    said = _read(table) if table.exists() else []
    store, backup, saved = open_verdicts(_store_file(labels))
    store.add([*_rows_of(found), *said, *saved])
    if backup is not None:
        kept_rows = {row.frame: row.verdict for row in saved if row.verdict}
        say(f"review: the store of verdicts was damaged and is kept as {backup}")
        say(f"  recovered: {len(kept_rows)} verdicts from it, the others from {table}")
        store.take_table({row.frame: row.verdict for row in said} | kept_rows)
        _export(store, table, said)
    else:
        sync_table(store, table, said)
    return store


def sync_table(store: VerdictStore, table: Path, said: Sequence[FrameRow] | None = None) -> None:
    """Take over what a person wrote into the table, then bring it up to date."""
    if said is None:
        said = _read(table) if table.exists() else []
    with store.writing():
        store.take_table({row.frame: row.verdict for row in said})
        _export(store, table, said)


def _export(store: VerdictStore, table: Path, said: Sequence[FrameRow]) -> None:
    rows = store.rows()
    if {r.frame: r.verdict for r in rows} != {r.frame: r.verdict for r in said}:
        _write(table, rows)
    store.told()


def awaited_verdicts(labels: Sequence[Path]) -> list[Path]:
    """Tables with frames that nobody has judged, and say so."""
    waiting = []
    for folder in labels:
        table = verdict_file(folder)
        open_rows = sum(not row.verdict for row in _verdicts(folder))
        if open_rows:
            waiting.append(table)
            say(f"review: {open_rows} frames wait for a verdict: multiview review {folder}; or")
            say(f"  {HELP} {table},")
            say("  looking at the montages beside it; then give the same command again")
    return waiting


def judged(labels: Path) -> dict[int, str]:
    """Return the verdict on every frame of the review; empty ones wait, and none: no review."""
    return {row.frame: row.verdict for row in _verdicts(labels)}


def rejected(labels: Path) -> set[tuple[int, str]]:
    """Frames, or single views of them, that a person rejected: (frame, camera or "")."""
    out: set[tuple[int, str]] = set()
    for row in _verdicts(labels):
        if row.verdict.split()[:1] == [BAD]:
            out |= {(row.frame, camera) for camera in bad_views(row.verdict) or ("",)}
    return out


def kept(labels: Path, data: Dataset) -> Dataset:
    """Labels of a folder without those that a person rejected."""
    frames = rejected(labels)
    if not frames:
        return data
    samples = data.samples
    keep = [
        not ({(f, ""), (f, camera)} & frames)
        for f, camera in zip(samples.frame_id.tolist(), samples.camera.tolist(), strict=True)
    ]
    return replace(data, samples=samples.take(np.flatnonzero(keep)))


def _store_file(labels: Path) -> Path:
    return verdict_file(labels).with_suffix(".sqlite")


def _is_older(labels: Path) -> bool:
    """Whether verdicts are there, of labels that these are not."""
    note = verdict_file(labels).with_name(MADE_FROM)
    return note.exists() and note.read_text().strip() != file_digest(labels / SAMPLES)


def _verdicts(labels: Path) -> list[FrameRow]:
    """Read all verdicts, the store's too where a page was used."""
    table = verdict_file(labels)
    there = table.exists() or _store_file(labels).exists()
    if not there or _is_older(labels):
        return []
    if not _store_file(labels).exists():
        return _read(table)
    store = open_review(labels, ())
    try:
        return store.rows()
    finally:
        store.close()


def _rows_of(found: Sequence[Candidate]) -> list[FrameRow]:
    return [
        FrameRow(
            c.frame, f"{c.frame:06d}.jpg", f"{c.worst_px:.1f}" if np.isfinite(c.worst_px) else ""
        )
        for c in found
    ]


def _write(table: Path, rows: Sequence[FrameRow]) -> None:
    """Write the table, the doubtful frames first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    for row in sorted(rows, key=lambda row: (-float(row.worst or 0), row.frame)):
        writer.writerow((row.frame, row.montage, row.worst, row.verdict))
    write_text(table, text.getvalue())


def _read(table: Path) -> list[FrameRow]:
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
