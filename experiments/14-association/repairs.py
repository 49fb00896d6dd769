"""Fingers and hands confused at known rates, and footage that only looks as if they were."""

import time
from dataclasses import replace

import numpy as np

from multiview.association import find_repairs
from multiview.synth import make_hand_motion, make_rig, observe
from multiview.triangulation import TriangulationConfig, triangulate_with_report

OFF = TriangulationConfig(unit="keypoint", repair=False)


def take(seed, views, hands, frames, **errors):
    rng = np.random.default_rng([seed, views])
    rig = make_rig(rng, views, view_m=0.8)
    xyz = make_hand_motion(rng, frames, hands)
    asked = {"noise_px": 1.5, "missing": 0.1, "outliers": 0.1} | errors
    return rig, xyz, observe(rng, rig, xyz, **asked)


def repaired(rig, dets):
    """Points without, repairs, points with, and the CPU seconds of triangulation and of search."""
    start = time.process_time()
    points, report = triangulate_with_report(dets, rig, OFF)
    middle = time.process_time()
    found = find_repairs(dets, points, rig, np.array(report.sigma_camera_px))
    stop = time.process_time()
    again = triangulate_with_report(found.apply(dets), rig, OFF)[0]
    return points, found, again, (middle - start, stop - middle)


def touched(found):
    own = np.arange(found.source.shape[3])
    return (found.source != own).any(-1) | (found.hand != np.arange(found.hand.shape[2]))


def swaps(views, frames, *, finger_swaps=0.0, hand_swaps=0.0):
    """Found, missed, false; error and recall of the points without and with repair."""
    rig, xyz, seen = take(0, views, 2, frames, finger_swaps=finger_swaps, hand_swaps=hand_swaps)
    points, found, again, seconds = repaired(rig, seen.detections)
    there = seen.detections.valid.any(-1)
    truth = (seen.finger_swapped.any(-1) | seen.hand_swapped[..., None]) & there
    got = touched(found) & there
    out = {
        "confused": int(truth.sum()),
        "found": float((got & truth).sum() / max(1, truth.sum())),
        "false": int((got & ~truth).sum()),
        "of": int((there & ~truth).sum()),
        "seconds": seconds,
    }
    for name, value in (("without", points), ("with", again)):
        off = np.linalg.norm(value.xyz_world - xyz, axis=-1) * 1000
        out[name] = (
            np.nanmedian(off),
            np.nanpercentile(off, 95),
            np.isfinite(off).mean(),
            np.nanmean(off > 10),
        )
    return out


def pretenders(kind, views, frames, seed=0):
    """Footage without any exchange: hands in views, and how many were "repaired"."""
    errors = {
        "noise of 5 px": {"noise_px": 5.0},
        "hidden points 6 times as noisy": {"occlusion": 6.0},
        "40 % gross errors": {"outliers": 0.4},
    }.get(kind, {})
    rig, _, seen = take(seed, views, 2, frames, **errors)
    rng = np.random.default_rng(seed)
    xy = np.array(seen.detections.xy_px)
    if kind == "a camera 17 px off":
        xy[0] += [14.0, 9.0]
    if kind == "a camera 100 ms late":
        xy[0, 3:] = xy[0, :-3].copy()
    if kind == "fingers astray by 15 px, 30 %":
        bad = rng.random((*xy.shape[:3], 5)) < 0.3
        off = np.where(bad[..., None], 15 * rng.normal(size=(*bad.shape, 2)), 0)
        xy[..., 1:, :] += np.repeat(off, 4, axis=3)
    if kind == "fingers on their neighbour, 5 %":
        for g in range(4):
            bad = rng.random(xy.shape[:3]) < 0.05
            there = xy[..., 5 + 4 * g : 9 + 4 * g, :][bad]
            xy[..., 1 + 4 * g : 5 + 4 * g, :][bad] = there + rng.normal(size=there.shape)
    dets = replace(seen.detections, xy_px=xy)
    _, found, _, _ = repaired(rig, dets)
    return int(dets.valid.any(-1).sum()), int((touched(found) & dets.valid.any(-1)).sum())


PRETENDERS = (
    "plain",
    "noise of 5 px",
    "hidden points 6 times as noisy",
    "40 % gross errors",
    "a camera 17 px off",
    "a camera 100 ms late",
    "fingers astray by 15 px, 30 %",
    "fingers on their neighbour, 5 %",
)
