"""The label folders that a page shows: their frames in one list, their stores, their montages."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from multiview.errors import InputError, MultiviewError
from multiview.formats.datasets import Dataset, load_dataset
from multiview.formats.datasets.parquet import FILE as SAMPLES
from multiview.formats.selection_csv import read_scores
from multiview.formats.verdict_store import UNDO, VerdictStore
from multiview.progress import say
from multiview.review.candidates import Candidate, candidates, in_order
from multiview.review.montage import GAP, columns_of, tile_of
from multiview.review.verdicts import Press, after, seconds_left
from multiview.stages.review_folder import (
    begin_review,
    check_pictures,
    open_review,
    sync_table,
    verdict_file,
    write_montage,
)

__all__ = ["ReviewSession", "label_folders"]

# Verdicts that the pace is taken from: the last minute or so.
PACE = 30


def label_folders(run: Path) -> list[Path]:
    """Find the labels to look at: a label folder, a round of the loop, or the loop's newest round.

    Raises
    ------
    InputError
        If there are none; a run that is half finished is told from one that is none.
    """
    if (run / SAMPLES).is_file():
        return [run]
    found = sorted(path.parent for path in run.glob(f"*/labels/{SAMPLES}"))
    rounds = [p for p in run.glob("round-*") if p.name.removeprefix("round-").isdigit()]
    for folder in sorted(rounds, key=lambda p: -int(p.name.removeprefix("round-"))):
        found = found or sorted(path.parent for path in folder.glob(f"*/labels/{SAMPLES}"))
    if found:
        return found
    unfinished = any(run.rglob("*.partial")) or run.with_name(f"{run.name}.partial").exists()
    if not run.is_dir() and not unfinished:
        raise InputError(f"{run}: no such folder", "give the --out of multiview label or bootstrap")
    if unfinished:
        raise InputError(
            f"{run}: not finished, there are no labels yet",
            "give its own command again, then this one",
        )
    older = (run / "coco.json").is_file()
    raise InputError(
        f"{run}: an older version made these labels" if older else f"{run}: no labels in it",
        "label again with this version: multiview label ... --force"
        if older
        else "give the --out of multiview label, a round of multiview bootstrap, or its run",
    )


@dataclass(frozen=True, slots=True)
class _Folder:
    labels: Path
    data: Dataset
    store: VerdictStore
    take: str
    stamp: tuple[int, ...]

    def check(self) -> None:
        """Raise if the labels were made anew under the page: nothing said of these is theirs."""
        if self.stamp != _stamp(self.labels):
            raise InputError(
                f"{self.labels}: the labels were made anew",
                "end multiview review with Ctrl-C and start it again",
            )

    def tell_table(self) -> None:
        """Bring the table up to date."""
        self.check()
        sync_table(self.store, verdict_file(self.labels), set(self.data.samples.camera.tolist()))


def _stamp(labels: Path) -> tuple[int, ...]:
    try:
        about = (labels / SAMPLES).stat()
    except OSError:
        return ()
    return about.st_ino, about.st_size, about.st_mtime_ns


@dataclass(frozen=True, slots=True)
class _Place:
    folder: int
    candidate: Candidate


class ReviewSession:
    """What all tabs of a page share.

    Parameters
    ----------
    folders
        Of labels.
    order
        One of `multiview.review.candidates.ORDERS`.

    Raises
    ------
    InputError
        If labels cannot be read, or their verdicts are held by another program.
    """

    def __init__(self, folders: Sequence[Path], order: str) -> None:
        self.folders: list[_Folder] = []
        found: list[tuple[Candidate, int]] = []
        for number, labels in enumerate(folders):
            stamp, data = _stamp(labels), load_dataset(labels)
            table = labels / "selection.csv"
            mine = candidates(data.samples, read_scores(table) if table.exists() else None)
            begin_review(labels, mine)
            check_pictures(data, labels, mine)
            take = labels.resolve().parent.name if len(folders) > 1 else ""
            store = open_review(labels, mine)
            self.folders.append(_Folder(labels, data, store, take, stamp))
            found += [(candidate, number) for candidate in mine]
        owner = {id(candidate): number for candidate, number in found}
        # as filmed means one take after the other, which is how they were gathered
        listed = [candidate for candidate, _ in found]
        ordered = in_order(listed, order) if found and order != "time" else listed
        self.places = [_Place(owner[id(c)], c) for c in ordered]
        self._at = {(p.folder, p.candidate.frame): n for n, p in enumerate(self.places)}
        self._stop, self._threads = threading.Event(), list[threading.Thread]()
        if not self.places:
            self.close()
            raise InputError(
                f"{folders[0]}: no frame has a label in it",
                "label again with a lower --label.min-keypoints",
            )

    def start(self) -> None:
        """Begin to draw montages, and to keep the tables up to date, beside what is asked for."""
        for work in (self._draw_all, self._keep_tables):
            self._threads.append(threading.Thread(target=work, daemon=True))
            self._threads[-1].start()

    def close(self) -> None:
        """Bring the tables up to date and close the stores."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for folder in self.folders:
            try:
                folder.tell_table()
            except MultiviewError as error:  # the store has them
                say(f"review: {error}")
            folder.store.close()

    def describe(self) -> dict[str, Any]:
        """Everything that a page needs to begin."""
        said = [folder.store.verdicts() for folder in self.folders]
        cameras = sorted({camera for p in self.places for camera in p.candidate.cameras})
        frames = [
            {
                "take": self.folders[p.folder].take,
                "frame": p.candidate.frame,
                "views": p.candidate.cameras,
                "views_px": [_or_none(px) for px in p.candidate.views_px],
                "across": columns_of(len(p.candidate.cameras)),
                "tile": tile_of(len(p.candidate.cameras)),
                "worst": _or_none(p.candidate.worst_px),
                "verdict": said[p.folder].get(p.candidate.frame, ""),
            }
            for p in self.places
        ]
        about = {"frames": frames, "cameras": cameras, "gap": GAP}
        return about | {"since": self._revisions(), "left_s": self._left()}

    def montage(self, place: int) -> Path:
        """Return the picture of a frame, drawn now if it was not yet.

        Raises
        ------
        IndexError
            If there is no such place.
        """
        found = self.places[place]
        folder = self.folders[found.folder]
        folder.check()
        return write_montage(folder.data, folder.labels, found.candidate)

    def press(self, presses: Sequence[dict[str, Any]], since: Sequence[int]) -> dict[str, Any]:
        """Keep presses, all or none; say what has changed since the page last asked.

        Raises
        ------
        InputError
            If the labels were made anew, or the store cannot be written: nothing was kept.
        """
        undone: list[int] = []
        for folder in self.folders:
            folder.check()
        with contextlib.ExitStack() as stack:
            for folder in self.folders:
                stack.enter_context(folder.store.writing())
            for press in presses:
                undone = self._one(press) or undone
        verdicts = {}
        for number, (folder, old) in enumerate(zip(self.folders, since, strict=False)):
            for frame, verdict in folder.store.since(old).items():
                if (number, frame) in self._at:
                    verdicts[self._at[number, frame]] = verdict
        answer: dict[str, Any] = {"verdicts": verdicts, "undone": undone}
        return answer | {"since": self._revisions(), "left_s": self._left()}

    def _one(self, press: dict[str, Any]) -> list[int]:
        """Keep one press; return the places that an undo changed."""
        if press["deed"] == UNDO:
            if any(folder.store.knows(press["name"]) for folder in self.folders):
                return []
            return self._undo(press["name"])
        for number, folder in enumerate(self.folders):
            chosen = [self.places[p] for p in press["places"] if p < len(self.places)]
            mine = [p.candidate for p in chosen if p.folder == number]
            frames = tuple(c.frame for c in mine if press["camera"] in ("", *c.cameras))
            if frames:
                deed = Press(press["name"], press["deed"], frames, press["camera"])
                folder.store.record(deed.name, deed.deed, frames, partial(after, deed))
        return []

    def _undo(self, name: str) -> list[int]:
        """Take the last press back in every folder that it changed; return its places."""
        last = [folder.store.last() for folder in self.folders]
        *_, newest = max(last)
        changed = []
        for number, folder in enumerate(self.folders):
            if last[number][-1] == newest:
                changed += [(number, frame) for frame in folder.store.undo(name)]
        return [self._at[at] for at in changed if at in self._at]

    def _draw_all(self) -> None:
        """Draw montages in the order of the page, until all are there or the session closes."""
        missing = 0
        for place in range(len(self.places)):
            if self._stop.is_set():
                break
            try:
                self.montage(place)
            except MultiviewError as error:  # the page shows which picture is missing
                missing += 1
                if missing == 1:
                    say(f"review: {error}")
        if missing > 1:
            say(f"review: {missing - 1} more frames cannot be drawn")

    def _keep_tables(self, every_s: float = 1.0) -> None:
        """Bring the tables up to date soon after verdicts, until the session closes."""
        told, words = self._revisions(), ""
        while not self._stop.wait(every_s):
            try:
                now = self._revisions()  # before the tables: a verdict in between is told next
                if now == told:
                    continue
                for folder in self.folders:
                    folder.tell_table()
                told = now
            except MultiviewError as error:  # kept in the store; a person is editing the table
                if words != str(error):
                    words = str(error)
                    say(f"review: {words}")

    def _revisions(self) -> list[int]:
        return [folder.store.revision() for folder in self.folders]

    def _left(self) -> float | None:
        times = sorted(t for folder in self.folders for t in folder.store.times_s(PACE))
        said = [folder.store.verdicts() for folder in self.folders]
        waiting = sum(not said[p.folder].get(p.candidate.frame) for p in self.places)
        return _or_none(seconds_left(times[-PACE:], waiting))


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
