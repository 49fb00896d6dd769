"""One adjustment of a scene: detections to tracks, tracks to cameras and points, back to a rig."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from multiview.calib.scene_bundle import SceneFit, fit_scene
from multiview.calib.scene_config import SceneConfig
from multiview.calib.scene_grow import robust_points
from multiview.calib.scene_problem import (
    CAMERA,
    POSE,
    Bools,
    Ints,
    Observations,
    SceneState,
    Tracks,
)
from multiview.core import Camera, Detections, Pose, Rig
from multiview.errors import CalibrationError

__all__ = ["Solved", "chosen_lenses", "confident", "make_tracks", "posed_rig", "solve"]

# Floats of the block that couples points and cameras: 80 MB; longer takes are thinned evenly.
MOST_FLOATS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """A fit with the tracks it belongs to: positions ``at`` of (F, H, K), flattened."""

    fit: SceneFit
    obs: Observations
    free: Bools
    at: Ints
    detections: Detections


def chosen_lenses(dets: Detections, lenses: Rig) -> Rig:
    """Select the cameras of the detections, checked against the size of their pictures."""
    rig = lenses.select(dets.camera_names)
    if dets.size_wh:
        rig.check_sizes(dets.size_wh)
    return rig


def confident(dets: Detections, min_conf: float) -> Detections:
    """Drop detections below a confidence."""
    keep = dets.conf >= min_conf
    return replace(
        dets,
        xy_px=np.where(keep[..., None], dets.xy_px, np.nan),
        conf=np.where(keep, dets.conf, 0.0),
    )


def make_tracks(dets: Detections, rig: Rig) -> tuple[Tracks, Ints]:
    """Points that at least two cameras saw, and where they are in (F, H, K), flattened."""
    V, F, H, K = dets.conf.shape
    xy = dets.xy_px.reshape(V, -1, 2)
    seen = np.isfinite(xy).all(-1).sum(0) >= 2
    frames = np.repeat(np.arange(F), H * K)
    most = MOST_FLOATS // (V * CAMERA * 3)
    if seen.sum() > most:
        # whole frames, evenly: points of one frame tell much the same
        step = int(np.ceil(seen.sum() / most))
        seen &= frames % step == 0
    at = np.flatnonzero(seen)
    return Tracks.of(rig, xy[:, at], frames[at]), at


def solve(
    tracks: Tracks,
    at: Ints,
    dets: Detections,
    start: SceneState,
    noise_px: float,
    config: SceneConfig,
) -> Solved:
    """Adjust all cameras and points from poses that are about right."""
    V = len(tracks.names)
    start = start.in_camera(0)
    free = np.zeros((V, CAMERA), bool)
    free[1:, :POSE] = True
    free[:, POSE] = config.refine_focal
    xyz = robust_points(tracks, start.R, start.t, np.ones(V, bool), noise_px)
    have = np.asarray(np.isfinite(xyz).all(-1))
    sub = tracks.take(have)
    obs = sub.observations(sub.seen)
    thin = [
        n for n, c in zip(tracks.names, np.bincount(obs.view, minlength=V), strict=True) if c < 3
    ]
    if thin:
        raise CalibrationError(
            f"camera {', '.join(thin)}: none of its points agree with the other cameras",
            "check that it is in step with the others and that its intrinsics are right",
        )
    fit = fit_scene(replace(start, xyz=xyz[have]), obs, free)
    return Solved(fit=fit, obs=obs, free=free, at=at[have], detections=dets)


def posed_rig(state: SceneState, lenses: Rig, unit: str, about: str) -> Rig:
    """Cameras of a state with their lenses."""
    cameras = []
    for v, camera in enumerate(lenses.cameras):
        i = camera.intrinsics
        scale = float(np.exp(state.log_focal[v]))
        K = i.K.copy()
        K[[0, 1], [0, 1]] *= scale
        U, _, Vt = np.linalg.svd(state.R[v])  # rounding errors of many small turns
        cameras.append(
            Camera(
                name=camera.name,
                intrinsics=replace(i, K=K) if scale != 1 else i,
                cam_from_world=Pose(R=U @ Vt, t=state.t[v]),
            )
        )
    return Rig(cameras=tuple(cameras), unit=unit, about=about)
