"""Association of a whole take: hands of each frame, tracks, sides, slots."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray, present
from multiview.association.candidates import candidates_of, palm_keypoints
from multiview.association.extract import extract_hands
from multiview.association.fill import fill_gaps
from multiview.association.hypotheses import Found
from multiview.association.naming import drop_ghosts, keep_most, name_slots
from multiview.association.sides import BENT, BENT_LOGIT, bend, log_odds, sides_of_tracks
from multiview.association.tracks import Look, follow, step_times
from multiview.core import Detections, Rig, Skeleton, side_sign
from multiview.geometry.median import median_of

__all__ = ["Association", "assign_hands", "associate"]

# Hands sought beyond those wanted: a stranger or a ghost must not take a place before tracks tell.
SPARE = 2
# Of a thousand hands that are hard to find, one may be lost for its few views.
RARE = 1e-3
# No hand is larger or smaller than the take's median by more than this factor: the hand of a
# four-year-old and the largest adult's are 110 and 220 mm long.
SIZE_FACTOR = 2.0
# A hand of two views alone is doubtful if half of its bones disagree with its size by more than
# this factor (noise of 5 mm in a bone of 25 mm is a fifth): it may be one view's left hand and the
# other's right. What prediction says of its candidates is asked first.
SHAPE_FACTOR = 1.4
# Hands from which the take's median is told.
ENOUGH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """What became of the candidates of a take.

    Parameters
    ----------
    detections
        With ``hands`` set; candidates of no hand are left out.
    moved
        Candidates of each view whose own left/right opinion was overruled, shape (V,).
    unassigned
        Candidates of each view that belong to no hand, duplicates included, shape (V,).
    track
        Identity of the hand in every slot, shape (F, H); -1 where there is none. A slot can hold
        several, one after the other.
    xyz_world
        The hands as they were compared, shape (F, H, K, 3): linear, for association only.
    """

    detections: Detections
    moved: IntArray
    unassigned: IntArray
    track: IntArray
    xyz_world: F64


def assign_hands(dets: Detections, rig: Rig, max_hands: int = 2) -> tuple[Detections, int]:
    """Sort every image's candidates into hands.

    Parameters
    ----------
    dets
        Candidates, ``hands == ()``.
    rig
        The cameras of ``dets`` in their order.
    max_hands
        Hands at a time; 2: one person's.

    Returns
    -------
    dets, moved
        Detections with ``hands == ("left", "right")`` (for more than two hands see `associate`);
        candidates that belong to no hand are left out. ``moved`` counts those whose own left/right
        opinion was overruled.
    """
    found = associate(dets, rig, max_hands)
    return found.detections, int(found.moved.sum())


def associate(dets: Detections, rig: Rig, max_hands: int = 2) -> Association:
    """Sort every image's candidates into hands and follow these over time.

    Parameters
    ----------
    dets, rig, max_hands
        As for `assign_hands`. With more than two hands axis H has a slot for every hand that is
        there at the same time, called ``left-1``, ``right-1``, ``left-2`` and so on where a side
        has more than one: the number tells hands apart, it does not say whose they are.
    """
    cand = candidates_of(dets, rig)
    found = extract_hands(cand, max_hands + SPARE)
    least = least_votes(found.votes, len(rig.cameras))
    found, doubtful = _plausible(found, least, dets.skeleton)
    times = step_times(dets.times)
    if doubtful.any():
        sure = found.without(doubtful)
        track = follow(_look(sure, dets), times)
        sure, _ = fill_gaps(cand, sure, track, times, least)
        found = _restored(sure, found, doubtful)
    track = follow(_look(found, dets), times)
    found, track = fill_gaps(cand, found, track, times, least)
    track = keep_most(drop_ghosts(track, found.votes), found.votes, max_hands)
    one = max_hands <= 2
    opinion = _opinion(found, dets)
    side = sides_of_tracks(track, opinion, one_person=one)
    place, names = name_slots(track, side, _middle(found.xyz), one_person=one)
    return _gather(dets, found, track, place, names)


def _opinion(found: Found, dets: Detections) -> F64:
    """Log odds of "right" of every hand: the views' opinions and one more, how fingers bend."""
    bent = np.clip(bend(found.xyz, dets.skeleton) / BENT, -1, 1) * BENT_LOGIT
    told = np.where(found.votes >= 3, bent, 0.0)
    return np.asarray(log_odds(dets.right, found.slot) + told)


def _look(found: Found, dets: Detections) -> Look:
    palm = palm_keypoints(dets.skeleton.groups)
    size, _ = _log_size(found.xyz, dets.skeleton)
    return Look(found.xyz, palm, size, _opinion(found, dets))


