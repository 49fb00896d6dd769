"""First guesses that survive a wrong camera: every view proposes, all views vote."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.calib.health_fit import scene_fit
from multiview.calib.health_footage import Footage, renumber
from multiview.calib.health_model import NOISE_FLOOR_PX, T_DOF, Model, Scene
from multiview.calib.timing_tracks import Tracks
from multiview.core import Rig
from multiview.geometry.dlt import pair_points, view_pairs

__all__ = ["Start", "corner_noise_px", "hand_tolerance_px", "number_all", "some_pairs", "start"]

# Pairs of cameras that propose points: 60 random ones of a 31-camera dome hold hundreds of good
# ones, whatever single camera is wrong.
MAX_PAIRS = 60
# Error of a keypoint, in shares of the hand's box, that is called wrong (PCK@0.1).
WRONG_SHARE = 0.1
# Frames to either side that a keypoint's velocity is taken from: 0.1 s at 30 Hz, in which a hand
# moves nearly straight, while the noise of the velocity falls five-fold.
HAND_REACH = 3
# Gaussian noise has a t scale (4 degrees of freedom) of this many standard deviations: the root of
# E[6 q / (4 + q)] = 2 for q exponential.
T_SCALE = 0.8525
# A corner's error, in spreads, that noise yields once in 100 000. A tolerance of hands already is
# what is called wrong.
UNLIKELY = float(np.sqrt(2 * np.log(1e5)))
# Steps that refine boards before cameras are judged by them; each squares what is left to gain.
REFINED = 3
# Frames that are placed at once; bounds memory.
CHUNK = 100
RAYLEIGH_MEDIAN = float(np.sqrt(2 * np.log(2)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A scene with first values.

    Parameters
    ----------
    scene, model
        What was filmed, renumbered, and where everything is.
    footage
        Renumbered.
    error_px
        Median error of each camera, shape (V,); NaN where it shares nothing.
    wrong
        Share of each camera's points that the tolerance does not explain, shape (V,).
    loss
        Twice the negative log likelihood at the tolerance, comparable between rigs.
    """

    scene: Scene
    model: Model
    footage: Footage
    error_px: F64
    wrong: F64
    loss: float


def start(
    rig: Rig, footage: Footage, use: IntArray, tolerance_px: F64, reach: int | None = None
) -> Start:
    """Place what was filmed by a vote of all cameras.

    Parameters
    ----------
    rig
        Cameras in the footage's order.
    footage, use
        What was filmed, and the frames that count.
    tolerance_px
        Error that is usual, per camera, shape (V,).
    reach
        Frames to either side that velocities are taken from; by the kind of footage if left out.
    """
    if footage.solid is not None:
        board_R, board_t = _vote_boards(rig, footage, use, tolerance_px)
        xyz = footage.solid @ np.swapaxes(board_R, 1, 2) + board_t[:, None]
    else:
        board_R, board_t = np.zeros((0, 3, 3)), np.zeros((0, 3))
        xyz = _vote_points(rig, footage, use, tolerance_px)
        footage = renumber(footage, use, rig.project(xyz), tolerance_px)
        xyz = _vote_points(rig, footage, use, tolerance_px)
    footage = renumber(footage, use, rig.project(xyz), tolerance_px)
    error = _errors(rig, footage, use, xyz)[1]
    R, t = rig.cam_from_world
    model = Model(
        R=R,
        t=t,
        focal=np.zeros(len(R)),
        clock=np.zeros((len(R), 2)),
        xyz=xyz if footage.solid is None else np.zeros(0),
        board_R=board_R,
        board_t=board_t,
        scale_px=np.maximum(np.nan_to_num(error / RAYLEIGH_MEDIAN, nan=1.0), NOISE_FLOOR_PX),
    )
    if reach is None:
        reach = 1 if footage.solid is not None else HAND_REACH
    tracks = Tracks(xy_px=footage.xy_px, times=footage.times, reach=reach, bodies=footage.bodies)
    scene = Scene(rig=rig, tracks=tracks, use=use, solid=footage.solid)
    if footage.solid is not None:
        # poses of single pictures are vague: what other cameras see is told from all together
        model = scene_fit(scene, model, REFINED)[0]
        xyz = model.points(scene)
    return _judged(scene, model, footage, xyz, tolerance_px)


