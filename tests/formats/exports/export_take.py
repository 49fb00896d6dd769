"""A triangulated take as the stages leave it: points, rig, detections, manifests."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from multiview.core import HAND_21, Detections, Points3D, Rig
from multiview.formats.detections_parquet import write_detections
from multiview.formats.points_parquet import write_points
from multiview.formats.rig_yaml import write_rig
from multiview.synth import make_hand_motion, make_rig

FPS = 25.0
# The camera dropped the set 3; the numbers of sets count on.
FRAMES = (0, 1, 2, 4, 5)
TICKS = [0, 1, 2, 4, 5]
HANDS = ("left", "right")
LOST = (2, 1, 7)  # frame, hand, keypoint without a point


def make_points(rig: Rig) -> Points3D:
    """Two moving hands, of which one keypoint is lost for a frame and the left one for another."""
    xyz = make_hand_motion(np.random.default_rng(2), len(FRAMES), 2, fps=FPS)
    xyz[LOST] = np.nan
    xyz[4, 0] = np.nan
    valid = np.isfinite(xyz).all(-1)
    cov = np.where(valid[..., None, None], np.diag([1e-6, 4e-6, 9e-6]), np.nan)
    inlier = np.broadcast_to(valid, (len(rig.cameras), *valid.shape)).copy()
    inlier[1, :, :, 4] = False
    return Points3D(
        xyz_world=xyz,
        cov=cov,
        inlier=inlier,
        err_px=np.where(inlier, 1.5, np.nan),
        voted=valid,
        frame_ids=np.array(FRAMES),
        camera_names=rig.names,
        hands=HANDS,
        skeleton=HAND_21,
        rig_digest=rig.digest,
    )


def make_detections(points: Points3D, rig: Rig) -> Detections:
    """What the points would have come from, 5 ms apart between the cameras."""
    xy = rig.project(points.xyz_world)
    conf = np.where(np.isfinite(xy).all(-1), 0.875, 0.0)
    start = np.arange(len(rig.cameras)) * 5e-3
    return Detections(
        xy_px=xy,
        conf=conf,
        camera_names=rig.names,
        frame_ids=points.frame_ids,
        times=7.0 + points.frame_ids / FPS + start[:, None],
        skeleton=HAND_21,
        source="invented",
        right=np.broadcast_to([0.0, 1.0], (*conf.shape[:2], 2)),
        hands=HANDS,
        size_wh=tuple(c.intrinsics.size_wh for c in rig.cameras),
    )


def write_take(
    root: Path, *, up: bool = True, timed: bool = True, found: bool = True
) -> tuple[Path, Points3D, Rig]:
    """Write the folders ``detect`` and ``tri``; return the second, and what is in it."""
    rig = make_rig(np.random.default_rng(0), 3)
    rig = replace(rig, world="a board on the floor, z up" if up else "")
    points = make_points(rig)
    if not found:
        points = replace(
            points,
            xyz_world=np.full(points.xyz_world.shape, np.nan),
            inlier=np.zeros(points.inlier.shape, bool),
            cov=np.full(points.cov.shape, np.nan),
        )
    dets = make_detections(points, rig)
    if not timed:
        dets = replace(dets, times=np.full(dets.times.shape, np.nan))
    for name in ("detect", "tri"):
        (root / name).mkdir(parents=True)
    write_detections(dets, root / "detect" / "detections.parquet")
    write_points(points, root / "tri" / "points.parquet")
    write_rig(rig, root / "tri" / "rig.yaml")
    figures = {"detections": "../detect/detections.parquet"}
    (root / "tri" / "manifest.json").write_text(json.dumps({"figures": figures}))
    return root / "tri", points, rig
