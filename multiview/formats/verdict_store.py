"""A person's verdicts on the frames of a label folder: SQLite, each kept before it is answered.

Tables: ``frame`` (the verdict on each, what the CSV beside it last said, the press that changed it
last, and the one whose verdict stands: an undo gives a verdict back to its owner), ``press`` (the
history, each press once) and ``change`` (what each changed). The log is written ahead and flushed
on every verdict, so a killed process or a power cut loses none; a transaction a press keeps
several tabs and processes apart.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multiview.errors import InputError

__all__ = ["FrameRow", "VerdictStore", "open_verdicts"]

VERSION = 1
SCHEMA = """
CREATE TABLE frame (frame INTEGER PRIMARY KEY, montage TEXT NOT NULL, worst TEXT NOT NULL,
  verdict TEXT NOT NULL DEFAULT '', told TEXT NOT NULL DEFAULT '',
  press INTEGER NOT NULL DEFAULT 0, owner INTEGER NOT NULL DEFAULT 0);
CREATE INDEX of_press ON frame (press);
CREATE TABLE press (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
  deed TEXT NOT NULL, at_s REAL NOT NULL, undone INTEGER NOT NULL DEFAULT 0);
CREATE TABLE change (press INTEGER NOT NULL, frame INTEGER NOT NULL, old TEXT NOT NULL,
  old_owner INTEGER NOT NULL);
