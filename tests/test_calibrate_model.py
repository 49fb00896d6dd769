"""`multiview models calibrate`: what it writes, that it is used, and what it refuses."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted import as_detections

from multiview import cli
from multiview.core import HAND_21, PseudoLabels
from multiview.formats.coco import image_name, write_coco
from multiview.formats.detections_parquet import write_detections
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.models.card import load_card
from multiview.models.confidence import confidence_digest, read_calibrations
from multiview.models.heatmap import HeatmapDetector
from multiview.synth import make_hand_motion, make_rig

sys.path.insert(0, str(Path(__file__).parent / "models"))
from dot_net import draw, net, write

VIEWS, FRAMES, SIZE = 3, 4, (320, 240)


def as_labels(rig, xy):
    shape = xy.shape[:-1]
    return PseudoLabels(
        xy_px=xy,
        visibility=np.full(shape, 2, np.int8),
        weight=np.ones(shape),
        sigma_px=np.ones(shape),
        keep=np.ones(shape[:3], np.bool_),
        iteration=0,
        source="truth",
        rig_digest=rig.digest,
        camera_names=rig.names,
        frame_ids=np.arange(FRAMES),
        hands=("right",),
        skeleton=HAND_21,
        size_wh=(SIZE,) * VIEWS,
    )


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scene(workspace, monkeypatch):
    """A take of dots where a hand's keypoints are, three of them elsewhere than the truth says."""
    rig = make_rig(np.random.default_rng(0), VIEWS, view_m=0.35, size_wh=SIZE)
    xyz = make_hand_motion(np.random.default_rng(1), FRAMES, 1)
    xy = rig.project(xyz)
    shown = xy.copy()
    shown[:, :, 0, [3, 7, 15]] += 40
    rois = {}
    for v, camera in enumerate(rig.cameras):
        (workspace / "take" / camera.name).mkdir(parents=True)
        for f in range(FRAMES):
            image = draw(shown[v, f, 0], SIZE, radius=3)
            image[:16, :16] = 60 * v, 60 * f, 77
            cv2.imwrite(str(workspace / "take" / camera.name / f"{f:06d}.png"), image)
            (workspace / "labels" / "images" / camera.name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(workspace / "labels" / image_name(camera.name, f)), image)
            low, high = shown[v, f, 0].min(0), shown[v, f, 0].max(0)
            rois[v, f] = np.array([[*((low + high) / 2), 1.3 * (high - low).max(), 0]])
    np.savez(workspace / "truth.npz", xyz_world=xyz)
    write_rig(rig, workspace / "rig.yaml")
    write(workspace / "models", net(size_hw=(192, 192)), size_hw=(192, 192))
    write_coco(as_labels(rig, xy), workspace / "labels" / "coco.json")

    def search(self, picture):
        v, f, _ = np.rint(picture[4, 4] / 60).astype(int).tolist()
        return rois[v, f], np.ones(1)

    monkeypatch.setattr(HeatmapDetector, "_propose", search)
    return workspace


