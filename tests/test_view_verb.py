"""`multiview view`: what it finds in the folder of a run, and what it says of others."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

sys.path.append(str(Path(__file__).parent / "viz"))
from viz_scenes import small_take

from multiview.cli import main
from multiview.core import BoardTrack, Pose
from multiview.errors import InputError
from multiview.formats.boards_json import write_boards
from multiview.formats.detections_parquet import write_detections
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.stages import view
from multiview.stages.run_folder import find_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run: detections, points, and smoothed points elsewhere."""
    root = tmp_path_factory.mktemp("view")
    dets, _, rig = small_take()
    write_rig(rig, root / "rig.yaml")
    (root / "take" / "detect").mkdir(parents=True)
    write_detections(dets, root / "take" / "detect" / "detections.parquet")
    given = ["--rig", str(root / "rig.yaml"), "--out", str(root / "take" / "triangulate")]
    assert main(["triangulate", str(root / "take" / "detect"), *given]) == 0
    given = ["--out", str(root / "smooth")]
    assert main(["smooth", str(root / "take" / "triangulate"), *given]) == 0
    return root


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    return capsys.readouterr().err


def test_a_run_is_found_by_each_of_its_folders(run: Path) -> None:
    points = run / "take" / "triangulate"
    for given in (points, run / "take"):
        found = find_run(given)
        assert found.folder == points
        assert found.detections == (run / "take" / "detect" / "detections.parquet").resolve()
    assert find_run(run / "smooth", detections=run / "take" / "detect").detections is not None


def test_detections_that_moved_are_known_by_their_content(run: Path) -> None:
    (run / "take" / "detect").rename(run / "take" / "found")
    found = find_run(run / "take" / "triangulate")
    assert found.detections == run / "take" / "found" / "detections.parquet"
    shutil.copytree(run / "take" / "found", run / "take" / "detect")
    write_detections(small_take(5)[0], run / "take" / "detect" / "detections.parquet")
    assert find_run(run / "take" / "triangulate").detections == found.detections  # not the new one
    shutil.rmtree(run / "take" / "found")
    assert find_run(run / "take" / "triangulate").detections is None


def test_a_second_pass_is_preferred_and_other_doubles_are_named(run: Path) -> None:
    take = run / "take"
    shutil.copytree(take / "triangulate", take / "triangulate-guided")
    assert find_run(take).folder.name == "triangulate-guided"
    with pytest.raises(InputError, match=r"several results: .*smooth.*triangulate-guided"):
        find_run(run)


