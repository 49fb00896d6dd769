"""`multiview calib scene` by the real command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from multiview import cli
from multiview.formats.detections_parquet import write_detections
from multiview.formats.rig_yaml import read_rig, write_rig

sys.path.insert(0, str(Path(__file__).parent / "calib"))
from scene_takes import errors_after_alignment, only_frames, take


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    at = tmp_path_factory.mktemp("scene")
    rig, seen = take(cameras=3, frames=20)
    write_rig(rig, at / "rig.yaml")
    (at / "det").mkdir()
    write_detections(seen.detections, at / "det" / "detections.parquet")
    return at


def command(folder, out, *more):
    given = ["--intrinsics", str(folder / "rig.yaml"), "--out", str(folder / out)]
    return ["calib", "scene", str(folder / "det"), *given, *more]


def test_a_rig_is_written_and_not_made_twice(folder, capsys):
    distance = read_rig(folder / "rig.yaml").centres_world
    metres = np.linalg.norm(distance[0] - distance[1])
    scale = ("--scale", f"baseline:cam00-cam01={metres}")
    assert cli.main(command(folder, "a", *scale)) == 0
    found = read_rig(folder / "a" / "rig.yaml")
    turn, _, s = errors_after_alignment(found, read_rig(folder / "rig.yaml"))
    assert found.unit == "m"
    assert s == pytest.approx(1, abs=0.01)
    assert turn.max() < 0.5
    data = json.loads((folder / "a" / "report.json").read_text())
    assert np.shape(data["covariance"]["values"]) == (18, 18)
    assert "| cam01 |" in (folder / "a" / "report.md").read_text()
    capsys.readouterr()
    assert cli.main(command(folder, "a", *scale)) == 0
    assert "up to date" in capsys.readouterr().out
    assert cli.main(command(folder, "a")) == 2
    assert "scale was" in capsys.readouterr().err


def test_an_older_rig_is_refined(folder, capsys):
    assert cli.main(command(folder, "b", "--refine")) == 0
    assert "Moved since" in (folder / "b" / "report.md").read_text()
    assert cli.main(command(folder, "c", "--refine", "--scale", "rig:x.yaml")) == 2
    assert not (folder / "c").exists()


@pytest.mark.parametrize(
    ("scale", "says"),
    [
        ("bone:wrist-elbow=0.3", "no two keypoints"),
        ("baseline:cam00-cam09=1", "no two cameras"),
        ("one metre", "not understood"),
        ("rig:nowhere.yaml", "nowhere.yaml"),
    ],
)
def test_a_wrong_scale_is_an_error(folder, capsys, scale, says):
    assert cli.main(command(folder, "d", "--scale", scale)) == 2
    assert says in capsys.readouterr().err
    assert not (folder / "d").exists()


def test_a_disconnected_take_names_the_groups_and_leaves_nothing(folder, tmp_path, capsys):
    rig, seen = take(cameras=4, frames=20)
    early = np.arange(20) < 10
    dets = only_frames(only_frames(seen.detections, early, [0, 1]), ~early, [2, 3])
    write_detections(dets, tmp_path / "dets.parquet")
    write_rig(rig, tmp_path / "rig.yaml")
    line = ["calib", "scene", str(tmp_path / "dets.parquet")]
    line += ["--intrinsics", str(tmp_path / "rig.yaml"), "--out", str(tmp_path / "out")]
    assert cli.main(line) == 2
    error = capsys.readouterr().err
    assert "cam00, cam01 | cam02, cam03" in error
    assert "film the hand" in error
    assert not (tmp_path / "out").exists()
