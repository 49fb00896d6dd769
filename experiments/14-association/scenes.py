"""Invented takes of two and four hands, and what association made of them against the truth."""

import time

import numpy as np

from multiview.association import associate
from multiview.synth import join_candidates, make_hand_motion, make_rig, observe, pass_by

FPS = 30
# What the detector does in every scene: noise, gaps, gross errors, sides and order confused.
ERRORS = {
    "noise_px": 1.5,
    "missing": 0.1,
    "missing_hands": 0.15,
    "outliers": 0.1,
    "hand_swaps": 0.2,
    "ordered": False,
}
DUPLICATES = 0.1


def hands(seed, people, frames, apart_m):
    """Hands (F, 2 people, K, 3); each person's two hands pass each other every second."""
    out = []
    for person in range(people):
        rng = np.random.default_rng([seed, person])
        xyz = make_hand_motion(rng, frames, 2, reach_m=0.02)
        if apart_m:
            xyz = pass_by(xyz, apart_m=apart_m)
        else:
            xyz = xyz + np.array([0.0, 0.0, 0.05]) * (person - (people - 1) / 2)
        out.append(xyz + np.array([0.0, 0.22, 0.0]) * (person - (people - 1) / 2))
    return np.concatenate(out, axis=1)


def scene(seed, views, people, frames, *, apart_m=0.05, away_s=0.0, **errors):
    """Rig, pooled candidates with truth, and the true hands."""
    rng = np.random.default_rng([seed, views, people])
    rig = make_rig(rng, views, view_m=1.1)
    xyz = hands(seed, people, frames, apart_m)
    seen = [observe(rng, rig, xyz[:, 2 * p : 2 * p + 2], **ERRORS | errors) for p in range(people)]
    away = np.zeros((frames, 2 * people), bool)
    for h in range(2 * people) if away_s else ():
        start = 20 + 37 * h
        away[start : start + round(away_s * FPS), h] = True
    return rig, join_candidates(rng, seen, duplicates=DUPLICATES, away=away), xyz, away


def truth_of_slots(dets, crowd):
    """Which hand each placed candidate is, shape (V, F, H); -1 for none."""
    from_ = crowd.detections.xy_px
    out = np.full(dets.xy_px.shape[:3], -1)
    for h in range(out.shape[2]):
        same = (dets.xy_px[:, :, h, None] == from_) | (
            np.isnan(dets.xy_px[:, :, h, None]) & np.isnan(from_)
        )
        same = same.all((-1, -2)) & dets.valid[:, :, h].any(-1)[..., None]
        out[..., h] = np.where(
            same.any(-1),
            np.take_along_axis(crowd.hand, same.argmax(-1)[..., None], axis=2)[..., 0],
            -1,
        )
    return out


def measure(rig, crowd, xyz, away, max_hands):
    """Figures of one take."""
    associate(_first(crowd.detections, 4), rig, max_hands)
    start = time.process_time()
    got = associate(crowd.detections, rig, max_hands)
    seconds = time.process_time() - start
    placed = truth_of_slots(got.detections, crowd)
    hands_true = xyz.shape[1]
    count = (placed[..., None] == np.arange(hands_true)).sum(0)
    main = np.where(count.any(-1), count.argmax(-1), -1)
    switches, tracks = _switches(main, got.track)
    seen = np.array([(crowd.hand == h).any(-1) for h in range(hands_true)])
    could = (seen.sum(1) >= 2).T
    found = np.array([(main == h).any(1) for h in range(hands_true)]).T
    side = np.array([n.startswith("right") for n in got.detections.hands])
    right_side = (main % 2 == 1) == side
    return {
        "wrong": float((placed != main[None])[placed >= 0].mean()),
        "found": float(found[could].mean()),
        "ghosts": float(((got.track >= 0).sum(1) - found.sum(1)).clip(0).mean()),
        "switches": switches,
        "tracks": tracks,
        "side": float(right_side[main >= 0].mean()),
        "frames_s": xyz.shape[0] / seconds,
        "slots": len(side),
    }


def _first(dets, n):
    from dataclasses import replace

    return replace(
        dets,
        xy_px=dets.xy_px[:, :n],
        conf=dets.conf[:, :n],
        right=dets.right[:, :n],
        times=dets.times[:, :n],
        frame_ids=dets.frame_ids[:n],
    )


def _switches(main, track):
    """Times that a number goes from one hand to another; numbers in all."""
    last, switches = {}, 0
    for f in range(len(main)):
        for h in np.flatnonzero((main[f] >= 0) & (track[f] >= 0)):
            number = int(track[f, h])
            switches += last.get(number, main[f, h]) != main[f, h]
            last[number] = main[f, h]
    return switches, len(last)
