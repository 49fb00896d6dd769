"""Two fronts of one set of verdicts: the page over HTTP without a browser, and the table."""

import csv
import http.client
import json
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from multiview.errors import InputError
from multiview.formats.datasets import load_dataset
from multiview.formats.samples_parquet import write_samples
from multiview.stages.dataset import run_convert_dataset
from multiview.stages.review_folder import (
    awaited_verdicts,
    judged,
    rejected,
    verdict_file,
    write_review,
)
from multiview.stages.review_page import ReviewServer
from multiview.stages.review_session import ReviewSession, label_folders

sys.path.insert(0, str(Path(__file__).parent))
from review_labels import FRAMES, make_labels


@pytest.fixture
def labels(tmp_path):
    return make_labels(tmp_path / "labels")


class Page:
    """A browser's side of the page."""

    def __init__(self, session):
        self.server = ReviewServer(session, 0)
        self.session, self.host = session, f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def ask(self, path, method="GET", body=None, headers=None, token=None):
        line = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        where = f"/{token or self.server.token}/{path}"
        line.request(method, where, body, {"Host": self.host} | (headers or {}))
        reply = line.getresponse()
        status, data, heads = reply.status, reply.read(), dict(reply.getheaders())
        line.close()
        return status, data, heads

    def press(self, *presses, since=(0,)):
        sent = [
            {"name": f"p{n}", "deed": deed, "places": places, "camera": camera}
            for n, deed, places, camera in presses
        ]
        status, data, _ = self.ask("press", "POST", json.dumps({"since": since, "presses": sent}))
        assert status == 200, data
        return json.loads(data)

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        self.session.close()


@pytest.fixture
def page(labels):
    page = Page(ReviewSession([labels], "residual"))
    yield page
    page.close()


def table(labels):
    return {int(r["frame"]): r["verdict"] for r in csv.DictReader(verdict_file(labels).open())}


def edit(labels, **changed):
    rows = list(csv.DictReader(verdict_file(labels).open()))
    with verdict_file(labels).open("w", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows([r | {"verdict": changed.get(f"f{r['frame']}", r["verdict"])} for r in rows])


def test_the_page_lists_the_worst_first_and_shows_montages(page):
    status, body, headers = page.ask("")
    assert status == 200
    data = json.loads(body.split(b'type="application/json"')[1].split(b">", 1)[1].split(b"</")[0])
    assert [f["frame"] for f in data["frames"]] == [12, 9, 7, 4]
    assert data["frames"][0]["worst"] == 12.0
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    status, jpeg, headers = page.ask("montage/0")
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert picture.shape[1] > 2 * 240
    assert page.ask("montage/4")[0] == 404


def test_it_listens_to_this_computer_only(page):
    assert page.server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("status", "path", "changed"),
    [
        (403, "", {"token": "x"}),
        (403, "", {"headers": {"Host": "evil.example"}}),
        (403, "press", {"method": "POST", "headers": {"Origin": "http://evil.example"}}),
        (404, "../../samples.parquet", {}),
        (404, "%2e%2e/samples.parquet", {}),
        (400, "press", {"method": "POST", "body": b"nonsense"}),
        (413, "press", {"method": "POST", "headers": {"Content-Length": "99999999999"}}),
        (413, "press", {"method": "POST", "headers": {"Content-Length": "-1"}}),
        (405, "press", {}),
        (501, "press", {"method": "PUT"}),
        (413, "press", {"method": "POST", "headers": {"Content-Length": "9" * 5000}}),
        (403, "press", {"method": "POST", "headers": {"origin": "http://evil.example"}}),
    ],
)
def test_requests_that_are_not_served(page, status, path, changed):
    found, body, _ = page.ask(path, **changed)
    assert found == status
    assert json.loads(body)["why"]
    assert set(table_or_store(page)) == {""}


def table_or_store(page):
    return page.session.folders[0].store.verdicts().values()


