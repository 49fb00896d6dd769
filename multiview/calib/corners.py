"""Board corners in images, to a fraction of a pixel, and collected over a take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import CONVENTIONS, F64, as_f64, check_shapes, freeze
from multiview.calib.board import Board
from multiview.errors import ShapeError

__all__ = ["BoardCorners", "Footage", "Progress", "detect_board", "detect_corners"]

Image = NDArray[np.uint8]
# (what, done, total), from any thread
Progress = Callable[[str, int, int], None]

# Fewer corners fix a board pose too poorly to be told from a false detection.
MIN_CORNERS = 6
# Pictures of a camera kept for finding out why it saw no board.
HINT_IMAGES = 4


class Footage(Protocol):
    """What is needed of a capture (`multiview.Capture` has it)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Camera names in the order of axis V."""

    @property
    def sizes_wh(self) -> tuple[tuple[int, int], ...]:
        """Width and height of each camera's pictures, pixels."""

    @property
    def frame_ids(self) -> NDArray[np.int64]:
        """Frame numbers, shape (F,)."""

    def images(self, view: int) -> Iterator[tuple[int, Image]]:
        """Yield (position on axis F, picture) of one camera."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardCorners:
    """Detected corners of a take.

    Parameters
    ----------
    xy_px
        Shape (V, F, C, 2), recorded pixels; NaN where not seen.
    camera_names, sizes_wh
        Per view.
    frame_ids
        Shape (F,).
    hints
        Per view, what was found out about a camera that saw no board; else empty.
    """

    xy_px: F64
    camera_names: tuple[str, ...]
    frame_ids: NDArray[np.int64]
    sizes_wh: tuple[tuple[int, int], ...]
    hints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check and freeze the arrays."""
        xy = as_f64(self.xy_px, "BoardCorners.xy_px")
        ids = np.asarray(self.frame_ids, np.int64)
        sizes = check_shapes("BoardCorners", {"xy_px": (xy, "V F C 2"), "frame_ids": (ids, "F")})
        if not len(self.camera_names) == len(self.sizes_wh) == sizes["V"]:
            raise ShapeError(
                f"BoardCorners has {sizes['V']} views, {len(self.camera_names)} camera names and "
                f"{len(self.sizes_wh)} sizes",
                CONVENTIONS,
            )
        if np.isinf(xy).any():
            raise ShapeError("BoardCorners.xy_px holds infinite values", "mark missing by NaN")
        object.__setattr__(self, "xy_px", freeze(xy))
        object.__setattr__(self, "frame_ids", freeze(ids))

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Where a corner was found, shape (V, F, C)."""
        return np.asarray(~np.isnan(self.xy_px).any(-1))


class _Finder:
    """Detects one board in pictures of one camera; not to be shared among threads."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.count = len(board.object_points)
        self.mirrored = False
        self.detector: Any = None
        if board.kind == "charuco":
            self.detector = cv2.aruco.CharucoDetector(board.charuco())

    def __call__(self, image: Image) -> F64:
        grey = _as_grey(image)
        if self.board.kind == "chessboard":
            return _find_chessboard(grey, self.board)
        if self.board.inverted:
            grey = cv2.bitwise_not(grey).astype(np.uint8)
        # A camera behind a transparent or bleeding print sees mirrored markers, which no
        # dictionary holds: what worked on its last picture is tried first.
        for mirrored in (self.mirrored, not self.mirrored):
            xy = self._charuco(grey, mirrored)
            if not np.isnan(xy).all():
                self.mirrored = mirrored
                return xy
        return xy

    def _charuco(self, grey: Image, mirrored: bool) -> F64:
        seen = np.ascontiguousarray(grey[:, ::-1]) if mirrored else grey
        corners, ids, *_ = self.detector.detectBoard(seen)
        out = np.full((self.count, 2), np.nan)
        if ids is None or len(ids) < MIN_CORNERS:
            return out
        found = np.asarray(corners, np.float64).reshape(-1, 2)
        if mirrored:  # the same corners of the same board: only the pixels are mapped back
            found[:, 0] = grey.shape[1] - 1 - found[:, 0]
        out[np.asarray(ids).ravel()] = found
        return out if _spans_plane(found) else np.full_like(out, np.nan)


def _as_grey(image: Image) -> Image:
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


def _spans_plane(xy: F64) -> bool:
    """Whether points are not all (nearly) on one line, which leaves the pose open."""
    spread = np.linalg.svd(xy - xy.mean(0), compute_uv=False)
    return bool(spread[1] > 0.02 * spread[0])