CREATE INDEX by_press ON change (press);
"""
UNDO, TABLE = "undo", "table"
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class FrameRow:
    """A frame in the table: its montage, worst residual as text, and the verdict."""

    frame: int
    montage: str
    worst: str
    verdict: str = ""


class VerdictStore:
    """Verdicts of one label folder; made by `open_verdicts`, shared by threads."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        self._lock = threading.RLock()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Do several things as one, alone.

        Raises
        ------
        InputError
            If another program holds the file, or the disk is full: nothing has changed then.
        """
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            with _faults(self.path):
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._db.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")
                    raise

    def rows(self) -> list[FrameRow]:
        """Return all frames, by number."""
        found = self._read("SELECT frame, montage, worst, verdict FROM frame ORDER BY frame")
        return [FrameRow(*row) for row in found]

    def verdicts(self) -> dict[int, str]:
        """Return the verdict on each frame."""
        return dict(self._read("SELECT frame, verdict FROM frame"))

    def revision(self) -> int:
        """Return the number of the last press."""
        return int(self._read("SELECT coalesce(max(id), 0) FROM press")[0][0])

    def since(self, revision: int) -> dict[int, str]:
        """Return verdicts that came after a revision."""
        return dict(self._read("SELECT frame, verdict FROM frame WHERE press > ?", revision))

    def times_s(self, most: int) -> list[float]:
        """Return when the last verdicts were given, ascending, seconds of the clock."""
        found = self._read(
            "SELECT at_s FROM press WHERE deed != ? ORDER BY id DESC LIMIT ?", TABLE, most
        )
        return sorted(at for (at,) in found)

    def last(self) -> tuple[float, int, str]:
        """Return time, number and name of the press that `undo` would take back; zeros: none."""
        found = self._read(
            "SELECT at_s, id, name FROM press WHERE undone = 0 AND deed NOT IN (?, ?)"
            " ORDER BY id DESC LIMIT 1",
            *(UNDO, TABLE),
        )
        return found[0] if found else (0.0, 0, "")

    def knows(self, name: str) -> bool:
        """Whether a press was kept already."""
        return bool(self._read("SELECT 1 FROM press WHERE name = ?", name))

    def add(self, rows: Sequence[FrameRow]) -> None:
        """Put in frames that are not there yet."""
        with self.writing():
            self._db.executemany(
                "INSERT OR IGNORE INTO frame (frame, montage, worst) VALUES (?, ?, ?)",
                [(row.frame, row.montage, row.worst) for row in rows],
            )

    def record(
        self,
        name: str,
        deed: str,
        frames: Sequence[int],
        change: Callable[[dict[int, str]], dict[int, str]],
    ) -> None:
        """Keep what a press changes; a press that is known already changes nothing.

        Parameters
        ----------
        name, deed
            Of the press.
        frames
            That it is about.
        change
            Gives the new verdicts from the present ones of those frames.
        """
        with self.writing():
            if not self.knows(name):
                self._change(name, deed, change(self._of(frames)))

    def undo(self, name: str) -> tuple[int, ...]:
        """Take the last standing press back, where nothing came after it; return its frames."""
        with self.writing():
            _, target, _ = self.last()
            if self.knows(name) or not target:
                return ()
            old = self._read(
                "SELECT c.frame, c.old, c.old_owner FROM change c JOIN frame f"
                " ON f.frame = c.frame WHERE c.press = ? AND f.owner = c.press",
                target,
            )
            self._db.execute("UPDATE press SET undone = 1 WHERE id = ?", (target,))
            self._change(name, UNDO, {frame: verdict for frame, verdict, _ in old})
            self._db.executemany(
                "UPDATE frame SET owner = ? WHERE frame = ?", [(o, frame) for frame, _, o in old]
            )
            return tuple(frame for frame, *_ in old)

    def take_table(self, said: dict[int, str]) -> None:
        """Take over what a person wrote into the table since it was last written.

        Parameters
        ----------
        said
            Verdicts of the table. An empty one says nothing: it never takes a verdict away.
        """
        with self.writing():
            known = {f: both for f, *both in self._read("SELECT frame, told, verdict FROM frame")}
            new = {f: v for f, v in said.items() if v and f in known and v not in known[f]}
            if new:
                self._change(f"table-{time.time_ns()}", TABLE, new)

    def told(self) -> None:
        """Note that the table now says what the store says."""
        with self.writing():
            self._db.execute("UPDATE frame SET told = verdict WHERE told != verdict")

    def _of(self, frames: Iterable[int]) -> dict[int, str]:
        query = "SELECT frame, verdict FROM frame WHERE frame = ?"
        return dict(row for frame in frames for row in self._read(query, frame))

    def _change(self, name: str, deed: str, new: dict[int, str]) -> None:
        cursor = self._db.execute(
            "INSERT INTO press (name, deed, at_s) VALUES (?, ?, ?)", (name, deed, time.time())
        )
        number = cursor.lastrowid
        self._db.executemany(
            "INSERT INTO change SELECT ?, frame, verdict, owner FROM frame WHERE frame = ?",
            [(number, frame) for frame in new],
        )
        self._db.executemany(
            "UPDATE frame SET verdict = ?, press = ?, owner = ? WHERE frame = ?",
            [(verdict, number, number, frame) for frame, verdict in new.items()],
        )

    def _read(self, query: str, *values: object) -> list[Any]:
        with self._lock, _faults(self.path):
            return self._db.execute(query, values).fetchall()


def open_verdicts(path: Path) -> tuple[VerdictStore, Path | None, list[FrameRow]]:
    """Open a store, made where there is none; a damaged one is set aside and made anew.

    Parameters
    ----------
    path
        The SQLite file.

    Returns
    -------
    store, backup, saved
        The store; where a damaged file was put (None: it was sound), and the frames that could
        still be read from it, which are not in the new store yet.

    Raises
    ------
    InputError
        If another program holds it, a newer version made it, or it cannot be written.
    """
    backup, saved = None, []
    try:
        connection = _connect(path)
    except _Damaged:
        saved = _salvage(path)
        with _faults(path):
            backup = _set_aside(path)
        connection = _connect(path)
    return VerdictStore(path, connection), backup, saved


class _Damaged(Exception):
    """The file is no sound SQLite database of ours."""


def _connect(path: Path) -> sqlite3.Connection:
    with _faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(
            path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(db, path)
        except BaseException:
            db.close()
            raise
        return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")  # two that open it first do not both make the tables
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:  # before a look at its tables, which may be other ones
            raise InputError(f"{path}: a newer version made it", "update multiview")
        if not version:
            for statement in filter(str.strip, SCHEMA.split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
        sound = db.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        db.execute(
            "SELECT frame, montage, worst, verdict, told, press, owner FROM frame"
        ).fetchall()
    except sqlite3.OperationalError as error:
        if "no such" in str(error) or "already exists" in str(error):
            raise _Damaged from None
        raise
    except sqlite3.DatabaseError:
        raise _Damaged from None
    if not sound:
        raise _Damaged


def _salvage(path: Path) -> list[FrameRow]:
    """Read what a damaged file still gives."""
    saved: list[FrameRow] = []
    with suppress(sqlite3.Error, UnicodeDecodeError):
        db = sqlite3.connect(path, timeout=PATIENCE_S)
        try:
            for frame, montage, worst, verdict in db.execute(
                "SELECT frame, montage, worst, verdict FROM frame"
            ):
                saved.append(FrameRow(int(frame), str(montage), str(worst), str(verdict)))
        finally:
            db.close()
    return saved


def _set_aside(path: Path) -> Path:
    number = 1
    while (backup := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    for ending in ("", "-wal", "-shm"):
        part = path.with_name(path.name + ending)
        if part.exists():
            part.rename(backup.with_name(backup.name + ending))
    return backup


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        held = "locked" in str(error) or "busy" in str(error)
        raise InputError(
            f"{path}: {'held by another program' if held else 'cannot be used'} ({error})",
            "close the program that has it open, and try again"
            if held
            else "free some space or change its permissions; no verdict that was kept is lost",
        ) from None
    except sqlite3.DatabaseError as error:
        raise InputError(
            f"{path}: damaged ({error})",
            "give the command again: what can be read is recovered, and the file is kept",
        ) from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", "change its permissions") from None
