"""Labels for `multiview train`, and what it says where torch is missing: needs no torch."""

import sys
from pathlib import Path

import numpy as np
import pytest

from multiview.cli import main
from multiview.errors import InputError
from multiview.formats.coco import image_name
from multiview.stages import train_start
from multiview.stages.train_data import read_training_hands

sys.path.insert(0, str(Path(__file__).parent / "train"))
from drawn import drawn_hands, label_folder


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return label_folder(tmp_path_factory.mktemp("labels"))


def test_labels_become_hands(labels):
    hands, digests = read_training_hands([labels], [])
    drawn, _ = drawn_hands(24)
    assert np.abs(hands.xy_px - drawn.xy_px).max() < 1e-3
    assert np.array_equal(hands.right, drawn.right)
    assert set(hands.session) == {str(labels)}
    assert list(digests) == [f"labels {labels}"]
    both, _ = read_training_hands([labels], [labels])
    assert both.start.sum() == 24


def test_a_missing_picture_is_named(labels, tmp_path):
    folder = label_folder(tmp_path / "labels", 4)
    (folder / image_name("cam", 2)).unlink()
    with pytest.raises(InputError, match=r"000002.jpg: the labelled picture is not there"):
        read_training_hands([folder], [])


def test_without_torch_the_verb_says_what_to_install(labels, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train_start.importlib.util, "find_spec", lambda name: None)
    assert main(["train", str(labels), "--out", str(tmp_path / "out")]) == 2
    assert "multiview-bootstrapping[train]" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
