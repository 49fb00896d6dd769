"""What a calibration found, as figures and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.bundle import Fit
from multiview.calib.corners import BoardCorners
from multiview.calib.edges import Edge
from multiview.calib.heldout import evaluate_heldout
from multiview.calib.problem import Bools, Ints, Sightings, target_xyz
from multiview.calib.result import BoardFit, CalibrationResult, CameraFigures, LensEvidence
from multiview.calib.uncertainty import lens_spread, rig_covariance
from multiview.core import Camera, Pose, Rig

__all__ = ["Solution", "summarise"]

# Figures that are worth a warning.
FEW_VIEWS, MANY_REJECTED, VAGUE_FOCAL, FILL_CELLS, LITTLE_FILL = 8, 0.15, 0.01, (8, 6), 0.3
# An error of the principal point turns the camera: 0.005 of the focal length is 0.3 degrees.
VAGUE_CENTRE = 0.005
# A board bent by more than this share of its size is better replaced.
BENT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """All that the solver leaves behind.

    Parameters
    ----------
    fit
        The adjustment.
    seen, original
        Sightings as numbered by it, and as they were found.
    frame
        Position on axis F of each sighting, shape (S,).
    lost
        Sightings dropped whole, shape (S,).
    weak
        Pairs of cameras that hold the rig together on few frames.
    contradicted
        Pairs that loops through other cameras contradict, and by what angle (rad).
    lenses
        Why each camera has its lens model.
    """

    fit: Fit
    seen: Sightings
    original: Sightings
    frame: Ints
    lost: Bools
    weak: Mapping[tuple[int, int], Edge]
    contradicted: Mapping[tuple[int, int], tuple[Edge, float]]
    lenses: tuple[LensEvidence, ...]


def summarise(
    found: Solution, corners: Sequence[BoardCorners], boards: Sequence[Board]
) -> CalibrationResult:
    """Assemble the result."""
    fit = found.fit
    parts = tuple(_board_fit(found, i, corners[i], b) for i, b in enumerate(boards))
    figures = _figures(found, corners[0])
    length = np.linalg.norm(fit.residual_px, axis=-1)[fit.inlier]
    rms = float(np.sqrt((length**2).mean())) if length.size else float("nan")
    covariance = rig_covariance(fit, found.seen)
    return CalibrationResult(
        rig=replace(_rig(found, corners[0], boards, rms), covariance=covariance),
        covariance=covariance,
        boards=parts,
        rms_px=rms,
        cameras=figures,
        lenses=found.lenses,
        heldout=evaluate_heldout(fit, found.seen),
        warnings=_warnings(found, figures, boards),
    )


def _board_fit(found: Solution, target: int, corners: BoardCorners, board: Board) -> BoardFit:
    fit, state = found.fit, found.fit.state
    at = np.flatnonzero(found.seen.target == target)
    seen, before = found.seen.take(at), found.original.take(at)
    V, F, C, _ = corners.xy_px.shape
    where = seen.view, found.frame[at]
    xy, residual = corners.xy_px.copy(), np.full((V, F, C, 2), np.nan)
    inlier = np.zeros((V, F, C), bool)
    turned, lost = np.zeros((V, F), bool), np.zeros((V, F), bool)
    xy[where], inlier[where] = seen.xy_px[:, :C], fit.inlier[at, :C]
    residual[where], lost[where] = fit.residual_px[at, :C], found.lost[at]
    same = (seen.xy_px == before.xy_px) | (np.isnan(seen.xy_px) & np.isnan(before.xy_px))
    turned[where] = ~same.all((1, 2))
    carried = np.bincount(seen.board, fit.inlier[at].sum(1), minlength=len(state.board_t)) > 0
    R, t = np.full((F, 3, 3), np.nan), np.full((F, 3), np.nan)
    ok = carried[seen.board]
    pose, frame = seen.board[ok], found.frame[at][ok]
    R[frame] = state.board_R[pose]
    # the state's boards are about their centre, the result's about the board's own origin
    t[frame] = state.board_t[pose] - state.board_R[pose] @ board.object_points.mean(0)
    return BoardFit(
        board=board,
        corners=replace(corners, xy_px=xy),
        world_from_board_R=R,
        world_from_board_t=t,
        residual_px=residual,
        inlier=inlier,
        turned=turned & ~lost,
        lost=lost,
        xyz_board=target_xyz(state, seen)[target, :, :C].T + board.object_points.mean(0),
        bend_mm=1000 * state.bend[target],
    )


def _rig(found: Solution, corners: BoardCorners, boards: Sequence[Board], rms: float) -> Rig:
    state = found.fit.state
    cameras = tuple(
        Camera(name=n, intrinsics=i, cam_from_world=Pose(R=R, t=t))
        for n, i, R, t in zip(
            corners.camera_names, state.lenses, state.cam_R, state.cam_t, strict=True
        )
    )
    carried = np.unique(found.seen.board[found.fit.inlier.any(1)]).size
    about = (
        f"calibrated with {' and '.join(b.describe() for b in boards)} in {carried} poses, rms "
        f"{rms:.2f} px"
    )
    return Rig(cameras=cameras, about=about)


def _figures(found: Solution, corners: BoardCorners) -> tuple[CameraFigures, ...]:
    fit, seen = found.fit, found.seen
    V = len(corners.camera_names)
    spread = lens_spread(fit, seen)
    out = []
    for v, part in seen.by_view(V):
        there, kept = seen.seen[part], fit.inlier[part]
        length = np.linalg.norm(fit.residual_px[part], axis=-1)[kept]
        focal = fit.state.lenses[v].K[0, 0]
        out.append(
            CameraFigures(
                name=corners.camera_names[v],
                views=part.stop - part.start,
                corners=int(there.sum()),
                rejected=int((there & ~kept).sum()),
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


def _warnings(
    found: Solution, figures: tuple[CameraFigures, ...], boards: Sequence[Board]
) -> tuple[str, ...]:
    out = [
        f"{figures[a].name} and {figures[b].name} are joined by {e.agree} agreeing of {e.shared} "
        "shared frames: film the board between them"
        for (a, b), e in found.weak.items()
    ]
    out += [
        f"{figures[a].name} and {figures[b].name}: their {e.shared} shared frames contradict the "
        f"rest of the rig by {np.rad2deg(angle):.1f} degrees: are the two out of step?"
        for (a, b), (e, angle) in found.contradicted.items()
    ]
    for c, lens in zip(figures, found.fit.state.lenses, strict=True):
        out += _camera_warnings(c, float(lens.K[0, 0]))
    lost = int(found.lost.sum())
    if lost:
        out.append(f"{lost} of {len(found.seen.view)} board views fit nothing and were dropped")
    out += _bent_boards(found, boards)
    if not found.fit.converged:
        out.append("the choice of corners did not settle")
    return tuple(out)


def _bent_boards(found: Solution, boards: Sequence[Board]) -> list[str]:
    extent = found.seen.targets.extent
    return [
        f"{board.describe()} is bent by {1000 * np.abs(bend).max():.1f} mm, which was modelled: "
        "glue the print to something stiff"
        for board, bend, size in zip(boards, found.fit.state.bend, extent, strict=True)
        if np.abs(bend).max() > BENT * size
    ]
