"""Simulated detectors: a keypoint is hit with probability p, and otherwise anywhere on the hand."""

from __future__ import annotations

import numpy as np

from multiview.core import HAND_21, Detections, Points3D
from multiview.synth import make_hand_motion, make_rig
from multiview.triangulation import TriangulationConfig, triangulate

# Noise of a hit, and side of the square in which a miss lies, in hand lengths: 1.5 px and 150 px of
# a hand that is 150 px long.
NOISE, PATCH = 0.01, 1.0
HAND_M = 0.19
# Confidences of hits and misses: the ranges overlap, as a detector's do.
CONF_HIT, CONF_MISS = (0.6, 1.0), (0.25, 0.95)
# An "agreeing" error: a finger that is elsewhere in space for half of the views that miss it, by
# this much of the hand (the wrong finger, a finger guessed under an object).
SHIFT, SHARE, HOW_OFTEN = 0.25, 0.5, 0.15
FINGERS = HAND_21.group_index


def simulate(rng: np.random.Generator, views: int, p: float, errors: str, frames: int):
    """Detections of one hand, and the truth (F, 1, 21, 3).

    ``errors``: "point", every keypoint by itself; "finger", whole fingers together; "agreeing",
    whole fingers, and in some frames to the same wrong place.
    """
    rig = make_rig(rng, views, elevation_deg=(-20.0, 60.0))
    xyz = make_hand_motion(rng, frames)
    true = rig.project(xyz)
    px = HAND_M * np.array([c.intrinsics.K[0, 0] for c in rig.cameras])
    away = np.linalg.norm(rig.centres_world, axis=-1)
    unit = (px / away)[:, None, None, None, None]  # pixels of a hand's length
    shape = true.shape[:-1]
    whole = errors != "point"
    hit = _spread(rng.random(_cells(shape, whole)) < p, whole)
    off = _spread(rng.uniform(-PATCH / 2, PATCH / 2, (*_cells(shape, whole), 2)), whole, axis=3)
    xy = np.where(hit[..., None], true, true + off * unit)
    if errors == "agreeing":
        move = rng.normal(size=(*xyz.shape[:2], 6, 3))
        move *= SHIFT * HAND_M / np.linalg.norm(move, axis=-1, keepdims=True)
        there = rng.random((*xyz.shape[:2], 6)) < HOW_OFTEN
        elsewhere = rig.project(xyz + np.where(there[..., None], move, 0.0)[:, :, FINGERS])
        follows = ~hit & there[None][..., FINGERS]
        follows &= _spread(rng.random(_cells(shape, True)) < SHARE, True)
        xy = np.where(follows[..., None], elsewhere, xy)
    xy = xy + rng.normal(size=xy.shape) * NOISE * unit
    conf = np.where(hit, rng.uniform(*CONF_HIT, shape), rng.uniform(*CONF_MISS, shape))
    dets = Detections(
        xy_px=xy,
        conf=conf,
        camera_names=rig.names,
        frame_ids=np.arange(frames),
        times=np.broadcast_to(np.arange(frames) / 30, shape[:2]),
        skeleton=HAND_21,
        source=f"simulated p={p} {errors}",
        right=np.ones(shape[:3]),
        hands=("right",),
    )
    return rig, dets, xyz


def _cells(shape: tuple[int, ...], whole: bool) -> tuple[int, ...]:
    return (*shape[:3], 6) if whole else shape


def _spread(values: np.ndarray, whole: bool, axis: int = 3) -> np.ndarray:
    return np.take(values, FINGERS, axis=axis) if whole else values


def fixed_rule(dets: Detections, rig) -> Points3D:
    """The plain rule: three agreeing views make a label."""
    return triangulate(dets, rig, TriangulationConfig(min_views=3))
