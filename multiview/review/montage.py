"""A frame as one picture: a tile a view, the label drawn on it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from multiview.core import HandSamples
from multiview.review.candidates import Candidate
from multiview.viz.overlay import Layer, caption, contact_sheet, crop_square, draw_hand

__all__ = ["GAP", "columns_of", "draw_montage", "tile_of"]

U8 = NDArray[np.uint8]
GAP = 4
# What a window leaves of a full HD screen, pixels: tiles are as large as they can be in it, but
# never too small to see a hand in (a smaller window shrinks them), nor blown up without need.
SCREEN_WH = (1920, 900)
LEAST, MOST = 240, 480
# Side of a tile at which skeletons are drawn with lines of width 1.
LINES = 320


def columns_of(views: int) -> int:
    """Tiles in a row, so that a montage has the shape of a screen."""
    return max(1, round(math.sqrt(views * SCREEN_WH[0] / SCREEN_WH[1])))


def tile_of(views: int) -> int:
    """Side of a tile, pixels, so that a montage fills a screen."""
    across = columns_of(views)
    fits = min(SCREEN_WH[0] // across, SCREEN_WH[1] // math.ceil(views / across))
    return min(max(fits, LEAST), MOST)


def draw_montage(read: Callable[[str], U8], hands: HandSamples, candidate: Candidate) -> U8:
    """Draw all views of a frame.

    Parameters
    ----------
    read
        Gives the picture of a name, BGR.
    hands
        The labels of the frame; others are ignored.
    candidate
        The frame; its tiles are drawn in the order of its cameras, row by row.

    Returns
    -------
    U8
        BGR. Keypoints that this very view saw are discs; those that only the others saw, rings.
    """
    tiles, side = [], tile_of(len(candidate.cameras))
    scale = side / LINES
    for camera, image in zip(candidate.cameras, candidate.images, strict=True):
        rows = np.flatnonzero((hands.image == image) & (hands.frame_id == candidate.frame))
        tile, affine = crop_square(read(image), hands.xy_px[rows], side)
        for n in rows:
            xy = hands.xy_px[n] @ affine[:, :2].T + affine[:, 2]
            draw_hand(tile, xy, hands.skeleton, Layer.SOLID, scale, unsure=hands.visibility[n] < 2)
        caption(tile, camera, max(0.4, scale / 2))
        tiles.append(tile)
    across = columns_of(len(tiles))
    return contact_sheet([tiles[n : n + across] for n in range(0, len(tiles), across)], GAP)
