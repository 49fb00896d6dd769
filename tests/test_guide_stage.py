"""`multiview detect --guide`: a stage that resumes, reports, and refuses what does not fit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from scripted import Scripted, as_detections, write_take

from multiview.cli import main
from multiview.errors import InputError, MultiviewError, StaleStageError
from multiview.formats.detections_parquet import read_detections, write_detections
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import write_rig
from multiview.guided import GuideConfig
from multiview.stages import guide as stage
from multiview.stages.triangulate import run_triangulate
from multiview.synth import make_hand_motion, make_rig
from multiview.triangulation import TriangulationConfig

FRAMES, VIEWS = 6, 5


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Take, rig and 2D truth of two hands; a camera missed one, in a frame all missed it."""
    rng = np.random.default_rng(0)
    rig = make_rig(rng, VIEWS, view_m=0.6, size_wh=(320, 240))
    xy = rig.project(make_hand_motion(np.random.default_rng(1), FRAMES, 2))
    folder = tmp_path_factory.mktemp("stage")
    return write_take(folder / "take", rig, FRAMES), rig, xy


@pytest.fixture
def first(scene, tmp_path, monkeypatch):
    """Folder with the first pass ``d1`` (a table) and its 3D ``t1``; the detector is scripted."""
    _, rig, xy = scene
    seen = xy.copy()
    seen[3, :, 1] = np.nan
    write_detections(as_detections(rig, seen), tmp_path / "d1.parquet")
    write_rig(rig, tmp_path / "rig.yaml")
    config = TriangulationConfig()
    run_triangulate(tmp_path / "d1.parquet", tmp_path / "rig.yaml", tmp_path / "t1", config)
    network = Scripted(xy)
    monkeypatch.setattr(stage, "load_detector", lambda name, **options: network)
    monkeypatch.setattr(stage, "SHARD_SETS", 2)
    return tmp_path, network


def test_adds_what_was_missed_and_says_so(scene, first, capsys):
    take, rig, xy = scene
    folder, _ = first
    stage.run_guide(take, folder / "t1", folder / "d2")
    got = read_detections(folder / "d2" / "detections.parquet")
    np.testing.assert_allclose(got.xy_px, xy, atol=1e-6)
    assert got.hands == ("left", "right")
    figures = json.loads((folder / "d2" / "manifest.json").read_text())["figures"]
    assert figures["added"] == FRAMES
    assert figures["added_per_camera"][rig.names[3]] == FRAMES
    assert figures["added_agree"] == 1
    said = capsys.readouterr().out
    assert f"| {rig.names[3]} | 6 | 6 | 6 | 0 | 0 | 0 | 0 |" in said
    assert "100.0% of the added keypoints agree" in said
    rows = pq.read_table(folder / "d2" / "guided.parquet").to_pydict()
    assert set(rows["verdict"]) == {"added"}
    assert set(rows["hand"]) == {"right"}
    assert rows["frame"] == list(range(FRAMES))
    assert sorted(p.name for p in (folder / "d2").iterdir()) == [
        "detections.parquet",
        "guided.parquet",
        "manifest.json",
        "report.md",
    ]


def test_its_result_is_triangulated_and_guides_again(scene, first):
    take, _, _ = scene
    folder, network = first
    stage.run_guide(take, folder / "t1", folder / "d2")
    config = TriangulationConfig()
    run_triangulate(folder / "d2", folder / "rig.yaml", folder / "t2", config)
    before, after = (read_points(folder / t / "points.parquet") for t in ("t1", "t2"))
    assert after.inlier[3, :, 1].all()
    assert not before.inlier[3, :, 1].any()
    network.asked.clear()
    stage.run_guide(take, folder / "t2", folder / "d3")
    assert network.asked == []  # nothing is missing any more


