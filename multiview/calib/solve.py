"""From footage or corners of boards to a rig."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.bundle import REJECT_SIGMA, Fit, fit_robust
from multiview.calib.corners import MIN_CORNERS, BoardCorners, Footage, Progress, detect_boards
from multiview.calib.edges import FEW_FRAMES, pair_edges
from multiview.calib.extrinsics import chain_cameras, check_connected, pose_boards
from multiview.calib.figures import Solution, summarise
from multiview.calib.gather import check_all_see, gather_sightings
from multiview.calib.intrinsics import estimate_intrinsics
from multiview.calib.layout import VIEWS_FOR_BEND, Layout, LensModel, lay_out
from multiview.calib.lens_choice import lens_mask, with_model
from multiview.calib.loops import contradicted_pairs
from multiview.calib.pnp import Planes, fit_planes, pose_candidates
from multiview.calib.problem import Bools, Ints, Sightings, State, residuals
from multiview.calib.result import CalibrationResult, LensEvidence
from multiview.calib.threads import one_blas_thread
from multiview.core import Intrinsics
from multiview.errors import InputError

__all__ = ["LensKind", "calibrate", "calibrate_corners"]

LensKind = LensModel | Literal["auto"]

# Corner noise assumed of a lens that was given, until it has been measured.
ASSUMED_NOISE_PX = 0.5
# A sighting of which fewer corners fit is lost: wrongly numbered or posed.
LOST_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lenses:
    """Start values of all cameras: lens, model, which move, noise, and the evidence."""

    lenses: tuple[Intrinsics, ...]
    moving: Bools
    sigma_px: F64
    evidence: tuple[LensEvidence, ...]


def calibrate(
    capture: Footage,
    board: Board | Sequence[Board],
    *,
    intrinsics: Mapping[str, Intrinsics] | None = None,
    refine_intrinsics: bool = False,
    lens: LensKind = "auto",
    shared_lens: Sequence[Sequence[str]] = (),
    flat: bool = False,
    progress: Progress | None = None,
) -> CalibrationResult:
    """Calibrate a rig from synchronised footage of one board or several.

    Parameters
    ----------
    capture
        Footage, as from `multiview.open_capture`.
    board
        What was filmed, as from `multiview.load_board`; several boards may be in view at once.
    intrinsics
        Lenses that are known, by camera name; the others are estimated.
    refine_intrinsics
        Let the given lenses move too.
    lens
        Model of lenses that are estimated: ``"brown"`` (k1 k2 p1 p2), ``"brown_k3"``,
        ``"rational"`` (8 coefficients), ``"prism"`` (12), ``"fisheye"``; ``"auto"`` takes the
        simplest that predicts boards left out as well as any.
    shared_lens
        Groups of cameras that are alike and share one lens, by name.
    flat
        Take boards as flat; by default their bow and twist are estimated.
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
    boards = (board,) if isinstance(board, Board) else tuple(board)
    corners = detect_boards(capture, boards, progress)
    return calibrate_corners(
        corners,
        boards,
        intrinsics=intrinsics,
        refine_intrinsics=refine_intrinsics,
        lens=lens,
        shared_lens=shared_lens,
        flat=flat,
        progress=progress,
    )


@one_blas_thread
def calibrate_corners(
    corners: BoardCorners | Sequence[BoardCorners],
    board: Board | Sequence[Board],
    *,
    intrinsics: Mapping[str, Intrinsics] | None = None,
    refine_intrinsics: bool = False,
    lens: LensKind = "auto",
    shared_lens: Sequence[Sequence[str]] = (),
    flat: bool = False,
    progress: Progress | None = None,
) -> CalibrationResult:
    """Calibrate a rig from board corners; parameters and errors as in `calibrate`."""
    boards = (board,) if isinstance(board, Board) else tuple(board)
    takes = (corners,) if isinstance(corners, BoardCorners) else tuple(corners)
    if not boards or len(boards) != len(takes):
        raise InputError(
            f"{len(boards)} boards and corners of {len(takes)}", "give the corners of every board"
        )
    given = dict(intrinsics or {})
    _check_given(given, takes[0])
    shared = _lens_groups(shared_lens, takes[0])
    return _calibrate(takes, boards, given, shared, refine_intrinsics, lens, flat, progress)