def test_verdicts_reach_other_tabs_the_table_and_the_dataset(page, labels, tmp_path):
    mine = page.press((1, "reject", [0], ""), (2, "view", [1], "cam01"), (3, "accept", [2, 3], ""))
    assert mine["verdicts"] == {"0": "bad", "1": "bad cam01", "2": "ok", "3": "ok"}
    other = page.press((4, "accept", [0], ""), since=mine["since"])
    assert other["verdicts"] == {"0": "ok"}
    seen = page.press(since=mine["since"])
    assert seen["verdicts"] == {"0": "ok"}
    back = page.press((5, "undo", [], ""), since=seen["since"])
    assert (back["verdicts"], back["undone"]) == ({"0": "bad"}, [0])
    assert rejected(labels) == {(12, ""), (9, "cam01")}
    assert table(labels) == {12: "bad", 9: "bad cam01", 7: "ok", 4: "ok"}
    assert awaited_verdicts([labels]) == []
    run_convert_dataset([labels], tmp_path / "set", format="parquet")
    samples = load_dataset(tmp_path / "set").samples
    kept = sorted(zip(samples.frame_id.tolist(), samples.camera.tolist(), strict=True))
    assert len(kept) == 8
    assert {c for f, c in kept if f == 9} == {"cam00", "cam02"}


def test_a_press_sent_again_counts_once(page):
    page.press((1, "view", [1], "cam01"))
    assert page.press((1, "view", [1], "cam01"))["verdicts"] == {"1": "bad cam01"}


def test_what_was_written_into_the_table_is_on_the_page_and_stays(labels):
    write_review(labels)
    edit(labels, f9="bad cam02", f7="OK")
    session = ReviewSession([labels], "residual")
    assert [f["verdict"] for f in session.describe()["frames"]] == ["", "bad cam02", "ok", ""]
    session.press([{"name": "p", "deed": "reject", "places": [0], "camera": ""}], [0])
    edit(labels, f4="ok")  # by hand, while the page is open
    session.close()
    assert table(labels) == {12: "bad", 9: "bad cam02", 7: "ok", 4: "ok"}


def test_a_damaged_store_is_recovered_from_itself_and_the_table(labels, capsys):
    session = ReviewSession([labels], "residual")
    session.press([{"name": "p", "deed": "reject", "places": [0, 1], "camera": ""}], [0])
    session.close()
    store = verdict_file(labels).with_suffix(".sqlite")
    store.write_bytes(b"not a database at all " * 400)
    assert rejected(labels) == {(12, ""), (9, "")}
    assert "damaged and is kept as" in capsys.readouterr().out
    assert len(list(store.parent.glob("*.damaged-1.sqlite"))) == 1
    assert rejected(labels) == {(12, ""), (9, "")}


def test_verdicts_on_labels_that_were_made_anew_are_refused_and_kept(labels):
    session = ReviewSession([labels], "residual")
    session.press([{"name": "p", "deed": "reject", "places": [0], "camera": ""}], [0])
    session.close()
    before = verdict_file(labels).with_suffix(".sqlite").read_bytes()
    make_labels(labels, shift=3.0)
    for use in (rejected, write_review, lambda it: ReviewSession([it], "time")):
        with pytest.raises(InputError, match="labels that have changed since"):
            use(labels)
    assert verdict_file(labels).with_suffix(".sqlite").read_bytes() == before
    verdict_file(labels).parent.rename(labels.with_name("old"))  # as it says
    assert rejected(labels) == set()
    ReviewSession([labels], "residual").close()
    assert set(table(labels).values()) == {""}


def test_a_review_without_verdicts_begins_anew_with_new_labels(labels):
    ReviewSession([labels], "time").close()
    write_review(labels)
    before = (verdict_file(labels).with_name("000007.jpg")).read_bytes()
    make_labels(labels, shift=30.0, frames=(7, 9))
    assert rejected(labels) == set()
    write_review(labels)
    assert (verdict_file(labels).with_name("000007.jpg")).read_bytes() != before
    session = ReviewSession([labels], "time")
    assert [f["frame"] for f in session.describe()["frames"]] == [7, 9]
    session.close()
    assert set(table(labels)) == {7, 9}


