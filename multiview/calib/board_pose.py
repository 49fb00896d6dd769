"""Where a board lies, seen by cameras that are already calibrated."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from scipy.optimize import least_squares

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.corners import BoardCorners
from multiview.calib.found import TAG_CORNERS, least_corners
from multiview.calib.so3 import exp_so3
from multiview.calib.still import longest_still
from multiview.core import BoardTrack, Camera, Pose, Rig

__all__ = ["pose_board", "track_board"]

# Corner noise assumed of a detector; a corner ten times as far off pulls no more than at this size.
NOISE_PX, LOSS_PX = 0.5, 5.0
# Wrong corners pull the start off by many pixels: the loss narrows down, in units of the noise.
LOSS_WIDTHS = (100.0, 20.0, 3.0)
# A pose of which the median corner is further off fits nothing: the rig or the board is another.
WRONG_PX = 10.0
# Starts refined, the likeliest first, until one loses at most this much a corner: wrong corners
# lose 1 each, and one in five may be wrong.
STARTS, GOOD_LOSS = 4, 0.2


def track_board(rig: Rig, corners: BoardCorners, board: Board, name: str = "board") -> BoardTrack:
    """Pose a board in every frame of a take in which its corners allow it.

    Parameters
    ----------
    rig
        Cameras of the take, in the order of the corners' axis V.
    corners, board
        What was found of what.
    name
        Of the track.

    Returns
    -------
    BoardTrack
        Without a frame where the board fits nowhere.
    """
    poses = [pose_board(rig, corners.xy_px[:, f], board) for f in range(len(corners.frame_ids))]
    posed = np.array([p is not None for p in poses], bool)
    found = [p for p in poses if p is not None]
    noise = np.full(len(rig.cameras), NOISE_PX)
    still = longest_still(corners.xy_px, noise, posed) if posed.any() else None
    ids = corners.frame_ids
    return BoardTrack(
        name=name,
        about=board.describe(),
        xyz_board=board.object_points,
        frame_ids=ids[posed],
        R=np.array([p.R for p in found]).reshape(-1, 3, 3),
        t=np.array([p.t for p in found]).reshape(-1, 3),
        still=None if still is None else (int(ids[still[0]]), int(ids[still[1]])),
        rig_digest=rig.digest,
    )


def pose_board(rig: Rig, xy_px: F64, board: Board) -> Pose | None:
    """Pose ``world_from_board`` from the corners of one frame.

    Each view proposes its poses (a flat board has two); the one that fits all views best is refined
    over all of them with a robust loss. Views that number a symmetric board otherwise are
    renumbered.

    Parameters
    ----------
    rig
        V cameras.
    xy_px
        Found corners, shape (V, C, 2), recorded pixels; NaN where not found.
    board
        Its shape and its symmetries.

    Returns
    -------
    Pose or None
        None where no view has enough corners, or they do not fit together.
    """
    views = np.flatnonzero(np.isfinite(xy_px).all(-1).sum(1) >= least_corners(board))
    if not views.size:
        return None
    seeing, xy = rig.select([rig.names[v] for v in views]), xy_px[views]
    points, found = board.object_points, int(np.isfinite(xy).all(-1).sum())
    orders = [order for order, _ in board.symmetries]
    starts = []
    for v, camera in enumerate(seeing.cameras):
        for pose in _proposals(camera, xy[v], points):
            starts.append((_renumbered(seeing, pose, xy, points, orders)[1], pose))
    best: tuple[float, Pose | None] = (np.inf, None)
    for _, start in sorted(starts, key=lambda s: s[0])[:STARTS]:
        numbered, _ = _renumbered(seeing, start, xy, points, orders)
        pose = _refined(seeing, start, numbered, points)
        numbered, cost = _renumbered(seeing, pose, xy, points, orders)
        off = np.linalg.norm(seeing.project(pose.apply(points)) - numbered, axis=-1)
        if cost < best[0] and np.nanmedian(off) < WRONG_PX:
            best = (cost, pose)
        if best[0] < GOOD_LOSS * found:
            break
    return best[1]


def _proposals(camera: Camera, xy_px: F64, points: F64) -> Iterator[Pose]:
    seen = np.isfinite(xy_px).all(-1)
    rays = camera.undistort(xy_px[seen])
    known = np.isfinite(rays).all(-1)
    if known.sum() < TAG_CORNERS:
        return
    flat = np.ptp(points[:, 2]) == 0
    method = cv2.SOLVEPNP_IPPE if flat else cv2.SOLVEPNP_SQPNP
    _, turns, shifts, _ = cv2.solvePnPGeneric(
        points[seen][known], rays[known], np.eye(3), None, flags=method
    )
    for turn, shift in zip(turns, shifts, strict=True):
        if np.isfinite(turn).all() and np.isfinite(shift).all():
            in_camera = Pose(R=exp_so3(np.ravel(turn)), t=np.ravel(shift))
            yield camera.cam_from_world.inv @ in_camera


def _renumbered(
    rig: Rig, pose: Pose, xy_px: F64, points: F64, orders: list[np.ndarray]
) -> tuple[F64, float]:
    """Choose the numbering of each view that fits best, and sum up how badly it does."""
    predicted = rig.project(pose.apply(points))
    out, total = xy_px.copy(), 0.0
    for v, xy in enumerate(xy_px):
        costs = []
        for order in orders:
            square = ((xy[order] - predicted[v]) ** 2).sum(-1) / LOSS_PX**2
            found = np.isfinite(xy[order]).all(-1)
            costs.append(np.where(found, 1 - 1 / (1 + np.nan_to_num(square, nan=np.inf)), 0).sum())
        out[v] = xy[orders[int(np.argmin(costs))]]
        total += float(min(costs))
    return out, total


def _refined(rig: Rig, start: Pose, xy_px: F64, points: F64) -> Pose:
    def moved(step: F64) -> Pose:
        return Pose(R=start.R @ exp_so3(step[:3]), t=start.t + step[3:])

    seen = np.isfinite(xy_px).all(-1)

    def residual(step: F64) -> F64:
        off = (rig.project(moved(step).apply(points)) - xy_px)[seen]
        # behind a camera there is no pixel: as far off as any wrong corner
        return np.nan_to_num(off, nan=100 * LOSS_PX).ravel() / NOISE_PX

    scale = np.array([1, 1, 1, *[float(np.ptp(points, axis=0).max())] * 3])
    step = np.zeros(6)
    for width in LOSS_WIDTHS:
        done = least_squares(residual, step, loss="cauchy", x_scale=scale, f_scale=width)
        step = done.x
    return moved(step)
