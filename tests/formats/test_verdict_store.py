import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from multiview.errors import InputError
from multiview.formats import verdict_store
from multiview.formats.verdict_store import FrameRow, open_verdicts

ROWS = [FrameRow(n, f"{n:06d}.jpg", "1.0") for n in range(20)]
GIVER = """
import sys
from pathlib import Path
from multiview.formats.verdict_store import open_verdicts
store, *_ = open_verdicts(Path(sys.argv[1]))
for n in range(20):
    store.record(f"{sys.argv[2]}-{n}", "reject", [n], lambda before: dict.fromkeys(before, "bad"))
    print(n, flush=True)
if sys.argv[2] == "killed":
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "verdicts.sqlite"
    store, *_ = open_verdicts(path)
    store.add(ROWS)
    store.close()
    return path


def say(store, name, verdict, *frames):
    store.record(name, "accept", frames, lambda before: dict.fromkeys(before, verdict))


def test_a_press_sent_twice_counts_once(path):
    store, backup, saved = open_verdicts(path)
    assert (backup, saved) == (None, [])
    say(store, "p", "ok", 1)
    say(store, "p", "bad", 1, 2)
    assert (store.verdicts()[1], store.verdicts()[2], store.revision()) == ("ok", "", 1)


def test_undo_takes_back_one_press_after_the_other(path):
    store, *_ = open_verdicts(path)
    say(store, "p", "ok", 1)
    say(store, "q", "bad", 1, 2, 3)
    assert store.undo("u") == (1, 2, 3)
    assert [store.verdicts()[n] for n in (1, 2, 3)] == ["ok", "", ""]
    assert store.undo("u") == ()  # the same press again
    assert store.undo("v") == (1,)
    assert store.undo("w") == ()
    assert set(store.verdicts().values()) == {""}


def test_what_came_since_is_told_and_nothing_else(path):
    store, *_ = open_verdicts(path)
    say(store, "p", "ok", 1, 2)
    known = store.revision()
    say(store, "q", "bad", 2, 5)
    assert store.since(known) == {2: "bad", 5: "bad"}
    assert store.since(store.revision()) == {}


def test_a_table_overrules_only_where_a_person_changed_it(path):
    store, *_ = open_verdicts(path)
    say(store, "p", "ok", 1, 2, 3)
    store.told()
    say(store, "q", "bad", 1)  # on the page, after the table was written
    store.take_table({1: "ok", 2: "bad cam00", 3: "", 4: "ok"})
    said = store.verdicts()
    assert [said[n] for n in (1, 2, 3, 4)] == ["bad", "bad cam00", "ok", "ok"]


def test_verdicts_survive_kill_9(path):
    command = [sys.executable, "-c", GIVER, str(path), "killed"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for _ in range(7):
        given = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    child.wait()
    store, backup, _ = open_verdicts(path)
    assert backup is None
    assert all(store.verdicts()[n] == "bad" for n in range(given + 1))


def test_processes_and_threads_do_not_lose_each_others_verdicts(path):
    commands = [[sys.executable, "-c", GIVER, str(path), name] for name in ("one", "two")]
    children = [subprocess.Popen(c, stdout=subprocess.DEVNULL) for c in commands]
    store, *_ = open_verdicts(path)
    threads = [
        threading.Thread(target=lambda t=t: [say(store, f"{t}-{n}", "ok", n) for n in range(20)])
        for t in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [child.wait(60) for child in children] == [0, 0]
    assert store.revision() == 5 * 20


def test_a_file_that_is_no_database_is_set_aside(path):
    path.write_bytes(b"something else altogether, for a kilobyte or so" * 30)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    store, backup, saved = open_verdicts(path)
    assert backup.name == "verdicts.damaged-1.sqlite"
    assert backup.read_bytes().startswith(b"something else")
    assert (store.rows(), saved) == ([], [])


def test_of_a_damaged_file_what_can_be_read_is_saved(path):
    store, *_ = open_verdicts(path)
    say(store, "p", "ok", *range(20))
    store.close()
    with sqlite3.connect(path) as db:
        pages = dict(db.execute("SELECT name, rootpage FROM sqlite_master"))
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[16:18], "big")
    first = (pages["change"] - 1) * size
    data[first : first + size] = b"\xff" * size
    path.write_bytes(data)
    _, backup, saved = open_verdicts(path)
    assert backup is not None
    assert {row.verdict for row in saved} == {"ok"}
    assert len(saved) == 20


def test_a_file_held_by_another_program_is_said_and_kept(path, monkeypatch):
    monkeypatch.setattr(verdict_store, "PATIENCE_S", 0.1)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match="held by another program"):
            open_verdicts(path)
    assert not list(path.parent.glob("*damaged*"))


@pytest.mark.parametrize(
    "change", ["SELECT 1", "ALTER TABLE frame RENAME COLUMN worst TO worst_px"]
)
def test_a_file_of_a_newer_version_is_refused_and_kept(path, change):
    """Nor is one with other columns taken for damaged."""
    with sqlite3.connect(path) as db:
        db.execute(change)
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="newer version"):
        open_verdicts(path)
    assert not list(path.parent.glob("*damaged*"))


def test_a_table_that_says_the_same_is_no_press(path):
    """A program that ended between writing the table and noting so would take undo away."""
    store, *_ = open_verdicts(path)
    say(store, "p", "ok", 1)
    store.take_table({1: "ok"})
    assert store.undo("u") == (1,)


def test_a_press_that_fails_changes_nothing(path):
    store, *_ = open_verdicts(path)

    def interrupted():
        with store.writing():
            say(store, "p", "ok", 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert (store.verdicts()[1], store.revision()) == ("", 0)