def _calibrate(
    takes: tuple[BoardCorners, ...],
    boards: tuple[Board, ...],
    given: dict[str, Intrinsics],
    shared: Ints,
    refine_intrinsics: bool,
    lens: LensKind,
    flat: bool,
    progress: Progress | None,
) -> CalibrationResult:
    names = takes[0].camera_names
    gathered = gather_sightings(takes, boards)
    seen = gathered.seen
    check_all_see(seen, takes, boards)
    check_connected(seen, names)
    planes = fit_planes(seen)
    start = _lenses(seen, planes, takes[0], given, lens, progress)
    fixed = np.array([n in given and not refine_intrinsics for n in names])
    start = _share(start, shared, fixed)
    bends = seen.targets.bends & (not flat)
    bends &= (np.bincount(seen.target, minlength=len(boards)) >= VIEWS_FOR_BEND)[:, None]
    layout = lay_out(np.arange(len(names)) > 0, start.moving, bends=bends, shared=shared)
    _tell(progress, "rig", 0)
    evidence = _solve(gathered.frame, seen, planes, start, layout, names)
    _tell(progress, "rig", 1)
    return summarise(evidence, takes, boards)


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


def _lens_groups(groups: Sequence[Sequence[str]], corners: BoardCorners) -> Ints:
    """Lens of each camera, shape (V,): the number of the first camera that has it."""
    names, shared = corners.camera_names, np.arange(len(corners.camera_names))
    for group in groups:
        unknown = [n for n in group if n not in names]
        if unknown:
            raise InputError(
                f"shared lens: there is no camera {', '.join(unknown)}",
                f"the cameras are {', '.join(names)}",
            )
        members = sorted(names.index(n) for n in group)
        if len({corners.sizes_wh[v] for v in members}) > 1:
            raise InputError(
                f"shared lens: {', '.join(group)} record pictures of different sizes",
                "only cameras of one kind at one setting share a lens",
            )
        shared[members] = shared[members[0]] if members else 0
    return shared


def _lenses(
    seen: Sightings,
    planes: Planes,
    corners: BoardCorners,
    given: dict[str, Intrinsics],
    lens: LensKind,
    progress: Progress | None,
) -> _Lenses:
    """Estimate the lens of every camera by itself."""
    V = len(corners.camera_names)
    lenses, sigma, evidence = [], np.full(V, ASSUMED_NOISE_PX), []
    for v, part in seen.by_view(V):
        name = corners.camera_names[v]
        _tell(progress, "lenses", v, V)
        if name in given:
            lenses.append(given[name])
            evidence.append(LensEvidence(name=name, model=_model_of(given[name]), heldout_px={}))
            continue
        at = np.arange(part.start, part.stop)
        found, sigma[v], trials = estimate_intrinsics(
            seen.take(at), planes.take(at), corners.sizes_wh[v], name, lens=lens
        )
        lenses.append(found)
        tried: dict[str, float] = {
            t.model: t.heldout_px for t in trials if np.isfinite(t.heldout_px)
        }
        evidence.append(LensEvidence(name=name, model=trials[0].model, heldout_px=tried))
    _tell(progress, "lenses", V, V)
    moving = np.stack([lens_mask(e.model) for e in evidence])
    return _Lenses(lenses=tuple(lenses), moving=moving, sigma_px=sigma, evidence=tuple(evidence))


def _model_of(lens: Intrinsics) -> LensModel:
    """Name the simplest model that has a given lens's coefficients."""
    if lens.model == "fisheye":
        return "fisheye"
    used = np.flatnonzero(lens.dist)
    last = int(used[-1]) + 1 if used.size else 0
    names: tuple[tuple[int, LensModel], ...] = ((4, "brown"), (5, "brown_k3"), (8, "rational"))
    return next((name for size, name in names if last <= size), "prism")