def test_labels_made_anew_under_an_open_page_take_no_verdict(page, labels):
    make_labels(labels, shift=3.0)
    body = {"since": [0], "presses": [{"name": "p", "deed": "reject", "places": [0]}]}
    status, answer, _ = page.ask("press", "POST", json.dumps(body))
    assert status == 503
    assert "made anew: end multiview review" in json.loads(answer)["why"]
    assert page.ask("montage/0")[0] == 503
    assert set(table_or_store(page)) == {""}


def older_review(labels):
    folder = verdict_file(labels).parent
    folder.mkdir()
    rows = [("frame", "montage", "worst_residual_px", "verdict")]
    rows += [(f, f"{f:06d}.jpg", f"{f}.0", "bad" if f == 7 else "") for f in FRAMES]
    with verdict_file(labels).open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    cv2.imwrite(str(folder / "000007.jpg"), np.zeros((10, 10, 3), np.uint8))


def test_a_review_of_an_older_version_is_gone_on_with(labels):
    """It has a table and montages of other tiles, and neither store nor note."""
    older_review(labels)
    before = verdict_file(labels).read_bytes()
    session = ReviewSession([labels], "time")
    assert [f["verdict"] for f in session.describe()["frames"]] == ["", "bad", "", ""]
    assert cv2.imread(str(session.montage(1))).shape[1] > 2 * 240
    session.close()
    assert verdict_file(labels).read_bytes() == before


def test_a_review_of_an_older_version_of_other_labels_is_refused(labels):
    older_review(labels)
    make_labels(labels, frames=FRAMES[1:])
    with pytest.raises(InputError, match="labels that have changed since"):
        ReviewSession([labels], "time")


def test_a_table_that_names_no_camera_of_the_labels_is_refused(labels):
    write_review(labels)
    edit(labels, f9="bad cam99")
    for use in (
        rejected,
        lambda it: awaited_verdicts([it]),
        lambda it: ReviewSession([it], "time"),
    ):
        with pytest.raises(InputError, match="no labelled camera is called 'cam99'"):
            use(labels)


def test_an_undo_sent_again_takes_back_one_verdict_of_several_takes(labels):
    other = make_labels(labels.with_name("other"))
    session = ReviewSession([labels, other], "time")
    sent = [
        {"name": f"p{n}", "deed": deed, "places": places, "camera": ""}
        for n, (deed, places) in enumerate([("accept", [0]), ("reject", [4]), ("undo", [])])
    ]
    assert session.press(sent, [0, 0])["undone"] == [4]
    assert session.press(sent[2:], [0, 0])["undone"] == []
    assert [f["verdict"] for f in session.describe()["frames"]] == ["ok"] + [""] * 7
    session.close()


def test_an_undo_takes_a_range_over_several_takes_back(labels):
    session = ReviewSession([labels, make_labels(labels.with_name("other"))], "time")
    over = {"name": "p", "deed": "accept", "places": [2, 3, 4, 5], "camera": ""}
    session.press([over], [0, 0])
    undo = {"name": "u", "deed": "undo", "places": [], "camera": ""}
    assert session.press([undo], [0, 0])["undone"] == [2, 3, 4, 5]
    assert {f["verdict"] for f in session.describe()["frames"]} == {""}
    session.close()


def test_a_view_that_a_frame_has_not_is_not_kept(page):
    assert page.press((1, "view", [0], "cam99"))["verdicts"] == {}


def test_a_frame_whose_line_was_deleted_waits(labels):
    write_review(labels)
    edit(labels, f4="ok", f7="ok", f9="ok", f12="ok")
    lines = verdict_file(labels).read_text().splitlines()
    verdict_file(labels).write_text("\n".join(lines[:-1]) + "\n")
    assert judged(labels) == {12: "ok", 9: "ok", 7: "ok", 4: ""}


def test_a_damaged_store_of_unknown_labels_keeps_what_was_read(labels):
    session = ReviewSession([labels], "time")
    session.press([{"name": "p", "deed": "reject", "places": [1], "camera": ""}], [0])
    store = session.folders[0].store
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._db.execute("DROP TABLE change")
    store._db.execute("ALTER TABLE frame DROP COLUMN told")
    store.close()
    for name in ("labels.sha256", "verdicts.csv"):
        verdict_file(labels).with_name(name).unlink()
    session = ReviewSession([labels], "time")
    assert [f["verdict"] for f in session.describe()["frames"]] == ["", "bad", "", ""]
    session.close()


