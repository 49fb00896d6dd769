"""A trained network says probabilities, fitted to the hands that its training held back."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from loop_footage import make_footage

import multiview as mv
from multiview.cli import main
from multiview.formats.datasets import load_dataset, save_dataset
from multiview.images import read_image
from multiview.models.confidence import find_calibration, read_calibrations

pytest.importorskip("torch", reason="torch is not installed: make test-train")

# so short and slow that the network stays what it was
SAME = ["--arch", "mediapipe", "--mediapipe.network", "mediapipe-lite", "--steps", "1"]
SAME += ["--lr", "1e-9", "--batch", "2", "--threads", "1", "--device", "cpu"]
WRONG = [3, 7, 15]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """What the network reads in pictures of the demo; half is held back, parts of that wrong."""
    base = tmp_path_factory.mktemp("data")
    found = load_dataset(make_footage(base / "footage") / "held_out")
    network = mv.load_detector("mediapipe-lite")
    hands = [network.detect(read_image(found.pictures.path(n))) for n in found.samples.image]
    seen = np.flatnonzero([len(h.xy_px) == 1 for h in hands])
    samples = found.samples.take(seen)
    xy = np.stack([hands[n].xy_px[0] for n in seen])
    split = np.where(np.arange(len(seen)) % 2, "val", "train")
    off = xy.copy()
    off[np.ix_(split == "val", WRONG)] += 40.0
    for name, keypoints in (("wrong", off), ("right", xy)):
        made = replace(samples, xy_px=keypoints, split=split)
        save_dataset(made, base / name, "parquet", pictures=found.pictures)
    return base


def train(data, out, *more):
    assert main(["train", str(data), "--out", str(out), *SAME, *more]) == 0
    return out / f"{out.name}.yaml", json.loads((out / "manifest.json").read_text())["figures"]


def test_what_was_wrong_in_the_hands_held_back_is_doubted(data, tmp_path):
    card, figures = train(data / "wrong", tmp_path / "net")
    made = read_calibrations(tmp_path / "net" / "confidence.yaml")
    assert [c.passes for c in made] == [0, 2]
    assert [f["passes"] for f in figures["confidence"]] == [0, 2]
    for each in figures["confidence"]:
        assert each["right"] == pytest.approx(18 / 21, abs=0.05)
        assert abs(each["said"] - each["right"]) < 0.1
    for offsets in (np.array(c.offsets) for c in made):
        assert offsets[WRONG].max() < np.delete(offsets, WRONG).min()
    assert mv.load_detector(card).calibrated


def test_a_card_moved_with_its_confidence_keeps_it(data, tmp_path):
    card, _ = train(data / "wrong", tmp_path / "net", "--calibrate", "0")
    shutil.copytree(card.parent, tmp_path / "elsewhere")
    moved = mv.load_detector(tmp_path / "elsewhere" / card.name)
    assert moved.calibrated
    assert find_calibration(moved.keypoint_weights, 2, tmp_path / "elsewhere") is None


def test_nothing_is_fitted_where_all_is_right_or_none_is_wanted(data, tmp_path, capsys):
    card, figures = train(data / "right", tmp_path / "right")
    assert figures["confidence"] is None
    assert "confidences stay what the network gives" in capsys.readouterr().out
    assert not mv.load_detector(card).calibrated
    train(data / "wrong", tmp_path / "none", "--calibrate")
    assert not (tmp_path / "none" / "confidence.yaml").exists()


def test_a_finder_brings_the_confidence_of_its_partner(data, tmp_path):
    """What reads keypoints did not change, and is not fitted again."""
    card, _ = train(data / "wrong", tmp_path / "net", "--calibrate", "0")
    line = ["train", str(data / "wrong"), "--out", str(tmp_path / "finder"), *SAME[4:]]
    line += ["--arch", "palm", "--palm.network", "mediapipe-lite", "--partner", str(card)]
    assert main(line) == 0
    own, partner = (tmp_path / n / "confidence.yaml" for n in ("finder", "net"))
    assert own.read_bytes() == partner.read_bytes()
    line[line.index("--partner") :] = ["--out", str(tmp_path / "shipped")]
    del line[2:4]
    assert main(line) == 0
    assert not (tmp_path / "shipped" / "confidence.yaml").exists()
    assert mv.load_detector(tmp_path / "shipped" / "shipped.yaml").calibrated


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_kill_while_confidences_are_fitted_changes_nothing(data, tmp_path):
    whole, _ = train(data / "wrong", tmp_path / "whole" / "net")
    out = tmp_path / "killed" / "net"
    line = [
        sys.executable,
        "-m",
        "multiview",
        "train",
        str(data / "wrong"),
        "--out",
        str(out),
        *SAME,
    ]
    child = subprocess.Popen(line, stdout=subprocess.DEVNULL)
    card = out.with_name("net.partial") / "net.yaml"
    while not card.exists():
        assert child.poll() is None, "the training ended before it was killed"
        time.sleep(0.002)
    child.kill()
    child.wait()
    assert not out.exists()
    train(data / "wrong", out)
    for name in ("net.onnx", "confidence.yaml"):
        assert (out / name).read_bytes() == whole.with_name(name).read_bytes()
