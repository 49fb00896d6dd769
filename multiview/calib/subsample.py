"""Which frames of long footage tell most about the cameras.

A board carried for ten minutes shows the same view hundreds of times; a calibration gains nothing
from the hundredth. Every frame set ticks off what it shows: cells of each camera's picture that
have a corner, how near and how tilted the board is to each camera, and which pairs of cameras see
it together. Sets are taken one by one, always the one that adds most where little was ticked; what
was ticked n times counts 1 / (1 + n). A blurred view, whose corners are less certain than the
camera's median, counts less in proportion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64

__all__ = ["choose_sets", "coarse_sets"]

Ints = NDArray[np.int64]

# Frame sets looked at for each that is kept.
LOOKED_AT = 3
# Cells of a picture, and bins of a view: foreshortening along four directions or face-on, and size
# in halves of an octave.
CELLS = (8, 6)
SIZES, LEAST_SIZE = 6, 1 / 32
# Ratio of the spread along two directions of the picture from which a board counts as tilted:
# cos 25 degrees.
TILTED = 0.9


def coarse_sets(total: int, max_sets: int) -> Ints:
    """Positions of evenly spread frame sets, at most three times ``max_sets``."""
    count = min(total, LOOKED_AT * max_sets)
    return np.unique(np.linspace(0, total - 1, count).round().astype(np.int64))


def choose_sets(
    xy_px: Sequence[F64],
    std_px: Sequence[F64],
    sizes_wh: Sequence[tuple[int, int]],
    max_sets: int,
) -> Ints:
    """Choose the frame sets that together tell most.

    Parameters
    ----------
    xy_px, std_px
        Corners of each board, shapes (V, F, C, 2) and (V, F, C); NaN where not seen.
    sizes_wh
        Of each camera's pictures.
    max_sets
        How many at most; fewer if the boards are in fewer.

    Returns
    -------
    NDArray[int64]
        Increasing positions on axis F, at least one if F is.
    """
    ticks = np.concatenate([_ticks(x, s, sizes_wh) for x, s in zip(xy_px, std_px, strict=True)], 1)
    shown = np.flatnonzero(ticks.any(1))
    if len(shown) <= max_sets:
        return shown if len(shown) else np.arange(min(1, len(ticks)))
    left, count = ticks[shown], np.zeros(ticks.shape[1], np.float32)
    free, chosen = np.ones(len(shown), np.bool_), []
    for _ in range(max_sets):
        gain = np.where(free, left @ (1 / (1 + count)), -1.0)
        best = int(gain.argmax())
        free[best] = False
        chosen.append(best)
        count += left[best]
    return np.sort(shown[chosen])


def _ticks(xy: F64, std: F64, sizes_wh: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Tell what each frame set shows of one board, 0 to 1, shape (F, ticks)."""
    views, frames = xy.shape[:2]
    seen = ~np.isnan(xy[..., 0])
    with np.errstate(all="ignore"):
        worth = _worth(std, seen)
    blocks = []
    for v in range(views):
        size = np.array(sizes_wh[v])
        cell = np.clip(np.nan_to_num(xy[v]) / size * CELLS, 0, np.array(CELLS) - 1).astype(int)
        flat = cell[..., 0] * CELLS[1] + cell[..., 1]
        cells = np.zeros((frames, CELLS[0] * CELLS[1]), np.float32)
        f, c = np.nonzero(seen[v])
        cells[f, flat[f, c]] = 1
        blocks.append(
            np.concatenate([cells, _pose_bins(xy[v], seen[v], size)], 1) * worth[v][:, None]
        )
    either = [np.minimum(worth[a], worth[b])[:, None] for a in range(views) for b in range(a)]
    return np.concatenate(blocks + either, 1).astype(np.float32)


def _worth(std: F64, seen: NDArray[np.bool_]) -> F64:
    """How sharp each view is against the camera's median, 0 (nothing seen) to 1, shape (V, F)."""
    number = np.maximum(seen.sum(-1), 1)
    mean = np.where(seen, std, 0).sum(-1) / number
    out = np.zeros(mean.shape)
    for v in range(len(seen)):
        some = seen[v].any(-1)
        if some.any():
            typical = np.median(mean[v, some])
            out[v, some] = np.minimum(1, typical / np.maximum(mean[v, some], 1e-6))
    return out


def _pose_bins(xy: F64, seen: NDArray[np.bool_], size: NDArray[np.int64]) -> F64:
    """Size and foreshortening of the board in each picture, one tick each, shape (F, bins)."""
    out = np.zeros((len(xy), SIZES + 5))
    for f in np.flatnonzero(seen.sum(1) >= 3):
        p = xy[f, seen[f]]
        spread, axes = np.linalg.eigh(np.cov((p - p.mean(0)).T))
        extent = np.sqrt(np.maximum(spread, 0))
        octave = np.log2(max(2 * extent[1] / size.max(), 1e-9) / LEAST_SIZE)
        out[f, int(np.clip(octave, 0, SIZES - 1))] = 1
        angle = np.arctan2(axes[1, 0], axes[0, 0]) % np.pi
        tilted = extent[0] < TILTED * extent[1]
        out[f, SIZES + (1 + int(angle / np.pi * 4) % 4 if tilted else 0)] = 1
    return out
