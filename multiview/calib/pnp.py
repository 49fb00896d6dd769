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
# Steps of reweighting; corners further than so many spreads from a homography are set aside.
REWEIGHTINGS, SET_ASIDE = 6, 5.0
# Corners that scatter by more than this share of the board's picture follow no homography: strong
# lenses bend a board by 2 % of its picture at most.
POOR_FIT = 0.02
# Median length of Gaussian errors in a plane, in sigmas of a coordinate.
RAYLEIGH_MEDIAN = float(np.sqrt(2 * np.log(2)))


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
    """Fit a homography to every sighting of a plane, robustly; NaN for other targets.

    All sightings at once by reweighted least squares, which bears a few wrong corners; those whose
    corners it does not explain go to least median of squares (Rousseeuw 1984). Distortion bends a
    board by a few pixels, which both bear: what they set aside only stays out of start values.
    """
    usable = seen.seen & seen.targets.planar[seen.target][:, None]
    usable &= usable.sum(1, keepdims=True) >= MIN_POINTS
    H, clean, scale = _reweighted(seen, usable)
    size = _picture_size(seen.xy_px, usable)
    poor = np.flatnonzero(usable.any(1) & ~(scale < POOR_FIT * size))
    for s in poor.tolist():
        H[s], clean[s] = _least_median(seen, s, usable[s])
    few = clean.sum(1) < np.maximum(MIN_POINTS, usable.sum(1) // 2)
    clean[few] = usable[few]
    return Planes(H=H, clean=clean)


def _picture_size(xy_px: F64, usable: Bools) -> F64:
    """Longest side of the box around the usable corners of each sighting, shape (S,), pixels."""
    on = usable[..., None]
    low = np.where(on, xy_px, np.inf).min(1)
    high = np.where(on, xy_px, -np.inf).max(1)
    return np.asarray((high - low).max(-1))


def _reweighted(seen: Sightings, usable: Bools) -> tuple[F64, Bools, F64]:
    """Homographies (S, 3, 3) by reweighted least squares, inliers (S, C), and scales (S,) in px."""
    on = np.flatnonzero(usable.any(1))
    S, C = usable.shape
    H, clean, scale = np.full((S, 3, 3), np.nan), np.zeros((S, C), bool), np.full(S, np.nan)
    if not len(on):
        return H, clean, scale
    size = seen.targets.extent[seen.target[on]]
    X, Y = np.moveaxis(seen.xyz_board[on][..., :2], -1, 0) / size[:, None]
    ok = usable[on]
    xy = np.where(ok[..., None], seen.xy_px[on], 0.0)
    middle = xy.sum(1) / ok.sum(1)[:, None]
    spread = np.sqrt((((xy - middle[:, None]) ** 2).sum(-1) * ok).sum(1) / ok.sum(1))
    u, v = np.moveaxis((xy - middle[:, None]) / np.maximum(spread, 1e-9)[:, None, None], -1, 0)
    weight, h = ok.astype(float), np.zeros((len(on), 8))
    for _ in range(REWEIGHTINGS):
        h = _homographies(X, Y, u, v, weight)
        depth = 1 + h[:, 6:7] * X + h[:, 7:8] * Y
        safe = np.where(depth > 1e-6, depth, np.nan)
        eu = (h[:, 0:1] * X + h[:, 1:2] * Y + h[:, 2:3]) / safe - u
        ev = (h[:, 3:4] * X + h[:, 4:5] * Y + h[:, 5:6]) / safe - v
        error = np.where(ok, np.nan_to_num(np.hypot(eu, ev), nan=np.inf), np.nan)
        sigma = np.maximum(np.nanmedian(error, axis=1) / RAYLEIGH_MEDIAN, 1e-9)
        ratio = (error / sigma[:, None]) ** 2
        # algebraic errors are depth times geometric ones; Cauchy's weight on the latter
        weight = np.where(ok, 1 / (1 + ratio / 4) / np.nan_to_num(safe, nan=1.0) ** 2, 0.0)
    own = np.concatenate([h, np.ones((len(on), 1))], 1).reshape(-1, 3, 3)
    lift = np.zeros((len(on), 3, 3))
    lift[:, 0, 0] = lift[:, 1, 1] = spread
    lift[:, :2, 2], lift[:, 2, 2] = middle, 1
    H[on] = lift @ own / np.stack([size, size, np.ones_like(size)], -1)[:, None]
    clean[on] = ok & (ratio < SET_ASIDE**2)
    scale[on] = sigma * spread
    return H, clean, scale


def _homographies(X: F64, Y: F64, u: F64, v: F64, weight: F64) -> F64:
    """Solve weighted linear systems for eight numbers each; the ninth is 1 in front of a board."""
    one, zero = np.ones_like(X), np.zeros_like(X)
    above = np.stack([X, Y, one, zero, zero, zero, -u * X, -u * Y], 1)
    below = np.stack([zero, zero, zero, X, Y, one, -v * X, -v * Y], 1)
    J = np.concatenate([above, below], axis=2)
    w = np.concatenate([weight, weight], axis=1)[:, None]
    target = np.concatenate([u, v], axis=1)[..., None]
    A = (J * w) @ np.swapaxes(J, 1, 2) + 1e-12 * np.eye(8)
    return np.asarray(np.linalg.solve(A, (J * w) @ target)[..., 0])


def _least_median(seen: Sightings, s: int, ok: Bools) -> tuple[F64, Bools]:
    size = seen.targets.extent[seen.target[s]]
    clean = ok.copy()
    # in units of the board, for OpenCV's solver has absolute limits
    plane = np.ascontiguousarray(seen.xyz_board[s, ok, :2] / size)
    found, mask = cv2.findHomography(plane, seen.xy_px[s, ok], cv2.LMEDS)
    if found is None:
        return np.full((3, 3), np.nan), clean
    clean[np.flatnonzero(ok)[np.asarray(mask).ravel() == 0]] = False
    return np.asarray(found @ np.diag([1 / size, 1 / size, 1])), clean


def _solve(xyz: F64, image: F64, planar: bool) -> tuple[F64, F64]:
    """Poses of one board from its clean corners, normalised; NaN where there is none.

    A plane has two (IPPE), anything else one (Terzakis and Lourakis, ECCV 2020).
    """
    R, t = np.full((SOLUTIONS, 3, 3), np.nan), np.full((SOLUTIONS, 3), np.nan)
    if len(image) < MIN_POINTS:
        return R, t
    try:
        how = cv2.SOLVEPNP_IPPE if planar else cv2.SOLVEPNP_SQPNP
        _, turns, shifts, _ = cv2.solvePnPGeneric(
            xyz[:, None], image[:, None], np.eye(3), None, flags=how
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
    planar = seen.targets.planar[seen.target]
    usable |= (seen.seen & np.isfinite(xy_norm).all(-1)) & ~planar[:, None]
    rows = zip(seen.xyz_board, xy_norm, usable, planar, strict=True)
    starts = [_solve(xyz[ok], xy[ok], bool(flat)) for xyz, xy, ok, flat in rows]
    R, t = np.stack([s[0] for s in starts]), np.stack([s[1] for s in starts])
    none = np.isnan(t[..., 0])
    twice = Sightings(
        view=np.repeat(seen.view, SOLUTIONS),
        board=np.arange(S * SOLUTIONS),
        target=np.repeat(seen.target, SOLUTIONS),
        xy_px=np.repeat(seen.xy_px, SOLUTIONS, axis=0),
        targets=seen.targets,
    )
    board_R = np.where(none[..., None, None], np.eye(3), R).reshape(-1, 3, 3)
    board_t = np.where(none[..., None], [0.0, 0, 1], t).reshape(-1, 3)
    camera = np.tile(np.eye(3), (V, 1, 1)), np.zeros((V, 3))
    state = State.start(lenses, camera, (board_R, board_t), len(seen.targets.count))
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
