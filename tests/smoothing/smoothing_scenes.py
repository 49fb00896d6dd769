"""A small take whose truth is known, and what is done to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from multiview.core import Camera, Detections, Points3D, Pose, Rig
from multiview.synth import make_rig, observe
from multiview.triangulation import TriangulationConfig, triangulate

FPS = 30.0


@dataclass(frozen=True)
class Scene:
    rig: Rig
    dets: Detections
    points: Points3D
    truth: np.ndarray  # (F, H, K, 3)


def calm_hand(frames: int) -> np.ndarray:
    """A stiff hand carried along a smooth curve, and fingers that open and close, (F, 1, 21, 3)."""
    t = np.arange(frames) / FPS
    base = np.zeros((frames, 21, 3))
    for finger in range(5):
        bend = 0.5 + 0.4 * np.sin(2 * np.pi * (0.4 + 0.05 * finger) * t + finger)
        at = np.zeros((frames, 3))
        way = np.deg2rad(90 - 20 * (finger - 2))
        for joint in range(4):
            angle = joint * bend
            flat = np.array([np.cos(way), np.sin(way), 0.0])
            step = np.cos(angle)[:, None] * flat - np.sin(angle)[:, None] * [0.0, 0.0, 1.0]
            at = at + (0.08 if joint == 0 else 0.03) * step
            base[:, 1 + 4 * finger + joint] = at
    carried = 0.05 * np.stack([np.sin(1.3 * t), np.cos(0.9 * t), np.sin(0.7 * t + 1)], -1)
    return (base - [0, 0.05, 0] + carried[:, None])[:, None]


def flick(frames: int, start: int) -> np.ndarray:
    """A shift of 0.3 m within 0.12 s, peak 5 m/s, and back after 0.35 s, shape (F, 1, 1, 3)."""
    t, out = np.arange(frames) / FPS, np.zeros((frames, 3))
    for begin, sign in ((start / FPS, 1), (start / FPS + 0.35, -1)):
        u = np.clip((t - begin) / 0.12, 0, 1)
        far = 5.0 * 0.12 / 2 * (u - np.sin(2 * np.pi * u) / (2 * np.pi))
        out[:, 0] += sign * far
    return out[:, None, None]


def fall(frames: int, impact: int) -> np.ndarray:
    """A fall of 1.5 m/s that ends within a frame, a rest, and a slow rise, shape (F, 1, 1, 3)."""
    u = np.arange(frames) / FPS - impact / FPS - 0.011
    out = np.zeros((frames, 3))
    out[:, 2] = -np.interp(u, (-0.08, 0, 0.15, 0.45), (0, 0.12, 0.12, 0))
    return out[:, None, None]


def make_scene(truth: np.ndarray, views: int = 5, seed: int = 0, **noise: float) -> Scene:
    rig = make_rig(np.random.default_rng(seed), views, view_m=1.0)
    given = {"noise_px": 1.5, "missing": 0.1, "outliers": 0.05, "outlier_px": 60.0} | noise
    seen = observe(np.random.default_rng(seed + 1), rig, truth, occlusion=0.0, **given)
    return triangulated(rig, seen.detections, truth)


def triangulated(rig: Rig, dets: Detections, truth: np.ndarray) -> Scene:
    points = triangulate(dets, rig, TriangulationConfig(unit="keypoint"))
    return Scene(rig, dets, points, truth)


def in_unit(scene: Scene, scale: float, unit: str) -> Scene:
    """The same scene measured in another unit."""
    cameras = [
        Camera(
            name=c.name,
            intrinsics=c.intrinsics,
            cam_from_world=Pose(R=c.cam_from_world.R, t=scale * c.cam_from_world.t),
        )
        for c in scene.rig.cameras
    ]
    rig = replace(scene.rig, cameras=tuple(cameras), unit=unit)
    # the very same points: what triangulation does to a unit is not the question here
    points = replace(
        scene.points,
        xyz_world=scale * scene.points.xyz_world,
        cov=scale**2 * scene.points.cov,
        rig_digest=rig.digest,
        unit=unit,
    )
    return Scene(rig, scene.dets, points, scale * scene.truth)


def part(scene: Scene, keep: np.ndarray) -> Scene:
    """Some frames of a scene, triangulated anew."""
    d = scene.dets
    dets = replace(
        d,
        xy_px=d.xy_px[:, keep],
        conf=d.conf[:, keep],
        right=d.right[:, keep],
        times=d.times[:, keep],
        frame_ids=d.frame_ids[keep],
    )
    return triangulated(scene.rig, dets, scene.truth[keep])


def backwards(scene: Scene) -> Scene:
    """The same scene filmed in reverse."""
    d, p = scene.dets, scene.points
    dets = replace(
        d,
        xy_px=d.xy_px[:, ::-1],
        conf=d.conf[:, ::-1],
        right=d.right[:, ::-1],
        times=(d.times.max() - d.times)[:, ::-1],
    )
    points = replace(
        p,
        xyz_world=p.xyz_world[::-1],
        cov=p.cov[::-1],
        inlier=p.inlier[:, ::-1],
        err_px=p.err_px[:, ::-1],
        voted=p.voted[::-1],
        filled=p.filled[::-1],
    )
    return Scene(scene.rig, dets, points, scene.truth[::-1])


def error_mm(points: Points3D, scene: Scene) -> np.ndarray:
    return 1000 * np.linalg.norm(points.xyz_world - scene.truth, axis=-1)
