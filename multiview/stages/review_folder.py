"""Verification without a browser: a folder of montages and a table to fill in.

``labels.review/`` lies beside the labels that it judges. A person looks through the montages, and
writes in ``verdicts.csv``: ``ok``, ``bad`` (the frame is not used), or ``bad CAMERA ...`` (single
views are not). The page (`multiview review`) keeps the same verdicts in ``verdicts.sqlite``; once
that is there, whoever reads verdicts first takes over what was written into the table since, then
brings the table up to date: there is one set of verdicts, and either front may be used. It is of
the labels whose hash is in ``labels.sha256``: verdicts on others are refused, never used.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.datasets import Dataset, load_dataset
from multiview.formats.datasets.parquet import FILE as SAMPLES
from multiview.formats.verdict_store import FrameRow, VerdictStore, open_verdicts
from multiview.progress import progress_bar, say
from multiview.review.candidates import Candidate, candidates
from multiview.review.montage import draw_montage
from multiview.review.verdicts import BAD, bad_views
from multiview.stage import file_digest
from multiview.stages.pictures import write_image
from multiview.stages.review_table import read_table, rows_of, write_table

__all__ = [
    "awaited_verdicts",
    "begin_review",
    "check_pictures",
    "judged",
    "load_kept",
    "montage_file",
    "open_review",
    "rejected",
    "sync_table",
    "verdict_file",
    "write_montage",
    "write_review",
]

HELP = "write ok, bad, or bad CAMERA [CAMERA ...] in the last column of"
ABOUT = "labels.sha256"


def verdict_file(labels: Path) -> Path:
    """Table of verdicts for a folder of labels."""
    labels = labels if labels.name not in ("", "..") else labels.resolve()
    return labels.with_name(f"{labels.name}.review") / "verdicts.csv"


def montage_file(labels: Path, frame: int) -> Path:
    """Picture of a frame's views."""
    return verdict_file(labels).with_name(f"{frame:06d}.jpg")


def write_review(labels: Path) -> Path:
    """Draw a montage for every labelled frame, and a table without verdicts; never over verdicts.

    Parameters
    ----------
    labels
        Folder of `multiview label`, with its pictures.

    Returns
    -------
    Path
        The table.

    Raises
    ------
    InputError
        If there are verdicts on other labels than these, or pictures are missing.
    """
    data = load_dataset(labels)
    found = candidates(data.samples)
    begin_review(labels, found)
    check_pictures(data, labels, found)
    with progress_bar() as progress:
        for number, candidate in enumerate(found, start=1):
            write_montage(data, labels, candidate)
            progress("montages", number, len(found))
    table = verdict_file(labels)
    if not table.exists():
        write_table(table, rows_of(found))
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


def begin_review(labels: Path, found: Sequence[Candidate]) -> None:
    """Make the folder ready for verdicts on these labels; clear one of others without verdicts.

    A version that did not note the labels drew other tiles: they are drawn again.

    Raises
    ------
    InputError
        If there are verdicts on other labels than these.
    """
    table = verdict_file(labels)
    note = table.with_name(ABOUT)
    if _noted(labels) is True:
        return
    rows = _found_rows(labels)
    if any(row.verdict for row in rows):
        _check_same(labels, rows, found)
    else:
        store = _store_file(labels)
        for old in (table, *(store.with_name(store.name + end) for end in ("", "-wal", "-shm"))):
            old.unlink(missing_ok=True)
    for montage in table.parent.glob("*.jpg"):
        if montage.stem.isdigit():
            montage.unlink()
    write_text(note, file_digest(labels / SAMPLES) + "\n")


def check_pictures(data: Dataset, labels: Path, found: Sequence[Candidate]) -> None:
    """Raise if a montage that is still to be drawn lacks a picture."""
    todo = [c for c in found if not montage_file(labels, c.frame).exists()]
    paths = [data.pictures.path(image) for c in todo for image in c.images]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise InputError(
            f"{labels}: {len(missing)} of {len(paths)} pictures are missing, as {missing[0]}",
            "label again, with pictures: multiview label ... --force",
        )


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
    said = read_table(table) if table.exists() else []
    _check_cameras(table, said, {camera for c in found for camera in c.cameras})
    store, backup, saved = open_verdicts(_store_file(labels))
    store.add([*rows_of(found), *said, *saved])
    if backup is not None:
        kept_rows = {row.frame: row.verdict for row in saved if row.verdict}
        others = sum(bool(row.verdict) and row.frame not in kept_rows for row in said)
        say(f"review: the store of verdicts was damaged and is kept as {backup}")
        say(f"  recovered: {len(kept_rows)} verdicts from it, {others} others from {table}")
        store.take_table({row.frame: row.verdict for row in said} | kept_rows)
        _export(store, table, said)
    else:
        _exchange(store, table, said)
    return store


def sync_table(store: VerdictStore, table: Path, cameras: Collection[str]) -> None:
    """Take over what a person wrote into the table, then bring it up to date.

    Raises
    ------
    InputError
        If the table has what is no verdict, or names none of ``cameras``.
    """
    said = read_table(table) if table.exists() else []
    _check_cameras(table, said, cameras)
    _exchange(store, table, said)


def _exchange(store: VerdictStore, table: Path, said: Sequence[FrameRow]) -> None:
    with store.writing():
        store.take_table({row.frame: row.verdict for row in said})
        _export(store, table, said)


