"""From corners of boards to sightings, and the checks that footage must pass first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.corners import BoardCorners
from multiview.calib.found import least_corners
from multiview.calib.problem import Bools, Ints, Sightings
from multiview.calib.targets import gather_targets
from multiview.errors import CalibrationError, InputError

__all__ = ["Gathered", "check_all_see", "gather_sightings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Sightings, and where each came from.

    Parameters
    ----------
    seen
        Sightings, sorted by camera.
    frame
        Position on axis F of each, shape (S,).
    """

    seen: Sightings
    frame: Ints


def gather_sightings(corners: Sequence[BoardCorners], boards: Sequence[Board]) -> Gathered:
    """List the views of boards with enough corners; a board that lies still has one pose.

    Raises
    ------
    InputError
        If corners do not belong to their board, or the takes of the boards differ.
    """
    for c, board in zip(corners, boards, strict=True):
        _check_count(c, board)
    _check_alike(corners)
    targets = gather_targets(boards)
    rows: list[tuple[Ints, Ints, Ints, F64]] = []
    for i, (c, board) in enumerate(zip(corners, boards, strict=True)):
        view, frame = np.nonzero(c.valid.sum(-1) >= least_corners(board))
        xy = np.full((len(view), targets.xyz.shape[1], 2), np.nan)
        xy[:, : c.xy_px.shape[2]] = c.xy_px[view, frame]
        rows.append((view, frame, np.full(len(view), i), xy))
    view, frame, target = (np.concatenate([r[k] for r in rows]) for k in range(3))
    xy = np.concatenate([r[3] for r in rows])
    xy = np.where(np.isnan(xy).any(-1, keepdims=True), np.nan, xy)
    order = np.lexsort((target, frame, view))
    view, frame, target, xy = view[order], frame[order], target[order], xy[order]
    still = np.array([b.static for b in boards], np.bool_)
    seen = Sightings(
        view=view, board=_poses(frame, target, still), target=target, xy_px=xy, targets=targets
    )
    return Gathered(seen=seen, frame=frame)


def _poses(frame: Ints, target: Ints, still: Bools) -> Ints:
    """Give each board and frame a pose, and a board that lies still one in all."""
    when = np.where(still[target], 0, frame)
    _, pose = np.unique(np.stack([when, target], 1), axis=0, return_inverse=True)
    return pose.reshape(-1)


def _check_count(corners: BoardCorners, board: Board) -> None:
    wanted = len(board.object_points)
    if corners.xy_px.shape[2] != wanted:
        raise InputError(
            f"corners hold {corners.xy_px.shape[2]} per frame, the board ({board.describe()}) has "
            f"{wanted}",
            "give the board that the corners were found with",
        )


def _check_alike(corners: Sequence[BoardCorners]) -> None:
    first = corners[0]
    for other in corners[1:]:
        if other.camera_names != first.camera_names or not np.array_equal(
            other.frame_ids, first.frame_ids
        ):
            raise InputError(
                "the corners of the boards are of different takes",
                "detect all boards in one take: calibrate --board A B",
            )


def check_all_see(
    seen: Sightings, corners: Sequence[BoardCorners], boards: Sequence[Board]
) -> None:
    """Refuse footage in which a camera never sees a board.

    Raises
    ------
    CalibrationError
        Naming the camera, and what was found out about it.
    """
    names = corners[0].camera_names
    count = np.bincount(seen.view, minlength=len(names))
    blind = np.flatnonzero(count == 0)
    if not blind.size:
        return
    hints = {c.hints[v] for c in corners for v in blind if v < len(c.hints)} - {""}
    ids = corners[0].frame_ids
    looked = f"{len(ids)} frames looked at ({ids[0]} to {ids[-1]})" if len(ids) else "no frames"
    hint = f" {'; '.join(sorted(hints))}." if hints else ""
    which = " or ".join(b.describe() for b in boards)
    raise CalibrationError(
        f"camera {', '.join(names[v] for v in blind)} never sees the board ({which}): "
        f"{looked}.{hint}",
        "compare the board file with the print (count, dictionary, legacy, inverted), or film the "
        "board in this camera",
    )
