"""Fingers and hands that one view confused, found against the 3D of the others and put right.

Only a view that three others contradict can be repaired: two views alone decide nothing. What is
moved must be known at both places, must fit far better there (`permutations`), and a hand whose own
3D has its knuckles out of order (a majority that is confused) is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray, present
from multiview.association.permutations import (
    FALSE_RATE,
    Fingers,
    Judged,
    View,
    fingers_of,
    judge,
    row_score,
)
from multiview.core import Detections, Points3D, Rig, Skeleton
from multiview.geometry.project import project_jacobian

__all__ = ["CARRIERS", "Repairs", "find_repairs", "no_repairs"]

# Other views that must carry a 3D point before a view is corrected by it.
CARRIERS = 3
# A row is off beyond this many standard deviations (once in a hundred for right ones).
OFF = float(np.sqrt(-2 * np.log(0.01)))
# A whole hand is compared at a noise of at least this share of its box: a hand elsewhere is a box
# away, the rig's own errors are not to matter.
HAND_NOISE = 0.05
# Keypoints on which two hands are compared.
HAND_ROWS = 6
# Hands in a view judged at once.
BLOCK = 4096
KNUCKLES = ("index", "middle", "ring", "little")


@dataclass(frozen=True, slots=True)
class Repairs:
    """What to take from where.

    Parameters
    ----------
    hand
        Slot that each slot's detection comes from, shape (V, F, H).
    source
        Then the row that each keypoint's comes from, shape (V, F, H, K).
    kinds
        How often what was confused, per camera: ``{kind: (V,)}``; ``hands`` counts hands,
        ``index-middle`` and the like exchanges of two fingers, ``fingers`` other permutations,
        ``order`` fingers in reverse.
    moved_fingers
        Fingers that moved or turned, per camera, shape (V,).
    """

    hand: IntArray
    source: IntArray
    kinds: dict[str, IntArray]
    moved_fingers: IntArray

    @property
    def any(self) -> bool:
        """Whether anything is to be repaired."""
        return bool(self.kinds)

    def figures(self, moved: IntArray) -> dict[str, Any]:
        """Entries of a triangulation's report; ``moved`` (V,) hands were overruled before."""
        hands = moved + self.kinds.get("hands", 0)
        return {
            "swapped_hands": tuple(hands.tolist()),
            "repaired_fingers": tuple(self.moved_fingers.tolist()),
            "repairs": {kind: tuple(n.tolist()) for kind, n in sorted(self.kinds.items())},
        }

    def apply(self, dets: Detections) -> Detections:
        """Return the detections with everything in its place."""

        def moved(values: F64) -> F64:
            tail = [1] * (values.ndim - 3)
            values = np.take_along_axis(values, self.hand.reshape(*self.hand.shape, *tail), axis=2)
            if not tail:
                return values
            index = self.source.reshape(*self.source.shape, *tail[1:])
            return np.take_along_axis(values, index, axis=3)

        return replace(
            dets, xy_px=moved(dets.xy_px), conf=moved(dets.conf), right=moved(dets.right)
        )


def no_repairs(dets: Detections) -> Repairs:
    """Leave everything where it is."""
    views, _, hands, k = dets.conf.shape
    return Repairs(
        np.broadcast_to(np.arange(hands), dets.conf.shape[:3]).copy(),
        np.broadcast_to(np.arange(k), dets.conf.shape).copy(),
        {},
        np.zeros(views, np.int64),
    )


@dataclass(frozen=True, slots=True)
class _Scene:
    dets: Detections
    points: Points3D
    rig: Rig
    sigma_px: F64
    carried: BoolArray  # (V, F, H, K): points that enough other views carry


def find_repairs(dets: Detections, points: Points3D, rig: Rig, sigma_px: F64) -> Repairs:
    """Find what single views confused.

    Parameters
    ----------
    dets
        Sorted into hands, as triangulated.
    points, rig
        The 3D of ``dets``, and its cameras in the order of ``dets``.
    sigma_px
        Noise of one coordinate of each camera, shape (V,).
    """
    out = no_repairs(dets)
    views, hands = dets.conf.shape[0], dets.conf.shape[2]
    if views <= CARRIERS or not points.valid.any():
        return out
    count = points.inlier.sum(0, dtype=np.int16)
    carried = points.valid & (count - points.inlier >= CARRIERS)
    scene = _Scene(dets, points, rig, sigma_px, carried)
    _find_hands(out.hand, scene)
    swapped = out.hand != np.arange(hands)
    if swapped.any():
        # a slot that only became empty received nothing
        got = np.take_along_axis(dets.valid.any(-1), out.hand, axis=2) & swapped
        out.kinds["hands"] = got.sum((1, 2))
    fingers = fingers_of(dets.skeleton)
    if fingers is None:
        return out
    suspect = _suspects(scene, fingers) & ~swapped
    for v in range(views):
        f, h = np.nonzero(suspect[v])
        for start in range(0, len(f), BLOCK):
            at = f[start : start + BLOCK], h[start : start + BLOCK]
            found = judge(_view_of(scene, v, *at), fingers)
            out.source[v, at[0], at[1]] = found.source
            out.moved_fingers[v] += found.fingers.sum()
            _tally(out.kinds, found, fingers, v, views)
    return out


