"""Labels for `multiview train`, and what it says where torch is missing: needs no torch."""

import csv
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from multiview.cli import main
from multiview.core.samples import make_samples
from multiview.errors import InputError
from multiview.formats.coco import image_name
from multiview.formats.datasets import load_dataset, save_dataset
from multiview.formats.datasets.store import Pictures
from multiview.formats.samples_parquet import write_samples
from multiview.models.card import load_card
from multiview.stages import train_start
from multiview.stages.review_folder import verdict_file, write_review
from multiview.stages.train_data import read_training_hands

sys.path.insert(0, str(Path(__file__).parent / "train"))
from drawn import drawn_hands, label_folder


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return label_folder(tmp_path_factory.mktemp("labels"))


def test_labels_become_hands(labels):
    data = read_training_hands([labels], [])
    hands, digests = data.hands, data.digests
    assert data.held is None
    drawn, _ = drawn_hands(24)
    assert np.abs(hands.xy_px - drawn.xy_px).max() < 1e-3
    assert np.array_equal(hands.right, drawn.right)
    assert list(digests) == [f"labels {labels}"]
    both = read_training_hands([labels], [labels])
    assert both.hands.start.sum() == 24


def test_a_data_set_becomes_hands(labels, tmp_path):
    """Split `test` stays out, `val` is what is validated on, round 0 is the start set."""
    drawn, _ = drawn_hands(6)
    split = np.array(["train", "train", "val", "test", "", "train"])
    samples = make_samples(
        xy_px=drawn.xy_px,
        visibility=np.full((6, 21), 2),
        image=np.array([image_name("cam", n) for n in range(6)]),
        size_wh=np.full((6, 2), 160),
        right=drawn.right,
        split=split,
        round=np.array([0, 1, 1, 1, 1, 2]),
    )
    save_dataset(samples, tmp_path / "set", "parquet", pictures=Pictures.below(labels))
    data = read_training_hands([tmp_path / "set"], [])
    chosen = [0, 1, 4, 5]
    assert np.allclose(data.hands.xy_px, drawn.xy_px[chosen])
    assert data.hands.start.tolist() == [True, False, False, False]
    assert all(Path(p).is_file() for p in data.hands.picture)
    assert data.held is not None
    assert np.allclose(data.held.xy_px, drawn.xy_px[[2]])
    assert read_training_hands([], [tmp_path / "set"]).hands.start.all()
    both = read_training_hands([tmp_path / "set"], [labels])
    assert len(both.hands) == 4 + 24


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


def test_a_card_without_training_keeps_its_digest_and_one_with_it_has_another():
    card = load_card("mediapipe-lite")
    text = card.model_dump_json(exclude={"folder", "training"})
    assert card.digest == hashlib.sha256(text.encode()).hexdigest()[:16]
    trained = card.model_copy(update={"training": {"steps": 20}})
    assert trained.digest not in {
        card.digest,
        card.model_copy(update={"training": {"steps": 21}}).digest,
    }


def test_what_a_person_rejected_is_not_learnt(tmp_path):
    folder = label_folder(tmp_path / "labels", 8)
    write_samples(load_dataset(folder).samples, folder / "samples.parquet")
    write_review(folder)
    table = verdict_file(folder)
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["verdict"] = "bad" if row["frame"] in ("2", "5") else "ok"
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    data = read_training_hands([folder], [])
    frames = sorted(int(Path(name).stem) for name in data.hands.picture)
    assert frames == [0, 1, 3, 4, 6, 7]
    assert data.digests != read_training_hands([label_folder(tmp_path / "other", 8)], []).digests


def test_pictures_within_a_tar_are_refused(labels, tmp_path):
    data = load_dataset(labels)
    save_dataset(data.samples, tmp_path / "tars", "webdataset", pictures=data.pictures)
    with pytest.raises(InputError, match="within a tar"):
        read_training_hands([tmp_path / "tars"], [])
