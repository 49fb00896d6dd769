"""Verification without a browser: a folder of montages and a table to fill in.

``labels.review/`` lies beside the labels that it judges. A person looks through the montages, and
writes in ``verdicts.csv``: ``ok``, ``bad`` (the frame is not used), or ``bad CAMERA ...`` (single
views are not).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.datasets import load_dataset
from multiview.models.base import U8
from multiview.progress import progress_bar, say
from multiview.stage import file_digest
from multiview.stages.pictures import write_image
from multiview.viz.overlay import Layer, caption, contact_sheet, crop_square, draw_hand

__all__ = ["awaited_verdicts", "rejected", "verdict_file", "write_review"]

TILE, COLUMNS = 240, 6
ABOUT = "labels.sha256"
FIELDS = ("frame", "montage", "worst_residual_px", "verdict")
GOOD, BAD = "ok", "bad"
HELP = "write ok, bad, or bad CAMERA [CAMERA ...] in the last column of"


def verdict_file(labels: Path) -> Path:
    """Table of verdicts for a folder of labels."""
    return labels.with_name(f"{labels.name}.review") / "verdicts.csv"


def write_review(labels: Path) -> Path:
    """Draw a montage for every labelled frame, and a table without verdicts; never over verdicts.

    Parameters
    ----------
    labels
        Folder of `multiview label`.

    Returns
    -------
    Path
        The table.

    Raises
    ------
    InputError
        If there are verdicts on other labels than these.
    """
    table = verdict_file(labels)
    digest, about = file_digest(labels / "samples.parquet"), table.with_name(ABOUT)
    same = about.exists() and about.read_text(encoding="utf-8").strip() == digest
    if same and table.exists():
        return table
    if table.exists() and any(row["verdict"].strip() for row in _read(table)):
        raise InputError(
            f"{table}: holds verdicts on labels that have changed since",
            f"move {table.parent} away, and look at the new ones",
        )
    if not same:
        for old in table.parent.glob("*.jpg"):
            old.unlink()
        write_text(about, digest + "\n")
    data = load_dataset(labels)
    frames = np.unique(data.samples.frame_id).tolist()
    rows = []
    with progress_bar() as progress:
        for number, frame in enumerate(frames, start=1):
            hands = data.samples.take(np.flatnonzero(data.samples.frame_id == frame))
            name = f"{frame:06d}.jpg"
            target = table.parent / name
            if not target.exists():
                tiles = [_tile(data.pictures.read(i), hands, i) for i in np.unique(hands.image)]
                grid = [tiles[n : n + COLUMNS] for n in range(0, len(tiles), COLUMNS)]
                target.parent.mkdir(parents=True, exist_ok=True)
                write_image(contact_sheet(grid), target)
            residual = hands.residual_px[np.isfinite(hands.residual_px)]
            worst = f"{residual.max():.1f}" if residual.size else ""
            rows.append((frame, name, worst, ""))
            progress("montages", number, len(frames))
    rows.sort(key=lambda row: -float(row[2] or 0))  # the doubtful ones first
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([FIELDS, *rows])
    write_text(table, text.getvalue())
    return table


def _tile(picture: U8, hands: HandSamples, image: str) -> U8:
    rows = np.flatnonzero(hands.image == image)
    tile, affine = crop_square(picture, hands.xy_px[rows], TILE)
    for n in rows:
        xy = hands.xy_px[n] @ affine[:, :2].T + affine[:, 2]
        draw_hand(tile, xy, hands.skeleton, Layer.SOLID, 0.6, unsure=hands.visibility[n] < 2)
    caption(tile, str(hands.camera[rows[0]]), 0.4)
    return tile


def awaited_verdicts(labels: Sequence[Path]) -> list[Path]:
    """Tables with frames that nobody has judged, and say so.

    Raises
    ------
    InputError
        If a verdict names a camera that there is not.
    """
    waiting = []
    for folder in labels:
        table = verdict_file(folder)
        open_rows = sum(not row["verdict"].strip() for row in _read(table))
        cameras = set(load_dataset(folder).samples.camera.tolist())
        unknown = sorted({camera for _, camera in rejected(folder)} - {"", *cameras})
        if unknown:
            raise InputError(
                f"{table}: no labelled camera is called {unknown[0]!r}",
                f"cameras here: {', '.join(sorted(cameras))}",
            )
        if open_rows:
            waiting.append(table)
            say(f"review: {open_rows} frames wait for a verdict; {HELP} {table},")
            say("  looking at the montages beside it, then give the same command again")
    return waiting


def rejected(labels: Path) -> set[tuple[int, str]]:
    """Frames, or single views of them, that a person rejected: (frame, camera or "")."""
    table = verdict_file(labels)
    if not table.exists():
        return set()
    out: set[tuple[int, str]] = set()
    for row in _read(table):
        word, *cameras = row["verdict"].split() or [GOOD]
        if word == BAD:
            out |= {(int(row["frame"]), camera) for camera in cameras or [""]}
    return out


def _read(table: Path) -> list[dict[str, str]]:
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
    for line, row in enumerate(rows, start=2):
        verdict = row.get("verdict")
        word = (verdict or "").split()[:1]
        fine = verdict is not None and word in ([], [GOOD], [BAD])
        fine = fine and str(row.get("frame", "")).isdigit()
        if not fine or (word == [GOOD] and len(str(verdict).split()) > 1):
            raise InputError(
                f"{table} line {line}: {verdict!r} is no verdict",
                "write ok, bad, or bad CAMERA [CAMERA ...]; keep the columns as they are",
            )
    return rows
