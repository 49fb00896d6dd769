"""Takes of synthetic hands for the tests of selection, and points without detections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from multiview.core import HAND_21, Points3D, Rig
from multiview.synth import make_hand_motion, make_rig, observe
from multiview.triangulation import triangulate


def as_points(xyz, *, views=4, hands=("right",), unit="m", frame_ids=None) -> Points3D:
    """Certain points (F, H, 21, 3) that all views carry."""
    valid = np.isfinite(xyz).all(-1)
    shape = valid.shape
    return Points3D(
        xyz_world=np.where(valid[..., None], xyz, np.nan),
        cov=np.where(valid[..., None, None], 1e-6 * np.eye(3), np.nan),
        inlier=np.broadcast_to(valid, (views, *shape)),
        err_px=np.where(valid, np.full((views, *shape), 0.5), np.nan),
        voted=valid,
        frame_ids=np.arange(shape[0]) if frame_ids is None else frame_ids,
        camera_names=tuple(f"cam{v:02d}" for v in range(views)),
        hands=hands,
        skeleton=HAND_21,
        rig_digest="none",
        unit=unit,
    )


def make_take(frames=30, views=6, seed=0, **noise):
    """Rig, detections and points of a right hand."""
    rig = make_rig(np.random.default_rng(seed), views, view_m=0.5)
    xyz = make_hand_motion(np.random.default_rng(seed + 1), frames)
    seen = observe(np.random.default_rng(seed + 2), rig, xyz, **noise)
    return rig, seen.detections, triangulate(seen.detections, rig), xyz


def exchange(xyz, first, second, joint=0):
    """Exchange two fingers from a joint on, in every frame and so in every view."""
    out = xyz.copy()
    a, b = (1 + 4 * f + np.arange(joint, 4) for f in (first, second))
    out[..., a, :], out[..., b, :] = xyz[..., b, :], xyz[..., a, :]
    return out


def seen_by(rig: Rig, xyz, hands=("right",), right=1.0, noise_px=0.5, seed=0):
    """Detections and points of keypoints as they are said to be, errors of all views alike."""
    seen = observe(np.random.default_rng(seed), rig, xyz, noise_px=noise_px)
    dets = replace(seen.detections, hands=hands, right=np.full(seen.hand.shape, right))
    return dets, triangulate(dets, rig)