def test_goes_on_where_it_was_interrupted(scene, first, monkeypatch):
    take, _, _ = scene
    folder, network = first
    stage.run_guide(take, folder / "t1", folder / "whole")
    undisturbed = network.asked.copy()
    network.asked.clear()
    original = network.detect_batch

    def killed(images, rois=None):
        if len(network.asked) >= 4:  # in the third of three parts
            raise KeyboardInterrupt
        return original(images, rois)

    monkeypatch.setattr(network, "detect_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        stage.run_guide(take, folder / "t1", folder / "d2")
    assert not (folder / "d2").exists()
    assert len(list((folder / "d2.partial").glob("shard-*.parquet"))) == 2
    monkeypatch.setattr(network, "detect_batch", original)
    stage.run_guide(take, folder / "t1", folder / "d2")
    assert network.asked == undisturbed  # four before the kill, two after: none twice
    table = "detections.parquet"
    assert (folder / "d2" / table).read_bytes() == (folder / "whole" / table).read_bytes()
    assert not (folder / "d2.partial").exists()


def test_is_not_done_twice_and_never_stale(scene, first, capsys):
    take, _, _ = scene
    folder, network = first
    stage.run_guide(take, folder / "t1", folder / "d2")
    network.asked.clear()
    capsys.readouterr()
    stage.run_guide(take, folder / "t1", folder / "d2")
    assert "is up to date" in capsys.readouterr().out
    assert network.asked == []
    with pytest.raises(StaleStageError, match="guide was"):
        stage.run_guide(take, folder / "t1", folder / "d2", config=GuideConfig(follow=0.1))


def test_both_folders_may_move_together(scene, first, tmp_path_factory):
    take, _, _ = scene
    folder, _ = first
    there = tmp_path_factory.mktemp("moved") / "elsewhere"
    shutil.copytree(folder, there)
    shutil.rmtree(folder / "t1")
    stage.run_guide(take, there / "t1", there / "d2")
    assert (there / "d2" / "detections.parquet").exists()


def changed_detections(folder, rig, xy):
    dets = as_detections(rig, xy)
    write_detections(replace(dets, conf=dets.conf / 2), folder / "d1.parquet")


def moved_detections(folder, rig, xy):
    (folder / "d1.parquet").rename(folder / "elsewhere.parquet")


def old_manifest(folder, rig, xy):
    path = folder / "t1" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["figures"]["detections"]
    path.write_text(json.dumps(manifest))


def another_stage(folder, rig, xy):
    path = folder / "t1" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stage": "label"}))


def no_stage(folder, rig, xy):
    shutil.rmtree(folder / "t1")


def no_rig(folder, rig, xy):
    (folder / "t1" / "rig.yaml").unlink()


def another_rig(folder, rig, xy):
    other = make_rig(np.random.default_rng(9), VIEWS, view_m=0.6, size_wh=(320, 240))
    write_rig(other, folder / "t1" / "rig.yaml")


def broken_points(folder, rig, xy):
    (folder / "t1" / "points.parquet").write_bytes(b"PAR1")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (changed_detections, "has changed since"),
        (moved_detections, "are not there"),
        (old_manifest, "does not say which detections"),
        (another_stage, "is the output of 'label'"),
        (no_stage, "not the output of a finished stage"),
        (no_rig, "rig.yaml"),
        (another_rig, "made with rig"),
        (broken_points, "points.parquet"),
    ],
)
def test_what_does_not_fit_is_refused(scene, first, spoil, words):
    take, rig, xy = scene
    folder, _ = first
    spoil(folder, rig, xy)
    with pytest.raises(MultiviewError, match=words):
        stage.run_guide(take, folder / "t1", folder / "d2")
    assert not (folder / "d2").exists()


def test_detections_may_be_named(scene, first):
    take, rig, xy = scene
    folder, _ = first
    moved_detections(folder, rig, xy)
    stage.run_guide(take, folder / "t1", folder / "d2", detections=folder / "elsewhere.parquet")
    assert (folder / "d2" / "detections.parquet").exists()


def test_another_take_is_refused(scene, first, tmp_path):
    _, rig, _ = scene
    folder, _ = first
    shorter = write_take(tmp_path / "other", rig, FRAMES - 1)
    with pytest.raises(InputError, match="6 frame sets, the capture 5"):
        stage.run_guide(shorter, folder / "t1", folder / "d2")


def test_another_take_with_as_many_pictures_is_refused(scene, first):
    take, _, _ = scene
    folder, _ = first
    (folder / "manifest.json").write_text(json.dumps({"inputs": {"capture": "f" * 16}}))
    with pytest.raises(InputError, match="made from another take"):
        stage.run_guide(take, folder / "t1", folder / "d2")
    (folder / "manifest.json").write_text(json.dumps({"inputs": {"capture": take.digest}}))
    stage.run_guide(take, folder / "t1", folder / "d2")


def test_no_missed_hand_no_change(scene, first, capsys):
    take, _, _ = scene
    folder, network = first
    network.mode = "none"
    stage.run_guide(take, folder / "t1", folder / "d2")
    said = capsys.readouterr().out
    assert "nan" not in said
    assert "guide: 0 observations added" in said


COMMAND = ["detect", "TAKE", "--guide", "t1", "--input.sync", "index"]


def command(take, folder, *words):
    """Arguments with the folders of the test in place of their names."""
    names = {"TAKE": str(take.sources[0].path.parent), "t1": str(folder / "t1")}
    return [names.get(w, w) for w in words]


def test_command(scene, first, capsys):
    take, _, xy = scene
    folder, _ = first
    out = str(folder / "d2")
    assert main(command(take, folder, *COMMAND, "--out", out)) == 0
    got = read_detections(folder / "d2" / "detections.parquet")
    np.testing.assert_allclose(got.xy_px, xy, atol=1e-6)
    assert "6 observations added" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["detect", "TAKE", "--reread"],
        ["detect", "TAKE", "--guide-detections", "t1"],
        ["detect", "TAKE/cam00/000000.png", "--guide", "t1"],
    ],
)
def test_options_of_the_second_pass_need_one(scene, first, capsys, words):
    take, _, _ = scene
    folder, _ = first
    root = str(take.sources[0].path.parent)
    words = [w.replace("TAKE", root) for w in words]
    assert main([*command(take, folder, *words), "--out", str(folder / "d2")]) == 2
    said = capsys.readouterr()
    assert "--guide needs a take" in said.err
    assert "Traceback" not in said.err
    assert not (folder / "d2").exists()
