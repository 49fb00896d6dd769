"""Honest errors: boards that the cameras were not fitted to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from multiview._shapes import F64
from multiview.calib.bundle import REJECT_SIGMA, Fit, adjust, adjust_boards
from multiview.calib.problem import Bools, Ints, Sightings, State, residuals, target_xyz
from multiview.calib.result import HeldOut
from multiview.geometry.project import project_jacobian

__all__ = ["evaluate_heldout"]

# Every fifth board seen by two cameras or more.
EVERY = 5
# Gauss-Newton steps of a point from a start that is right to a pixel; each squares the error.
POINT_STEPS = 4
# Ratio of the weakest to the strongest direction of a point's information below which its rays are
# parallel to a hundredth of a degree and it has no depth.
NO_DEPTH = 1e-8
# A camera needs this many board views besides those left out.
MIN_TRAIN_VIEWS = 4
NONE = HeldOut(
    boards=0,
    corners=0,
    rejected=0,
    rms_px=np.nan,
    predicted_px=np.nan,
    triangulated_mm=np.nan,
)


def held_boards(seen: Sightings, views: int, every: int = EVERY) -> Bools:
    """Mark boards to leave out, shape (B,), none where a camera would be left with too few."""
    shared = np.flatnonzero(np.bincount(seen.board) >= 2)
    out = np.zeros(int(seen.board.max()) + 1, bool)
    out[shared[every // 2 :: every]] = True
    left = np.bincount(seen.view[~out[seen.board]], minlength=views)
    return out if (left >= MIN_TRAIN_VIEWS).all() else np.zeros_like(out)


def evaluate_heldout(fit: Fit, seen: Sightings) -> HeldOut:
    """Fit the cameras without every fifth board, then measure errors on those.

    Parameters
    ----------
    fit
        Of all boards: start and noise.
    seen
        As in the fit.
    """
    held = held_boards(seen, len(fit.state.lenses))
    if not held.any():
        return NONE
    train = ~held[seen.board]
    state = adjust(
        fit.state,
        seen.take(train),
        fit.inlier[train],
        fit.sigma_px,
        fit.layout,
        robust=False,
    )
    test = seen.take(~train)
    state, _, _ = adjust_boards(state, test, test.seen, fit.sigma_px)
    length = np.linalg.norm(residuals(state, test), axis=-1)
    keep = test.seen & (length < REJECT_SIGMA * fit.sigma_px[test.view][:, None])
    predicted = _leave_one_out(state, test, keep, fit.sigma_px)
    return HeldOut(
        boards=int(held.sum()),
        corners=int(test.seen.sum()),
        rejected=int((test.seen & ~keep).sum()),
        rms_px=_rms(length[keep]),
        predicted_px=_rms(np.linalg.norm(predicted, axis=-1)[keep]),
        triangulated_mm=1000 * _triangulated(state, test, keep, fit.sigma_px),
    )


def _rms(values: F64) -> float:
    values = values[np.isfinite(values)]
    return float(np.sqrt((values**2).mean())) if values.size else float("nan")


def _leave_one_out(state: State, test: Sightings, keep: Bools, sigma_px: F64) -> F64:
    """Errors (S, C, 2) in each sighting of the board posed from its other sightings."""
    same = test.board[:, None] == test.board
    np.fill_diagonal(same, False)
    same &= (keep.sum(1) >= 4)[None]
    left_out, other = np.nonzero(same)
    order = np.argsort(test.view[other], kind="stable")
    left_out, other = left_out[order], other[order]
    others = replace(test.take(other), board=left_out)
    start = replace(state, board_R=state.board_R[test.board], board_t=state.board_t[test.board])
    posed, _, _ = adjust_boards(start, others, keep[other], sigma_px)
    res = residuals(posed, replace(test, board=np.arange(len(test.view))))
    res[~same.any(1)] = np.nan
    return res


def _triangulated(state: State, test: Sightings, keep: Bools, sigma_px: F64) -> float:
    """Distance of corners triangulated one by one from their board, root mean square."""
    used = keep & (_views_of(keep, test.board) >= 2)
    of_pose = np.zeros(len(state.board_t), np.int64)
    of_pose[test.board] = test.target
    bent = np.swapaxes(target_xyz(state, test)[of_pose], -1, -2)
    on_board = bent @ np.swapaxes(state.board_R, -1, -2) + state.board_t[:, None]
    xyz, posed = on_board.copy(), np.ones(on_board.shape[:2], bool)
    for _ in range(POINT_STEPS):
        H, g = _point_normals(state, test, used, sigma_px, xyz)
        value = np.linalg.eigvalsh(H)
        posed &= value[..., 0] > NO_DEPTH * value[..., 2]
        H[~posed], g[~posed] = np.eye(3), 0
        xyz = xyz - np.linalg.solve(H, g[..., None])[..., 0]
    return _rms(np.linalg.norm(xyz - on_board, axis=-1)[posed])


def _point_normals(
    state: State, test: Sightings, used: Bools, sigma_px: F64, xyz: F64
) -> tuple[F64, F64]:
    """Gauss-Newton blocks of points (B, C, 3): matrices (B, C, 3, 3) and vectors (B, C, 3)."""
    H, g = np.zeros((*xyz.shape, 3)), np.zeros(xyz.shape)
    for v, part in test.by_view(len(state.lenses)):
        b, lens = test.board[part], state.lenses[v]
        at = xyz[b] @ state.cam_R[v].T + state.cam_t[v]
        xy, J = project_jacobian(at, lens.K, lens.dist, lens.model)
        r = xy - test.xy_px[part]
        ok = used[part] & np.isfinite(r).all(-1)
        J = np.where(ok[..., None, None], J @ state.cam_R[v], 0.0) / sigma_px[v]
        r = np.where(ok[..., None], r, 0.0) / sigma_px[v]
        np.add.at(H, b, np.swapaxes(J, -1, -2) @ J)
        np.add.at(g, b, (np.swapaxes(J, -1, -2) @ r[..., None])[..., 0])
    return H, g


def _views_of(keep: Bools, board: Ints) -> Ints:
    """Count the views that keep a corner, for every sighting of it, shape (S, C)."""
    count = np.zeros((int(board.max()) + 1, keep.shape[1]), np.int64)
    np.add.at(count, board, keep)
    return count[board]
