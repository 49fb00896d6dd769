"""A frame as one picture: a tile a view, the label drawn on it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from multiview.core import HandSamples
from multiview.review.candidates import Candidate
from multiview.viz.overlay import Layer, caption, contact_sheet, crop_square, draw_hand

__all__ = ["GAP", "TILE", "columns_of", "draw_montage"]

U8 = NDArray[np.uint8]
TILE, GAP = 240, 4
# Of a screen, width over height: the tiles are as large as they can be on one.
SCREEN = 16 / 9


def columns_of(views: int) -> int:
    """Tiles in a row, so that a montage fills a screen."""
    return max(1, round(math.sqrt(views * SCREEN)))


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
    tiles = []
    for camera, image in zip(candidate.cameras, candidate.images, strict=True):
        rows = np.flatnonzero((hands.image == image) & (hands.frame_id == candidate.frame))
        tile, affine = crop_square(read(image), hands.xy_px[rows], TILE)
        for n in rows:
            xy = hands.xy_px[n] @ affine[:, :2].T + affine[:, 2]
            draw_hand(tile, xy, hands.skeleton, Layer.SOLID, 0.6, unsure=hands.visibility[n] < 2)
        caption(tile, camera, 0.4)
        tiles.append(tile)
    across = columns_of(len(tiles))
    return contact_sheet([tiles[n : n + across] for n in range(0, len(tiles), across)], GAP)
