"""Why a camera may not have seen the board: what in its pictures contradicts the board file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.board_layout import dictionary_names, open_dictionary
from multiview.calib.finders import BoardFinder, as_grey
from multiview.calib.markers import marker_pixels

__all__ = ["HINT_IMAGES", "board_hint"]

Image = NDArray[np.uint8]
Markers = list[dict[int, F64]]

# Pictures of a camera looked at for finding out why it saw no board.
HINT_IMAGES = 4
# A ratio of lengths read off markers that are seen obliquely: two markers 2 % nearer or farther
# make as much.
RATIO = 0.05
# Place of a neighbour in pitches.
PLACE = 0.3
# Markers that leave no doubt that a dictionary is meant: any picture may hold one false one.
SURE = 3


def board_hint(images: Sequence[Image], board: Board) -> str:
    """Compare pictures in which a board was not found with what its file says.

    Parameters
    ----------
    images
        Some pictures of one camera.
    board
        As it should be.

    Returns
    -------
    str
        What does not fit, with the key of the board file; empty if nothing was found out.
    """
    for what, change in _variants(board):
        try:
            other = Board(**{**board.model_dump(), **change})
        except ValueError:
            continue
        finder = BoardFinder([other])
        if any(finder(image)[0].any for image in images):
            return f"the board is found with {what}"
    if board.kind == "chessboard":
        return _chessboard_hint(images, board)
    return _marker_hint(images, board)


def _variants(board: Board) -> Iterator[tuple[str, dict[str, Any]]]:
    """Boards that this one is easily mistaken for."""
    turned = {"columns": board.rows, "rows": board.columns}
    if board.kind != "tags" and board.columns != board.rows:
        yield "columns and rows swapped", turned
    if board.kind == "chessboard":
        fewer = {"columns": board.columns - 1, "rows": board.rows - 1}
        yield "columns and rows one less (count INNER corners, not squares)", fewer
        return
    yield f"inverted: {str(not board.inverted).lower()}", {"inverted": not board.inverted}
    if board.kind == "charuco":
        yield f"legacy: {str(not board.legacy).lower()}", {"legacy": not board.legacy}
        more = {"columns": board.columns + 1, "rows": board.rows + 1}
        yield "columns and rows one more (count SQUARES, not inner corners)", more
    bits = 1 if board.border_bits == 2 else 2
    yield f"border_bits: {bits}", {"border_bits": bits}


def _chessboard_hint(images: Sequence[Image], board: Board) -> str:
    """Tell the counts of the largest grid that is visible."""
    flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_LARGER
    best = (0, 0)
    for image in images:
        found, _, meta = cv2.findChessboardCornersSBWithMeta(as_grey(image), (3, 3), flags)
        if found and np.asarray(meta).size > best[0] * best[1]:
            rows, columns = np.asarray(meta).shape[:2]
            best = (columns, rows)
    if not best[0]:
        return ""
    return (
        f"a grid of {best[0]}x{best[1]} inner corners is visible, not "
        f"{board.columns}x{board.rows}: correct columns and rows, or show the whole board"
    )


def _marker_hint(images: Sequence[Image], board: Board) -> str:
    """Tell whether markers of the named dictionary are visible, and in which layout."""
    greys = [as_grey(i) for i in images]
    greys = [np.asarray(cv2.bitwise_not(g), np.uint8) for g in greys] if board.inverted else greys
    seen = [marker_pixels(g, open_dictionary(board.dictionary), board.border_bits) for g in greys]
    ids = sorted(set().union(*seen)) if seen else []
    if (len(ids) < 2 and board.kind != "tags") or not ids:
        return f"no marker of {board.dictionary} is visible{_other_dictionary(greys, board)}"
    if board.kind == "tags":
        return f"markers {ids[:8]} are visible, none of the tags listed"
    return (
        _counts_hint(seen, board)
        or f"markers {ids[:8]} are visible, but not in the layout of this board"
    )


def _other_dictionary(greys: Sequence[Image], board: Board) -> str:
    """Name the dictionary of which most markers are visible, if that leaves no doubt."""
    best, most = "", SURE - 1
    for name in dictionary_names():
        dictionary = open_dictionary(name)
        found = [marker_pixels(g, dictionary, board.border_bits) for g in greys[:2]]
        number = max((len(f) for f in found), default=0)
        # a small dictionary is part of the larger ones of its kind: the first says all
        size = len(dictionary.bytesList)
        if number > most or (number == most and best and size < _size(best)):
            best, most = name, number
    return f"; {most} of {best} are" if best else ""


def _size(name: str) -> int:
    return len(open_dictionary(name).bytesList)


def _counts_hint(seen: Markers, board: Board) -> str:
    """Read columns and the ratio of square to marker off the markers' places."""
    pairs = [p for markers in seen for p in _neighbours(markers)]
    if not pairs:
        return ""
    charuco = board.kind == "charuco"
    near = np.array([np.abs(offset).max() for offset, _ in pairs])
    pitch = float(np.median(near[near < 1.3 * near.min()]))
    step = 2 * pitch if charuco else pitch
    below = [
        abs(number)
        for (x, y), number in pairs
        if abs(x) < PLACE * pitch and abs(abs(y) - step) < PLACE * pitch
    ]
    columns = Counter(below).most_common(1)[0][0] if below else board.columns
    if columns != board.columns:
        return f"the markers' numbers say columns: {columns}, not {board.columns}"
    expected = (
        board.pitch_m / float(board.marker_m or 1) if charuco else 1 + float(board.spacing or 0)
    )
    if abs(pitch / expected - 1) > RATIO:
        what = "square_m / marker_m" if charuco else "1 + spacing"
        return f"{what} is {expected:.2f} in the board file and {pitch:.2f} in the pictures"
    return ""


def _neighbours(markers: dict[int, F64]) -> list[tuple[F64, int]]:
    """Offsets between near markers, in sides of the first and along its edges, and of numbers."""
    out = []
    for i, a in markers.items():
        right, down = (a[1] + a[2] - a[0] - a[3]) / 2, (a[2] + a[3] - a[0] - a[1]) / 2
        own = np.linalg.inv(np.stack([right, down], -1))
        for j, b in markers.items():
            offset = own @ (b.mean(0) - a.mean(0))
            if i != j and np.abs(offset).max() < 6:
                out.append((offset, j - i))
    return out
