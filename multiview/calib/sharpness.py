"""How wide the edges at a board's corners are: the blur of a picture, in pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64

__all__ = ["edge_width_px"]

# Half side of the patch about a corner, pixels: wide enough for a blur that still shows corners.
HALF = 8
# Patches with less contrast (grey levels of 255) hold no edge.
CONTRAST = 40.0


def edge_width_px(image: NDArray[np.uint8], xy_px: F64) -> float:
    """Median width of the edges that meet at corners.

    Parameters
    ----------
    image
        Grey or BGR, 8 bits.
    xy_px
        Corners, shape (C, 2), pixels; NaN where not seen.

    Returns
    -------
    float
        Contrast over steepest slope, pixels: 1 for the sharpest step that pixels can hold, about
        2.5 sigma for a Gaussian blur; NaN without a corner inside the picture.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
    height, width = grey.shape
    widths = []
    for x, y in np.rint(xy_px[np.isfinite(xy_px[:, 0])]).astype(int):
        if not (HALF <= x < width - HALF and HALF <= y < height - HALF):
            continue
        patch = grey[y - HALF : y + HALF + 1, x - HALF : x + HALF + 1].astype(np.float64)
        low, high = np.percentile(patch, (5, 95))
        if high - low < CONTRAST:
            continue
        # central differences are half the change over two pixels
        dy, dx = np.gradient(patch)
        widths.append((high - low) / np.percentile(np.hypot(dx, dy), 99))
    return float(np.median(widths)) if widths else float("nan")
