"""Chessboards in one picture: found whole by OpenCV, then fitted."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.found import Found, accepted, nothing
from multiview.calib.subpixel import Window, fit_corners

__all__ = ["find_chessboard"]

Image = NDArray[np.uint8]

# A chessboard is sought in a picture of this size first.
SMALL_PX = 800


def find_chessboard(grey: Image, board: Board) -> Found:
    """Find a whole chessboard, in a small picture first; then fit its corners in the picture."""
    across, down = board.grid
    shrink = min(1.0, SMALL_PX / max(grey.shape))
    small = grey
    if shrink < 1:
        small = np.asarray(
            cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8
        )
    more = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE
    tries = [(small, cv2.CALIB_CB_NORMALIZE_IMAGE), (small, more)]
    tries += [(grey, cv2.CALIB_CB_NORMALIZE_IMAGE)] if shrink < 1 else []
    for picture, flags in tries:
        found, corners = cv2.findChessboardCornersSB(picture, (across, down), None, flags)
        if found:
            break
    else:
        return nothing(board)
    ratio = np.array(grey.shape[::-1]) / np.array(picture.shape[::-1])
    grid = (np.asarray(corners, np.float64).reshape(down, across, 2) + 0.5) * ratio - 0.5
    grid = _oriented(grid, grey, board.inverted)
    axes = np.stack([np.gradient(grid, axis=1), np.gradient(grid, axis=0)], -1) / board.square_m
    told, axes = grid.reshape(-1, 2), axes.reshape(-1, 2, 2)
    size = 0.45 * board.square_m
    return accepted(
        fit_corners(grey, told, axes, Window(reach=size, depth=size)), told, axes, board
    )


def _oriented(grid: F64, grey: Image, inverted: bool) -> F64:
    """Renumber from the front, with the first inner square dark where that can be told."""
    right, below = grid[0, -1] - grid[0, 0], grid[-1, 0] - grid[0, 0]
    if right[0] * below[1] - right[1] * below[0] < 0:
        grid = grid[::-1]
    down, across, _ = grid.shape
    if (across + down) % 2 == 0:  # turned by 180 degrees, its colours are the same
        return grid
    centres = (grid[:-1, :-1] + grid[1:, :-1] + grid[:-1, 1:] + grid[1:, 1:]) / 4
    column, row = np.rint(np.moveaxis(centres, -1, 0)).astype(int)
    height, width = grey.shape
    shade = grey[row.clip(0, height - 1), column.clip(0, width - 1)].astype(float)
    odd = np.add.outer(np.arange(down - 1), np.arange(across - 1)) % 2 == 1
    first_is_dark = shade[~odd].mean() < shade[odd].mean()
    return grid if first_is_dark != inverted else grid[::-1, ::-1]
