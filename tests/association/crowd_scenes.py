"""Takes of several hands that cross, are away, are found twice, with truth of every candidate."""

from __future__ import annotations

import numpy as np

from multiview.core import Detections, Rig
from multiview.synth import Crowd, join_candidates, make_hand_motion, make_rig, observe, pass_by

FPS = 30
ERRORS = {
    "noise_px": 1.5,
    "missing": 0.1,
    "missing_hands": 0.1,
    "outliers": 0.1,
    "hand_swaps": 0.2,
    "ordered": False,
}


def crossing(
    seed: int, people: int, views: int = 6, frames: int = 75, away_s: float = 0.0
) -> tuple[Rig, Crowd]:
    """Each person's hands pass each other 5 cm apart; ``away_s`` ends in the middle of the take."""
    rng = np.random.default_rng(seed)
    rig = make_rig(rng, views, view_m=1.1)
    seen = []
    for person in range(people):
        hands = pass_by(make_hand_motion(rng, frames, 2, reach_m=0.02), apart_m=0.05)
        hands = hands + np.array([0.0, 0.22, 0.0]) * (person - (people - 1) / 2)
        seen.append(observe(rng, rig, hands, **ERRORS))
    away = np.zeros((frames, 2 * people), np.bool_)
    stop = frames // 2 + 10
    away[stop - round(away_s * FPS) : stop, ::2] = away_s > 0
    return rig, join_candidates(rng, seen, duplicates=0.1, away=away)


def hand_in_slot(placed: Detections, crowd: Crowd) -> np.ndarray:
    """Which hand each placed candidate shows, shape (V, F, H); -1: none."""
    pool = crowd.detections.xy_px
    out = np.full(placed.xy_px.shape[:3], -1)
    for h in range(out.shape[2]):
        want = placed.xy_px[:, :, h, None]
        same = ((want == pool) | (np.isnan(want) & np.isnan(pool))).all((-1, -2))
        same &= placed.valid[:, :, h].any(-1)[..., None]
        hand = np.take_along_axis(crowd.hand, same.argmax(-1)[..., None], axis=2)[..., 0]
        out[..., h] = np.where(same.any(-1), hand, -1)
    return out


def majority(hand: np.ndarray) -> np.ndarray:
    """Which hand most views show in a slot, shape (F, H); -1: none."""
    count = (hand[..., None] == np.arange(hand.max() + 1)).sum(0)
    return np.where(count.any(-1), count.argmax(-1), -1)


def switches(main: np.ndarray, track: np.ndarray) -> int:
    """Times that a track goes over from one hand to another."""
    total = 0
    for number in np.unique(track[track >= 0]):
        hands = main[(track == number) & (main >= 0)]
        total += int((np.diff(hands) != 0).sum())
    return total
