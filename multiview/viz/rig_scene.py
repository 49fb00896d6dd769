"""What there is to see of a rig, once for every viewer: cameras, boards, the filmed volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, IntArray
from multiview.bootstrap.plan_volume import Box, seen_box, trace_of_inverse, view_information
from multiview.core import BoardTrack, Camera, Rig
from multiview.errors import InputError

__all__ = ["RigScene", "Volume", "board_outlines", "corners_in_picture", "volume_of"]

# Positions of the map, about; and noise of a detection for which its error is stated.
POSITIONS, NOISE_PX = 1500, 1.0
# Cells of a picture across and down, of which a share has corners; as in the calibration's report.
CELLS = (8, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """What to expect at the N places of a grid over a box.

    Parameters
    ----------
    box
        Where it is, along the axes of the world.
    xyz, shape
        Places (N, 3), rig units, and their number along each axis.
    views
        Cameras with the place in their picture, (N,).
    boards
        Poses of boards with a corner in the cell, (N,).
    by_pixel
        Error of a point there that all these cameras see with 1 px noise: root mean square, rig
        units, (N,); NaN where fewer than two see it.
    by_rig
        Error that the calibration alone makes there, likewise; NaN where it is not known.
    """

    box: Box
    xyz: F64
    shape: tuple[int, int, int]
    views: IntArray
    boards: IntArray
    by_pixel: F64
    by_rig: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class RigScene:
    """A rig as viewers see it.

    Parameters
    ----------
    title
        For window and page.
    rig
        The V cameras.
    boards
        Where boards were; empty if nobody noted it.
    volume
        None where the cameras have no view in common.
    """

    title: str
    rig: Rig
    boards: tuple[BoardTrack, ...] = ()
    volume: Volume | None = None


def volume_of(
    rig: Rig,
    boards: tuple[BoardTrack, ...] = (),
    expected: Callable[[F64], F64] | None = None,
) -> Volume | None:
    """Map what the cameras see in common.

    Parameters
    ----------
    rig, boards
        Cameras, and boards in their world.
    expected
        Error that the calibration makes at places (N, 3), rig units (N,); None if not known.

    Returns
    -------
    Volume or None
        None where the cameras have no view in common.
    """
    try:
        box = seen_box(rig)
    except InputError:
        return None
    xyz, shape = box.grid(POSITIONS)
    told = [view_information(c, xyz, NOISE_PX) for c in rig.cameras]
    views = np.stack([seen for _, seen in told]).sum(0)
    square = trace_of_inverse(np.stack([info for info, _ in told]).sum(0))
    with np.errstate(invalid="ignore"):
        by_pixel = np.where((views >= 2) & np.isfinite(square), np.sqrt(square), np.nan)
    return Volume(
        box=box,
        xyz=xyz,
        shape=shape,
        views=np.asarray(views, np.int64),
        boards=_boards_there(box, shape, boards),
        by_pixel=by_pixel,
        by_rig=np.full(len(xyz), np.nan) if expected is None else expected(xyz),
    )


def _boards_there(
    box: Box, shape: tuple[int, int, int], boards: tuple[BoardTrack, ...]
) -> IntArray:
    """Count in each cell of the box the poses with a corner in it, shape (N,)."""
    out = np.zeros(int(np.prod(shape)), np.int64)
    size = np.where(box.high > box.low, box.high - box.low, 1.0)
    for track in boards:
        corners = _corners_world(track)
        cell = np.floor((corners - box.low) / size * shape).astype(np.int64)
        inside = ((cell >= 0) & (cell < shape)).all(-1)
        flat = np.ravel_multi_index(
            tuple(np.moveaxis(cell.clip(0, np.array(shape) - 1), -1, 0)), shape
        )
        pose = np.broadcast_to(np.arange(len(corners))[:, None], flat.shape)
        once = np.unique(np.stack([pose[inside], flat[inside]], -1), axis=0)
        out += np.bincount(once[:, 1], minlength=len(out))
    return out


def _corners_world(track: BoardTrack) -> F64:
    """Corners of every pose, shape (F, C, 3)."""
    return np.asarray(track.xyz_board @ np.swapaxes(track.R, -1, -2) + track.t[:, None])


def board_outlines(track: BoardTrack) -> F64:
    """Rectangle around the corners of every pose, world, shape (F, 4, 3)."""
    (x0, y0, z), (x1, y1, _) = track.xyz_board.min(0), track.xyz_board.max(0)
    flat = np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]])
    return np.asarray(flat @ np.swapaxes(track.R, -1, -2) + track.t[:, None])


def corners_in_picture(camera: Camera, boards: tuple[BoardTrack, ...]) -> tuple[F64, float]:
    """Where the boards' corners fall in a picture, found by the camera or not.

    Returns
    -------
    xy_px, filled
        Corners inside the picture, (N, 2), and the share of its 8 by 6 cells that has some.
    """
    corners = [_corners_world(b).reshape(-1, 3) for b in boards]
    xy = camera.project(np.concatenate([np.zeros((0, 3)), *corners]))
    size = np.array(camera.intrinsics.size_wh)
    with np.errstate(invalid="ignore"):
        inside = ((xy > -0.5) & (xy < size - 0.5)).all(-1)
    kept = xy[inside]
    cells = np.floor((kept + 0.5) / size * CELLS).astype(np.int64)
    return kept, len(np.unique(cells, axis=0)) / (CELLS[0] * CELLS[1])
