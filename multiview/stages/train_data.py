"""Labelled hands for `multiview train`: from folders of `multiview label`, and their pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from multiview.core import PseudoLabels, Skeleton
from multiview.errors import InputError
from multiview.formats.coco import image_name, read_coco
from multiview.stage import file_digest
from multiview.train.hands import TrainingHands, join_hands

__all__ = ["Samples", "hands_of_labels", "hands_of_samples", "read_training_hands"]

SIDES = {"left": 0.0, "right": 1.0}


class Samples(Protocol):
    """One labelled hand in one picture a row, as data sets keep them: N rows of K keypoints.

    ``xy_px`` (N, K, 2), ``weight`` and ``sigma_px`` (N, K), ``right`` (N,): as in `TrainingHands`.
    ``image``: paths from the data set's folder; ``session``; ``round`` of bootstrapping (N,).
    """

    xy_px: Any
    weight: Any
    sigma_px: Any
    right: Any
    image: Any
    session: Any
    round: Any
    skeleton: Skeleton


def hands_of_samples(samples: Samples, folder: Path, *, start: bool | None = None) -> TrainingHands:
    """Take what training needs from the samples of a data set.

    Parameters
    ----------
    samples
        The rows; choose those of a split before.
    folder
        The data set's.
    start
        Whether they are the start set; None: those of round 0 are.
    """
    rounds = np.asarray(samples.round)
    return TrainingHands(
        picture=tuple(str(folder / name) for name in samples.image),
        xy_px=samples.xy_px,
        weight=samples.weight,
        sigma_px=samples.sigma_px,
        right=samples.right,
        session=tuple(str(s) for s in samples.session),
        start=rounds == 0 if start is None else np.full(len(rounds), start),
        keypoints=samples.skeleton.keypoints,
    )


def read_training_hands(
    labels: Sequence[Path], start: Sequence[Path]
) -> tuple[TrainingHands, dict[str, str]]:
    """Read folders of labels.

    Parameters
    ----------
    labels, start
        Folders of `multiview label`; those of the start set apart.

    Returns
    -------
    tuple
        All hands, and digests of what was read.

    Raises
    ------
    InputError
        If a folder has no labels, or a labelled picture is not there.
    """
    parts, digests = [], {}
    for folder, is_start in [*((f, False) for f in labels), *((f, True) for f in start)]:
        folder = folder.parent if folder.name == "coco.json" else folder
        hands = hands_of_labels(read_coco(folder / "coco.json"), folder, is_start)
        parts.append(hands)
        digests[f"{'start' if is_start else 'labels'} {folder}"] = (
            f"{file_digest(folder / 'coco.json')} {_picture_digest(hands)}"
        )
    return join_hands(parts), digests


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
