"""Labelled hands for `multiview train`: from folders of `multiview label` and from data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from multiview.errors import InputError
from multiview.formats.datasets import Dataset
from multiview.stages.review_folder import load_kept
from multiview.stages.round_dataset import hands_of_dataset
from multiview.train.groups import groups_of
from multiview.train.hands import TrainingHands, join_hands

__all__ = ["TrainingData", "read_training_hands"]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What was read to train on.

    Parameters
    ----------
    hands
        Hands to learn, and to validate on if `held` is None.
    held
        Those that the data sets themselves keep for validation (split ``val``).
    digests
        Of everything that was read, by its path.
    """

    hands: TrainingHands
    held: TrainingHands | None
    digests: dict[str, str]


def read_training_hands(labels: Sequence[Path], start: Sequence[Path]) -> TrainingData:
    """Read folders of `multiview label`, and data sets of any layout.

    Hands of the split ``test`` are never read, nor what a person rejected (`multiview review`).

    Parameters
    ----------
    labels, start
        Folders; those of the start set apart. Rows of round 0 in data sets are of it too.

    Raises
    ------
    InputError
        If a folder has no labels, or a labelled picture is not there.
    """
    given = [*((f, False) for f in labels), *((f, True) for f in start)]
    folders = [folder.parent if folder.name == "coco.json" else folder for folder, _ in given]
    sets = [_without_tests(load_kept(folder)) for folder in folders]
    groups = groups_of([data.samples for data in sets]) if sets else []
    learn, held, digests = list[TrainingHands](), list[TrainingHands](), dict[str, str]()
    for folder, (_, is_start), data in zip(folders, given, sets, strict=True):
        if data.format == "webdataset":
            raise InputError(
                f"{folder}: training reads pictures from files, and here they are within a tar",
                "multiview dataset convert it to another --format first",
            )
        count = len(data.samples)
        hands = hands_of_dataset(data, groups[:count])
        groups = groups[count:]
        if is_start:
            hands = replace(hands, start=np.ones(count, np.bool_))
        val = data.samples.split == "val"
        learn.append(hands.take(np.flatnonzero(~val)))
        if val.any():
            held.append(hands.take(np.flatnonzero(val)))
        key = f"{'start' if is_start else 'labels'} {folder}"
        digests[key] = f"{data.identity} {_picture_digest(hands)}"
    return TrainingData(join_hands(learn), join_hands(held) if held else None, digests)


def _without_tests(data: Dataset) -> Dataset:
    rows = np.flatnonzero(data.samples.split != "test")
    return replace(data, samples=data.samples.take(rows))


def _picture_digest(hands: TrainingHands) -> str:
    """Hash of the sizes of all pictures: enough to see that they were replaced or are missing."""
    sha = hashlib.sha256()
    for name in sorted(set(hands.picture)):
        path = Path(name)
        if not path.is_file():
            raise InputError(
                f"{path}: the labelled picture is not there",
                "run `multiview label` with --pictures, or put the folder back",
            )
        sha.update(f"{name} {path.stat().st_size}".encode())
    return sha.hexdigest()[:16]