def _share(start: _Lenses, shared: Ints, fixed: Bools) -> _Lenses:
    """Give cameras of a group the lens of the one that has the most coefficients."""
    lenses, moving = list(start.lenses), start.moving.copy()
    for owner in np.unique(shared):
        group = np.flatnonzero(shared == owner)
        best = int(max(group, key=lambda v: (bool(fixed[v]), int(moving[v].sum()))))
        for v in group:
            lenses[v], moving[v] = lenses[best], moving[best]
            fixed[v] = fixed[best]
    moving[fixed] = False
    sized = [
        with_model(i, e.model) if m.any() and len(np.flatnonzero(shared == o)) == 1 else i
        for i, e, m, o in zip(lenses, start.evidence, moving, shared, strict=True)
    ]
    return replace(start, lenses=tuple(sized), moving=moving)


def _solve(
    frame: Ints,
    seen: Sightings,
    planes: Planes,
    start: _Lenses,
    layout: Layout,
    names: tuple[str, ...],
) -> Solution:
    """Pose cameras and boards by consensus, adjust, and look once more at what did not fit."""
    poses = pose_candidates(seen, planes, start.lenses, start.sigma_px)
    edges = pair_edges(seen, poses, len(names))
    doubtful = contradicted_pairs(edges, len(names))
    cam_R, cam_t, used = chain_cameras(edges, names, doubtful)
    state, numbered = pose_boards(seen, poses, start.lenses, (cam_R, cam_t))
    fit = fit_robust(state, numbered, layout)
    fit, numbered = _second_look(fit, numbered, seen)
    weak = {pair: edges[pair] for pair in used if edges[pair].agree < FEW_FRAMES}
    return Solution(
        fit=fit,
        seen=numbered,
        original=seen,
        frame=frame,
        lost=lost_sightings(fit, numbered),
        weak=weak,
        contradicted={
            p: (edges[p], angle) for p, angle in doubtful.items() if edges[p].agree >= FEW_FRAMES
        },
        lenses=start.evidence,
    )


def lost_sightings(fit: Fit, seen: Sightings) -> Bools:
    """Sightings of which most corners do not fit, shape (S,)."""
    return np.asarray(fit.inlier.sum(1) < LOST_SHARE * seen.seen.sum(1))


def _second_look(fit: Fit, seen: Sightings, original: Sightings) -> tuple[Fit, Sightings]:
    """Pose and number boards again with the adjusted cameras, where sightings were lost."""
    lost = lost_sightings(fit, seen)
    if not lost.any():
        return fit, seen
    old = fit.state
    again = np.isin(seen.board, seen.board[lost])
    part = original.take(again)
    boards, part_board = np.unique(part.board, return_inverse=True)
    part = replace(part, board=part_board.reshape(-1))
    poses = pose_candidates(part, fit_planes(part), old.lenses, fit.sigma_px)
    posed, numbered = pose_boards(part, poses, old.lenses, (old.cam_R, old.cam_t))
    board_R, board_t, xy = old.board_R.copy(), old.board_t.copy(), seen.xy_px.copy()
    board_R[boards], board_t[boards], xy[again] = posed.board_R, posed.board_t, numbered.xy_px
    state: State = replace(old, board_R=board_R, board_t=board_t)
    renewed = replace(seen, xy_px=xy)
    fits = _fitting(state, renewed, fit.sigma_px)
    if fits <= int(fit.inlier.sum()) + MIN_CORNERS:
        return fit, seen
    return fit_robust(state, renewed, fit.layout), renewed


def _fitting(state: State, seen: Sightings, sigma_px: F64) -> int:
    length = np.linalg.norm(residuals(state, seen), axis=-1)
    return int((length < REJECT_SIGMA * sigma_px[seen.view][:, None]).sum())
