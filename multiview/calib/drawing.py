"""A board as black rectangles, in metres: what is printed, and what `multiview.synth` films."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.board_layout import open_dictionary
from multiview.errors import InputError

__all__ = ["board_extent", "board_rectangles", "rasterise"]

# White rim that detectors want around markers and squares, as a share of a square or marker.
RIM = 0.5


def board_extent(board: Board) -> F64:
    """Low and high x and y of what is printed of a board, without rim, shape (2, 2), metres.

    Raises
    ------
    InputError
        If the board is not flat, and so cannot be printed on one sheet.
    """
    _check_flat(board)
    if board.kind == "charuco":
        return np.array([[0.0, 0.0], [board.columns, board.rows]]) * board.square_m
    if board.kind == "chessboard":
        return np.array([[-1.0, -1.0], [board.columns, board.rows]]) * board.square_m
    xy = board.markers[1][..., :2].reshape(-1, 2)
    gap = float(board.spacing or 0) * float(board.marker_m or 0)
    return np.stack([xy.min(0) - gap, xy.max(0) + gap])


def board_rectangles(board: Board) -> F64:
    """Black rectangles of a board that is not inverted, shape (N, 4): x, y, width, height, metres.

    In the board's frame, x to the right, y down. They may touch but do not overlap.

    Raises
    ------
    InputError
        If the board is not flat.
    """
    _check_flat(board)
    parts = [_squares(board)] if board.kind in {"charuco", "chessboard"} else []
    if board.kind == "aprilgrid":
        parts.append(_corner_squares(board))
    if board.kind != "chessboard":
        ids, xyz = board.markers
        parts += [_marker(board, int(i), xy) for i, xy in zip(ids, xyz[..., :2], strict=True)]
    return np.concatenate(parts)


def rasterise(board: Board, per_square: int) -> NDArray[np.uint8]:
    """Draw a board's extent, black 0 and white 255, with so many texels a square (or tag)."""
    low, high = board_extent(board)
    scale = per_square / board.pitch_m
    width, height = np.rint((high - low) * scale).astype(int)
    image = np.full((height, width), 255, np.uint8)
    for x, y, w, h in board_rectangles(board):
        x0, y0 = np.rint((np.array([x, y]) - low) * scale).astype(int)
        x1, y1 = np.rint((np.array([x + w, y + h]) - low) * scale).astype(int)
        image[y0:y1, x0:x1] = 0
    return image


def _check_flat(board: Board) -> None:
    if board.kind == "tags":
        z = board.object_points[:, 2]
        edges = np.diff(board.markers[1], axis=1)[..., :2]
        upright = np.isclose(edges, 0, atol=1e-9).any(-1).all()
        if not board.planar or np.ptp(z) > 1e-9 or not upright:
            raise InputError(
                f"{board.describe()}: its tags do not lie upright in one plane z = const",
                "print them one by one: multiview calib board tag:NUMBER:SIDE:DICTIONARY",
            )


def _squares(board: Board) -> F64:
    """Return the dark squares of a chessboard or ChArUco board."""
    first = 0 if board.kind == "charuco" else -1
    less = 0 if board.kind == "charuco" else 1
    across, down = board.columns + less, board.rows + less
    # before OpenCV 4.6 a board of an even number of rows began with a white square
    odd = 1 if board.legacy and board.rows % 2 == 0 else 0
    row, column = np.nonzero(np.add.outer(np.arange(down), np.arange(across)) % 2 == odd)
    corner = np.stack([column, row], -1) + first
    return np.concatenate([corner, np.ones_like(corner)], -1) * board.square_m


def _corner_squares(board: Board) -> F64:
    """Kalibr's little squares, which make a crossing of every tag's corner."""
    side = float(board.marker_m or 0)
    gap = side * float(board.spacing or 0)
    across = np.arange(board.columns + 1) * (side + gap) - gap
    down = np.arange(board.rows + 1) * (side + gap) - gap
    x, y = np.meshgrid(across, down)
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, gap), np.full(x.size, gap)], -1)


def _marker(board: Board, number: int, xy: F64) -> F64:
    """Return the dark cells of one marker, joined to runs along x; xy (4, 2) as OpenCV finds it."""
    dictionary = open_dictionary(board.dictionary)
    bits = board.border_bits
    cells = int(dictionary.markerSize) + 2 * bits
    image = dictionary.generateImageMarker(number, cells, borderBits=bits)
    # turn the drawing so that its top left corner comes where this board has it
    middle = xy.mean(0)
    right = xy[1] - xy[0]
    quarters = int(np.rint(np.arctan2(right[1], right[0]) / (np.pi / 2))) % 4
    dark = np.rot90(np.asarray(image) < 128, -quarters)
    side = float(np.linalg.norm(right))
    low = middle - side / 2
    runs = []
    for row, line in enumerate(dark):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            runs.append([start, row, stop - start, 1])
    out = np.array(runs, np.float64) * side / cells
    out[:, :2] += low
    return out
