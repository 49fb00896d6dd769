"""`multiview plan` as typed: its sentence, the map of a rig, and options that mean nothing."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from multiview import cli
from multiview.formats.rig_yaml import write_rig
from multiview.stages.demo import demo_data
from multiview.synth import make_rig

RIG = demo_data() / "rig_truth.yaml"
VOLUME = ["--volume", "-0.1", "0.1", "-0.1", "0.1", "-0.1", "0.1"]


def test_sentence_and_table(capsys):
    assert cli.main(["plan", "--p", "0.5", "--found", "0.99"]) == 0
    out = capsys.readouterr().out
    assert "with 17 views, p 0.5: 4 must agree" in out
    assert "17 views, of which 4 must agree" in out
    first = next(line for line in out.splitlines() if "reaches both" in line)
    assert first.split()[:2] == ["17", "4"]


def test_millimetres_are_pixels_times_distance_over_focal_length(capsys):
    lines = []
    for more in ([], ["--distance-m", "2", "--focal-px", "1000"]):
        cli.main(["plan", "--views", "6", "--noise-px", "1", *more])
        out = capsys.readouterr().out
        lines.append(float(next(x for x in out.splitlines() if x.startswith("6 ")).split()[5]))
    assert lines[1] == pytest.approx(2 * lines[0], abs=0.011)


def test_hopeless_detector_is_told(capsys):
    assert cli.main(["plan", "--p", "0.02", "--crop-px", "10"]) == 0
    assert "no rig of up to 200 views" in capsys.readouterr().out


def test_one_camera_is_told_to_get_others(tmp_path: Path, capsys):
    write_rig(make_rig(np.random.default_rng(0), 1), tmp_path / "one.yaml")
    run = ["plan", "--rig", str(tmp_path / "one.yaml"), "--out", str(tmp_path / "plan")]
    assert cli.main([*run, *VOLUME]) == 0
    said = capsys.readouterr().out
    assert "nowhere in the volume" in said
    assert "\nadd a camera at (" in said
    assert cli.main([*run, "--force"]) == 2
    assert "--volume" in capsys.readouterr().err


def test_map_of_a_rig(tmp_path: Path, capsys):
    arguments = ["plan", "--rig", str(RIG), "--out", str(tmp_path / "plan"), *VOLUME, "--add", "1"]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "\nadd a camera at (" in said
    out = tmp_path / "plan"
    with np.load(out / "map.npz") as m:
        assert np.abs(m["xyz_world"]).max() < 0.1
        assert m["rms"].shape == (m["shape"].prod(),)
        rms = m["rms"]
    rows = list(csv.DictReader((out / "map.csv").open()))
    np.testing.assert_allclose([float(r["rms"]) for r in rows], rms, rtol=1e-5)
    figures = json.loads((out / "manifest.json").read_text())["figures"]
    assert figures["rms_median"] == pytest.approx(1000 * np.median(rms))
    picture = cv2.imread(str(out / "map.png"))
    assert (picture == (60, 140, 20)).all(-1).any(), "the proposed camera is drawn in green"
    assert "world axis nearest" in (out / "report.md").read_text()
    assert cli.main(arguments) == 0
    assert "up to date" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        (["--p", "1.2"], "hit rate"),
        (["--sigma-px", "200"], "crop"),
        (["--views", "1"], "1 views"),
        (["--found", "2"], "targets"),
        (["--distance-m", "1"], "--focal-px"),
        (["--out", "x"], "--rig"),
        (["--rig", str(RIG)], "--out"),
        (["--rig", str(RIG), "--out", "x", "--views", "3"], "--views"),
        (["--rig", "nowhere.yaml", "--out", "x"], "nowhere.yaml"),
        (["--rig", str(RIG), "--out", "x", "--size", "1", "1", "1"], "--centre"),
        (["--rig", str(RIG), "--out", "x", *VOLUME[:2], "-0.2", *VOLUME[3:]], "no box"),
        (
            ["--rig", str(RIG), "--out", "x", "--volume", *(["100", "200"] * 3)],
            "unit is m",
        ),
    ],
)
def test_bad_input(arguments, mentions, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plan", *arguments]) == 2
    assert mentions in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