def test_a_page_is_written_of_measured_and_smoothed_points(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", str(run / "take"), "--html", str(run / "out.html")]) == 0
    assert "--capture TAKE" in capsys.readouterr().out
    assert '"note":""' in (run / "out.html").read_text()
    assert main(["view", str(run / "smooth"), "--html", str(run / "smooth.html")]) == 0
    # smoothing says which detections it was made of
    assert "detections are not where they were" not in capsys.readouterr().out
    assert '"note":"points are smoothed over time' in (run / "smooth.html").read_text()


def test_options_of_rerun_mean_nothing_for_a_page(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["view", str(run / "take"), "--html", str(run / "out.html"), "--images", "jpeg"]
    assert "--images means nothing for a page" in refusal(given, capsys)


def test_unusable_runs_are_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = ["--html", str(run / "out.html")]
    assert "is no folder" in refusal(["view", str(run / "none"), *page], capsys)
    (run / "empty").mkdir()
    assert "holds no 3D points" in refusal(["view", str(run / "empty"), *page], capsys)
    (run / "empty" / "triangulate.partial").mkdir()
    assert "half-finished" in refusal(["view", str(run / "empty"), *page], capsys)
    (run / "new.partial").mkdir()
    assert "half-finished" in refusal(["view", str(run / "new"), *page], capsys)
    points = run / "take" / "triangulate"
    (points / "rig.yaml").unlink()
    assert "--rig" in refusal(["view", str(points), *page], capsys)
    given = ["view", str(points), "--rig", str(run / "rig.yaml"), *page]
    table = points / "points.parquet"
    table.write_bytes(table.read_bytes()[:-50])
    assert "not a readable Parquet file" in refusal(given, capsys)
    (points / "manifest.json").unlink()
    assert "finished stage" in refusal(given, capsys)
    assert not (run / "out.html").exists()


def test_another_rig_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = read_rig(run / "rig.yaml")
    moved = replace(rig.cameras[0], cam_from_world=Pose.identity())
    write_rig(replace(rig, cameras=(moved, *rig.cameras[1:]), covariance=None), run / "new.yaml")
    given = ["view", str(run / "take"), "--rig", str(run / "new.yaml"), "--html", str(run / "x")]
    assert "were made with rig" in refusal(given, capsys)


def test_other_detections_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dets, _, _ = small_take(5)
    other = run / "other"
    other.mkdir()
    write_detections(dets, other / "detections.parquet")
    given = ["--detections", str(other), "--html", str(run / "out.html")]
    assert "other frames or cameras" in refusal(["view", str(run / "take"), *given], capsys)


def test_runs_of_older_versions_are_shown(run: Path) -> None:
    table = run / "take" / "triangulate" / "points.parquet"
    rows = pq.read_table(table)
    meta = json.loads(rows.schema.metadata[b"multiview"])
    del meta["smoothing"]
    meta["skeleton"]["colors"] = [[255, 0, 0]] * 21
    pq.write_table(rows.replace_schema_metadata({"multiview": json.dumps(meta)}), table)
    assert main(["view", str(run / "take"), "--html", str(run / "out.html")]) == 0
    manifest = run / "take" / "triangulate" / "manifest.json"
    old = json.loads(manifest.read_text())
    del old["figures"]["detections"]
    manifest.write_text(json.dumps(old))
    assert find_run(run / "take").detections is not None


def test_films_are_written_of_two_runs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run / "film"
    given = ["render", str(run / "take"), "--against", str(run / "smooth"), "--out", str(out)]
    given += ["--frames", "2", "5"]
    assert main(given) == 0
    assert {p.name for p in out.iterdir()} == {
        f"{name}.{kind}" for name in ("turntable", "mosaic") for kind in ("mp4", "png")
    }
    with av.open(str(out / "turntable.mp4")) as film:
        assert len(list(film.decode(video=0))) == 3
        assert film.streams.video[0].width == 2 * 960
    assert "exists" in refusal(given, capsys)
    wrong = [*given[:-2], "5", "99", "--force"]
    assert "frames 5 to 99" in refusal(wrong, capsys)
    assert len(list(out.iterdir())) == 4


def test_a_taken_port_and_a_missing_rerun_are_said_before_anything_is_written(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["view", str(run / "take")]
    monkeypatch.setitem(sys.modules, "rerun", None)
    message = refusal(given, capsys)
    assert "[view]" in message
    assert "--html" in message
    monkeypatch.setitem(sys.modules, "rerun", sys)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert f"port {port}" in refusal([*given, "--port", port], capsys)
    assert not list(run.rglob("*.rrd"))


def test_a_rig_is_shown_by_its_file_or_its_folder(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = run / "calibrated"
    rig.mkdir()
    shutil.copy(run / "rig.yaml", rig / "rig.yaml")
    page = run / "rig.html"
    for given in (rig, rig / "rig.yaml"):
        assert main(["view", str(given), "--html", str(page)]) == 0
        assert "no rig.boards.json beside the rig" in capsys.readouterr().out
        assert '"title":"calibrated: 4 cameras"' in page.read_text(encoding="utf-8")
        page.unlink()
    # a run has a rig too, and is no rig
    assert main(["view", str(run / "take" / "triangulate"), "--html", str(page)]) == 0
    assert '"xyz":' in page.read_text(encoding="utf-8")


def test_boards_of_another_rig_are_left_out_and_said(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = read_rig(run / "rig.yaml")
    for digest, shown in ((rig.digest, 2), ("other", 0)):
        track = BoardTrack(
            name="board",
            about="a board",
            xyz_board=np.array([[0, 0, 0], [0.1, 0, 0], [0.1, 0.1, 0]]),
            frame_ids=np.arange(2),
            R=np.stack([np.eye(3)] * 2),
            t=np.zeros((2, 3)),
            rig_digest=digest,
        )
        write_boards([track], run / "rig.boards.json")
        assert main(["view", str(run / "rig.yaml"), "--html", str(run / "r.html")]) == 0
        assert ("another rig" in capsys.readouterr().out) == (not shown)
        assert f'"poses":{shown},' in (run / "r.html").read_text(encoding="utf-8")
    (run / "rig.boards.json").write_text("{")
    (run / "r.html").unlink()
    given = ["view", str(run / "rig.yaml"), "--html", str(run / "r.html")]
    assert "calibrate again" in refusal(given, capsys)
    assert not (run / "r.html").exists()


def test_options_that_mean_nothing_for_a_rig_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["view", str(run / "rig.yaml")]
    page = ["--html", str(run / "r.html")]
    assert "--color means" in refusal([*given, *page, "--color", "confidence"], capsys)
    assert "a rig without hands" in refusal([*given, "--backend", "open3d"], capsys)
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert "[view]" in refusal(given, capsys)
    (run / "bad.yaml").write_text("a: 1")
    assert "bad.yaml" in refusal(["view", str(run / "bad.yaml"), *page], capsys)
    assert not list(run.glob("*.rrd"))


@pytest.fixture
def shown(run: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`view` of a run up to the moment that the viewer starts."""
    monkeypatch.setitem(sys.modules, "rerun", sys)
    monkeypatch.setattr("multiview.stages.view.write_recording", lambda _, path, *__: path.touch())
    return ["view", str(run / "take")]


def test_without_a_display_the_file_is_kept_and_it_is_said(
    shown: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    message = refusal(shown, capsys)
    assert "there is no display here" in message
    assert "--html" in message
    assert (Path(shown[1]) / "triangulate.rrd").exists()
    assert main([*shown, "--no-show"]) == 0


def test_a_failing_viewer_is_quoted_in_one_line(
    shown: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    said = "first\nError: no surface\n"
    given: list[list[str]] = []

    def fails(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        given.append(command)
        return subprocess.CompletedProcess(command, 1, stderr=said)

    monkeypatch.setattr("multiview.stages.view.subprocess.run", fails)
    message = refusal(shown, capsys)
    assert "ended with an error (no surface)" in message
    assert "first" not in message
    assert "127.0.0.1" in given[0]


def test_the_recording_is_not_handed_to_a_stranger_on_the_usual_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        monkeypatch.setattr("multiview.stages.view.PORT", port)
        found = view.free_port(None)
        assert found not in (0, port)
    monkeypatch.setattr("multiview.stages.view.PORT", found)
    assert view.free_port(None) == found
