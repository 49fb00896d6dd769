"""Boards with markers in one picture: what OpenCV reads, corners predicted from it, then fitted."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.board_layout import open_dictionary
from multiview.calib.found import Found, accepted, colours, nothing
from multiview.calib.subpixel import Window, fit_corners

__all__ = ["find_marked", "marker_pixels"]

Image = NDArray[np.uint8]

# OpenCV's least perimeter of a marker is a share of the picture: 30 px in a picture of 1000, but
# 115 px in 4K. 10 px a side are what 6 x 6 cells need to be read in any picture.
LEAST_PERIMETER = (0.03, 40.0)
# Share of the gap between a square's edge and its marker that is used: prints are not exact, and
# the marker's blurred edge reaches out.
MARKER_ROOM = 0.8
# Share of the distance between two markers by which the shape of one foretells the place of the
# other: perspective and lens within one pitch stay far below; a wrongly read number does not.
FORETELL = 0.5
# Markers that predict a corner, and how far they may be, in pitches.
NEAREST, FARTHEST = 4, 2.6


def marker_pixels(grey: Image, dictionary: Any, border_bits: int) -> dict[int, F64]:
    """Corners (4, 2) of all markers in a picture by number; numbers seen twice are left out."""
    options = cv2.aruco.DetectorParameters()
    options.markerBorderBits = border_bits
    share, least = LEAST_PERIMETER
    options.minMarkerPerimeterRate = min(share, least / max(grey.shape))
    found, ids, _ = cv2.aruco.ArucoDetector(dictionary, options).detectMarkers(grey)
    if ids is None:
        return {}
    numbers = [int(i) for i in np.ravel(ids)]
    return {
        i: np.asarray(xy, np.float64).reshape(4, 2)
        for i, xy in zip(numbers, found, strict=True)
        if numbers.count(i) == 1
    }


def find_marked(grey: Image, board: Board, pixels: dict[int, F64]) -> Found:
    """Find a board from the markers of a picture."""
    ids, xyz = board.markers
    xy = np.stack([pixels.get(int(i), np.full((4, 2), np.nan)) for i in ids])
    if board.planar:
        xy[~_foretold(xyz[..., :2], xy, board.pitch_m)] = np.nan
    seen = ~np.isnan(xy[:, 0, 0])
    if not seen.any():
        return nothing(board)
    if board.kind == "charuco":
        return _charuco_corners(grey, board, xyz[seen, :, :2], xy[seen])
    return _tag_corners(grey, board, xy)


def _foretold(uv: F64, xy: F64, pitch: float) -> NDArray[np.bool_]:
    """Which markers lie where another one says; uv (M, 4, 2) on the board, xy (M, 4, 2) or NaN."""
    seen = ~np.isnan(xy[:, 0, 0])
    index = np.flatnonzero(seen)
    if len(index) < 2:
        return seen
    middle_uv, middle_xy = uv[index].mean(1), xy[index].mean(1)
    # affine map of each marker, from its own four corners
    across = uv[index] - middle_uv[:, None]
    square = across.transpose(0, 2, 1) @ across
    affine = np.linalg.solve(square, across.transpose(0, 2, 1) @ (xy[index] - middle_xy[:, None]))
    offset = middle_uv[None] - middle_uv[:, None]
    told = middle_xy[:, None] + offset @ affine
    error = np.linalg.norm(told - middle_xy[None], axis=-1)
    distance = np.linalg.norm(offset @ affine, axis=-1)
    agree = error < FORETELL * distance
    apart = np.linalg.norm(offset, axis=-1)
    # judged by the nearest markers only: over the whole board the lens bends straight lines
    np.fill_diagonal(apart, np.inf)
    near = apart <= np.maximum(2 * pitch, 1.1 * apart.min(1, keepdims=True))
    good = (near & agree & agree.T).any(1)
    # two that disagree: nobody knows which is wrong
    seen[index[~good]] = False
    return seen


def _charuco_corners(grey: Image, board: Board, uv: F64, xy: F64) -> Found:
    """Predict all corners near a marker from the markers around, and fit them."""
    corners, pitch = board.object_points[:, :2], board.pitch_m
    apart = np.linalg.norm(corners[:, None] - uv.mean(1)[None], axis=-1) / pitch
    order = np.argsort(apart, axis=1)[:, :NEAREST]
    used = np.take_along_axis(apart, order, 1) < FARTHEST
    told, axes = _local_maps(corners, uv[order], xy[order], used, pitch)
    told[apart.min(1) > 1] = np.nan  # no marker of its own squares: too far to foretell
    room = MARKER_ROOM * (pitch - float(board.marker_m or 0)) / 2
    # only every other square holds a marker
    plain = colours(board) * (-1.0 if board.legacy and board.rows % 2 == 0 else 1.0)
    fit = fit_corners(grey, told, axes, Window(reach=0.45 * pitch, depth=room, plain=plain))
    return accepted(fit, told, axes, board)


def _local_maps(
    at: F64, uv: F64, xy: F64, used: NDArray[np.bool_], pitch: float
) -> tuple[F64, F64]:
    """Homography around each of N points from the marker corners near it.

    Parameters
    ----------
    at
        Points on the board, shape (N, 2).
    uv, xy
        Corners of K markers on the board and in the picture, shapes (N, K, 4, 2).
    used
        Shape (N, K).
    pitch
        Scale of the board.

    Returns
    -------
    tuple
        The points in the picture, (N, 2), and the derivative of pixels by board, (N, 2, 2).
    """
    n = len(at)
    q = ((uv - at[:, None, None]) / pitch).reshape(n, -1, 2)
    weight = np.repeat(used, 4, axis=1).astype(np.float64)
    total = np.maximum(weight.sum(1), 1)[:, None]
    flat = xy.reshape(n, -1, 2)
    middle = (weight[..., None] * flat).sum(1) / total
    scale = np.abs(flat - middle[:, None]).max((1, 2), keepdims=True) + 1e-9
    p = (flat - middle[:, None]) / scale
    one, zero = np.ones_like(q[..., 0]), np.zeros_like(q[..., 0])
    x, y, u, v = p[..., 0], p[..., 1], q[..., 0], q[..., 1]
    A = np.concatenate(
        [
            np.stack([u, v, one, zero, zero, zero, -u * x, -v * x], -1),
            np.stack([zero, zero, zero, u, v, one, -u * y, -v * y], -1),
        ],
        1,
    )
    w = np.concatenate([weight, weight], 1)[..., None]
    b = np.concatenate([x, y], 1)[..., None]
    At = (A * w).transpose(0, 2, 1)
    h = np.linalg.solve(At @ A + 1e-9 * np.eye(8), At @ b)[..., 0]
    centre = h[:, [2, 5]]
    slope = np.stack(
        [h[:, [0, 1]] - centre[:, :1] * h[:, 6:8], h[:, [3, 4]] - centre[:, 1:] * h[:, 6:8]], 1
    )
    return centre * scale[:, 0] + middle, slope * scale / pitch


def _tag_corners(grey: Image, board: Board, xy: F64) -> Found:
    """Fit the corners of the markers themselves."""
    count = len(xy)
    uv = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    seen = ~np.isnan(xy[:, 0, 0])
    side = _sides(board)
    told = xy.reshape(-1, 2)
    axes = np.full((count * 4, 2, 2), np.nan)
    at = np.broadcast_to(uv, (int(seen.sum()), 4, 2)).reshape(-1, 1, 2)
    one = np.repeat(xy[seen], 4, axis=0)[:, None]
    own = np.broadcast_to(uv, (len(at), 1, 4, 2))
    _, slope = _local_maps(at[:, 0], own, one, np.ones((len(at), 1), np.bool_), 1.0)
    # both axes point into the marker from each of its corners
    inward = np.tile([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]], (len(at) // 4, 1))
    axes[np.repeat(seen, 4)] = slope * inward[:, None] / side
    depth = MARKER_ROOM * board.border_bits / _cells(board) * side
    if board.kind == "aprilgrid":  # Kalibr's little squares continue the edges as in a chessboard
        window = Window(reach=0.9 * float(board.spacing or 0) * side, depth=depth)
    else:
        window = Window(reach=0.45 * side, depth=depth, ends=True)
    return accepted(fit_corners(grey, told, axes, window), told, axes, board)


def _sides(board: Board) -> float:
    return float(np.median(np.linalg.norm(np.diff(board.markers[1], axis=1), axis=-1)))


def _cells(board: Board) -> int:
    """Cells across a marker with its border."""
    return int(open_dictionary(board.dictionary).markerSize) + 2 * board.border_bits
