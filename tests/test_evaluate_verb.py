"""`multiview evaluate` as typed: reports, comparison, truths of all kinds, and bad input."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from multiview import cli
from multiview.core import HAND_21, HAND_SLOTS, Detections
from multiview.evaluation.keypoints_2d import select_detections
from multiview.formats.detections_parquet import read_detections, write_detections
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.stages.triangulate import run_triangulate
from multiview.synth import make_hand_motion, make_rig
from multiview.triangulation import TriangulationConfig

VIEWS, FRAMES, FPS = 5, 24, 30.0


@pytest.fixture(scope="module")
def take(tmp_path_factory):
    """One right hand, its truth in all forms, and two detectors: one worse by a pixel or two."""
    root = tmp_path_factory.mktemp("take")
    rng = np.random.default_rng(6)
    rig = make_rig(rng, VIEWS)
    hand = make_hand_motion(rng, FRAMES, 1)
    xyz = np.concatenate([np.full_like(hand, np.nan), hand], axis=1)
    xy = rig.project(xyz)
    true = Detections(
        xy_px=xy,
        conf=np.isfinite(xy).all(-1).astype(float),
        camera_names=rig.names,
        frame_ids=np.arange(FRAMES),
        times=np.tile(np.arange(FRAMES) / FPS, (VIEWS, 1)),
        skeleton=HAND_21,
        source="truth",
        right=np.tile([0.0, 1.0], (VIEWS, FRAMES, 1)),
        hands=HAND_SLOTS,
        size_wh=tuple(c.intrinsics.size_wh for c in rig.cameras),
    )
    write_rig(rig, root / "rig.yaml")
    write_detections(true, root / "truth.parquet")
    seen = np.ones((VIEWS, FRAMES, 21), bool)
    seen[:, :, :4] = False
    np.savez(root / "truth.npz", xyz_world=hand[:, 0], visibility=seen, right=True)
    for name, noise in (("good", 1.5), ("bad", 4.0)):
        noisy = replace(true, xy_px=xy + rng.normal(0, noise, xy.shape), source=name)
        (root / name / "detect").mkdir(parents=True)
        write_detections(noisy, root / name / "detect" / "detections.parquet")
        run_triangulate(
            root / name / "detect",
            root / "rig.yaml",
            root / name / "tri",
            TriangulationConfig(unit="keypoint"),
        )
    return root


@pytest.fixture
def fails(capsys):
    def run(arguments, *mentions):
        code = cli.main(["evaluate", *map(str, arguments)])
        err = capsys.readouterr().err
        assert code == 2
        assert "next:" in err
        for word in mentions:
            assert str(word) in err

    return run


def evaluate(*arguments):
    assert cli.main(["evaluate", *map(str, arguments)]) == 0


def test_report_with_a_truth_in_space(take, tmp_path, capsys):
    out = tmp_path / "out"
    run = [take / "good/tri", "--truth", take / "truth.npz", "--out", out]
    evaluate(*run)
    metrics = json.loads((out / "metrics.json").read_text())["runs"]["tri"]
    # mean length of 2D noise of 1.5 px a coordinate
    assert metrics["2d"]["epe_px"] == pytest.approx(1.5 * np.sqrt(np.pi / 2), rel=0.05)
    assert metrics["2d"]["hands_found"] == 1
    assert metrics["2d"]["keypoints"] == VIEWS * FRAMES * 21
    assert metrics["2d_groups"]["visibility"]["hidden"]["keypoints"] == VIEWS * FRAMES * 4
    views = metrics["2d_groups"]["view"]
    assert sum(v["keypoints"] for v in views.values()) == VIEWS * FRAMES * 21
    assert metrics["3d"]["within_95"] == pytest.approx(0.95, abs=0.04)
    points = read_points(take / "good/tri/points.parquet")
    with np.load(take / "truth.npz") as truth:
        off = np.linalg.norm(points.xyz_world[:, 1] - truth["xyz_world"], axis=-1)
    assert metrics["3d"]["mpjpe_mm"] == pytest.approx(1000 * np.nanmean(off))
    assert metrics["without_truth"]["halves_normalised"] == pytest.approx(1, abs=0.15)
    rows = list(csv.DictReader((out / "keypoints.csv").open()))
    assert [r["keypoint"] for r in rows] == list(HAND_21.keypoints)
    mean = np.mean([float(r["mpjpe_mm"]) for r in rows])
    assert mean == pytest.approx(metrics["3d"]["mpjpe_mm"], rel=0.02)
    page = (out / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "By view" in page
    for name in ("pck_box", "pck_mm_absolute", "mpjpe_mm"):
        assert f"](plots/{name}.svg)" in (out / "report.md").read_text()
        assert (out / "plots" / f"{name}.svg").read_text().startswith("<svg xmlns")
    capsys.readouterr()
    evaluate(*run)
    assert "up to date" in capsys.readouterr().out


def test_true_keypoints_outside_the_picture_do_not_count(take, tmp_path):
    """A finger tip far to the side of every camera's view."""
    with np.load(take / "truth.npz") as truth:
        xyz = truth["xyz_world"].copy()
    xyz[:, 8] += [0.0, 0.0, 0.6]
    np.savez(tmp_path / "far.npz", xyz_world=xyz, right=True)
    rig = read_rig(take / "rig.yaml")
    size = np.array([c.intrinsics.size_wh for c in rig.cameras])[:, None, None]
    xy = rig.project(xyz)
    inside = ((xy > -0.5) & (xy < size - 0.5)).all(-1)
    assert not inside[..., 8].any()
    run = [take / "good/detect", "--truth", tmp_path / "far.npz", "--truth-rig", take / "rig.yaml"]
    evaluate(*run, "--out", tmp_path / "out")
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())["runs"]["detect"]
    assert metrics["2d"]["keypoints"] == inside.sum()