def _errors(rig: Rig, footage: Footage, use: IntArray, xyz: F64) -> tuple[F64, F64, BoolArray]:
    """Errors (V, U, N), their median in each camera (V,), and which points are compared."""
    gap = np.linalg.norm(footage.xy_px[:, use] - rig.project(xyz), axis=-1)
    seen = footage.seen[:, use] & np.isfinite(xyz[..., 0])
    return gap, np.array([_median(g[s]) for g, s in zip(gap, seen, strict=True)]), seen


def _judged(scene: Scene, model: Model, footage: Footage, xyz: F64, tolerance_px: F64) -> Start:
    gap, error, seen = _errors(scene.rig, footage, scene.use, xyz)
    squared = np.where(np.isnan(gap), np.inf, gap / tolerance_px[:, None, None]) ** 2
    loss = (T_DOF + 2) * np.log1p(np.minimum(squared, 1e6) / T_DOF)[seen].sum()
    beyond = seen & ~(squared < (1 if footage.solid is None else UNLIKELY**2))
    return Start(
        scene=scene,
        model=model,
        footage=footage,
        error_px=error,
        wrong=beyond.sum((1, 2)) / np.maximum(seen.sum((1, 2)), 1),
        loss=float(loss),
    )


def number_all(rig: Rig, footage: Footage, tolerance_px: F64) -> Footage:
    """Renumber every picture as the rig predicts: clocks are judged by frames out of use too."""
    shared = np.flatnonzero(footage.seen.any(-1).sum(0) >= 2)
    if len(footage.orders) > 1:
        for at in range(0, len(shared), CHUNK):
            footage = start(rig, footage, shared[at : at + CHUNK], tolerance_px).footage
    return footage


def _median(values: F64) -> float:
    """Median with NaN (not predictable) as infinity."""
    if not values.size:
        return float("nan")
    middle = float(np.median(np.where(np.isnan(values), np.inf, values)))
    return min(middle, 1e4)


def corner_noise_px(rig: Rig, footage: Footage, use: IntArray) -> F64:
    """Noise of a board's corners in each camera by itself, shape (V,), pixels.

    From the errors of homographies of undistorted corners: neither the poses of the cameras nor
    their focal lengths enter.
    """
    out = np.full(len(rig.cameras), np.nan)
    assert footage.solid is not None
    plane = np.ascontiguousarray(footage.solid[:, :2] / np.ptp(footage.solid, axis=0).max())
    for v, camera in enumerate(rig.cameras):
        focal, errors, freedom, count = camera.intrinsics.K[0, 0], [], 0, 0
        for xy in camera.undistort(footage.xy_px[v, use]):
            ok = np.isfinite(xy[:, 0])
            if ok.sum() < 8:
                continue
            H, _ = cv2.findHomography(plane[ok], xy[ok], cv2.LMEDS)
            if H is None:
                continue
            fitted = cv2.perspectiveTransform(plane[ok][None], H)[0]
            errors.append(focal * np.linalg.norm(fitted - xy[ok], axis=-1))
            freedom, count = freedom + 2 * int(ok.sum()) - 8, count + 2 * int(ok.sum())
        if errors and freedom > 0:
            median = float(np.median(np.concatenate(errors)))
            out[v] = median / RAYLEIGH_MEDIAN * np.sqrt(count / freedom)
    middle = float(np.nanmedian(out)) if np.isfinite(out).any() else 1.0
    return np.maximum(np.where(np.isnan(out), middle, out), NOISE_FLOOR_PX)


def hand_tolerance_px(footage: Footage, use: IntArray) -> F64:
    """Errors that a detector of hands may make, from the size of the hands, shape (V,), pixels."""
    V, n = len(footage.names), len(use)
    bodies = footage.xy_px[:, use].reshape(V, n, footage.bodies, -1, 2)
    there = np.isfinite(bodies).all(-1).sum(-1) >= 2
    boxes = np.full((V, n, footage.bodies), np.nan)
    boxes[there] = (np.nanmax(bodies[there], axis=1) - np.nanmin(bodies[there], axis=1)).max(-1)
    out = [float(np.median(b[np.isfinite(b)])) if np.isfinite(b).any() else np.nan for b in boxes]
    middle = float(np.nanmedian(out)) if np.isfinite(out).any() else 100.0
    return np.asarray(np.nan_to_num(out, nan=middle) * WRONG_SHARE)


