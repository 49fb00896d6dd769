"""What was found of a board in one picture, and what is believed of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.subpixel import CornerFit

__all__ = ["MIN_CORNERS", "TAG_CORNERS", "Found", "accepted", "colours", "least_corners", "nothing"]

# Fewer corners fix a board pose too poorly to be told from a false detection; the number of a tag
# is evidence enough for its four.
MIN_CORNERS = 6
TAG_CORNERS = 4
# Distance of a fitted corner from its prediction: share of the pitch, and in pixels. The next thing
# that looks like a corner is a marker's, a tenth of a pitch off; a marker's own corners, from which
# is predicted, are good to a pixel.
STRAY, STRAY_PX = 0.12, 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Corners of one board in one picture: pixels (C, 2) and standard deviation (C,), or NaN."""

    xy_px: F64
    std_px: F64

    @property
    def any(self) -> bool:
        """Whether the board was found."""
        return not bool(np.isnan(self.xy_px).all())


def least_corners(board: Board) -> int:
    """Return how many corners of a board make a view of it."""
    return MIN_CORNERS if board.kind in {"charuco", "chessboard"} else TAG_CORNERS


def nothing(board: Board) -> Found:
    """Return that a board was not found."""
    count = len(board.object_points)
    return Found(xy_px=np.full((count, 2), np.nan), std_px=np.full(count, np.nan))


def accepted(fit: CornerFit, told: F64, axes: F64, board: Board) -> Found:
    """Keep corners that lie where foretold and whose dark quarters lie as on this board."""
    step = np.linalg.norm(np.nan_to_num(axes), axis=1).min(1) * board.pitch_m
    stray = np.linalg.norm(fit.xy_px - told, axis=1)
    with np.errstate(invalid="ignore"):
        keep = fit.keep & (stray < np.maximum(STRAY * step, STRAY_PX))
    sign = np.sign(fit.contrast) * colours(board)
    if keep.any():
        keep &= sign == np.sign(sign[keep].sum() or 1.0)
    xy, std = fit.xy_px.copy(), fit.std_px.copy()
    xy[~keep], std[~keep] = np.nan, np.nan
    if keep.sum() < least_corners(board) or not _spans_plane(xy[keep]):
        return nothing(board)
    return Found(xy_px=xy, std_px=std)


def colours(board: Board) -> F64:
    """Return a sign that alternates with the colours around a corner, shape (C,)."""
    if board.kind in {"aprilgrid", "tags"}:
        return np.ones(len(board.object_points))  # their axes point into the marker
    across, down = board.grid
    return np.asarray(1.0 - 2.0 * (np.add.outer(np.arange(down), np.arange(across)) % 2)).ravel()


def _spans_plane(xy: F64) -> bool:
    """Whether points are not all (nearly) on one line, which leaves the pose open."""
    spread = np.linalg.svd(xy - xy.mean(0), compute_uv=False)
    return bool(spread[1] > 0.02 * spread[0])
