"""`multiview label`: what is selected is written, what is not is counted, nothing left says why."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from scripted import as_detections, write_take

from multiview.cli import main
from multiview.formats.coco import read_coco
from multiview.formats.detections_parquet import write_detections
from multiview.formats.rig_yaml import write_rig
from multiview.stage import Stage
from multiview.synth import make_hand_motion, make_rig

FRAMES, VIEWS = 12, 6


@pytest.fixture(scope="module")
def take(tmp_path_factory):
    """A right hand; in frames 3 and 4 all views take its index for its middle finger."""
    folder = tmp_path_factory.mktemp("label")
    rig = make_rig(np.random.default_rng(0), VIEWS, view_m=0.6, size_wh=(320, 240))
    xyz = make_hand_motion(np.random.default_rng(1), FRAMES)
    xyz[3:5, :, 5:13] = xyz[3:5, :, np.r_[9:13, 5:9]]
    xy = np.full((VIEWS, FRAMES, 2, 21, 2), np.nan)
    xy[:, :, 1:] = rig.project(xyz)
    xy += np.random.default_rng(2).normal(0, 0.3, xy.shape)
    write_take(folder / "take", rig, FRAMES)
    write_detections(as_detections(rig, xy), folder / "dets.parquet")
    write_rig(rig, folder / "rig.yaml")
    arguments = [folder / "dets.parquet", "--rig", folder / "rig.yaml", "--out", folder / "tri"]
    assert main(["triangulate", *map(str, arguments)]) == 0
    return folder


def label(folder, out, *more):
    points = ["--points", folder / "tri"]
    if "--detections" not in more:
        points += ["--detections", folder / "dets.parquet"]
    sync = ["--input.sync", "index", "--no-pictures"]
    return main(["label", *map(str, [folder / "take", *points, "--out", out, *sync, *more])])


def rows_of(out):
    with (out / "selection.csv").open() as stream:
        return {int(r["frame"]): r for r in csv.DictReader(stream)}


def test_writes_what_was_selected_and_why_not(take, tmp_path, capsys):
    assert label(take, tmp_path / "out") == 0
    labels = read_coco(tmp_path / "out" / "coco.json")
    rows = rows_of(tmp_path / "out")
    assert set(rows) == set(range(FRAMES))
    for f, row in rows.items():
        assert int(row["labels"]) == np.isfinite(labels.risk[f]).sum()
        assert row["hand"] == "right"
    for f in (3, 4):
        assert "finger swap 8" in rows[f]["rejected_by"]
        assert not (labels.visibility[:, f, :, 5:13] > 0).any()
    assert (labels.right[labels.keep.any(0)] == 1).all()
    told = labels.risk[np.isfinite(labels.risk)]
    assert ((told >= 0) & (told < 0.5)).all()
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| finger swap |" in report
    assert f"0 of {VIEWS * FRAMES} views of the selected hands get no label" in report
    figures = json.loads((tmp_path / "out" / "manifest.json").read_text())["figures"]
    assert figures["labels_3d"] == sum(int(r["labels"]) for r in rows.values())
    assert figures["estimated_false"] == pytest.approx(told.mean(), abs=1e-6)
    said = capsys.readouterr().out
    assert "of the 3D labels are false" in said


@pytest.mark.parametrize(
    ("found", "warned"),
    [({"confidence": None}, True), ({"confidence": "0123456789abcdef"}, False), ({}, False)],
)
def test_confidences_that_are_no_probabilities_are_said(take, tmp_path, capsys, found, warned):
    """Detections know whether they were fitted; those of other programs do not, nothing is said."""
    stage = Stage("detect", found, {}, tmp_path / "detect")
    shutil.copyfile(take / "dets.parquet", stage.work / "detections.parquet")
    stage.finish({})
    assert label(take, tmp_path / "out", "--detections", tmp_path / "detect") == 0
    said = capsys.readouterr().out, (tmp_path / "out" / "report.md").read_text()
    assert all(("confidences are no probabilities" in text) == warned for text in said)


def test_window_and_promise(take, tmp_path, capsys):
    assert label(take, tmp_path / "out", "--select.window", 4) == 0
    ranked = {f: r["rank"] for f, r in rows_of(tmp_path / "out").items() if r["rank"]}
    assert len(ranked) == 3
    assert sorted(map(int, ranked.values())) == [0, 1, 2]
    said = rows_of(tmp_path / "out")
    assert sum("another frame is better" in r["rejected_by"] for r in said.values()) >= 6
    capsys.readouterr()
    assert label(take, tmp_path / "kept", "--max-false-label-rate", 0.02) == 0
    assert "with 95 % confidence; asked for: 2.00%" in capsys.readouterr().out
    figures = json.loads((tmp_path / "kept" / "manifest.json").read_text())["figures"]
    assert figures["promised_false"] <= 0.02


def test_nothing_left_is_an_error_that_names_the_rule_and_leaves_nothing(take, tmp_path, capsys):
    assert label(take, tmp_path / "out", "--select.min-confidence", 0.95) == 2
    said = capsys.readouterr().err
    assert "no label passes" in said
    assert f"confidence {FRAMES * 21}" in said
    assert "next: lower --select.min-confidence" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--label.min-views", 7), ("few views 252", "--label.min-views")),
        # a limit that some keypoints of every hand miss, so that none is whole
        (
            (
                "--label.min-keypoints",
                1,
                "--select.min-keypoints",
                0,
                "--select.max-heldout",
                0.003,
            ),
            ("no picture shows enough", "lower --label.min-keypoints"),
        ),
    ],
)
def test_labels_that_no_picture_shows_are_none(take, tmp_path, capsys, option, said):
    assert label(take, tmp_path / "out", *option) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in said), error
    assert not list(tmp_path.iterdir())


def test_a_promise_that_cannot_be_made_names_the_least_that_can(take, tmp_path, capsys):
    more = ["--select.risk.basis", "counted", "--max-false-label-rate"]
    assert label(take, tmp_path / "out", *more, 0.001) == 2
    said = capsys.readouterr().err
    assert "the least rate of false labels that can be promised here is 0.0" in said
    least = said.split("promised here is ")[1].split(":")[0]
    assert float(least) > 0.001
    assert label(take, tmp_path / "out", *more, least) == 0


def test_verdicts_are_counted(take, tmp_path, capsys):
    rows = [f"{f},right,{k},{int(k % 5 == 0)}" for f in range(FRAMES) for k in range(21)]
    path = tmp_path / "seen.csv"
    path.write_text("frame,hand,keypoint,wrong\n" + "\n".join(rows) + "\n")
    promise = ["--max-false-label-rate", 0.02, "--verified", path]
    assert label(take, tmp_path / "out", *promise) == 2
    assert "that can be promised here is 0.3" in capsys.readouterr().err
    assert label(take, tmp_path / "out", "--max-false-label-rate", 0.5, "--verified", path) == 0
    for bad, said in (("frame,hand\n", "no column keypoint, wrong"), (rows[0], "no column")):
        path.write_text(bad)
        assert label(take, tmp_path / "again", *promise) == 2
        assert said in capsys.readouterr().err
    path.write_text("frame,hand,keypoint,wrong\n0,right,wrist,0\n0,right,elbow,1\n")
    assert label(take, tmp_path / "again", *promise) == 2
    assert "line 3" in capsys.readouterr().err
    assert not list(tmp_path.glob("again*"))


def test_bad_options_are_refused(take, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        label(take, tmp_path / "out", "--max-false-label-rate", 0)
    assert label(take, tmp_path / "out", "--select.risk.model", tmp_path / "none.yaml") == 2
    assert "none.yaml" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