def test_old_use_prints_what_it_printed(take, capsys):
    evaluate(take / "good/tri", "--truth", take / "truth.npz")
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[:10]]
    assert names[:3] == ["median_mm", "p95_mm", "mpjpe_mm"]
    assert names[-1] == "worst_median_mm"


def test_without_truth(take, capsys):
    evaluate(take / "good/tri")
    out = capsys.readouterr().out
    assert "Without a truth" in out
    assert "distance of the two halves" in out
    assert "In space" not in out


def test_two_cameras_have_no_held_out_view_but_bones(take, tmp_path, capsys):
    dets = read_detections(take / "good/detect/detections.parquet")
    pair = select_detections(dets, [0, 2], np.arange(FRAMES))
    write_detections(pair, tmp_path / "two.parquet")
    config = TriangulationConfig(unit="keypoint")
    run_triangulate(tmp_path / "two.parquet", take / "rig.yaml", tmp_path / "tri", config)
    capsys.readouterr()
    evaluate(tmp_path / "tri", "--out", tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    assert next(x for x in lines if x.startswith("held-out view's error, median")).endswith(" -")
    assert not next(x for x in lines if x.startswith("bone length")).endswith(" -")
    assert not any("halves" in x for x in lines)


def test_the_better_detector_is_called_better(take, tmp_path):
    out = tmp_path / "out"
    evaluate(
        take / "bad/tri",
        "--against",
        take / "good/tri",
        "--truth",
        take / "truth.npz",
        "--out",
        out,
    )
    data = json.loads((out / "metrics.json").read_text())
    assert list(data["runs"]) == ["bad", "good"]
    rows = {c["measure"]: c for c in data["comparisons"]}
    for name in ("error where both found it", "3D error, absolute, where both have it"):
        assert rows[name]["verdict"] == "better"
        assert rows[name]["high"] < 0
    row = rows["error where both found it"]
    assert row["first"] == pytest.approx(4 * np.sqrt(np.pi / 2), rel=0.05)
    assert row["value"] == pytest.approx(row["second"] - row["first"])
    assert rows["hands found"]["verdict"] == "no difference shown"
    assert "Side by side" in (out / "report.html").read_text()


@pytest.mark.parametrize("kind", ["parquet", "coco"])
def test_truth_in_the_pictures(kind, take, tmp_path):
    truth = take / "truth.parquet"
    if kind == "coco":
        truth = tmp_path / "labels.json"
        truth.write_text(json.dumps(coco_of(take)))
    evaluate(take / "good/detect", "--truth", truth, "--out", tmp_path / "out")
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())["runs"]["detect"]
    assert set(metrics) == {"2d", "2d_groups"}
    assert metrics["2d"]["epe_px"] == pytest.approx(1.5 * np.sqrt(np.pi / 2), rel=0.05)


def coco_of(take):
    """Labels as another program writes them: two cameras, every other frame."""
    true = read_detections(take / "truth.parquet")
    images, annotations = [], []
    for v in (0, 3):
        for f in range(0, FRAMES, 2):
            number = len(images)
            name = f"{true.camera_names[v]}/{f:06d}.jpg"
            images.append({"id": number, "file_name": name, "width": 1280, "height": 720})
            flat = np.concatenate([true.xy_px[v, f, 1], np.full((21, 1), 2)], 1).ravel()
            annotations.append(
                {"id": number, "image_id": number, "category_id": 1, "keypoints": flat.tolist()}
            )
    category = {"id": 1, "name": "hand", "keypoints": list(HAND_21.keypoints), "skeleton": []}
    return {"images": images, "annotations": annotations, "categories": [category]}


def test_detections_with_a_truth_in_space_need_cameras(take, fails, tmp_path):
    fails([take / "good/detect", "--truth", take / "truth.npz"], "--truth-rig")
    rig = take / "rig.yaml"
    evaluate(take / "good/detect", "--truth", take / "truth.npz", "--truth-rig", rig)


def test_bad_input(take, fails, tmp_path):
    fails([take / "good/detect"], "no truth")
    fails([tmp_path], "points.parquet")
    fails([take / "good/tri", "--against", take / "good/tri"], "itself")
    fails([take / "good/tri", "--detections", tmp_path], "no such detections")
    fails([take / "good/tri", "--truth", tmp_path / "none.json"], "none.json")
    np.savez(tmp_path / "short.npz", xyz_world=np.zeros((3, 21, 3)))
    fails([take / "good/tri", "--truth", tmp_path / "short.npz", "--out", tmp_path / "o"], "shape")
    assert not (tmp_path / "o").exists()
    assert not (tmp_path / "o.partial").exists()


def test_truth_of_other_frames_cameras_and_keypoints(take, fails, tmp_path):
    true = read_detections(take / "truth.parquet")
    for name, more, words in (
        ("frames", {"frame_ids": true.frame_ids + 1000}, "none is common"),
        ("cameras", {"camera_names": tuple("abcde")}, "none is common"),
        (
            "keypoints",
            {"skeleton": replace(HAND_21, keypoints=tuple(f"p{k}" for k in range(21)))},
            "same keypoints",
        ),
    ):
        path = tmp_path / f"{name}.parquet"
        write_detections(replace(true, **more), path)
        fails([take / "good/detect", "--truth", path], words)