def _log_size(xyz: F64, skeleton: Skeleton) -> tuple[F64, F64]:
    """Logarithm of each hand's size against the take's median bones, and how its bones differ.

    Both of shape (F, R): the median over the bones, and the median distance from it.
    """
    none = np.full(xyz.shape[:2], np.nan)
    edges = np.array(skeleton.edges)
    if not xyz.size or not len(edges):
        return none, none
    length = np.linalg.norm(xyz[:, :, edges[:, 0]] - xyz[:, :, edges[:, 1]], axis=-1)
    log = np.log(np.where(length > 0, length, np.nan))
    off = log - median_of(log.reshape(-1, len(edges)), 0)
    size = median_of(off)
    return size, median_of(np.abs(off - size[..., None]))


def _plausible(found: Found, least: int, skeleton: Skeleton) -> tuple[Found, BoolArray]:
    """Drop hands of too few views or of a size no hand has; say which are doubtful, (F, R)."""
    size, shape = _log_size(found.xyz, skeleton)
    told = np.isfinite(size) & (found.votes >= 3)
    told = told if told.sum() >= ENOUGH else np.isfinite(size) & (found.votes >= 2)
    ghost = found.votes < least
    if told.sum() < ENOUGH:
        return found.without(ghost), np.zeros(ghost.shape, np.bool_)
    ghost |= np.abs(size - np.median(size[told])) > np.log(SIZE_FACTOR)
    doubtful = ~ghost & (found.votes == 2) & (shape > np.log(SHAPE_FACTOR))
    return found.without(ghost), np.asarray(doubtful, np.bool_)


def _restored(sure: Found, found: Found, doubtful: BoolArray) -> Found:
    """Put doubtful hands back whose candidates nothing better has taken meanwhile."""
    both = found.slot[..., None] == sure.slot[:, :, None]
    taken = (both & (found.slot >= 0)[..., None]).any((1, 3))
    back = found.without(~doubtful | taken)
    return Found(
        np.concatenate([sure.slot, back.slot], axis=2),
        np.concatenate([sure.xyz, back.xyz], axis=1),
    )


def least_votes(votes: IntArray, views: int) -> int:
    """Say how many views a hand needs: fewer are rare even for one half as findable as others.

    Parameters
    ----------
    votes
        Views of hands, any shape; 0 where there is none.
    views
        V.
    """
    some = votes[votes >= 2]
    if not some.size:
        return 2
    rate = float(np.median(some)) / views / 2
    from scipy.special import bdtr  # loaded where it is needed: help is fast

    return max(2, int(np.searchsorted(bdtr(np.arange(views), views, rate), RARE)))


def _middle(xyz: F64) -> F64:
    """Mean of the known keypoints of hands (F, R, K, 3)."""
    seen = present(xyz)[..., None]
    return np.asarray(np.where(seen, xyz, 0).sum(2) / np.maximum(seen.sum(2), 1))


def _gather(
    dets: Detections, found: Found, track: IntArray, place: IntArray, names: tuple[str, ...]
) -> Association:
    """Copy the chosen candidates into their slots."""
    views, frames, slots, k = dets.conf.shape
    hands = len(names)
    xy = np.full((views, frames, hands, k, 2), np.nan)
    conf, right = np.zeros((views, frames, hands, k)), np.full((views, frames, hands), np.nan)
    slot = np.where((place >= 0)[:, None], found.slot, -1)
    f, v, r = np.nonzero(slot >= 0)
    s, h = slot[f, v, r], place[f, r]
    xy[v, f, h], conf[v, f, h] = dets.xy_px[v, f, s], dets.conf[v, f, s]
    right[v, f, h] = dets.right[v, f, s]
    used = np.zeros((views, frames, slots), np.bool_)
    used[v, f, s] = True
    identity, xyz = np.full((frames, hands), -1), np.full((frames, hands, k, 3), np.nan)
    at = np.nonzero(place >= 0)
    identity[at[0], place[at]] = track[at]
    xyz[at[0], place[at]] = found.xyz[at]
    return Association(
        detections=replace(dets, xy_px=xy, conf=conf, right=right, hands=names),
        moved=_overruled(right, names).sum((1, 2)),
        unassigned=(dets.valid.any(-1) & ~used).sum((1, 2)),
        track=identity,
        xyz_world=xyz,
    )


def _overruled(right: F64, names: tuple[str, ...]) -> BoolArray:
    """Where a view's opinion is not the slot's side, shape (V, F, H)."""
    is_right = np.array([side_sign(name) > 0 for name in names])
    return np.asarray(np.isfinite(right) & ((right > 0.5) != is_right), np.bool_)
