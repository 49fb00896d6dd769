"""`multiview calib check`: exit codes, files, resume, and footage that cannot be checked."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from multiview import cli
from multiview.formats.detections_parquet import write_detections
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.stages.demo import demo_data
from multiview.synth import make_rig

sys.path.insert(0, str(Path(__file__).parent / "calib"))
from health_scenes import exchanged, hands, nudged

SEED = 7


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A rig, and detections of hands in front of it."""
    root = tmp_path_factory.mktemp("check")
    rig = make_rig(np.random.default_rng(SEED), 5)
    write_rig(rig, root / "rig.yaml")
    dets = hands(rig, SEED, frames=60)
    write_detections(dets, root / "good.parquet")
    write_detections(exchanged(dets, 0, 3), root / "swapped.parquet")
    return root


def check(*arguments):
    return cli.main(["calib", "check", *map(str, arguments)])


def test_a_true_rig_ends_with_0_and_a_report(lab, tmp_path, capsys):
    out = tmp_path / "out"
    assert check(lab / "rig.yaml", lab / "good.parquet", "--out", out) == 0
    assert "The rig is as it was" in (out / "report.md").read_text()
    assert json.loads((out / "report.json").read_text())["healthy"] is True
    assert not (out / "rig_corrected.yaml").exists()
    # again: the same answer without the work
    capsys.readouterr()
    assert check(lab / "rig.yaml", lab / "good.parquet", "--out", out) == 0
    assert "up to date" in capsys.readouterr().out


def test_a_spoiled_take_ends_with_1(lab, tmp_path, capsys):
    out = tmp_path / "out"
    assert check(lab / "rig.yaml", lab / "swapped.parquet", "--out", out) == 1
    assert "cam00 and cam03 are exchanged" in capsys.readouterr().out
    assert check(lab / "rig.yaml", lab / "swapped.parquet", "--out", out) == 1


def test_board_footage_finds_the_moved_camera_and_writes_the_rig_with_it(tmp_path):
    data, out = demo_data(), tmp_path / "out"
    truth = read_rig(data / "rig_truth.yaml")
    write_rig(nudged(truth, 3, mm=5), tmp_path / "rig.yaml")
    board = data / "board.yaml"
    assert check(tmp_path / "rig.yaml", data / "board", "--board", board, "--out", out) == 1
    findings = json.loads((out / "report.json").read_text())["findings"]
    assert [(f["kind"], f["cameras"]) for f in findings] == [("moved", ["cam03"])]
    corrected = read_rig(out / "rig_corrected.yaml").centres_world
    # a tenth of what it had moved
    assert np.linalg.norm(corrected - truth.centres_world, axis=1).max() < 0.0005


def test_a_board_and_a_table_of_hands_are_an_error(lab, tmp_path, capsys):
    board = demo_data() / "board.yaml"
    rc = check(lab / "rig.yaml", lab / "good.parquet", "--board", board, "--out", tmp_path / "out")
    assert rc == 2
    assert "detections of hands" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_camera_that_the_rig_does_not_have_is_an_error(lab, tmp_path, capsys):
    rig = read_rig(lab / "rig.yaml")
    write_rig(rig.select(rig.names[:4]), tmp_path / "rig.yaml")
    assert check(tmp_path / "rig.yaml", lab / "good.parquet", "--out", tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert "cam04 is not in the rig" in message
    assert "next:" in message
    assert not (tmp_path / "out").exists()


def test_a_missing_rig_is_an_error(lab, tmp_path, capsys):
    assert check(tmp_path / "no.yaml", lab / "good.parquet", "--out", tmp_path / "out") == 2
    assert "no such file" in capsys.readouterr().err
