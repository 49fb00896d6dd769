"""Labels for `multiview train`, and what it says where torch is missing: needs no torch."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from multiview.cli import main
from multiview.core import HAND_21
from multiview.errors import InputError
from multiview.formats.coco import image_name
from multiview.stages import train_start
from multiview.stages.train_data import hands_of_samples, read_training_hands

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


def test_samples_of_a_data_set_become_hands():
    drawn, _ = drawn_hands(3)
    samples = SimpleNamespace(
        xy_px=drawn.xy_px,
        weight=drawn.weight,
        sigma_px=np.full((3, 21), np.nan),
        right=np.array([1.0, 0.0, np.nan]),
        image=np.array(["images/a.jpg", "images/b.jpg", "images/c.jpg"]),
        session=np.array(["one", "one", "two"]),
        round=np.array([0, 1, 2]),
        skeleton=HAND_21,
    )
    hands = hands_of_samples(samples, Path("set"))
    assert hands.picture == ("set/images/a.jpg", "set/images/b.jpg", "set/images/c.jpg")
    assert hands.session == ("one", "one", "two")
    assert hands.start.tolist() == [True, False, False]
    assert hands_of_samples(samples, Path("set"), start=True).start.all()


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