def test_a_browser_that_hangs_up_is_no_error(page, capfd):
    line = socket.create_connection(("127.0.0.1", page.server.server_port))
    line.sendall(b"GET /")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()  # a reset, not an end
    assert page.ask("")[0] == 200
    time.sleep(0.2)
    assert "Traceback" not in capfd.readouterr().err


def test_labels_without_their_pictures_are_refused_unless_they_are_drawn(labels):
    pictures = labels / "images" / "cam01"
    pictures.rename(labels / "gone")
    for use in (write_review, lambda it: ReviewSession([it], "time")):
        with pytest.raises(InputError, match=r"4 of 12 pictures are missing, as .*cam01.000004"):
            use(labels)
    (labels / "gone").rename(pictures)
    write_review(labels)
    pictures.rename(labels / "gone")
    ReviewSession([labels], "time").close()


def test_a_picture_that_cannot_be_read_is_said_once_and_not_served(labels, capsys):
    for path in (labels / "images" / "cam01").iterdir():
        path.write_bytes(b"no jpeg")
    page = Page(ReviewSession([labels], "time"))
    page.session.start()
    status, answer, _ = page.ask("montage/1")
    page.session._threads[0].join()
    page.close()
    assert (status, "cam01" in json.loads(answer)["why"]) == (503, True)
    said = capsys.readouterr().out
    assert said.count("cam01") == 1
    assert "3 more frames cannot be drawn" in said


def test_labels_without_a_frame_are_refused(labels):
    samples = load_dataset(labels).samples
    write_samples(samples.take(np.array([], int)), labels / "samples.parquet")
    with pytest.raises(InputError, match="no frame has a label"):
        ReviewSession([labels], "time")


def test_the_labels_of_a_run_are_found(labels, tmp_path):
    run = tmp_path / "run"
    for number, take in ((1, "a"), (2, "a"), (2, "b"), (10, "a")):
        folder = run / f"round-{number}" / take / "labels"
        folder.mkdir(parents=True)
        shutil.copy(labels / "samples.parquet", folder)
    assert label_folders(run / "round-2") == [run / "round-2" / t / "labels" for t in "ab"]
    assert label_folders(run) == [run / "round-10" / "a" / "labels"]
    assert label_folders(labels) == [labels]


def test_runs_without_labels_say_why(tmp_path):
    half, only, old, empty = (tmp_path / name for name in ("half", "only", "old", "empty"))
    for folder in (half / "take" / "labels.partial", tmp_path / "only.partial", old, empty):
        folder.mkdir(parents=True)
    (old / "coco.json").write_text("{}")
    whys = ("not finished", "not finished", "older version", "no labels")
    for folder, why in zip((half, only, old, empty), whys, strict=True):
        with pytest.raises(InputError, match=why):
            label_folders(folder)
    with pytest.raises(InputError, match="no such folder"):
        label_folders(tmp_path / "nowhere")


def test_a_port_that_is_taken_is_said(page, labels):
    command = [sys.executable, "-m", "multiview", "review", str(labels)]
    command += ["--port", str(page.server.server_port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "another program listens there" in done.stderr
    assert "--port 0" in done.stderr


def test_a_store_held_by_another_program_keeps_presses_waiting(page, labels, monkeypatch):
    store = page.session.folders[0].store
    store._db.execute("PRAGMA busy_timeout = 50")
    body = {"since": [0], "presses": [{"name": "p", "deed": "reject", "places": [0]}]}
    with sqlite3.connect(store.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        status, answer, _ = page.ask("press", "POST", json.dumps(body))
        assert (status, "held by another" in json.loads(answer)["why"]) == (503, True)
        other.execute("ROLLBACK")
    assert page.ask("press", "POST", json.dumps(body))[0] == 200
    assert rejected(labels) == {(12, "")}
