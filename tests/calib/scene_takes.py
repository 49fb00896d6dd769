"""Invented takes for calibration without a board, and comparisons that ignore world and scale."""

from __future__ import annotations

import numpy as np

from multiview.core import Camera, Detections, Pose, Rig
from multiview.geometry.align import estimate_alignment
from multiview.synth import Observation, make_hand_motion, make_rig, observe


def take(
    seed: int = 0, cameras: int = 5, frames: int = 40, hands: int = 1, reach: float = 0.25, **errors
) -> tuple[Rig, Observation]:
    """A hand carried through a wide volume."""
    rng = np.random.default_rng(seed)
    rig = make_rig(rng, cameras, view_m=1.0)
    # slow frames: every one shows the hand elsewhere
    xyz = make_hand_motion(rng, frames, n_hands=hands, fps=2.0, reach_m=reach)
    return rig, observe(rng, rig, xyz, **errors)


def without_poses(rig: Rig) -> Rig:
    """The lenses alone: every camera at the origin."""
    return Rig(
        cameras=tuple(
            Camera(name=c.name, intrinsics=c.intrinsics, cam_from_world=Pose.identity())
            for c in rig.cameras
        )
    )


def errors_after_alignment(rig: Rig, truth: Rig) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotation (degrees) and position (mm) errors after the best similarity, and its scale."""
    s, Q, d = estimate_alignment(rig.centres_world, truth.centres_world, with_scale=True)
    off = rig.cam_from_world[0] @ Q.T @ np.swapaxes(truth.cam_from_world[0], -1, -2)
    angle = np.arccos(np.clip((np.trace(off, axis1=1, axis2=2) - 1) / 2, -1, 1))
    place = np.linalg.norm(s * rig.centres_world @ Q.T + d - truth.centres_world, axis=1)
    return np.rad2deg(angle), 1000 * place, s


def in_gauge(rig: Rig, like: Rig) -> np.ndarray:
    """Poses (V, 6) of a rig moved to the gauge of another: its first camera, its sum of squares.

    Each row is what turns the other's pose into it: left rotation vector and translation step.
    """
    from scipy.spatial.transform import Rotation

    R, t = rig.cam_from_world
    R0, t0 = R[0], t[0]
    R = R @ R0.T
    t = t - R @ t0
    L, u = like.cam_from_world
    t = t * np.sqrt((u**2).sum() / (t**2).sum())
    w = Rotation.from_matrix(R @ np.swapaxes(L, -1, -2)).as_rotvec()
    return np.concatenate([w, t - u], -1)


def only_frames(dets: Detections, keep: np.ndarray, views: list[int]) -> Detections:
    """Hide some frames (a mask over F) from some views."""
    from dataclasses import replace

    xy, conf = dets.xy_px.copy(), dets.conf.copy()
    for v in views:
        xy[v, ~keep], conf[v, ~keep] = np.nan, 0.0
    return replace(dets, xy_px=xy, conf=conf)
