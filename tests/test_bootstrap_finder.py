"""The loop by the real command and the real trainer, which trains what finds hands as well."""

import re
import shutil
import subprocess

import pytest
from loop_footage import command, kill_in_new_stage, make_footage, plan, run

from multiview.models.card import load_card
from multiview.models.confidence import SHIPPED, read_calibrations

pytest.importorskip("torch", reason="torch is not installed: make test-train")

CONF = SHIPPED.name
LITE, FEW = {"network": "mediapipe-lite"}, {"steps": 3, "batch": 2, "threads": 1, "device": "cpu"}
PLAN = {
    "trainer": None,
    "rounds": 1,
    "train_finder": True,
    "finder": FEW | {"palm": LITE},
    "train": FEW | {"arch": "mediapipe", "mediapipe": LITE},
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A round that was killed in every stage, both trainings too; its folder and these stages."""
    footage = make_footage(tmp_path_factory.mktemp("footage"))
    path, stages = plan(footage, tmp_path_factory.mktemp("killed"), **PLAN), set()
    # what comes before training is killed in test_bootstrap_verb.py
    stages |= {"detect", "triangulate", "guide", "triangulate-guided", "labels", "held-out"}
    before = len(stages)
    for _ in range(4):
        child = subprocess.Popen(command(path), stdout=subprocess.DEVNULL, start_new_session=True)
        if not kill_in_new_stage(child, path.parent / "runs" / "run", stages):
            break
    assert child.returncode == 0
    assert len(stages) == before + 2, stages
    return footage, path.parent / "runs" / "run", stages


def test_the_card_of_a_round_has_both_trained_networks(killed):
    _, out, _ = killed
    card, finder = (load_card(out / "round-1" / n / "round-1.yaml") for n in ("train", "finder"))
    shipped = load_card("mediapipe-lite")
    assert card.read("palm") == finder.read("palm") != shipped.read("palm")
    assert card.read("hand") != finder.read("hand") == shipped.read("hand")
    assert card.training["partner"]["digest"] == finder.digest
    report = (out / "report.md").read_text()
    assert re.search(r"\| round-1/train/round-1.yaml \|.*\| 0\.\d{3}, 0\.\d{3} \|\n", report)
    assert (out / "round-1" / "held-out" / "hands.npz").is_file()


def test_trainings_that_were_killed_end_as_the_uninterrupted_ones(killed, tmp_path):
    """Both again, in one go, from the labels of the same round."""
    footage, out, stages = killed
    assert {"finder", "train"} <= stages
    path, whole = plan(footage, tmp_path, **PLAN), tmp_path / "runs" / "run"
    shutil.copytree(out / "round-0", whole / "round-0")
    for name in ("kitchen", "dataset"):
        shutil.copytree(out / "round-1" / name, whole / "round-1" / name)
    done = run(path)
    assert done.returncode == 0, done.stderr
    for name in ("finder", "train"):
        mine, theirs = (o / "round-1" / name / "round-1.onnx" for o in (whole, out))
        assert mine.read_bytes() == theirs.read_bytes()
    mine, theirs = (read_calibrations(o / "round-1" / "train" / CONF) for o in (whole, out))
    assert mine == theirs
    assert [c.passes for c in mine] == [0, 2]
    assert not (out / "round-1" / "finder" / CONF).exists()
