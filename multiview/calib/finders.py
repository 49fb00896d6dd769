"""Finds several boards in the pictures of one camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview.calib.board import Board
from multiview.calib.board_layout import open_dictionary
from multiview.calib.chessboard import find_chessboard
from multiview.calib.found import Found, nothing
from multiview.calib.markers import find_marked, marker_pixels
from multiview.errors import InputError, ShapeError

__all__ = ["BoardFinder", "as_grey", "check_boards_differ"]

Image = NDArray[np.uint8]
Key = tuple[str | None, int, bool]


def check_boards_differ(boards: Sequence[Board]) -> None:
    """Refuse boards that no detector could tell apart.

    Raises
    ------
    InputError
        Naming two boards that share markers, or two chessboards of the same counts.
    """
    for n, b in enumerate(boards):
        for a in boards[:n]:
            names = f"the boards {a.describe()} and {b.describe()}"
            if a.kind == b.kind == "chessboard" and sorted(a.grid) == sorted(b.grid):
                raise InputError(
                    f"{names} look alike",
                    "use different counts of corners, or boards with markers",
                )
            shared = sorted(set(_ids(a)) & set(_ids(b)))
            if _key(a)[0] == _key(b)[0] and shared:
                raise InputError(
                    f"{names} share the markers {', '.join(map(str, shared[:8]))}",
                    "print one of them with first_marker (spec: first=50) or another dictionary",
                )


def _ids(board: Board) -> list[int]:
    return [] if board.kind == "chessboard" else [int(i) for i in board.markers[0]]


def _key(board: Board) -> Key:
    """Boards of the same key come from one search for markers."""
    return board.dictionary, board.border_bits, board.inverted


class BoardFinder:
    """Finds boards in pictures of one camera; not to be shared among threads."""

    def __init__(self, boards: Sequence[Board]) -> None:
        self.boards = tuple(boards)
        keys = {_key(b): None for b in self.boards if b.kind != "chessboard"}
        self.groups: dict[Key, Any] = {k: open_dictionary(k[0]) for k in keys}
        # a camera behind a transparent or bleeding print sees mirrored markers, which no dictionary
        # holds: what worked on its last picture is tried first
        self.mirrored = dict.fromkeys(self.groups, False)

    def __call__(self, image: Image) -> list[Found]:
        """Find all boards in a picture; grey (h, w) or BGR (h, w, 3), 8 bits."""
        grey = as_grey(image)
        out = [nothing(b) for b in self.boards]
        for n, board in enumerate(self.boards):
            if board.kind == "chessboard":
                out[n] = find_chessboard(grey, board)
        for key in self.groups:
            self._find_group(key, grey, out)
        return out

    def _find_group(self, key: Key, grey: Image, out: list[Found]) -> None:
        """Find the boards of one search for markers; written into ``out``."""
        members = [
            n for n, b in enumerate(self.boards) if b.kind != "chessboard" and _key(b) == key
        ]
        grey = np.asarray(cv2.bitwise_not(grey), np.uint8) if key[2] else grey
        first = self.mirrored[key]
        for mirrored in (first, not first):
            seen = np.ascontiguousarray(grey[:, ::-1]) if mirrored else grey
            pixels = marker_pixels(seen, self.groups[key], key[1])
            for n in members:
                found = find_marked(seen, self.boards[n], pixels)
                if mirrored:  # the same corners of the same board: only the pixels are mapped back
                    found.xy_px[:, 0] = grey.shape[1] - 1 - found.xy_px[:, 0]
                out[n] = found
            if any(out[n].any for n in members):
                self.mirrored[key] = mirrored
                return


def as_grey(image: Image) -> Image:
    """Return the picture in grey.

    Raises
    ------
    ShapeError
        If it is not an 8-bit picture.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape:
        raise ShapeError(
            f"image has shape {image.shape} and type {image.dtype}",
            "give (height, width) or (height, width, 3) of 8 bits",
        )
    if image.ndim == 2:
        return np.ascontiguousarray(image)
    if image.shape[2] == 1:
        return np.ascontiguousarray(image[:, :, 0])
    code = cv2.COLOR_BGRA2GRAY if image.shape[2] == 4 else cv2.COLOR_BGR2GRAY
    return np.asarray(cv2.cvtColor(image, code), np.uint8)
