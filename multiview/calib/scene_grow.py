"""From pairs to all cameras: a seed pair, points, cameras posed by points, adjustment, and again.

A camera is posed twice, from the averaged rotations (its position is then a linear problem) and by
perspective-n-point with random samples, and the pose that explains more is kept. Points are the
best of all pairs of rays, judged by all cameras, so a wrong ray spoils only its own hypotheses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import cv2
import numpy as np

from multiview._shapes import F64
from multiview.calib.bundle import CAUCHY_SIGMA, REJECT_SIGMA
from multiview.calib.scene_bundle import fit_scene
from multiview.calib.scene_graph import contradicting
from multiview.calib.scene_pairs import Pair
from multiview.calib.scene_problem import (
    CAMERA,
    POSE,
    Bools,
    SceneState,
    Tracks,
)
from multiview.calib.so3 import rotation_angle
from multiview.errors import CalibrationError
from multiview.geometry.dlt import pair_points

__all__ = ["grow", "resect", "robust_points"]

# Points a camera needs to be posed: three fix it, and many must confirm.
MIN_POINTS = 20
# Share of its points that a pose must explain: more outliers are beyond any detector's.
MIN_EXPLAINED = 0.3
# Pairs of views that propose a point, and points carried while cameras are added.
MAX_PAIRS, CARRIED = 60, 1200
# Growths that are tried where pairs contradict one another.
SEEDS = 6
# Parallax beyond which a seed gains nothing more.
WIDE = np.deg2rad(40.0)
# Rays that meet at less than this do not propose a point.
NARROW = np.deg2rad(1.0)


def grow(
    tracks: Tracks, pairs: Mapping[tuple[int, int], Pair], R: F64, noise_px: float
) -> list[SceneState]:
    """Pose all cameras.

    Parameters
    ----------
    tracks
        What was seen.
    pairs
        Relative poses.
    R
        Averaged rotations, shape (V, 3, 3).
    noise_px
        Noise of one coordinate, as the pairs found it.

    Returns
    -------
    list of SceneState
        Adjusted on part of the points; those without a position are NaN. One where all pairs agree;
        otherwise several, each grown from another pair.

    Raises
    ------
    CalibrationError
        If a camera cannot be posed; names it.
    """
    tracks = tracks.take(_carried(tracks))
    # pairs that all agree need no second opinion
    most = SEEDS if contradicting(pairs, R) else 1
    grown: list[SceneState] = []
    failed: CalibrationError | None = None
    for key in _seeds(pairs, R):
        try:
            grown.append(_grow_from(key, tracks, pairs, R, noise_px))
        except CalibrationError as error:
            failed = failed or error
        if len(grown) == most:
            break
    if failed is not None and not grown:
        raise failed
    return grown


def _grow_from(
    key: tuple[int, int],
    tracks: Tracks,
    pairs: Mapping[tuple[int, int], Pair],
    R: F64,
    noise_px: float,
) -> SceneState:
    """Pose all cameras, starting from one pair."""
    i, j = key
    V = len(tracks.names)
    cam_R, cam_t = np.tile(np.eye(3), (V, 1, 1)), np.zeros((V, 3))
    cam_R[j], cam_t[j] = pairs[i, j].R, pairs[i, j].t
    posed = np.zeros(V, bool)
    posed[[i, j]] = True
    while True:
        state = _adjusted(tracks, cam_R, cam_t, posed, noise_px)
        cam_R, cam_t = state.R.copy(), state.t.copy()
        if posed.all():
            return state
        added = False
        for v in np.flatnonzero(~posed):
            pose = resect(tracks, state, R @ R[i].T @ cam_R[i], int(v), noise_px)
            if pose is not None:
                cam_R[v], cam_t[v] = pose
                posed[v] = added = True
        if not added:
            names = ", ".join(tracks.names[v] for v in np.flatnonzero(~posed))
            raise CalibrationError(
                f"camera {names} shares points with the others, but no pose explains them",
                "check its intrinsics and that it is in step with the others, or film the hand "
                "longer where it and two others see it",
            )


def _carried(tracks: Tracks) -> Bools:
    """Points that are worth carrying: evenly drawn from those that at least two cameras see."""
    good = np.flatnonzero(tracks.seen.sum(0) >= 2)
    # cameras that see little keep all of theirs
    rare = np.argsort(tracks.seen.sum(1))
    chosen = np.zeros(len(tracks.frame), bool)
    step = max(1, len(good) // CARRIED)
    chosen[good[::step]] = True
    for v in rare:
        mine = good[tracks.seen[v, good]]
        if chosen[mine].sum() < min(len(mine), CARRIED // 4):
            chosen[mine[:: max(1, len(mine) // (CARRIED // 4))]] = True
    return chosen


def _seeds(pairs: Mapping[tuple[int, int], Pair], R: F64) -> list[tuple[int, int]]:
    """Sort pairs by their worth: many points, wide parallax, no double, accord with the others."""

    def worth(key: tuple[int, int]) -> float:
        i, j = key
        pair = pairs[key]
        off = float(rotation_angle(pair.R @ R[i] @ R[j].T))
        accord = 1 / (1 + (off / max(3 * pair.rotation_std, np.deg2rad(1))) ** 2)
        wide = min(pair.parallax, np.pi - pair.parallax) / WIDE
        return float(pair.inlier.sum() * min(wide, 1.0) * accord * (0.01 if pair.shallow else 1))

    return sorted(pairs, key=worth, reverse=True)


def _adjusted(tracks: Tracks, R: F64, t: F64, posed: Bools, noise_px: float) -> SceneState:
    """Points of the posed cameras, and both adjusted."""
    xyz = robust_points(tracks, R, t, posed, noise_px)
    have = np.asarray(np.isfinite(xyz).all(-1))
    use = posed[:, None] & have
    sub = tracks.take(have)
    state = SceneState(R=R, t=t, log_focal=np.zeros(len(R)), xyz=xyz[have])
    free = np.zeros((len(R), CAMERA), bool)
    free[posed, :POSE] = True
    free[np.flatnonzero(posed)[0]] = False
    fit = fit_scene(state, sub.observations(use[:, have]), free)
    full = np.full_like(xyz, np.nan)
    full[have] = fit.state.xyz
    return replace(fit.state, xyz=full)


def robust_points(tracks: Tracks, R: F64, t: F64, posed: Bools, noise_px: float) -> F64:
    """Position of every point, shape (N, 3): the pair of rays that all cameras agree on most.

    NaN where no two rays meet in front of their cameras at an angle, within the noise.
    """
    views = np.flatnonzero(posed)
    first, second = np.triu_indices(len(views), k=1)
    if len(first) > MAX_PAIRS:
        part = np.random.default_rng(0).permutation(len(first))[:MAX_PAIRS]
        first, second = first[part], second[part]
    R, t, xy = R[views], t[views], tracks.xy_norm[views]
    A = tracks.px_from_norm[views]
    N = xy.shape[1]
    best, out = np.full(N, np.inf), np.full((N, 3), np.nan)
    world = np.einsum("vji,vnj->vni", R, np.concatenate([xy, np.ones_like(xy[..., :1])], -1))
    world = world / np.linalg.norm(world, axis=-1, keepdims=True)
    for a, b in zip(first, second, strict=True):
        both = np.flatnonzero(np.isfinite(world[a]).all(-1) & np.isfinite(world[b]).all(-1))
        angle = np.arccos(np.clip((world[a, both] * world[b, both]).sum(-1), -1, 1))
        both = both[(angle > NARROW) & (angle < np.pi - NARROW)]
        if not both.size:
            continue
        two = np.array([a, b])
        xyz = pair_points(R[two], t[two], xy[two][:, both], (np.array([0]), np.array([1])))[0]
        cost, agree = _cost(xyz, R, t, xy[:, both], A[:, both], noise_px)
        better = agree[[a, b]].all(0) & (cost < best[both])
        best[both[better]], out[both[better]] = cost[better], xyz[better]
    return out


def _cost(xyz: F64, R: F64, t: F64, xy: F64, A: F64, noise_px: float) -> tuple[F64, Bools]:
    """Cauchy's cost (n,) of points in the views that saw them, and which views agree (V, n)."""
    cam = np.einsum("vij,nj->vni", R, xyz) + t[:, None]
    z = np.where(cam[..., 2] > 0, cam[..., 2], np.nan)
    off = np.einsum("vnij,vnj->vni", A, cam[..., :2] / z[..., None] - xy)
    square = (off**2).sum(-1) / noise_px**2
    seen = np.isfinite(xy).all(-1)
    square = np.where(seen, np.nan_to_num(square, nan=1e12), 0.0)
    agree = seen & (square < REJECT_SIGMA**2)
    return np.asarray(np.log1p(square / CAUCHY_SIGMA**2).sum(0)), np.asarray(agree)


