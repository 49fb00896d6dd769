"""The training data of a round: its labels, what a person said of them, and the start set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from multiview.errors import InputError
from multiview.formats.datasets import Dataset, join, load_dataset, save_dataset
from multiview.formats.datasets.store import MANIFEST
from multiview.formats.foreign import read_json
from multiview.progress import say
from multiview.stage import file_digest
from multiview.stages.review_folder import load_kept, rejected
from multiview.train.groups import divide, groups_of
from multiview.train.hands import TrainingHands

__all__ = ["RoundData", "hands_of_dataset", "run_round_dataset"]

START = "start"


@dataclass(frozen=True, slots=True)
class RoundData:
    """What a round trains on.

    Parameters
    ----------
    folder
        The dataset.
    hands, held
        The same for the trainer: to learn from, and held back.
    digests
        Of the dataset, by name.
    """

    folder: Path
    hands: TrainingHands
    held: TrainingHands
    digests: dict[str, str]


def run_round_dataset(
    labels: Sequence[Path],
    start: Path | None,
    out: Path,
    *,
    share: float = 0.1,
    seed: int = 0,
    earlier: Sequence[Path] = (),
    force: bool = False,
) -> RoundData:
    """Join labels and start set into a divided dataset; one that was made of the same is kept.

    Parameters
    ----------
    labels
        Folders of `multiview label`; hands that a person rejected are left out.
    start
        Labelled dataset of any layout: its labels are those of round 0.
    out
        Folder of the dataset.
    share, seed
        What is held back (`multiview.train.groups.divide`).
    earlier
        Datasets of earlier rounds: what they learnt is not held back now.
    force
        Replace one that was made of something else.

    Raises
    ------
    InputError
        If nothing is left, or ``out`` was made of something else.
    """
    given = [] if start is None else [load_dataset(start)]
    before = [load_dataset(folder) for folder in earlier]
    parts = [*(_digest(folder) for folder in labels), *(data.identity for data in given)]
    parts += [f"held back {share} {seed}", *(data.identity for data in before)]
    made_from = " ".join(parts)
    about = out / MANIFEST
    if about.exists():
        same = dict(read_json(about)).get("made_from") == made_from
        if not same and not force:
            raise InputError(
                f"{out} was made of other labels or verdicts",
                "add --force to make it anew, and what was trained on it, or choose another --out",
            )
    else:
        same = False
    if not same:
        samples, pictures = join([*map(load_kept, labels), *map(_as_start, given)])
        if not len(samples):
            raise InputError(
                f"{out}: a person rejected every label", "film more, or label with other options"
            )
        samples = divide(samples, share, seed, [data.samples for data in before])
        save_dataset(samples, out, "parquet", pictures=pictures, made_from=made_from, force=True)
    data = load_dataset(out)
    held = data.samples.split == "val"
    say(
        f"dataset: {len(held)} hands, {(data.samples.round == 0).sum()} of the start set; "
        f"{held.sum()} held back"
    )
    hands = hands_of_dataset(data)
    learn, hold = (hands.take(np.flatnonzero(side)) for side in (~held, held))
    return RoundData(out, learn, hold, {"dataset": data.digest})


def hands_of_dataset(data: Dataset, groups: Sequence[str] | None = None) -> TrainingHands:
    """Hand a dataset to the trainer: labels of round 0 are its start set.

    Parameters
    ----------
    data
        The dataset.
    groups
        What is held back together; None: as its own sessions and subjects say.
    """
    samples = data.samples
    return TrainingHands(
        picture=tuple(str(data.pictures.path(image)) for image in samples.image.tolist()),
        xy_px=samples.xy_px,
        weight=samples.weight,
        sigma_px=samples.sigma_px,
        right=samples.right,
        session=tuple(groups_of([samples]) if groups is None else groups),
        start=np.asarray(samples.round == 0, np.bool_),
        keypoints=samples.skeleton.keypoints,
    )


def _as_start(data: Dataset) -> Dataset:
    """Make a dataset round 0, without what it holds back for tests."""
    samples = data.samples.take(np.flatnonzero(data.samples.split != "test"))
    session = np.where(samples.session == "", START, np.char.add(f"{START}-", samples.session))
    return replace(data, samples=replace(samples, session=session, round=samples.round * 0))


def _digest(folder: Path) -> str:
    """Hash labels and what was rejected of them, whichever way it was said."""
    said = "none"
    if bad := sorted(rejected(folder)):
        said = hashlib.sha256(json.dumps(bad).encode()).hexdigest()
    return f"{file_digest(folder / 'samples.parquet')}:{said}"
