"""From tracks to the slots of axis H, and their names."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, IntArray
from multiview.core import HAND_SLOTS

__all__ = ["drop_ghosts", "keep_most", "name_slots"]

# A hand that is in no three frames and has at most this share of the views of lasting hands is a
# meeting of candidates that belong to none: to meet on the same course again, they would have to
# err alike from frame to frame.
LASTING, WEAK = 3, 2 / 3


def drop_ghosts(track: IntArray, votes: IntArray) -> IntArray:
    """Leave out what flares up for less than `LASTING` frames in few views, among lasting hands.

    Candidates that other hands left over agree now and then by chance; they do not again in the
    next frame. Where hands do not last (stills), nothing is left out.

    Returns
    -------
    IntArray
        ``track`` (F, R) with -1 for those left out.
    """
    there = track >= 0
    if not there.any():
        return track
    sightings = np.bincount(track[there])
    lasting = there & (sightings[np.maximum(track, 0)] >= LASTING)
    if 2 * lasting.sum() <= there.sum():
        return track
    weak = votes <= WEAK * np.median(votes[lasting])
    return np.where(there & (lasting | ~weak), track, -1)


def keep_most(track: IntArray, votes: IntArray, most: int) -> IntArray:
    """Leave out hands beyond ``most`` a frame: those of the tracks that fewest views carried.

    Returns
    -------
    IntArray
        ``track`` (F, R) with -1 for those left out.
    """
    if track.shape[1] <= most:
        return track
    total = np.zeros(int(track.max(initial=-1)) + 1)
    np.add.at(total, track[track >= 0], votes[track >= 0])
    weight = np.where(track >= 0, total[np.maximum(track, 0)] if total.size else 0.0, -1.0)
    rank = np.argsort(np.argsort(-weight, axis=1, kind="stable"), axis=1)
    return np.where(rank < most, track, -1)


def name_slots(
    track: IntArray, side: IntArray, middle: F64, *, one_person: bool
) -> tuple[IntArray, tuple[str, ...]]:
    """Give every hand a place on axis H.

    Parameters
    ----------
    track, side
        Number and side of every hand, shape (F, R).
    middle
        Where each hand is, shape (F, R, 3): a track takes the free slot of its side whose hand was
        nearest when last seen.
    one_person
        One left and one right hand: the side is the place.

    Returns
    -------
    place, names
        Shape (F, R), -1 for none; ``("left", "right")``, or, where there are more of a side,
        ``left-1, right-1, left-2, ...``: numbers are tracks of a side, not people.
    """
    if one_person:
        return np.where(track >= 0, side, -1), HAND_SLOTS
    slots: list[list[_Slot]] = [[], []]
    chosen: dict[int, tuple[int, int]] = {}
    for number in np.unique(track[track >= 0]).tolist():
        f, r = np.nonzero(track == number)
        own = slots[int(side[f[0], r[0]])]
        free = [s for s in own if not s.used[f].any()]
        best = min(free, key=lambda s: s.far(f[0], middle[f[0], r[0]]), default=None)
        if best is None:
            best = _Slot(np.zeros(len(track), np.bool_), np.full((len(track), 3), np.nan))
            own.append(best)
        best.used[f], best.middle[f] = True, middle[f, r]
        chosen[number] = (int(side[f[0], r[0]]), own.index(best))
    count = max(1, *(len(s) for s in slots))
    order = [(h, i) for i in range(count) for h in (0, 1) if i < max(1, len(slots[h]))]
    index = {key: n for n, key in enumerate(order)}
    place = np.full(track.shape, -1)
    for number, key in chosen.items():
        place[track == number] = index[key]
    names = [HAND_SLOTS[h] + (f"-{i + 1}" if count > 1 else "") for h, i in order]
    return place, tuple(names)


class _Slot:
    """A place on axis H while it is being filled."""

    def __init__(self, used: np.ndarray, middle: F64) -> None:
        self.used, self.middle = used, middle

    def far(self, f: int, at: F64) -> float:
        """Distance from where the slot's hand was last seen before frame f (or first after)."""
        frames = np.flatnonzero(self.used)
        before = frames[frames < f]
        last = before[-1] if before.size else frames[0]
        return float(np.linalg.norm(self.middle[last] - at))
