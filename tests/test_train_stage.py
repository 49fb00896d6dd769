"""`multiview train`: from a folder of labels to a model that `detect` runs; bad input; kills."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

import multiview as mv
from multiview.cli import main
from multiview.errors import InputError, ModelError, StaleStageError
from multiview.models.card import load_card
from multiview.stages import train as stage
from multiview.stages.train_data import read_training_hands

sys.path.insert(0, str(Path(__file__).parent / "train"))
from drawn import drawn_hands, label_folder

pytest.importorskip("torch", reason="torch is not installed: make test-train")

TINY = ["--arch", "cpm", "--cpm.size-px", "64", "--cpm.width", "0.07", "--cpm.stages", "2"]
TINY += ["--cpm.blocks", "1", "1", "1", "1", "--cpm.loss", "cross_entropy", "--cpm.sigma", "1"]
TINY += ["--batch", "8", "--threads", "1", "--device", "cpu", "--steps", "20"]


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return label_folder(tmp_path_factory.mktemp("labels"))


@pytest.fixture(scope="module")
def trained(labels, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "drawn"
    assert main(["train", str(labels), "--out", str(out), *TINY, "--licence", "CC0-1.0"]) == 0
    return out


def test_the_result_is_a_model(trained, labels, capsys):
    assert {p.name for p in trained.iterdir()} == {
        "drawn.onnx",
        "drawn.yaml",
        "history.csv",
        "manifest.json",
    }
    card = yaml.safe_load((trained / "drawn.yaml").read_text())
    assert card["licence"] == "CC0-1.0"
    assert f"labels {labels}" in card["training"]["data"]
    assert card["training"]["config"]["steps"] == 20
    assert set(card["training"]["held_out"]) == {"pck_10", "pck_20", "error", "hands"}
    assert max(card["training"]["torch_agrees_to"].values()) < 1e-5
    assert main(["models", "check", str(trained / "drawn.yaml")]) == 0
    assert "differ by" in capsys.readouterr().out
    assert main(["models", "show", str(trained / "drawn.yaml")]) == 0
    assert "20 steps; hands held back: pck_10" in capsys.readouterr().out
    detector = mv.load_detector(trained / "drawn.yaml", min_presence=0.0)
    hands, pictures = drawn_hands(1, seed=9)
    picture = next(iter(pictures.values()))
    found = detector.detect(picture, detector.rois_of(hands.xy_px))
    assert np.isfinite(found.xy_px).all()


def test_the_same_training_is_not_run_again(trained, labels, capsys):
    before = (trained / "drawn.onnx").stat().st_mtime_ns
    again = ["train", str(labels), "--out", str(trained), *TINY]
    assert main([*again, "--licence", "CC0-1.0"]) == 0
    assert (trained / "drawn.onnx").stat().st_mtime_ns == before
    assert main([*again, "--licence", "other"]) == 2
    assert "licence was 'CC0-1.0'" in capsys.readouterr().err


def test_a_trained_model_can_be_trained_further(trained, labels, tmp_path):
    out = tmp_path / "second"
    given = ["train", str(labels), "--out", str(out), *TINY, "--steps=1", "--lr", "1e-9"]
    given = [g for g in given if g not in ("--steps", "20")]
    assert main([*given, "--init", str(trained / "drawn.yaml")]) == 0
    from onnx import load, numpy_helper

    first, second = (
        {t.name: numpy_helper.to_array(t) for t in load(p).graph.initializer}
        for p in (trained / "drawn.onnx", out / "second.onnx")
    )
    assert np.abs(first["stage2.weight"] - second["stage2.weight"]).max() < 1e-5
    assert "from drawn" in yaml.safe_load((out / "second.yaml").read_text())["source"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--cpm.stages", "3"], "another architecture"),
        (["--cpm.width", "0.2"], "another width or skeleton"),
        (["--arch", "mediapipe"], "another architecture"),
    ],
)
def test_a_start_of_another_network_is_refused(trained, labels, tmp_path, capsys, change, message):
    line = list(TINY)
    at = line.index(change[0])
    line[at : at + 2] = change
    out = tmp_path / "out"
    given = ["train", str(labels), "--out", str(out), *line]
    assert main([*given, "--init", str(trained / "drawn.yaml")]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_start_of_another_skeleton_is_refused(trained, tmp_path, capsys):
    folder = label_folder(tmp_path / "labels", 8, keypoints=17)
    given = ["train", str(folder), "--out", str(tmp_path / "out"), *TINY]
    assert main([*given, "--init", str(trained / "drawn.yaml")]) == 2
    assert "has 21 keypoints" in capsys.readouterr().err
    assert not (tmp_path / "out.partial").exists()
    line = ["train", str(folder), "--out", str(tmp_path / "out"), "--arch", "mediapipe"]
    assert main(line) == 2
    assert "has 21 keypoints, the labels have 17" in capsys.readouterr().err


def test_a_configuration_may_be_a_file(labels, tmp_path, capsys):
    file = tmp_path / "run.yaml"
    file.write_text("arch: cpm\nsteps: 1\ncpm: {size_px: 64, stages: 9}\n")
    line = ["train", str(labels), "--out", str(tmp_path / "out"), "--config", str(file)]
    assert main(line) == 2
    assert "cpm.stages" in capsys.readouterr().err
    small = "cpm: {size_px: 64, width: 0.07, stages: 1, blocks: [1, 1, 1, 1]}"
    file.write_text(f"arch: cpm\nsteps: 1\nbatch: 4\n{small}\n")
    assert main(line) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["config"]["cpm"]["stages"] == 1
    assert main(["train", "--out", str(tmp_path / "none")]) == 2
    assert "no labelled hand" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ("nowhere.yaml", "no such start"),
        ("imagenet", "is not for --arch cpm"),
    ],
)
def test_a_start_that_is_not_there(labels, tmp_path, capsys, init, message):
    line = ["train", str(labels), "--out", str(tmp_path / "out"), *TINY, "--init", init]
    assert main(line) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_the_checkpoint_before(labels, tmp_path, monkeypatch, capsys):
    """And the same command then goes on from it, to the same weights."""
    line = ["train", str(labels), *TINY, "--checkpoint-s", "0.001"]
    assert main([*line, "--out", str(tmp_path / "whole" / "net")]) == 0
    real, written = Path.write_bytes, []

    def full(self, data):
        if "checkpoint" in self.name:
            written.append(self)
            if len(written) == 6:
                real(self, data[: len(data) // 2])
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    out = tmp_path / "net"
    assert main([*line, "--out", str(out)]) == 2
    assert "free some space" in capsys.readouterr().err
    left = [p.name for p in (tmp_path / "net.partial").iterdir()]
    assert sorted(left) == ["checkpoint.pt", "plan.json"]
    monkeypatch.undo()
    assert main([*line, "--out", str(out)]) == 0
    assert "goes on after step 5 of 20" in capsys.readouterr().out
    whole = tmp_path / "whole" / "net" / "net.onnx"
    assert whole.read_bytes() == (out / "net.onnx").read_bytes()


def test_a_killed_training_ends_with_the_same_weights(labels, tmp_path):
    """SIGKILL in the middle of training, twice; the file is the same to the byte."""
    line = ["train", str(labels), *TINY, "--steps", "60", "--checkpoint-s", "0.001"]
    at = line.index("--steps")
    del line[at : at + 2]
    whole, out = tmp_path / "whole" / "net", tmp_path / "net"
    assert main([*line, "--out", str(whole)]) == 0
    command = [sys.executable, "-m", "multiview", *line, "--out", str(out)]
    seen = []
    for enough in (8, 30):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        seen.append(_kill_after(process, tmp_path / "net.partial" / "checkpoint.pt", enough))
    assert 8 <= seen[0] < seen[1] < 60
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "goes on after step" in done.stdout
    assert (out / "net.onnx").read_bytes() == (whole / "net.onnx").read_bytes()
    assert (out / "history.csv").read_text() == (whole / "history.csv").read_text()


def _kill_after(process, checkpoint, enough):
    """Kill once the checkpoint has so many steps; return how many it has."""
    from multiview.train.checkpoint import unpack

    until = time.monotonic() + 100
    while time.monotonic() < until:
        assert process.poll() is None, process.stderr.read()
        if checkpoint.exists() and unpack(checkpoint.read_bytes(), "")["step"] >= enough:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return unpack(checkpoint.read_bytes(), "")["step"]
        time.sleep(0.005)
    process.kill()
    raise AssertionError("no checkpoint came")


def test_mediapipe_trained_further_runs_as_mediapipe(labels, tmp_path):
    out = tmp_path / "hand2"
    line = ["train", str(labels), "--out", str(out), "--mediapipe.network", "mediapipe-lite"]
    assert main([*line, "--steps", "2", "--batch", "4", "--threads", "1", "--device", "cpu"]) == 0
    card = yaml.safe_load((out / "hand2.yaml").read_text())
    assert card["backend"] == "mediapipe"
    assert (out / "palm_detection_lite.onnx").is_file()
    detector = mv.load_detector(out / "hand2.yaml")
    assert main(["models", "check", str(out / "hand2.yaml")]) == 0
    hands, pictures = drawn_hands(1, seed=9)
    found = detector.detect(next(iter(pictures.values())), detector.rois_of(hands.xy_px))
    assert len(found) == 1


FEW = ["--steps", "1", "--batch", "2", "--lr", "1e-5", "--threads", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def finder(labels, tmp_path_factory):
    """A card whose palm network was trained; of the shipped pair it has the other one."""
    out = tmp_path_factory.mktemp("finder") / "pair"
    line = ["train", str(labels), "--out", str(out), "--arch", "palm", *FEW]
    assert main([*line, "--palm.network", "mediapipe-lite"]) == 0
    return out


def test_a_palm_network_trained_further_finds_hands(finder, capsys):
    card, shipped = load_card(finder / "pair.yaml"), load_card("mediapipe-lite")
    assert card.weights["hand"].sha256 == shipped.weights["hand"].sha256
    assert card.weights["palm"].sha256 != shipped.weights["palm"].sha256
    assert (card.input, card.decoding) == (shipped.input, shipped.decoding)
    assert card.training["partner"]["name"] == "mediapipe-lite"
    assert set(card.training["held_out"]) == {
        *("found", "threshold", "false_palms", "found_as_run", "pictures")
    }
    assert max(card.training["torch_agrees_to"].values()) < 1e-5
    assert main(["models", "check", str(finder / "pair.yaml")]) == 0
    blank = np.zeros((120, 160, 3), np.uint8)
    assert len(mv.load_detector(finder / "pair.yaml").detect(blank)) == 0


@pytest.mark.parametrize("option", ["--partner", "--init"])
def test_one_card_has_both_trained_networks(finder, labels, tmp_path, option):
    """Under one name too: the two files do not take each other's place."""
    out = tmp_path / "pair"
    line = ["train", str(labels), "--out", str(out), *FEW]
    line += ["--mediapipe.network", "mediapipe-lite"]
    assert main([*line, option, str(finder / "pair.yaml")]) == 0
    both, first = load_card(out / "pair.yaml"), load_card(finder / "pair.yaml")
    assert both.weights["palm"].sha256 == first.weights["palm"].sha256
    assert both.weights["hand"].sha256 != first.weights["hand"].sha256
    assert both.read("palm") == first.read("palm")
    assert both.path("palm") != both.path("hand")
    assert both.read("hand") != first.read("hand")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([*TINY, "--partner", "mediapipe-lite"], "MediaPipe's pair of networks only"),
        (["--arch", "palm", "--partner", "nobody"], "there is no detector 'nobody'"),
        (["--arch", "palm", "--init", "imagenet"], "is not for --arch palm"),
    ],
)
def test_bad_pairs_are_refused(labels, tmp_path, capsys, given, message):
    assert main(["train", str(labels), "--out", str(tmp_path / "out"), *given]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_network_of_another_kind_is_no_partner(trained, labels, tmp_path, capsys):
    line = ["train", str(labels), "--out", str(tmp_path / "out"), "--arch", "palm"]
    assert main([*line, "--partner", str(trained / "drawn.yaml")]) == 2
    assert "drawn has not MediaPipe's two networks" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_no_number_leaves_the_checkpoint(labels, tmp_path, monkeypatch, capsys):
    from multiview.train import task

    real = task.maps_loss
    calls = []

    def broken(*args):
        calls.append(1)
        return real(*args) * (float("nan") if len(calls) == 4 else 1.0)

    monkeypatch.setattr(task, "maps_loss", broken)
    line = ["train", str(labels), "--out", str(tmp_path / "net"), *TINY]
    assert main(line) == 2
    error = capsys.readouterr().err
    assert "no number any more at step 4" in error
    checkpoint = tmp_path / "net.partial" / "checkpoint.pt"
    monkeypatch.undo()
    again = ["train", str(labels), "--out", str(tmp_path / "again"), *TINY]
    assert main([*again, "--init", str(checkpoint)]) == 0
    assert json.loads((tmp_path / "again" / "manifest.json").read_text())["figures"]["steps"] == 20


def test_hands_to_validate_on_may_be_given(tmp_path):
    from multiview.train.config import TrainConfig

    small = {"size_px": 64, "width": 0.07, "stages": 1, "blocks": (1, 1, 1, 1)}
    config = TrainConfig(arch="cpm", cpm=small, steps=1, batch=4, device="cpu", threads=1)
    learn = read_training_hands([label_folder(tmp_path / "a", 8)], []).hands
    hold = read_training_hands([label_folder(tmp_path / "b", 5, seed=1)], []).hands
    out = stage.train_hands(learn, {}, tmp_path / "net", config, held=hold)
    card = yaml.safe_load((out / "net.yaml").read_text())
    assert card["training"]["held_out"]["hands"] == 5
    with pytest.raises(StaleStageError, match="held was"):
        stage.train_hands(learn, {}, tmp_path / "net", config, held=learn)
    other = read_training_hands([label_folder(tmp_path / "c", 5, keypoints=17)], []).hands
    with pytest.raises(InputError, match="other keypoints"):
        stage.train_hands(learn, {}, tmp_path / "other", config, held=other)
    assert not (tmp_path / "other.partial").exists()


def test_an_export_that_differs_is_not_written(labels, tmp_path, monkeypatch):
    from multiview.train import export

    monkeypatch.setattr(export, "SAME", 1e-12)
    data = read_training_hands([labels], [])
    from multiview.train.config import TrainConfig

    small = {"size_px": 64, "width": 0.07, "stages": 1, "blocks": (1, 1, 1, 1)}
    config = TrainConfig(arch="cpm", cpm=small, steps=2, batch=4, device="cpu", threads=1)
    with pytest.raises(ModelError, match="differs by"):
        stage.train_hands(data.hands, data.digests, tmp_path / "net", config)
    assert [p.name for p in (tmp_path / "net.partial").iterdir() if p.suffix == ".onnx"] == []
