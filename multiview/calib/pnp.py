"""Poses of single boards: both solutions of the planar problem, refined, with their spread."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from multiview._shapes import F64
from multiview.calib.bundle import adjust_boards
from multiview.calib.problem import Bools, Ints, Sightings, State
from multiview.core import Intrinsics
from multiview.geometry.project import unproject

__all__ = ["Candidates", "Planes", "fit_planes", "pose_candidates"]

# IPPE (Collins and Bartoli, IJCV 2014) finds two poses of a plane; a board small in the picture
# looks almost the same in both.
SOLUTIONS = 2
# A homography has eight unknowns.
MIN_POINTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Board poses ``cam_from_board`` per sighting (S, 2), better one first.

    Parameters
    ----------
    R, t
        Shapes (S, 2, 3, 3) and (S, 2, 3), metres; NaN where a sighting gave none.
    cost
        Robust cost of the corners, shape (S, 2); infinite where there is no pose.
    rot_var, pos_var
        Variance of rotation (rad^2) and of the board's centre (m^2), summed over axes, (S, 2).
    """

    R: F64
    t: F64
    cost: F64
    rot_var: F64
    pos_var: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class Planes:
    """Homographies from board (m) to pixels (S, 3, 3), and the corners that agree (S, C)."""

    H: F64
    clean: Bools

    def take(self, keep: Ints) -> Planes:
        """Return those of a subset of the sightings."""
        return Planes(H=self.H[keep], clean=self.clean[keep])


def undistorted(seen: Sightings, lenses: tuple[Intrinsics, ...]) -> F64:
    """Corners in normalised coordinates, shape (S, C, 2); NaN where not seen."""
    out = np.full_like(seen.xy_px, np.nan)
    for v, part in seen.by_view(len(lenses)):
        found = seen.xy_px[part]
        lens = lenses[v]
        xy = unproject(np.nan_to_num(found), lens.K, lens.dist, lens.model)
        out[part] = np.where(np.isnan(found), np.nan, xy)
    return out


def fit_planes(seen: Sightings) -> Planes:
    """Fit a homography to every sighting, least median of squares (Rousseeuw 1984).

    Distortion bends a board by a few pixels, which the median bears; what it sets aside only
    stays out of start values.
    """
    S, C = seen.seen.shape
    H, clean = np.full((S, 3, 3), np.nan), np.zeros((S, C), bool)
    # in units of the board, for OpenCV's solver has absolute limits
    size = np.ptp(seen.xyz_board, axis=0).max()
    plane = np.ascontiguousarray(seen.xyz_board[:, :2] / size)
    for s, ok in enumerate(seen.seen):
        if ok.sum() < MIN_POINTS:
            continue
        clean[s] = ok
        found, mask = cv2.findHomography(plane[ok], seen.xy_px[s, ok], cv2.LMEDS)
        if found is None:
            continue
        H[s] = found @ np.diag([1 / size, 1 / size, 1])
        kept = np.asarray(mask).ravel() > 0
        if kept.sum() >= max(MIN_POINTS, ok.sum() // 2):
            clean[s, np.flatnonzero(ok)[~kept]] = False
    return Planes(H=H, clean=clean)


def _solve(plane: F64, image: F64) -> tuple[F64, F64]:
    """Both poses of one board from its clean corners, normalised; NaN where there is none."""
    R, t = np.full((SOLUTIONS, 3, 3), np.nan), np.full((SOLUTIONS, 3), np.nan)
    if len(image) < MIN_POINTS:
        return R, t
    try:
        _, turns, shifts, _ = cv2.solvePnPGeneric(
            plane[:, None], image[:, None], np.eye(3), None, flags=cv2.SOLVEPNP_IPPE
        )
    except cv2.error:  # collinear corners
        return R, t
    for k, (turn, shift) in enumerate(zip(turns[:SOLUTIONS], shifts[:SOLUTIONS], strict=True)):
        matrix = cv2.Rodrigues(turn)[0]
        if np.isfinite(matrix).all() and np.isfinite(shift).all() and shift[2, 0] > 0:
            R[k], t[k] = matrix, np.asarray(shift).ravel()
    return R, t


def pose_candidates(
    seen: Sightings, planes: Planes, lenses: tuple[Intrinsics, ...], sigma_px: F64
) -> Candidates:
    """Both planar poses of every sighting, refined on its recorded pixels.

    Parameters
    ----------
    seen, planes
        S sightings.
    lenses
        One per camera.
    sigma_px
        Corner noise of each camera, shape (V,), pixels.
    """
    S, V = len(seen.view), len(lenses)
    xy_norm = undistorted(seen, lenses)
    usable = planes.clean & np.isfinite(xy_norm).all(-1)
    starts = [_solve(seen.xyz_board[ok], xy[ok]) for ok, xy in zip(usable, xy_norm, strict=True)]
    R, t = np.stack([s[0] for s in starts]), np.stack([s[1] for s in starts])
    none = np.isnan(t[..., 0])
    twice = Sightings(
        view=np.repeat(seen.view, SOLUTIONS),
        board=np.arange(S * SOLUTIONS),
        xy_px=np.repeat(seen.xy_px, SOLUTIONS, axis=0),
        xyz_board=seen.xyz_board,
    )
    state = State(
        lenses=lenses,
        cam_R=np.tile(np.eye(3), (V, 1, 1)),
        cam_t=np.zeros((V, 3)),
        board_R=np.where(none[..., None, None], np.eye(3), R).reshape(-1, 3, 3),
        board_t=np.where(none[..., None], [0.0, 0, 1], t).reshape(-1, 3),
    )
    state, cost, cov = adjust_boards(state, twice, twice.seen, sigma_px)
    variance = np.diagonal(cov, axis1=1, axis2=2).reshape(S, SOLUTIONS, 6)
    cost = np.where(none, np.inf, cost.reshape(S, SOLUTIONS))
    order = np.argsort(cost, axis=1)

    def sort(values: F64) -> F64:
        index = order.reshape(S, SOLUTIONS, *[1] * (values.ndim - 2))
        return np.take_along_axis(values, index, axis=1)

    missing = none[..., None]
    return Candidates(
        R=sort(np.where(missing[..., None], np.nan, state.board_R.reshape(S, SOLUTIONS, 3, 3))),
        t=sort(np.where(missing, np.nan, state.board_t.reshape(S, SOLUTIONS, 3))),
        cost=sort(cost),
        rot_var=sort(variance[..., :3].sum(-1)),
        pos_var=sort(variance[..., 3:].sum(-1)),
    )
