"""Hands that a track says must be there, looked for among the candidates left over."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, IntArray
from multiview.association.candidates import Candidates
from multiview.association.extract import settle
from multiview.association.hypotheses import Found, equations
from multiview.association.tracks import MAX_GAP_S

__all__ = ["fill_gaps"]


def fill_gaps(
    cand: Candidates, found: Found, track: IntArray, times: F64, least: int = 2
) -> tuple[Found, IntArray]:
    """Look half way between sightings of a track for candidates of two or more views.

    Parameters
    ----------
    cand
        All candidates.
    found, track
        Hands of every frame and their numbers, (F, R).
    times
        Seconds, shape (F,).
    least
        Views that a hand needs.

    Returns
    -------
    found, track
        With a column of hands more, if any were found.
    """
    slots = np.arange(cand.tol.shape[2])
    free = cand.there & ~(found.slot[..., None] == slots).any(2)
    # a hand needs two views
    open_ = free.any(-1).sum(1) >= 2
    extra_slot = np.full((*cand.tol.shape[:2], 1), -1)
    extra_xyz = np.full((len(track), 1, *cand.xy.shape[3:4], 3), np.nan)
    extra_track = np.full((len(track), 1), -1)
    for number in np.unique(track[track >= 0]).tolist():
        frames, xyz = _between(found.xyz, track == number, times, open_ & (extra_track[:, 0] < 0))
        if not frames.size:
            continue
        part = cand.take(frames)
        got = settle(part, equations(part), xyz[:, None], free[frames])
        hit = got.votes[:, 0] >= least
        at = frames[hit]
        extra_slot[at], extra_xyz[at], extra_track[at] = got.slot[hit], got.xyz[hit], number
    if not (extra_track >= 0).any():
        return found, track
    return (
        Found(
            np.concatenate([found.slot, extra_slot], axis=2),
            np.concatenate([found.xyz, extra_xyz], axis=1),
        ),
        np.concatenate([track, extra_track], axis=1),
    )


def _between(xyz: F64, own: np.ndarray, times: F64, wanted: np.ndarray) -> tuple[IntArray, F64]:
    """Frames inside a track's gaps, and the hand interpolated between both ends."""
    seen, r = np.nonzero(own)
    gaps = np.flatnonzero(np.diff(seen) > 1)
    frames, hands = [], []
    for g in gaps.tolist():
        a, b = int(seen[g]), int(seen[g + 1])
        if times[b] - times[a] > MAX_GAP_S * (1 + 1e-6):
            continue
        inner = a + 1 + np.flatnonzero(wanted[a + 1 : b])
        share = ((times[inner] - times[a]) / (times[b] - times[a]))[:, None, None]
        first, last = xyz[a, r[g]], xyz[b, r[g + 1]]
        frames.append(inner)
        hands.append(first + share * (last - first))
    if not frames:
        return np.zeros(0, np.int64), np.zeros((0, *xyz.shape[2:]))
    return np.concatenate(frames), np.concatenate(hands)
