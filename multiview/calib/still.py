"""When a board did not move."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64

__all__ = ["longest_still"]

# Root mean square motion of the corners, in standard deviations of the difference of two found
# corners, up to which a board counts as still: detection noise gives 1 (less where the picture's
# noise repeats), a hand that tries to hold a board still moves it by many pixels.
STILL = 3.0
# Frames that a board must lie still for: a moving one rests where it turns, for a frame or two.
MIN_FRAMES = 5
# Common corners that two frames need to be compared.
MIN_CORNERS = 4


def longest_still(
    xy_px: F64, noise_px: F64, posed: NDArray[np.bool_], min_frames: int = MIN_FRAMES
) -> tuple[int, int] | None:
    """Find the longest run of frames in which a board stays where it was in the first of them.

    Parameters
    ----------
    xy_px
        Found corners, shape (V, F, C, 2); NaN where not found.
    noise_px
        Corner noise per coordinate of each view, shape (V,).
    posed
        Frames in which the board's pose is known, shape (F,).
    min_frames
        Shorter runs do not count.

    Returns
    -------
    tuple or None
        First and last position on axis F.
    """
    scaled = xy_px / (np.sqrt(2) * np.asarray(noise_px)[:, None, None, None])
    best, start = (0, -1), 0
    frames = np.flatnonzero(posed).tolist()
    for n, f in enumerate(frames):
        if n and not _same(scaled[:, frames[start]], scaled[:, f]):
            start = n
        if n - start > best[1] - best[0]:
            best = (start, n)
    if best[1] - best[0] + 1 < min_frames:
        return None
    return frames[best[0]], frames[best[1]]


def _same(a: F64, b: F64) -> bool:
    square = (a - b) ** 2
    square = square[np.isfinite(square).all(-1)]
    return len(square) >= MIN_CORNERS and bool(np.sqrt(square.mean()) < STILL)
