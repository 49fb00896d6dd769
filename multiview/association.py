"""Which detection in each view is which hand.

A detector says what each picture holds, in no common order, and often calls a left hand a right
one. Geometry decides instead: every pair of detections in two views proposes a palm, the views
whose own detection agrees vote, the best palm wins, its detections are taken out, and the rest is
asked for a second hand (as in the capture group's own reconstruction: pool left and right, extract
two, drop the second when it coincides with the first). The detector's left/right opinions are then
summed over all views and over the time a hand is followed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.core import HAND_SLOTS, Detections, Rig
from multiview.geometry.dlt import pair_points

__all__ = ["assign_hands"]

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.intp]

# A view agrees when the palm is off by less than this share of the detection's own box: another
# hand is at least a palm away, the same hand's worst keypoint errors are a few per cent.
AGREE_BOX = 0.25
# The second hand is the first again when its palm lies within this share of the palm's size.
SAME_PALM = 0.5
# A hand moves less than this many palm sizes between two frames (1.5 m/s at 30 Hz is half a palm).
FOLLOW_PALMS = 1.0
# One view's opinion on left/right is worth at most this: it may be wrong with any confidence.
MAX_LOGIT = float(np.log(0.95 / 0.05))
# Detections whose palms are compared at once: bounds memory to a few tens of MB.
CHUNK_FLOATS = 4_000_000


@dataclass(frozen=True, slots=True)
class _Found:
    """One hand per frame: the chosen slot of each view (-1: none), palm points, size."""

    slot: IntArray  # (V, F)
    palm: F64  # (F, P, 3)
    votes: IntArray  # (F,)


def palm_keypoints(skeleton_groups: dict[str, tuple[int, ...]]) -> list[int]:
    """Return the first keypoint of every group: wrist and finger bases, a rigid part."""
    return [members[0] for members in skeleton_groups.values()]


def assign_hands(dets: Detections, rig: Rig) -> tuple[Detections, int]:
    """Sort every image's candidates into the left and the right hand.

    Parameters
    ----------
    dets
        Candidates, ``hands == ()``.
    rig
        The cameras of ``dets`` in their order.

    Returns
    -------
    dets, moved
        Detections with ``hands == ("left", "right")``; candidates that belong to neither hand are
        left out. ``moved`` counts those whose own left/right opinion was overruled.
    """
    if not len(dets.frame_ids):
        return _gather(dets, (), np.zeros(0, np.intp))
    palm = palm_keypoints(dets.skeleton.groups)
    xy = rig.undistort(dets.xy_px[..., palm, :])
    size = _box_norm(dets, rig)
    free = np.asarray(np.isfinite(xy).all((-1, -2)), np.bool_)
    first = _extract(rig, xy, size, free)
    free = free & ~_taken(first, free.shape)
    second = _extract(rig, xy, size, free)
    second = _drop_same(first, second)
    side = _sides(first, second, dets.right)
    return _gather(dets, (first, second), side)


def _box_norm(dets: Detections, rig: Rig) -> F64:
    """Longer side of each candidate's box in normalised units, shape (V, F, H)."""
    lo = np.where(dets.valid[..., None], dets.xy_px, np.inf).min(-2)
    hi = np.where(dets.valid[..., None], dets.xy_px, -np.inf).max(-2)
    focal = np.array([c.intrinsics.K[0, 0] for c in rig.cameras])
    side = np.asarray((hi - lo).max(-1))
    return np.asarray(np.where(np.isfinite(side), side, 0.0) / focal[:, None, None])