def _find_chessboard(grey: Image, board: Board) -> F64:
    across, down = board.grid
    flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ACCURACY
    for more in (0, cv2.CALIB_CB_EXHAUSTIVE):
        found, corners = cv2.findChessboardCornersSB(grey, (across, down), None, flags | more)
        if found:
            break
    else:
        return np.full((across * down, 2), np.nan)
    grid = np.asarray(corners, np.float64).reshape(down, across, 2)
    return _oriented(grid, grey, board.inverted).reshape(-1, 2)


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


def detect_corners(image: Image, board: Board) -> F64:
    """Find a board's corners in one picture.

    Parameters
    ----------
    image
        Grey (h, w) or BGR (h, w, 3), 8 bits, any size.
    board
        A ChArUco board may be partly hidden, printed white on black, or seen mirrored from behind;
        a chessboard is found whole or not at all (Duda and Frese, BMVC 2018) and may come out
        turned by 180 degrees where its colours do not tell.

    Returns
    -------
    F64
        Recorded pixels, shape (C, 2), numbered as ``board.object_points``; NaN where not seen.

    Raises
    ------
    ShapeError
        If the image is not an 8-bit picture.
    """
    return _Finder(board)(image)


def detect_board(capture: Footage, board: Board, progress: Progress | None = None) -> BoardCorners:
    """Find a board in all pictures of a take; cameras run in parallel, one picture each in memory.

    Parameters
    ----------
    capture
        Synchronised footage.
    board
        What was filmed.
    progress
        Called as ``progress(camera name, pictures done, pictures)``, from several threads.

    Returns
    -------
    BoardCorners
        Corners of shape (V, F, C, 2).
    """
    xy = np.full((len(capture.names), len(capture.frame_ids), len(board.object_points), 2), np.nan)

    def one_camera(view: int) -> str:
        finder, kept = _Finder(board), []
        total = len(capture.frame_ids)
        wanted = set(np.linspace(0, total - 1, HINT_IMAGES).astype(int).tolist())
        for done, (f, image) in enumerate(capture.images(view), 1):
            xy[view, f] = finder(image)
            if f in wanted:
                kept.append(image)
            if progress is not None:
                progress(capture.names[view], done, total)
        return _hint(kept, board) if np.isnan(xy[view]).all() else ""

    with ThreadPoolExecutor(min(len(capture.names), os.cpu_count() or 1)) as pool:
        hints = tuple(pool.map(one_camera, range(len(capture.names))))
    return BoardCorners(
        xy_px=xy,
        camera_names=tuple(capture.names),
        frame_ids=np.asarray(capture.frame_ids),
        sizes_wh=tuple(capture.sizes_wh),
        hints=hints,
    )


def _variants(board: Board) -> Iterator[tuple[str, dict[str, Any]]]:
    """Boards that this one is easily mistaken for."""
    turned = {"columns": board.rows, "rows": board.columns}
    yield "columns and rows swapped", turned
    if board.kind == "chessboard":
        fewer = {"columns": board.columns - 1, "rows": board.rows - 1}
        yield "columns and rows one less (count INNER corners, not squares)", fewer
        return
    yield f"inverted: {str(not board.inverted).lower()}", {"inverted": not board.inverted}
    yield f"legacy: {str(not board.legacy).lower()}", {"legacy": not board.legacy}
    more = {"columns": board.columns + 1, "rows": board.rows + 1}
    yield "columns and rows one more (count SQUARES, not inner corners)", more


def _hint(images: list[Image], board: Board) -> str:
    for what, change in _variants(board):
        try:
            finder = _Finder(Board(**{**board.model_dump(), **change}))
        except ValueError:
            continue
        if any(not np.isnan(finder(image)).all() for image in images):
            return f"the board is found with {what}"
    return _marker_hint(images, board)


def _marker_hint(images: list[Image], board: Board) -> str:
    """Tell whether markers of the named dictionary are visible at all."""
    if board.kind == "chessboard":
        return ""
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, str(board.dictionary)))
    detector = cv2.aruco.ArucoDetector(dictionary)
    seen: set[int] = set()
    for image in images:
        grey = _as_grey(image)
        ids = detector.detectMarkers(cv2.bitwise_not(grey) if board.inverted else grey)[1]
        seen |= set() if ids is None else {int(i) for i in np.asarray(ids).ravel()}
    if len(seen) < 2:
        return f"no marker of {board.dictionary} is visible"
    return f"markers {sorted(seen)[:8]} are visible, but not in the layout of this board"
