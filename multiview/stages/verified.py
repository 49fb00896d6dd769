"""Keypoints that a person looked at: a table of single ones, or a reviewed label folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from multiview._shapes import BoolArray, IntArray
from multiview.core import HandSamples, Points3D
from multiview.errors import InputError
from multiview.formats.datasets import load_dataset
from multiview.formats.verdicts_csv import read_verdicts
from multiview.review.verdicts import BAD, bad_views
from multiview.stage import file_digest
from multiview.stages.review_folder import judged

__all__ = ["keypoints_of_review", "verified_digest", "verified_keypoints"]

# Labels are stored in double precision; another triangulation differs by far more.
SAME = 1e-9


def verified_digest(path: Path) -> str:
    """Content hash of what was said."""
    if not path.is_dir():
        return file_digest(path)
    said = sorted(judged(path).items())
    return hashlib.sha256(json.dumps(said).encode()).hexdigest() if said else "none"


def verified_keypoints(path: Path, points: Points3D) -> tuple[IntArray, BoolArray]:
    """Read what a person said of the keypoints of a take.

    Parameters
    ----------
    path
        CSV (`multiview.formats.verdicts_csv`), or a label folder all of whose frames were judged
        with `multiview review`: some of them, in an order of their errors, are no fair sample.
    points
        The take.

    Returns
    -------
    index, wrong
        Frame row, hand and keypoint, shape (N, 3); and which are wrong, shape (N,).

    Raises
    ------
    InputError
        If frames wait for a verdict, or the labels were made of other points.
    """
    if not path.is_dir():
        return read_verdicts(path, points)
    said = judged(path)
    waiting = sum(not verdict for verdict in said.values())
    if waiting or not said:
        raise InputError(
            f"{path}: {waiting or 'all'} frames wait for a verdict, and the others are no fair "
            "sample of the labels",
            f"judge them all first: multiview review {path}",
        )
    index, wrong = keypoints_of_review(load_dataset(path).samples, said, points)
    if not len(index):
        raise InputError(
            f"{path}: its labels were made of other points than these",
            "give the labels of this triangulation",
        )
    return index, wrong


def keypoints_of_review(
    samples: HandSamples, said: Mapping[int, str], points: Points3D
) -> tuple[IntArray, BoolArray]:
    """Find the 3D points behind the labels of judged frames.

    Parameters
    ----------
    samples
        The labels.
    said
        Verdicts by frame. All keypoints of a rejected frame count as wrong, which promises too
        little rather than too much; frames of which single views were rejected say nothing of the
        3D, and are left out.
    points
        The take that the labels were made of; found again by their coordinates.

    Returns
    -------
    index, wrong
        As `verified_keypoints`.
    """
    found, wrong = [], []
    for frame, verdict in said.items():
        row = np.flatnonzero(points.frame_ids == frame)
        if bad_views(verdict) or not row.size:
            continue
        mine = samples.frame_id == frame
        xyz, labelled = samples.xyz_world[mine], samples.labelled[mine]
        near = np.isclose(xyz[:, None], points.xyz_world[row[0]], rtol=SAME, atol=SAME).all(-1)
        seen = np.argwhere((near & labelled[:, None]).any(0))
        found.append(np.insert(seen, 0, row[0], axis=1))
        wrong.append(np.full(len(seen), verdict == BAD))
    if not found:
        return np.zeros((0, 3), np.int64), np.zeros(0, np.bool_)
    return np.concatenate(found).astype(np.int64), np.concatenate(wrong)