def _vote_boards(rig: Rig, footage: Footage, use: IntArray, tolerance_px: F64) -> tuple[F64, F64]:
    """Pose of the board in each frame in use: the candidate of any view that most views accept."""
    assert footage.solid is not None
    R, t, frame = _board_candidates(rig, footage, use)
    xyz = footage.solid @ np.swapaxes(R, 1, 2) + t[:, None]
    cost = np.zeros(len(R))
    for v, camera in enumerate(rig.cameras):
        predicted = camera.project(xyz)
        found = footage.xy_px[v, use][frame]
        by_order = []
        for order in footage.orders:
            gap = np.linalg.norm(found[:, order] - predicted, axis=-1) / tolerance_px[v]
            seen = np.isfinite(found[:, order, 0])
            gap = np.where(np.isnan(gap) & seen, 1e3, gap)
            by_order.append(np.where(seen, np.log1p(gap**2 / T_DOF), 0).sum(-1))
        cost += np.min(by_order, axis=0)
    best = np.lexsort((cost, frame))
    first = np.unique(frame[best], return_index=True)
    out_R, out_t = np.tile(np.eye(3), (len(use), 1, 1)), np.full((len(use), 3), np.nan)
    out_R[first[0]], out_t[first[0]] = R[best[first[1]]], t[best[first[1]]]
    return out_R, out_t


def _board_candidates(rig: Rig, footage: Footage, use: IntArray) -> tuple[F64, F64, IntArray]:
    """Both planar poses (Collins and Bartoli, IJCV 2014) of each picture, in the world."""
    assert footage.solid is not None
    turns, shifts, frames = [], [], []
    for v, camera in enumerate(rig.cameras):
        back = camera.cam_from_world.inv
        xy = camera.undistort(footage.xy_px[v, use])
        for f in np.flatnonzero(np.isfinite(xy[..., 0]).sum(-1) >= 6):
            ok = np.isfinite(xy[f, :, 0])
            try:
                _, rs, ts, _ = cv2.solvePnPGeneric(
                    footage.solid[ok][:, None],
                    np.ascontiguousarray(xy[f, ok])[:, None],
                    np.eye(3),
                    None,
                    flags=cv2.SOLVEPNP_IPPE,
                )
            except cv2.error:  # corners on one line
                continue
            for r, s in zip(rs, ts, strict=True):
                R = cv2.Rodrigues(r)[0]
                if np.isfinite(R).all() and np.isfinite(s).all() and s[2, 0] > 0:
                    turns.append(back.R @ R)
                    shifts.append(back.apply(np.asarray(s, np.float64).ravel()))
                    frames.append(f)
    if not turns:
        return np.zeros((0, 3, 3)), np.zeros((0, 3)), np.zeros(0, np.int64)
    return np.stack(turns), np.stack(shifts), np.asarray(frames, np.int64)


def some_pairs(rig: Rig) -> tuple[IntArray, IntArray]:
    """Pairs of cameras that propose points."""
    first, second = view_pairs(len(rig.cameras))
    keep = np.linspace(0, len(first) - 1, min(len(first), MAX_PAIRS)).astype(int)
    return first[keep], second[keep]


def _vote_points(rig: Rig, footage: Footage, use: IntArray, tolerance_px: F64) -> F64:
    """Points (U, N, 3): those of the pair of views that most views accept, body by body."""
    R, t = rig.cam_from_world
    xy_px = footage.xy_px[:, use]
    xyz = pair_points(R, t, rig.undistort(xy_px), some_pairs(rig))
    P, n, N, _ = xyz.shape
    cost = np.zeros((P, n, footage.bodies))
    for v, camera in enumerate(rig.cameras):
        gap = np.linalg.norm(camera.project(xyz) - xy_px[v], axis=-1) / tolerance_px[v]
        gap = np.where(np.isfinite(xyz[..., 0]) & np.isnan(gap), NOT_THERE, gap)
        seen = np.isfinite(xy_px[v, ..., 0])
        gap = np.where(seen, np.minimum(np.nan_to_num(gap, nan=NOT_THERE), NOT_THERE), 0)
        cost += np.log1p(gap**2).reshape(P, n, footage.bodies, -1).sum(-1)
    per_point = np.repeat(cost, N // footage.bodies, axis=-1)
    per_point = np.where(np.isfinite(xyz[..., 0]), per_point, np.inf)
    best = per_point.argmin(0)
    return np.asarray(np.take_along_axis(xyz, best[None, ..., None], axis=0)[0], np.float64)


# Gap, in tolerances, of a point that a view sees and a pair of others cannot place.
NOT_THERE = 50.0
