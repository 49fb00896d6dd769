"""From footage or corners of a board to a rig."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.bundle import REJECT_SIGMA, Fit, fit_robust, free_parameters, lens_spread
from multiview.calib.corners import MIN_CORNERS, BoardCorners, Footage, Progress, detect_board
from multiview.calib.extrinsics import (
    FEW_FRAMES,
    Edge,
    chain_cameras,
    check_connected,
    pair_edges,
    pose_boards,
)
from multiview.calib.heldout import evaluate_heldout
from multiview.calib.intrinsics import estimate_intrinsics
from multiview.calib.pnp import Planes, fit_planes, pose_candidates
from multiview.calib.problem import Bools, Ints, Sightings, State, residuals
from multiview.calib.result import CalibrationResult, CameraFigures
from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.errors import CalibrationError, InputError

__all__ = ["LensKind", "calibrate", "calibrate_corners"]

LensKind = Literal["brown", "brown_k3", "fisheye"]

# Corner noise assumed of a lens that was given, until it has been measured.
ASSUMED_NOISE_PX = 0.5
# A sighting of which fewer corners fit is lost: wrongly numbered or posed.
LOST_SHARE = 0.5
# Figures that are worth a warning.
FEW_VIEWS, MANY_REJECTED, VAGUE_FOCAL, FILL_CELLS, LITTLE_FILL = 8, 0.15, 0.01, (8, 6), 0.3
# An error of the principal point turns the camera: 0.005 of the focal length is 0.3 degrees.
VAGUE_CENTRE = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class _Solution:
    fit: Fit
    seen: Sightings
    free: Bools
    weak: tuple[tuple[int, int, Edge], ...]


def calibrate(
    capture: Footage,
    board: Board,
    *,
    intrinsics: Mapping[str, Intrinsics] | None = None,
    refine_intrinsics: bool = False,
    lens: LensKind = "brown",
    progress: Progress | None = None,
) -> CalibrationResult:
    """Calibrate a rig from synchronised footage of a board.

    Parameters
    ----------
    capture
        Footage, as from `multiview.open_capture`.
    board
        What was filmed, as from `multiview.load_board`.
    intrinsics
        Lenses that are known, by camera name; the others are estimated.
    refine_intrinsics
        Let the given lenses move too.
    lens
        Model of lenses that are estimated: ``"brown"`` (k1 k2 p1 p2; k3 stays 0, for a board that
        does not reach the corners of the picture cannot tell it), ``"brown_k3"``, ``"fisheye"``.
    progress
        Called as ``progress(what, done, total)``, from several threads while corners are found.

    Raises
    ------
    CalibrationError
        If a camera never sees the board, cameras do not share views, or a lens is left open by the
        footage; names the cameras and what to film.
    InputError
        If given lenses do not belong to the footage.
    """
    corners = detect_board(capture, board, progress)
    return calibrate_corners(
        corners,
        board,
        intrinsics=intrinsics,
        refine_intrinsics=refine_intrinsics,
        lens=lens,
        progress=progress,
    )


def calibrate_corners(
    corners: BoardCorners,
    board: Board,
    *,
    intrinsics: Mapping[str, Intrinsics] | None = None,
    refine_intrinsics: bool = False,
    lens: LensKind = "brown",
    progress: Progress | None = None,
) -> CalibrationResult:
    """Calibrate a rig from board corners; parameters and errors as in `calibrate`."""
    given = dict(intrinsics or {})
    _check_given(given, corners)
    seen, frames = gather_sightings(corners, board)
    _check_all_see(seen, corners, board)
    check_connected(seen, corners.camera_names)
    planes = fit_planes(seen)
    lenses, sigma = _lenses(seen, planes, corners, given, lens, progress)
    fixed = np.array([n in given and not refine_intrinsics for n in corners.camera_names])
    free = free_parameters(len(lenses), lenses=~fixed, k3=lens == "brown_k3")
    _tell(progress, "rig", 0)
    solution = _solve(seen, planes, board, lenses, sigma, free, corners.camera_names)
    _tell(progress, "rig", 1)
    return _result(solution, corners, board, frames)


def _tell(progress: Progress | None, what: str, done: int, total: int = 1) -> None:
    if progress is not None:
        progress(what, done, total)


def _check_given(given: dict[str, Intrinsics], corners: BoardCorners) -> None:
    unknown = sorted(set(given) - set(corners.camera_names))
    if unknown:
        raise InputError(
            f"intrinsics are given for {', '.join(unknown)}, which the footage does not have",
            f"its cameras are {', '.join(corners.camera_names)}",
        )
    for name, size in zip(corners.camera_names, corners.sizes_wh, strict=True):
        if name in given and tuple(given[name].size_wh) != tuple(size):
            raise InputError(
                f"camera {name}: intrinsics are for {given[name].size_wh} px, pictures are {size}",
                "calibrate at the size of the footage, or leave this camera's intrinsics out",
            )


def gather_sightings(corners: BoardCorners, board: Board) -> tuple[Sightings, Ints]:
    """List the sightings with enough corners, and the frame position of each board."""
    wanted = len(board.object_points)
    if corners.xy_px.shape[2] != wanted:
        raise InputError(
            f"corners hold {corners.xy_px.shape[2]} per frame, the board ({board.describe()}) has "
            f"{wanted}",
            "give the board that the corners were found with",
        )
    view, frame = np.nonzero(corners.valid.sum(-1) >= MIN_CORNERS)
    frames, index = np.unique(frame, return_inverse=True)
    xyz = board.object_points - board.object_points.mean(0)
    xy = corners.xy_px[view, frame]
    xy = np.where(np.isnan(xy).any(-1, keepdims=True), np.nan, xy)
    return Sightings(view=view, board=index.reshape(-1), xy_px=xy, xyz_board=xyz), frames


def _check_all_see(seen: Sightings, corners: BoardCorners, board: Board) -> None:
    count = np.bincount(seen.view, minlength=len(corners.camera_names))
    blind = np.flatnonzero(count == 0)
    if not blind.size:
        return
    names = ", ".join(corners.camera_names[v] for v in blind)
    hints = {corners.hints[v] for v in blind if v < len(corners.hints)} - {""}
    ids = corners.frame_ids
    looked = f"{len(ids)} frames looked at ({ids[0]} to {ids[-1]})" if len(ids) else "no frames"
    hint = f" {'; '.join(sorted(hints))}." if hints else ""
    raise CalibrationError(
        f"camera {names} never sees the board ({board.describe()}): {looked}.{hint}",
        "compare the board file with the print (count, dictionary, legacy, inverted), or film the "
        "board in this camera",
    )


def _lenses(
    seen: Sightings,
    planes: Planes,
    corners: BoardCorners,
    given: dict[str, Intrinsics],
    lens: LensKind,
    progress: Progress | None,
) -> tuple[tuple[Intrinsics, ...], F64]:
    V = len(corners.camera_names)
    lenses, sigma = [], np.full(V, ASSUMED_NOISE_PX)
    for v, part in seen.by_view(V):
        name = corners.camera_names[v]
        _tell(progress, "lenses", v, V)
        if name in given:
            lenses.append(given[name])
            continue
        at = np.arange(part.start, part.stop)
        mine, flat = seen.take(at), planes.take(at)
        found, sigma[v] = estimate_intrinsics(mine, flat, corners.sizes_wh[v], name, lens=lens)
        lenses.append(found)
    _tell(progress, "lenses", V, V)
    return tuple(lenses), sigma


def _solve(
    seen: Sightings,
    planes: Planes,
    board: Board,
    lenses: tuple[Intrinsics, ...],
    sigma: F64,
    free: Bools,
    names: tuple[str, ...],
) -> _Solution:
    """Pose cameras and boards by consensus, adjust, and look once more at what did not fit."""
    poses = pose_candidates(seen, planes, lenses, sigma)
    edges = pair_edges(seen, poses, board.symmetries, len(lenses))
    cam_R, cam_t, used = chain_cameras(edges, names)
    state, numbered = pose_boards(seen, poses, board.symmetries, lenses, (cam_R, cam_t))
    fit = fit_robust(state, numbered, free)
    fit, numbered = _second_look(fit, numbered, board, free)
    weak = tuple((a, b, edges[a, b]) for a, b in used if edges[a, b].agree < FEW_FRAMES)
    return _Solution(fit=fit, seen=numbered, free=free, weak=weak)


def lost_sightings(fit: Fit, seen: Sightings) -> Bools:
    """Sightings of which most corners do not fit, shape (S,)."""
    return np.asarray(fit.inlier.sum(1) < LOST_SHARE * seen.seen.sum(1))


def _second_look(fit: Fit, seen: Sightings, board: Board, free: Bools) -> tuple[Fit, Sightings]:
    """Pose and number boards again with the adjusted cameras, where sightings were lost."""
    lost = lost_sightings(fit, seen)
    if not lost.any():
        return fit, seen
    old = fit.state
    again = np.isin(seen.board, seen.board[lost])
    part = seen.take(again)
    boards, part_board = np.unique(part.board, return_inverse=True)
    part = replace(part, board=part_board.reshape(-1))
    poses = pose_candidates(part, fit_planes(part), old.lenses, fit.sigma_px)
    cam = (old.cam_R, old.cam_t)
    posed, numbered = pose_boards(part, poses, board.symmetries, old.lenses, cam)
    board_R, board_t, xy = old.board_R.copy(), old.board_t.copy(), seen.xy_px.copy()
    board_R[boards], board_t[boards], xy[again] = posed.board_R, posed.board_t, numbered.xy_px
    state: State = replace(old, board_R=board_R, board_t=board_t)
    renewed = replace(seen, xy_px=xy)
    fits = _fitting(state, renewed, fit.sigma_px)
    if fits <= int(fit.inlier.sum()) + MIN_CORNERS:
        return fit, seen
    return fit_robust(state, renewed, free), renewed


def _fitting(state: State, seen: Sightings, sigma_px: F64) -> int:
    length = np.linalg.norm(residuals(state, seen), axis=-1)
    return int((length < REJECT_SIGMA * sigma_px[seen.view][:, None]).sum())


def _result(
    solution: _Solution, corners: BoardCorners, board: Board, frames: Ints
) -> CalibrationResult:
    fit, seen = solution.fit, solution.seen
    V, F, C, _ = corners.xy_px.shape
    where = seen.view, frames[seen.board]
    xy, residual = corners.xy_px.copy(), np.full((V, F, C, 2), np.nan)
    inlier = np.zeros((V, F, C), bool)
    xy[where], residual[where], inlier[where] = seen.xy_px, fit.residual_px, fit.inlier
    state = fit.state
    carried = np.bincount(seen.board, fit.inlier.sum(1), minlength=len(frames)) > 0
    R, t = np.full((F, 3, 3), np.nan), np.full((F, 3), np.nan)
    R[frames[carried]] = state.board_R[carried]
    # the state's boards are about their centre, the result's about the board's own origin
    t[frames[carried]] = (state.board_t - state.board_R @ board.object_points.mean(0))[carried]
    figures = _figures(solution, corners)
    length = np.linalg.norm(fit.residual_px, axis=-1)[fit.inlier]
    rms = float(np.sqrt((length**2).mean())) if length.size else float("nan")
    return CalibrationResult(
        rig=_rig(state, corners, board, rms, int(carried.sum())),
        board=board,
        corners=replace(corners, xy_px=xy),
        world_from_board_R=R,
        world_from_board_t=t,
        residual_px=residual,
        inlier=inlier,
        rms_px=rms,
        cameras=figures,
        heldout=evaluate_heldout(fit, seen, solution.free),
        warnings=_warnings(solution, figures),
    )


def _rig(state: State, corners: BoardCorners, board: Board, rms: float, boards: int) -> Rig:
    cameras = tuple(
        Camera(name=n, intrinsics=i, cam_from_world=Pose(R=R, t=t))
        for n, i, R, t in zip(
            corners.camera_names, state.lenses, state.cam_R, state.cam_t, strict=True
        )
    )
    about = (
        f"world = frame of camera {cameras[0].name} (x right, y down, z forward), metres; "
        f"calibrated with {board.describe()} in {boards} frames, rms {rms:.2f} px"
    )
    return Rig(cameras=cameras, about=about)


def _figures(solution: _Solution, corners: BoardCorners) -> tuple[CameraFigures, ...]:
    fit, seen = solution.fit, solution.seen
    V = len(corners.camera_names)
    spread = lens_spread(fit, seen, solution.free)
    out = []
    for v, part in seen.by_view(V):
        found, kept = seen.seen[part], fit.inlier[part]
        length = np.linalg.norm(fit.residual_px[part], axis=-1)[kept]
        focal = fit.state.lenses[v].K[0, 0]
        out.append(
            CameraFigures(
                name=corners.camera_names[v],
                views=part.stop - part.start,
                corners=int(found.sum()),
                rejected=int((found & ~kept).sum()),
                rms_px=float(np.sqrt((length**2).mean())) if length.size else float("nan"),
                noise_px=float(fit.sigma_px[v]),
                focal_std=float(spread[v, 0] / focal),
                centre_std_px=float(np.hypot(*spread[v, 2:4])),
                fill=_fill(seen.xy_px[part][kept], corners.sizes_wh[v]),
            )
        )
    return tuple(out)


def _fill(xy: F64, size_wh: tuple[int, int]) -> float:
    cells = np.floor(xy / size_wh * FILL_CELLS).astype(int).clip(0, np.array(FILL_CELLS) - 1)
    return len(np.unique(cells, axis=0)) / (FILL_CELLS[0] * FILL_CELLS[1])


def _camera_warnings(c: CameraFigures, focal_px: float) -> list[str]:
    out = []
    if c.views < FEW_VIEWS:
        out.append(f"{c.name} sees the board in {c.views} frames only")
    if c.rejected > MANY_REJECTED * c.corners:
        out.append(
            f"{c.name}: {c.rejected} of {c.corners} corners dropped: blur, a bent board, or "
            "cameras out of step?"
        )
    if c.focal_std > VAGUE_FOCAL:
        out.append(f"{c.name}: focal length known to {c.focal_std:.1%}: tilt the board more")
    if c.centre_std_px > VAGUE_CENTRE * focal_px:
        turn = np.rad2deg(c.centre_std_px / focal_px)
        out.append(
            f"{c.name}: optical axis known to {c.centre_std_px:.0f} px ({turn:.1f} degrees): film "
            "the board close to it, or give its intrinsics"
        )
    if c.fill < LITTLE_FILL:
        out.append(f"{c.name}: corners fill {c.fill:.0%} of the picture")
    return out


def _warnings(solution: _Solution, figures: tuple[CameraFigures, ...]) -> tuple[str, ...]:
    out = [
        f"{figures[a].name} and {figures[b].name} are joined by {e.agree} agreeing of {e.shared} "
        "shared frames: film the board between them"
        for a, b, e in solution.weak
    ]
    for c, lens in zip(figures, solution.fit.state.lenses, strict=True):
        out += _camera_warnings(c, float(lens.K[0, 0]))
    lost = int(lost_sightings(solution.fit, solution.seen).sum())
    if lost:
        out.append(f"{lost} of {len(solution.seen.view)} board views fit nothing and were dropped")
    if not solution.fit.converged:
        out.append("the choice of corners did not settle")
    return tuple(out)
