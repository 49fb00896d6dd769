"""Which hands of a round are held back together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from multiview.core import HandSamples
from multiview.core.samples import make_samples
from multiview.errors import InputError
from multiview.formats.datasets import Dataset, load_dataset, save_dataset
from multiview.stages.round_dataset import hands_of_dataset
from multiview.stages.train_data import read_training_hands
from multiview.train.groups import divide
from multiview.train.hands import split_by_session


def hands_of(folder: Path, rows: list[tuple[str, str, int]]) -> Dataset:
    """Hands by take, subject and frame, through a data set on disk as the loop reads it."""
    count = len(rows)
    samples = make_samples(
        xy_px=np.full((count, 21, 2), 50.0) + np.arange(21)[:, None],
        visibility=np.full((count, 21), 2),
        image=[f"{n}.jpg" for n in range(count)],
        size_wh=[(100, 100)] * count,
        right=np.ones(count),
        session=[take for take, *_ in rows],
        subject=[subject for _, subject, _ in rows],
        frame_id=[frame for *_, frame in rows],
    )
    pictures = folder / "pictures"
    pictures.mkdir()
    for n in range(count):
        (pictures / f"{n}.jpg").write_bytes(b"x")
    save_dataset(samples, folder / "data", "parquet", pictures=pictures)
    return load_dataset(folder / "data")


def held_rows(data: Dataset, seed: int) -> np.ndarray:
    return split_by_session(hands_of_dataset(data), 0.1, seed)[1]


@pytest.mark.parametrize("seed", range(8))
def test_nobody_is_on_both_sides_whatever_the_take(tmp_path: Path, seed: int) -> None:
    people = ["anna", "bo", "cem", "dee"]
    rows = [(take, who, n) for take in ("one", "two") for who in people for n in range(10)]
    data = hands_of(tmp_path, rows)
    held = held_rows(data, seed)
    inside = set(data.samples.subject[held].tolist())
    outside = set(np.delete(data.samples.subject, held).tolist())
    assert inside
    assert not inside & outside


@pytest.mark.parametrize("seed", range(8))
def test_the_only_person_filmed_is_not_held_back_whole(tmp_path: Path, seed: int) -> None:
    """A start set of others must not make validation take all new footage away."""
    rows = [("kitchen", "anna", n) for n in range(60)] + [("start", "", n) for n in range(20)]
    data = hands_of(tmp_path, rows)
    held = held_rows(data, seed)
    assert 8 <= len(held) <= 14
    anna = data.samples.subject == "anna"
    assert anna[np.setdiff1d(np.arange(80), held)].sum() > 45


def test_parts_of_a_take_are_stretches_of_time(tmp_path: Path) -> None:
    data = hands_of(tmp_path, [("kitchen", "", n) for n in range(40)])
    frames = data.samples.frame_id[held_rows(data, 0)]
    assert np.ptp(frames) == len(frames) - 1 == 3


def footage(seed: int, lost: float) -> list[tuple[str, str, int]]:
    """Labels of a round: ten people and a take of nobody's, some frames of them not labelled."""
    rng = np.random.default_rng(seed)
    rows = [(f"take-{p}", f"person {p}", n) for p in range(10) for n in range(20)]
    rows += [("hall", "", n) for n in range(100)]
    return [row for row in rows if rng.random() >= lost]


@pytest.mark.parametrize("seed", range(6))
def test_what_a_round_learnt_no_later_round_holds_back(tmp_path: Path, seed: int) -> None:
    """Each round labels other frames, and leaves whole takes out."""
    earlier: list[HandSamples] = []
    for number in range(4):
        rows = footage(10 * seed + number, 0.2)
        rows = [row for row in rows if row[0] != f"take-{(seed + 3 * number) % 10}"]
        (tmp_path / str(number)).mkdir()
        samples = hands_of(tmp_path / str(number), rows).samples
        made = divide(samples, 0.15, seed, earlier)
        held = made.split == "val"
        assert 0.05 < held.mean() < 0.4
        learnt = {frame for old in earlier for frame in frames_of(old, "train")}
        assert not frames_of(made, "val") & learnt
        earlier.append(made)


def frames_of(samples: HandSamples, split: str) -> set[tuple[str, str, int]]:
    rows = samples.take(np.flatnonzero(samples.split == split))
    names = rows.session.tolist(), rows.subject.tolist(), rows.frame_id.tolist()
    return set(zip(*names, strict=True))


def test_a_division_that_is_given_is_kept(tmp_path: Path) -> None:
    samples = hands_of(tmp_path, footage(0, 0)).samples
    given = np.where(samples.subject == "person 3", "val", "train")
    assert (divide(replace(samples, split=given), 0.05, 0).split == given).all()
    part = np.where(samples.session == "hall", given, "")
    made = divide(replace(samples, split=part), 0.1, 0).split
    assert (made[part == "train"] == "train").all()
    assert (made == "val").any()
    with pytest.raises(InputError, match="none is left to learn from"):
        divide(replace(samples, split=np.full(len(samples), "val")), 0.1, 0)


def test_people_are_known_over_folders(tmp_path: Path) -> None:
    """Two takes of the same four people, a folder each."""
    for take in ("one", "two"):
        (tmp_path / take).mkdir()
        hands_of(tmp_path / take, [(take, who, n) for who in "abcd" for n in range(10)])
    data = read_training_hands([tmp_path / "one" / "data", tmp_path / "two" / "data"], [])
    held = split_by_session(data.hands, 0.1, 0)[1]
    assert len(held) == 20
    assert len({data.hands.session[n] for n in held}) == 1
