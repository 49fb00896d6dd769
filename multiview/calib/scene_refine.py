"""Is an older rig still true? Adjust it on today's scene and say how far each camera moved.

Nothing in a scene fixes the world or the scale: they are taken from the older rig, such that as
many cameras as possible have not moved (a sum of unsquared distances, so that one moved camera is
not smeared over all).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from multiview._shapes import F64
from multiview.association import assign_hands
from multiview.calib.scene import finish
from multiview.calib.scene_config import SceneConfig
from multiview.calib.scene_covariance import (
    centre_from_pose,
    gauge_directions,
    similar_covariance,
)
from multiview.calib.scene_grow import resect
from multiview.calib.scene_pairs import MIN_SHARED
from multiview.calib.scene_problem import POSE, SceneState, Tracks
from multiview.calib.scene_result import Moved, SceneResult
from multiview.calib.scene_solve import Solved, chosen_lenses, confident, make_tracks, solve
from multiview.calib.scene_start import check_tracks
from multiview.calib.threads import one_blas_thread
from multiview.core import Detections, Pose, Rig

__all__ = ["refine_rig"]

# Noise assumed until it is measured: of hand detectors, pixels; generous, so that a camera that
# moved a little still meets its points.
START_NOISE_PX = 8.0
# A camera that explains less than this share of its observations is posed anew.
LOST_SHARE = 0.3
# Differences less likely than this by chance are warned of.
CHANCE = 1e-3


@one_blas_thread
def refine_rig(rig: Rig, dets: Detections, *, config: SceneConfig | None = None) -> SceneResult:
    """Adjust a rig on the detections of a take, in the world and scale that it has.

    Parameters
    ----------
    rig
        The rig as it was, with every camera of ``dets``.
    dets
        Detections of a take.
    config
        See `SceneConfig`.

    Returns
    -------
    SceneResult
        ``moved`` says how far each camera is from where it was. With two cameras, what can be seen
        is their relative pose but for its length.

    Raises
    ------
    CalibrationError, InputError
        As `calibrate_scene`.
    """
    config = config or SceneConfig()
    old = chosen_lenses(dets, rig)
    dets = confident(dets, config.min_conf)
    if not dets.hands and dets.conf.shape[2] > 1:
        dets, _ = assign_hands(dets, old)
    tracks, at = make_tracks(dets, old)
    check_tracks(tracks)
    R, t = old.cam_from_world
    start = SceneState(R=R, t=t, log_focal=np.zeros(len(R)), xyz=np.zeros((0, 3)))
    solved = solve(tracks, at, dets, start, START_NOISE_PX, config)
    noise = float(np.median(solved.fit.sigma_px))
    held = tracks.take(np.isin(at, solved.at))
    start = _posed_again(solved, held, noise)
    solved = solve(tracks, at, dets, start, noise, config)
    return _with_moved(finish(solved, old, old), old)


def _posed_again(solved: Solved, tracks: Tracks, noise_px: float) -> SceneState:
    """Pose cameras from the points where the adjustment lost them."""
    state, obs = solved.fit.state, solved.obs
    V = len(tracks.names)
    share = np.bincount(obs.view, solved.fit.inlier, V) / np.bincount(obs.view, minlength=V)
    R, t = state.R.copy(), state.t.copy()
    for v in np.flatnonzero(share < LOST_SHARE):
        others = tracks.seen.copy()
        others[v] = False
        carried = others.sum(0) >= 2
        if (carried & tracks.seen[v]).sum() < MIN_SHARED:
            continue
        xyz = np.where(carried[:, None], state.xyz, np.nan)
        pose = resect(tracks, replace(state, xyz=xyz), R, int(v), noise_px)
        if pose is not None:
            R[v], t[v] = pose
    return replace(state, R=R, t=t)


def _with_moved(result: SceneResult, old: Rig) -> SceneResult:
    """Settle the world on the cameras that stayed, and say how far each one is from its place."""
    R, t = result.rig.cam_from_world
    M = centre_from_pose(t)
    G, cov = M @ gauge_directions(R, t), M @ result.covariance @ M.T
    shift, hold = _least_moved(_motion(result.rig, old), G, cov)
    result = _in_world(result, shift)
    motion, cov = _motion(result.rig, old), hold @ cov @ hold.T
    blocks = [cov[POSE * v : POSE * v + POSE, POSE * v : POSE * v + POSE] for v in range(len(R))]
    moved = tuple(_moved(n, m, b) for n, m, b in zip(old.names, motion, blocks, strict=True))
    text = tuple(_moved_text(m, old.unit) for m in moved if m.chance < CHANCE)
    return replace(result, moved=moved, warnings=(*text, *result.warnings))


def _moved_text(moved: Moved, unit: str) -> str:
    factor, name = (1000.0, "mm") if unit == "m" else (1.0, unit)
    return (
        f"{moved.name} is {factor * moved.position:.3g} +- {factor * moved.position_std:.2g} "
        f"{name} and {np.rad2deg(moved.rotation):.3f} +- {np.rad2deg(moved.rotation_std):.2g} "
        "degrees from where the rig has it"
    )


def _motion(new: Rig, old: Rig) -> F64:
    """Turn (rad) and motion of the centre of each camera, in its frame, shape (V, 6)."""
    R, old_R = new.cam_from_world[0], old.cam_from_world[0]
    w = Rotation.from_matrix(R @ np.swapaxes(old_R, -1, -2)).as_rotvec()
    way = np.einsum("vij,vj->vi", R, new.centres_world - old.centres_world)
    return np.concatenate([w, way], -1)


def _least_moved(pose: F64, G: F64, cov: F64) -> tuple[F64, F64]:
    """Gauge (7,) that leaves most cameras in place, and the projection (6 V, 6 V) it means."""
    V = len(pose)
    flat = pose.ravel()
    # lengths and angles made comparable by how well each is known, in a gauge of all cameras
    even = np.eye(6 * V) - G @ np.linalg.pinv(G)
    std = np.sqrt(np.maximum(np.diag(even @ cov @ even.T), 1e-300)).reshape(V, 2, 3)
    unit = np.repeat(np.sqrt((std**2).mean((0, 2))), 3)
    scale = np.tile(unit, V)
    A, b = G / scale[:, None], flat / scale
    weight = np.ones(V)
    shift = np.zeros(7)
    for _ in range(50):
        W = np.repeat(weight, POSE)
        normal = np.linalg.pinv((A * W[:, None]).T @ A, hermitian=True)
        shift = normal @ (A * W[:, None]).T @ b
        size = np.linalg.norm((b - A @ shift).reshape(V, POSE), axis=-1)
        new = 1 / np.maximum(size / np.sqrt(POSE), 1.0)
        if float(np.abs(new - weight).max()) < 1e-6:
            break
        weight = new
    W = np.repeat(weight, POSE)
    normal = np.linalg.pinv((A * W[:, None]).T @ A, hermitian=True)
    hold = np.eye(6 * V) - G @ normal @ (A * W[:, None] / scale[:, None]).T
    return shift, hold


def _moved(name: str, pose: F64, cov: F64) -> Moved:
    turn, way = pose[:3], pose[3:]
    value, vector = np.linalg.eigh(cov)
    known = value > 1e-9 * max(float(value.max()), 1e-300)
    square = float((((vector.T @ pose) ** 2)[known] / value[known]).sum())
    return Moved(
        name=name,
        rotation=float(np.linalg.norm(turn)),
        position=float(np.linalg.norm(way)),
        rotation_std=_along(turn, cov[:3, :3]),
        position_std=_along(way, cov[3:, 3:]),
        chance=float(chi2.sf(square, int(known.sum()))),
    )


def _along(vector: F64, cov: F64) -> float:
    """Return the standard deviation along a vector."""
    size = float(np.linalg.norm(vector))
    unit = vector / size if size > 0 else np.array([1.0, 0, 0])
    return float(np.sqrt(max(float(unit @ cov @ unit), 0.0)))


def _in_world(result: SceneResult, shift: F64) -> SceneResult:
    """Undo a small change of the world: turn, shift and scale (7,) of `gauge_directions`."""
    Q, s, d = Rotation.from_rotvec(-shift[:3]).as_matrix(), 1 - float(shift[6]), -shift[3:6]
    cameras = []
    for camera in result.rig.cameras:
        R = camera.cam_from_world.R @ Q.T
        pose = Pose(R=R, t=s * camera.cam_from_world.t - R @ d)
        cameras.append(replace(camera, cam_from_world=pose))
    known = result.rig.covariance
    rig = replace(result.rig, cameras=tuple(cameras), covariance=known and known.scaled(s))
    return replace(
        result,
        rig=rig,
        xyz_world=s * result.xyz_world @ Q.T + d,
        covariance=similar_covariance(result.covariance, rig.cam_from_world[0], s, d),
    )
