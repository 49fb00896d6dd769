"""Which labelled hands are held back together: those of a person, or of a stretch of a take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import IntArray
from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.train.hands import hold_back

__all__ = ["divide", "groups_of"]

Frame = tuple[str, str, int]

# Parts that a take is cut into at most, half as many at least: neighbouring frames show the same
# pose, so single frames would tell nothing.
PARTS = 10
# A person with more than this share of the labels is held back in parts of takes instead: whole,
# validation would cost more than it tells.
MOST_OF_ONE = 1 / 3


def groups_of(parts: Sequence[HandSamples]) -> list[str]:
    """Name the group of every hand of some data sets, one after the other.

    A subject is one in whatever take; hands without one, or of one that makes up much of the
    labels, are grouped by stretches of their take.
    """
    session, subject = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("session", "subject")
    )
    part = _stretches(session, np.concatenate([part.frame_id for part in parts]))
    people, count = np.unique(subject, return_counts=True)
    whole = set(people[count <= MOST_OF_ONE * len(subject)].tolist()) - {""}
    pairs = list(zip(session.tolist(), subject.tolist(), strict=True))
    # called by the first take too, so that no name is that of a stretch
    first = {who: take for take, who in sorted(set(pairs), reverse=True)}
    return [
        f"{first[who]} {who}" if who in whole else f"{take} part {number}"
        for (take, who), number in zip(pairs, part.tolist(), strict=True)
    ]


def _stretches(session: NDArray[np.str_], frame_id: IntArray) -> IntArray:
    """Which stretch of its take every hand is in.

    All are a power of two of frames long, so that a frame more or less that is labelled does not
    move their ends.
    """
    part = np.zeros(len(session), np.int64)
    for name in np.unique(session):
        rows = np.flatnonzero(session == name)
        length = int(frame_id[rows].max()) + 1
        part[rows] = frame_id[rows] // 2 ** max(0, int(np.ceil(np.log2(length / PARTS))))
    return part


def divide(
    samples: HandSamples, share: float, seed: int, earlier: Sequence[HandSamples] = ()
) -> HandSamples:
    """Set the split of labels that have none: ``val`` is held back, ``train`` is learnt.

    Parameters
    ----------
    samples
        Labels; those that say their split keep it.
    share
        Of the labels that should be held back.
    seed
        See `multiview.train.hands.hold_back`.
    earlier
        The same of earlier rounds, divided: what a network once learnt is no test of those trained
        from it, so it is not held back later.

    Raises
    ------
    InputError
        If nothing is left to learn from, or there are fewer than two hands.
    """
    split = [str(side) for side in samples.split]
    rows = [n for n, side in enumerate(split) if not side]
    if rows and split.count("val") < share * len(split):
        every, frames = groups_of([samples]), _frames(samples)
        groups = [every[n] for n in rows]
        learnt, held = (
            _with_any(groups, [frames[n] for n in rows], _of_split(earlier, side))
            for side in ("train", "val")
        )
        chosen = hold_back(groups, share, seed, held=held - learnt, learnt=learnt)
        for n, hold in zip(rows, chosen.tolist(), strict=True):
            split[n] = "val" if hold else "train"
    split = [side or "train" for side in split]
    if "train" not in split:
        raise InputError(
            "every labelled hand is held back for validation, none is left to learn from",
            "give hands of the split train, or of none",
        )
    return replace(samples, split=np.array(split, np.str_))


def _with_any(groups: Sequence[str], frames: Sequence[Frame], known: set[Frame]) -> set[str]:
    """Name the groups of which some frame is among those known."""
    return {group for group, frame in zip(groups, frames, strict=True) if frame in known}


def _of_split(earlier: Sequence[HandSamples], split: str) -> set[Frame]:
    return {
        frame
        for samples in earlier
        for frame, side in zip(_frames(samples), samples.split.tolist(), strict=True)
        if side == split
    }


def _frames(samples: HandSamples) -> list[Frame]:
    """Name each label by what is the same in other rounds: take, person and instant."""
    names = samples.session.tolist(), samples.subject.tolist(), samples.frame_id.tolist()
    return list(zip(*names, strict=True))
