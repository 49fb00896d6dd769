"""Labelled hands for `multiview train`: from folders of `multiview label` and from data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from multiview.core import PseudoLabels
from multiview.errors import InputError
from multiview.formats.coco import image_name, read_coco
from multiview.formats.datasets import Dataset, load_dataset
from multiview.stage import file_digest
from multiview.stages.round_dataset import hands_of_dataset
from multiview.train.hands import TrainingHands, join_hands

__all__ = ["TrainingData", "hands_of_labels", "read_training_hands"]

SIDES = {"left": 0.0, "right": 1.0}


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
        if (folder / "coco.json").is_file() and not (folder / "samples.parquet").is_file():
            parts = [hands_of_labels(read_coco(folder / "coco.json"), folder, is_start)]
            digests[key] = file_digest(folder / "coco.json")
        else:
            data = load_dataset(folder)
            parts = [_hands_of_split(data, val, is_start) for val in (False, True)]
            digests[key] = data.digest or data.samples.digest[:16]
        learn.append(parts[0])
        held += [p for p in parts[1:] if len(p)]
        digests[key] += f" {_picture_digest(join_hands(parts))}"
    return TrainingData(join_hands(learn), join_hands(held) if held else None, digests)


def _hands_of_split(data: Dataset, val: bool, start: bool) -> TrainingHands:
    split = data.samples.split
    rows = np.flatnonzero(split == "val" if val else (split != "val") & (split != "test"))
    hands = hands_of_dataset(replace(data, samples=data.samples.take(rows)))
    return replace(hands, start=np.ones(len(hands), np.bool_)) if start else hands


def hands_of_labels(labels: PseudoLabels, folder: Path, start: bool) -> TrainingHands:
    """List the kept hands, frame after frame; the take is one session.

    Raises
    ------
    InputError
        If none is kept.
    """
    frame, view, hand = np.nonzero(labels.keep.transpose(1, 0, 2))
    if not frame.size:
        raise InputError(
            f"{folder}: no hand is labelled", "label again with a smaller --label.min-keypoints"
        )
    at, count = (view, frame, hand), len(frame)
    cameras, ids = labels.camera_names, labels.frame_ids
    sides = np.array([SIDES.get(n, np.nan) for n in labels.hands] or [np.nan])
    return TrainingHands(
        picture=tuple(
            str(folder / image_name(cameras[v], int(ids[f])))
            for v, f in zip(view.tolist(), frame.tolist(), strict=True)
        ),
        xy_px=labels.xy_px[at],
        weight=labels.weight[at],
        sigma_px=labels.sigma_px[at],
        right=sides[hand] if labels.hands else np.full(count, np.nan),
        session=(str(folder),) * count,
        start=np.full(count, start),
        keypoints=labels.skeleton.keypoints,
    )


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