def resect(
    tracks: Tracks, state: SceneState, R: F64, view: int, noise_px: float
) -> tuple[F64, F64] | None:
    """Pose of a camera from points; None where too few agree.

    ``R`` are the averaged rotations in the frame of ``state``.
    """
    have = np.flatnonzero(np.isfinite(state.xyz).all(-1) & tracks.seen[view])
    if len(have) < MIN_POINTS:
        return None
    xyz, xy, A = state.xyz[have], tracks.xy_norm[view, have], tracks.px_from_norm[view, have]
    candidates = [(R[view], _linear_position(R[view], xyz, xy, noise_px))]
    candidates += _pnp(xyz, xy, 3 * noise_px / float(np.sqrt(np.abs(np.linalg.det(A)).mean())))
    best, answer = -1.0, None
    for pose in candidates:
        cost, agree = _cost(xyz, pose[0][None], pose[1][None], xy[None], A[None], 2 * noise_px)
        worth = float((1 / (1 + cost)).sum())
        if worth > best and agree.sum() >= max(MIN_POINTS, MIN_EXPLAINED * len(have)):
            best, answer = worth, pose
    return answer


def _linear_position(R: F64, xyz: F64, xy: F64, noise_px: float) -> F64:
    """Find the translation of a camera of known rotation, by reweighted linear least squares."""
    turned = xyz @ R.T
    # (turned + t)_xy = xy (turned + t)_z
    rows = np.zeros((len(xy), 2, 3))
    rows[:, 0, 0] = rows[:, 1, 1] = 1
    rows[:, :, 2] = -xy
    right = xy * turned[:, 2:] - turned[:, :2]
    weight, t = np.ones(len(xy)), np.zeros(3)
    for _ in range(20):
        A = (rows * weight[:, None, None]).reshape(-1, 3)
        t = np.asarray(np.linalg.lstsq(A, (right * weight[:, None]).ravel(), rcond=None)[0])
        error = np.sqrt(((rows @ t - right) ** 2).sum(-1))
        weight = 1 / np.sqrt(np.maximum(error, max(0.1 * float(np.median(error)), 1e-12)))
    return t


def _pnp(xyz: F64, xy: F64, tolerance: float) -> list[tuple[F64, F64]]:
    cv2.setRNGSeed(0)
    ok, turn, t, _ = cv2.solvePnPRansac(
        xyz, xy, np.eye(3), None, reprojectionError=tolerance, iterationsCount=300,
        flags=cv2.SOLVEPNP_EPNP,
    )  # fmt: skip
    if not ok:
        return []
    R = np.asarray(cv2.Rodrigues(turn)[0], np.float64)
    return [(R, np.asarray(t, np.float64).ravel())]
