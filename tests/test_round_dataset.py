"""Which hands of a round are held back together."""

from pathlib import Path

import numpy as np
import pytest

from multiview.core.samples import make_samples
from multiview.formats.datasets import Dataset, load_dataset, save_dataset
from multiview.stages.round_dataset import hands_of_dataset
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