def _extract(rig: Rig, xy: F64, size: F64, free: BoolArray) -> _Found:
    """Find the hand most views agree on, frame by frame, among the free candidates."""
    frames, slots, palm = xy.shape[1:4]
    hypotheses = len(rig.cameras) * (len(rig.cameras) - 1) // 2 * slots * slots
    step = max(1, CHUNK_FLOATS // max(1, hypotheses * slots * palm * 2))
    xy = np.where(free[..., None, None], xy, np.nan)
    parts = [
        _extract_chunk(rig, xy[:, f : f + step], size[:, f : f + step])
        for f in range(0, max(frames, 1), step)
    ]
    return _Found(
        slot=np.concatenate([p.slot for p in parts], axis=1),
        palm=np.concatenate([p.palm for p in parts]),
        votes=np.concatenate([p.votes for p in parts]),
    )


def _extract_chunk(rig: Rig, xy: F64, size: F64) -> _Found:
    R, t = rig.cam_from_world
    frames, slots = xy.shape[1:3]
    # views x slots as one axis of single detections; pairs only between different views
    flat = xy.transpose(0, 2, 1, 3, 4).reshape(-1, frames, *xy.shape[3:])
    owner = np.repeat(np.arange(len(R)), slots)
    i, j = np.triu_indices(len(flat), k=1)
    other = owner[i] != owner[j]
    xyz = pair_points(R[owner], t[owner], flat, (i[other], j[other]))
    error = np.stack([_palm_error(xyz, R[v], t[v], xy[v], size[v]) for v in range(len(R))])
    best = np.where(np.isfinite(error), error, np.inf)
    slot = best.argmin(-1)
    best = best.min(-1)
    agree = best < 1
    # many agreeing views first, then how closely they do
    score = np.where(agree, 1 - best**2, 0.0).sum(0)
    winner = score.argmax(0)
    take = winner[None, None]
    won = np.take_along_axis(agree, take, axis=1)[:, 0] & (score.max(0) > 0)
    won &= won.sum(0) >= 2
    chosen = np.take_along_axis(slot, take, axis=1)[:, 0]
    palm = np.take_along_axis(xyz, winner[None, :, None, None], axis=0)[0]
    votes = won.sum(0)
    return _Found(
        np.where(won, chosen, -1), np.where((votes > 0)[:, None, None], palm, np.nan), votes
    )


def _palm_error(xyz: F64, R: F64, t: F64, xy: F64, size: F64) -> F64:
    """Mean palm error of hypotheses (P, F, k, 3) against a view's slots, over the tolerance.

    Returns shape (P, F, H), NaN where a slot is empty.
    """
    cam = xyz @ R.T + t
    z = np.where(cam[..., 2:] > 0, cam[..., 2:], np.nan)
    seen = cam[..., :2] / z
    distance = np.linalg.norm(seen[:, :, None] - xy[None], axis=-1).mean(-1)
    return np.asarray(distance / (AGREE_BOX * np.where(size > 0, size, np.nan)))


def _taken(found: _Found, shape: tuple[int, ...]) -> BoolArray:
    return np.asarray(found.slot[..., None] == np.arange(shape[2]), np.bool_)


def _palm_size(palm: F64) -> F64:
    """Largest distance from the first palm point (the wrist), shape (F,)."""
    reach = np.linalg.norm(palm[:, 1:] - palm[:, :1], axis=-1)
    return np.asarray(np.where(np.isfinite(reach).all(-1), reach.max(-1), np.nan))


def _drop_same(first: _Found, second: _Found) -> _Found:
    distance = np.linalg.norm(first.palm - second.palm, axis=-1).mean(-1)
    same = distance < SAME_PALM * _palm_size(first.palm)
    return _Found(
        np.where(same, -1, second.slot),
        np.where(same[:, None, None], np.nan, second.palm),
        np.where(same, 0, second.votes),
    )


def _opinion(found: _Found, right: F64) -> F64:
    """Sum the log odds of "right" over the views that carry the hand; shape (F,)."""
    p = np.take_along_axis(right, np.maximum(found.slot, 0)[..., None], axis=-1)[..., 0]
    logit = np.clip(np.log(np.clip(p, 1e-6, 1) / np.clip(1 - p, 1e-6, 1)), -MAX_LOGIT, MAX_LOGIT)
    return np.asarray(np.where((found.slot >= 0) & np.isfinite(p), logit, 0.0).sum(0))


def _sides(first: _Found, second: _Found, right: F64) -> IntArray:
    """Side (0 left, 1 right) of the first hand of every frame; the second is the other."""
    palms = np.stack([first.palm, second.palm], axis=1)
    size = _palm_size(first.palm)
    if not np.isfinite(size).any():
        return np.zeros(len(palms), np.intp)
    track = _follow(palms, float(np.nanmedian(size)))
    opinion = np.stack([_opinion(first, right), _opinion(second, right)], axis=1)
    side = _vote_tracks(track, opinion)
    lone = track[:, 1] < 0
    # two hands at once are one left and one right: the first's side decides for both
    return np.where(lone | (track[:, 0] >= 0), side[:, 0], 0)


def _follow(palms: F64, palm_size: float) -> IntArray:
    """Give each hand a number that it keeps; shape (F, 2), -1 where there is none."""
    track = np.full(palms.shape[:2], -1, np.intp)
    last: dict[int, F64] = {}
    fresh = 0
    complete = np.asarray(np.isfinite(palms).all((-1, -2)), np.bool_)
    for f in range(len(palms)):
        slots = np.flatnonzero(complete[f])
        pairs = sorted(
            (float(np.linalg.norm(palms[f, s] - palm, axis=-1).mean()), s, number)
            for s, (number, palm) in product(slots, last.items())
        )
        used: set[int] = set()
        for distance, s, number in pairs:
            if distance < FOLLOW_PALMS * palm_size and track[f, s] < 0 and number not in used:
                track[f, s] = number
                used.add(number)
        for s in slots:
            if track[f, s] < 0:
                track[f, s], fresh = fresh, fresh + 1
        last = {int(track[f, s]): palms[f, s] for s in slots} if len(slots) else last
    return track


def _vote_tracks(track: IntArray, opinion: F64) -> IntArray:
    """Side of every hand (F, 2): each track's summed opinion, strongest first.

    A track that coexists with one already named takes the other side.
    """
    numbers = np.unique(track[track >= 0])
    total = np.array([opinion[track == n].sum() for n in numbers])
    side = np.zeros(track.shape, np.intp)
    named: dict[int, int] = {}
    for index in np.argsort(-np.abs(total), kind="stable"):
        number = int(numbers[index])
        rows = (track == number).any(1)
        beside = track[rows][(track[rows] != number) & (track[rows] >= 0)]
        neighbours = [named[n] for n in beside.tolist() if n in named]
        wanted = int(total[index] > 0)
        if neighbours:
            wanted = 1 - round(float(np.mean(neighbours)))
        named[number] = wanted
        side[track == number] = wanted
    return side


def _gather(dets: Detections, found: tuple[_Found, ...], side: IntArray) -> tuple[Detections, int]:
    """Copy the chosen candidates into the left and right slots."""
    views, frames, _, k = dets.conf.shape
    xy = np.full((views, frames, 2, k, 2), np.nan)
    conf, right = np.zeros((views, frames, 2, k)), np.full((views, frames, 2), np.nan)
    moved = 0
    for order, hand in enumerate(found):
        target = side if order == 0 else 1 - side
        v, f = np.nonzero(hand.slot >= 0)
        slot, h = hand.slot[v, f], target[f]
        xy[v, f, h], conf[v, f, h] = dets.xy_px[v, f, slot], dets.conf[v, f, slot]
        right[v, f, h] = dets.right[v, f, slot]
        moved += int(((right[v, f, h] > 0.5) != (h == 1))[np.isfinite(right[v, f, h])].sum())
    placed = replace(dets, xy_px=xy, conf=conf, right=right, hands=HAND_SLOTS)
    return placed, moved
