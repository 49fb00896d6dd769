"""Labelled hands for `multiview train`: from folders of `multiview label` and from data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from multiview.errors import InputError
from multiview.formats.datasets import Dataset, load_dataset
from multiview.stages.round_dataset import hands_of_dataset
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

    Hands of the split ``test`` are never read.

    Parameters
    ----------
    labels, start
        Folders; those of the start set apart. Rows of round 0 in data sets are of it too.

    Raises
    ------
    InputError
        If a folder has no labels, or a labelled picture is not there.
    """
    learn: list[TrainingHands] = []
    held: list[TrainingHands] = []
    digests = {}
    for folder, is_start in [*((f, False) for f in labels), *((f, True) for f in start)]:
        folder = folder.parent if folder.name == "coco.json" else folder
        key = f"{'start' if is_start else 'labels'} {folder}"
        data = load_dataset(folder)
        parts = [_hands_of_split(data, val, is_start) for val in (False, True)]
        learn.append(parts[0])
        held += [p for p in parts[1:] if len(p)]
        digests[key] = f"{data.identity} {_picture_digest(join_hands(parts))}"
    return TrainingData(join_hands(learn), join_hands(held) if held else None, digests)


def _hands_of_split(data: Dataset, val: bool, start: bool) -> TrainingHands:
    split = data.samples.split
    rows = np.flatnonzero(split == "val" if val else (split != "val") & (split != "test"))
    hands = hands_of_dataset(replace(data, samples=data.samples.take(rows)))
    return replace(hands, start=np.ones(len(hands), np.bool_)) if start else hands


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