def _export(store: VerdictStore, table: Path, said: Sequence[FrameRow]) -> None:
    rows = store.rows()
    if {r.frame: r.verdict for r in rows} != {r.frame: r.verdict for r in said}:
        write_table(table, rows)
    store.told()


def awaited_verdicts(labels: Sequence[Path]) -> list[Path]:
    """Tables with frames that nobody has judged; say so, and how to judge them.

    Parameters
    ----------
    labels
        Label folders of a round, ``ROUND/TAKE/labels``.

    Raises
    ------
    InputError
        If a verdict names a camera that there is not, or is of other labels.
    """
    waiting = []
    for folder in labels:
        open_rows = sum(not row.verdict for row in _verdicts(folder))
        if open_rows:
            waiting.append(folder)
            say(f"review: {open_rows} frames of {folder} wait for a verdict")
    if waiting:
        page = waiting[0] if len(waiting) == 1 else waiting[0].parent.parent
        say(f"  in a browser: multiview review {shlex.quote(str(page))}")
        say("  or without, looking at the montages beside it:")
        for folder in waiting:
            say(f"  {HELP} {verdict_file(folder)}")
        say("  then give the same command again")
    return [verdict_file(folder) for folder in waiting]


def judged(labels: Path) -> dict[int, str]:
    """Return the verdict on every frame of the review; empty ones wait, and none: no review."""
    return {row.frame: row.verdict for row in _verdicts(labels)}


def rejected(labels: Path, samples: HandSamples | None = None) -> set[tuple[int, str]]:
    """Frames, or single views of them, that a person rejected: (frame, camera or "").

    Parameters
    ----------
    labels
        The folder.
    samples
        Its labels, where they were read already.

    Raises
    ------
    InputError
        If a verdict names a camera that there is not, or is of other labels.
    """
    out: set[tuple[int, str]] = set()
    for row in _verdicts(labels, samples):
        if row.verdict.split()[:1] == [BAD]:
            out |= {(row.frame, camera) for camera in bad_views(row.verdict) or ("",)}
    return out


def load_kept(labels: Path, format: str = "") -> Dataset:
    """Load a folder of labels without those that a person rejected.

    Raises
    ------
    InputError
        If it cannot be read, and as `rejected`.
    """
    data = load_dataset(labels, format)
    samples = data.samples
    frames = rejected(labels, samples)
    if not frames:
        return data
    keep = [
        not ({(f, ""), (f, camera)} & frames)
        for f, camera in zip(samples.frame_id.tolist(), samples.camera.tolist(), strict=True)
    ]
    # what its manifest states is of all the labels
    return replace(data, samples=samples.take(np.flatnonzero(keep)), manifest={})


def _store_file(labels: Path) -> Path:
    return verdict_file(labels).with_suffix(".sqlite")


def _noted(labels: Path) -> bool | None:
    """Whether the review is of these labels; None where it does not say of which."""
    note = verdict_file(labels).with_name(ABOUT)
    if not note.exists():
        return None
    return note.read_text(encoding="utf-8").strip() == file_digest(labels / SAMPLES)


def _check_same(labels: Path, rows: Sequence[FrameRow], found: Sequence[Candidate]) -> None:
    """Refuse verdicts on other labels.

    Where an older version did not note the labels, they are known by frames and residuals.
    """
    same = _noted(labels)
    if same is None:
        same = _worst(rows) == _worst(rows_of(found))
    if not same:
        folder = verdict_file(labels).parent
        raise InputError(
            f"{folder}: holds verdicts on labels that have changed since",
            f"move {folder} away, and look at the new ones",
        )


def _worst(rows: Sequence[FrameRow]) -> dict[int, float | None]:
    return {row.frame: float(row.worst) if row.worst else None for row in rows}


def _check_cameras(table: Path, rows: Sequence[FrameRow], cameras: Collection[str]) -> None:
    named = {camera for row in rows for camera in bad_views(row.verdict)}
    unknown = sorted(named - set(cameras))
    if unknown:
        raise InputError(
            f"{table}: no labelled camera is called {unknown[0]!r}",
            f"cameras here: {', '.join(sorted(cameras))}",
        )


def _found_rows(labels: Path) -> list[FrameRow]:
    """Read what table and store hold, of whichever labels; an empty cell says nothing."""
    table, store_file = verdict_file(labels), _store_file(labels)
    rows = read_table(table) if table.exists() else []
    if store_file.exists():
        store, _, saved = open_verdicts(store_file)
        store.add(saved)
        store.take_table({row.frame: row.verdict for row in saved})
        rows += [row for row in store.rows() if row.verdict or not table.exists()]
        store.close()
    return rows


def _verdicts(labels: Path, samples: HandSamples | None = None) -> list[FrameRow]:
    """Read all verdicts, the store's too where a page was used."""
    table = verdict_file(labels)
    if not table.exists() and not _store_file(labels).exists():
        return []
    found = candidates(load_dataset(labels).samples if samples is None else samples)
    if _noted(labels) is not True:
        rows = _found_rows(labels)
        if not any(row.verdict for row in rows):
            return []
        _check_same(labels, rows, found)
    if not _store_file(labels).exists():
        rows = read_table(table)
        _check_cameras(table, rows, {camera for c in found for camera in c.cameras})
        there = {row.frame for row in rows}  # whose line was deleted waits
        return [*rows, *(row for row in rows_of(found) if row.frame not in there)]
    store = open_review(labels, found)
    try:
        return store.rows()
    finally:
        store.close()