def _tally(kinds: dict[str, IntArray], found: Judged, fingers: Fingers, v: int, views: int) -> None:
    for n in np.flatnonzero(found.fingers.any(1)):
        names = [fingers.names[g] for g in np.flatnonzero(found.fingers[n])]
        kind = "order" if found.reverse[n] else "-".join(names) if len(names) == 2 else "fingers"
        kinds.setdefault(kind, np.zeros(views, np.int64))[v] += 1


def _suspects(scene: _Scene, fingers: Fingers) -> BoolArray:
    """Hands in views with two fingers half off or one finger nearly all off, shape (V, F, H)."""
    points = scene.points
    off = (points.err_px > OFF * scene.sigma_px[:, None, None, None]) & scene.carried
    count = off[..., fingers.rows].sum(-1, dtype=np.int8)
    suspect = ((count >= 2).sum(-1) >= 2) | (count >= 3).any(-1)
    return np.asarray(suspect & _in_order(points.xyz_world, points.skeleton), np.bool_)


def _in_order(xyz: F64, skeleton: Skeleton) -> BoolArray:
    """Whether the knuckles (F, H) are known and follow one another from index to little."""
    if not all(name in skeleton.groups for name in KNUCKLES):
        return np.ones(xyz.shape[:2], np.bool_)
    base = xyz[:, :, [skeleton.groups[name][0] for name in KNUCKLES]]
    across = base[:, :, -1] - base[:, :, 0]
    step = (np.diff(base, axis=2) * across[:, :, None]).sum(-1)
    return np.asarray((step > 0).all(-1), np.bool_)


def _view_of(scene: _Scene, v: int, f: IntArray, h: IntArray) -> View:
    """Hands (f, h) of view v beside their projections."""
    points = scene.points
    xyz = np.where(scene.carried[v, f, h][..., None], points.xyz_world[f, h], np.nan)
    at, spread = _projected(scene.rig, v, xyz, points.cov[f, h])
    sigma = np.sqrt(scene.sigma_px[v] ** 2 + np.nan_to_num(spread))
    return View(scene.dets.xy_px[v, f, h], at, sigma, _box(at))


def _projected(rig: Rig, v: int, xyz: F64, cov: F64) -> tuple[F64, F64]:
    """Pixels of points (..., 3) in a view and the mean variance of their coordinates."""
    camera = rig.cameras[v]
    i = camera.intrinsics
    at, by_cam = project_jacobian(camera.cam_from_world.apply(xyz), i.K, i.dist, i.model)
    J = by_cam @ camera.cam_from_world.R
    return at, np.asarray(np.einsum("...ci,...ij,...cj->...", J, cov, J) / 2)


def _box(at: F64) -> F64:
    """Longer side of the box of projected hands (..., K, 2), pixels; at least 1."""
    seen = np.isfinite(at)
    side = np.where(seen, at, -np.inf).max(-2) - np.where(seen, at, np.inf).min(-2)
    return np.asarray(np.maximum(np.where(np.isfinite(side), side, 0.0).max(-1), 1.0))


def _find_hands(hand: IntArray, scene: _Scene) -> None:
    """Set the slot that each slot's hand really comes from, (V, F, H), in place."""
    views, _, hands = hand.shape
    if hands < 2:
        return
    limit = np.log(views * hands * (hands - 1) / 2 / FALSE_RATE)
    for v in range(views):
        frames_off = _off_hands(scene, v)
        score = _hand_scores(scene, v, frames_off)
        own = np.einsum("fhh->fh", score)
        for a in range(hands):
            for b in range(a):
                excess = score[:, a, b] + score[:, b, a] - own[:, a] - own[:, b]
                at = frames_off[excess > limit]
                hand[v, at, a], hand[v, at, b] = hand[v, at, b].copy(), hand[v, at, a].copy()


def _off_hands(scene: _Scene, v: int) -> IntArray:
    """Frames of a view in which a hand is off as a whole, or has no 3D of its own beside others."""
    err = scene.points.err_px[v]
    known = (scene.carried[v] & np.isfinite(err)).sum(-1)
    off = ((err > OFF * scene.sigma_px[v]) & scene.carried[v]).sum(-1) * 2 > known
    lone = scene.dets.valid[v].any(-1) & (known < HAND_ROWS)
    other = scene.carried[v].sum(-1) >= HAND_ROWS
    return np.flatnonzero((off | lone).any(-1) & other.any(-1))


def _hand_scores(scene: _Scene, v: int, f: IntArray) -> F64:
    """Score of every detected hand at the place of every 3D hand, shape (f, from, to)."""
    xyz = np.where(scene.carried[v, f][..., None], scene.points.xyz_world[f], np.nan)
    at, spread = _projected(scene.rig, v, xyz, scene.points.cov[f])
    box = _box(at)[..., None]
    noise = np.sqrt(scene.sigma_px[v] ** 2 + np.nan_to_num(spread))
    sigma = np.maximum(noise, HAND_NOISE * box)
    r2 = ((scene.dets.xy_px[v, f][:, :, None] - at[:, None]) ** 2).sum(-1)
    score = row_score(r2, sigma[:, None], box[:, None])
    enough = present(r2[..., None]).sum(-1) >= HAND_ROWS
    return np.asarray(np.where(enough, score.sum(-1), 0.0))
