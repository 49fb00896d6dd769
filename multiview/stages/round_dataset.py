"""The training data of a round: its labels, what a person said of them, and the start set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.formats.datasets import Dataset, join, load_dataset, save_dataset
from multiview.formats.datasets.store import MANIFEST
from multiview.formats.foreign import read_json
from multiview.progress import say
from multiview.stage import file_digest
from multiview.stages.review_folder import kept, rejected
from multiview.train.hands import TrainingHands

__all__ = ["RoundData", "hands_of_dataset", "run_round_dataset"]

START = "start"
# Parts that a take is cut into, whole ones of which are held back: neighbouring
# frames show the same pose, so single frames would tell nothing.
BLOCKS = 10
# A person with more than this share of the labels is held back in parts of takes instead: whole,
# validation would cost more than it tells.
MOST_OF_ONE = 1 / 3


@dataclass(frozen=True, slots=True)
class RoundData:
    """What a round trains on.

    Parameters
    ----------
    folder
        The dataset.
    hands
        The same for the trainer.
    digests
        Of the dataset, by name.
    """

    folder: Path
    hands: TrainingHands
    digests: dict[str, str]


def run_round_dataset(
    labels: Sequence[Path], start: Path | None, out: Path, *, force: bool = False
) -> RoundData:
    """Join labels and start set into a dataset; one that was made of the same is kept.

    Parameters
    ----------
    labels
        Folders of `multiview label`; hands that a person rejected are left out.
    start
        Labelled dataset of any layout: its labels are those of round 0.
    out
        Folder of the dataset.
    force
        Replace one that was made of something else.

    Raises
    ------
    InputError
        If nothing is left, or ``out`` was made of something else.
    """
    given = [] if start is None else [load_dataset(start)]
    parts = [*(_digest(folder) for folder in labels), *(data.identity for data in given)]
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
        samples, pictures = join([*map(_kept, labels), *map(_as_start, given)])
        if not len(samples):
            raise InputError(
                f"{out}: a person rejected every label", "film more, or label with other options"
            )
        save_dataset(samples, out, "parquet", pictures=pictures, made_from=made_from, force=True)
    data = load_dataset(out)
    say(f"dataset: {len(data.samples)} hands, {(data.samples.round == 0).sum()} of the start set")
    return RoundData(out, hands_of_dataset(data), {"dataset": data.digest})


def hands_of_dataset(data: Dataset) -> TrainingHands:
    """Hand a dataset to the trainer: labels of round 0 are its start set.

    Hands of one subject, in whatever take, are held back together; hands without one, or of one
    that makes up much of the labels, by tenths of a take.
    """
    samples = data.samples
    return TrainingHands(
        picture=tuple(str(data.pictures.path(image)) for image in samples.image.tolist()),
        xy_px=samples.xy_px,
        weight=samples.weight,
        sigma_px=samples.sigma_px,
        right=samples.right,
        session=_groups(samples),
        start=np.asarray(samples.round == 0, np.bool_),
        keypoints=samples.skeleton.keypoints,
    )


def _groups(samples: HandSamples) -> tuple[str, ...]:
    """Name what is held back together: a person, over all takes, or a part of a take."""
    people, count = np.unique(samples.subject, return_counts=True)
    whole = set(people[count <= MOST_OF_ONE * len(samples)].tolist()) - {""}
    pairs = list(zip(samples.session.tolist(), samples.subject.tolist(), strict=True))
    # called by the first take too, so that no name is that of a part
    first = {subject: session for session, subject in sorted(set(pairs), reverse=True)}
    return tuple(
        f"{first[subject]} {subject}" if subject in whole else f"{session} part {part}"
        for (session, subject), part in zip(pairs, _parts(samples), strict=True)
    )


def _parts(samples: HandSamples) -> list[int]:
    """Which tenth of its take every hand is in."""
    part = np.zeros(len(samples), np.int64)
    for session in np.unique(samples.session):
        rows = np.flatnonzero(samples.session == session)
        _, rank = np.unique(samples.frame_id[rows], return_inverse=True)
        part[rows] = rank * BLOCKS // max(1, rank.max(initial=0) + 1)
    return part.tolist()


def _kept(folder: Path) -> Dataset:
    """Labels of a take without those that a person rejected."""
    return kept(folder, load_dataset(folder))


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