def run(capsys, *arguments):
    capsys.readouterr()
    code = cli.main(["models", "calibrate", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


TAKE = ["--take", "take", "--input.sync", "index"]
TRUTH = [*TAKE, "--truth", "truth.npz", "--rig", "rig.yaml"]


def test_labels_teach_what_the_take_teaches(scene, capsys):
    assert run(capsys, "dots", *TRUTH)[0] == 0
    path = scene / "models" / "confidence.yaml"
    taught = {3, 7, 15}  # are drawn elsewhere
    assert set(np.argsort(read_calibrations(path)[0].offsets)[:3]) == taught
    path.unlink()
    code, _, err = run(capsys, "dots", "--labels", "labels")
    assert code == 0, err
    labels = read_calibrations(path)[0]
    assert labels.fitted_on == "labels labels"
    assert set(np.argsort(labels.offsets)[:3]) == taught


def test_points_of_triangulate_teach_too(scene, capsys):
    rig = read_rig(scene / "rig.yaml")
    xy = rig.project(np.load(scene / "truth.npz")["xyz_world"])
    write_detections(
        as_detections(rig, np.concatenate([xy * np.nan, xy], axis=2)), scene / "d.parquet"
    )
    command = ["triangulate", "d.parquet", "--rig", "rig.yaml", "--out", "tri"]
    assert cli.main(command) == 0
    code, out, err = run(capsys, "dots", *TAKE, "--points", "tri", "--passes", "0")
    assert code == 0, err
    assert "12 hands" in out


def test_a_network_of_ones_own(scene, capsys):
    code, out, err = run(capsys, "dots", *TRUTH, "--passes", "0", "2")
    assert code == 0, err
    assert re.search(r"dots, passes 2: 12 hands; held-out half: said 0\.\d", out)
    path = scene / "models" / "confidence.yaml"
    first = read_calibrations(path)
    assert [c.passes for c in first] == [0, 2]
    card = load_card("dots")
    assert {c.sha256 for c in first} == {card.weights["net"].sha256}
    assert confidence_digest(card, 2) is not None
    assert confidence_digest(card, 8) is None
    assert cli.main(["models", "show", "dots"]) == 0
    assert "calibrated for passes 0, 2; fitted on truth.npz" in capsys.readouterr().out
    # another number of passes is added, the same is replaced
    assert run(capsys, "dots", *TRUTH, "--passes", "2", "4", "--pictures", "10")[0] == 0
    assert [c.passes for c in read_calibrations(path)] == [0, 2, 4]


def test_without_a_calibration_show_says_so(scene, capsys):
    assert cli.main(["models", "show", "dots"]) == 0
    assert "not calibrated: used as it is; multiview models calibrate dots" in (
        capsys.readouterr().out
    )


def test_a_shipped_network_by_this_workspace(workspace, capsys):
    """Its parameters lie in ./models and count before the shipped ones."""
    from multiview.stages.demo import demo_data

    data = demo_data()
    before = confidence_digest(load_card("hand"), 0)
    truth = ["--take", data / "take", "--truth", data / "truth.npz"]
    code, _, err = run(
        capsys, "hand", *truth, "--rig", data / "rig_truth.yaml", "--passes", "0", "--pictures", 40
    )
    assert code == 0, err
    assert (workspace / "models" / "confidence.yaml").exists()
    assert confidence_digest(load_card("hand"), 0) != before
    assert cli.main(["models", "show", "hand"]) == 0
    assert str(data / "truth.npz") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs a model"),
        (["dots"], "either --take or --labels"),
        (["dots", "hand", *TRUTH], "needs one model"),
        (["dots", *TAKE], "--points or both --truth and --rig"),
        (["dots", *TRUTH[:6]], "--points or both --truth and --rig"),
        (["dots", *TRUTH, "--labels", "x"], "either --take or --labels"),
        (["dots", "--labels", "x", "--rig", "rig.yaml"], "--rig means nothing for labels"),
        (["dots", "--labels", "x"], "not a label file"),
        (["dots", *TRUTH, "--name", "x"], "--name means nothing for models calibrate"),
        (["dots", *TAKE, "--points", "gone"], "gone"),
        (["nothing", *TRUTH], "no detector 'nothing'"),
        (["few", *TRUTH], "reads 5 keypoints"),
        (["dots", *TAKE, "--truth", "short.npz", "--rig", "rig.yaml"], "2 frame sets"),
    ],
)
def test_refused(scene, capsys, arguments, message):
    write(scene / "few", net(5), count=5, name="few")
    (scene / "few" / "dots.yaml").rename(scene / "models" / "few.yaml")
    (scene / "few" / "dots.onnx").rename(scene / "models" / "few.onnx")
    text = (scene / "models" / "few.yaml").read_text().replace("file: dots.onnx", "file: few.onnx")
    (scene / "models" / "few.yaml").write_text(text)
    np.savez(scene / "short.npz", xyz_world=np.zeros((2, 1, 21, 3)))
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert re.search(r"\n  next: \S", err)
    assert not (scene / "models" / "confidence.yaml").exists()
