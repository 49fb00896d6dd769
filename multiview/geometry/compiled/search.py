"""Blocks of points: the easy ones at once, the others one by one."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.geometry.compiled import block
from multiview.geometry.compiled.block import BLOCK, converge_block
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.compiled.points import (
    CANDIDATES,
    CHI2,
    COS_WIDE,
    COST,
    INFO,
    INLIERS,
    LENGTH,
    ROWS,
    SOFT,
    UNKNOWN,
    admit,
    pair_point,
    search_one,
)

__all__ = ["search_points"]

# Views among which the first pair is looked for, by confidence.
TOP = 4
# Columns of their work space: as in `points`.
U, V_, RAY, CONF = 0, 1, 3, 6


@compiled
def search_points(
    cameras: F64,
    curves: F64,
    xy: F64,
    conf: F64,
    sigma: F64,
    options: F64,
    ranks: IntArray,
    start: int,
    stop: int,
    out_xyz: F64,
    out_inlier: BoolArray,
    out_stats: F64,
) -> None:
    """Triangulate points ``start`` to ``stop``: `multiview.geometry.robust` says what is what."""
    views = len(cameras)
    work, view, system, best = _space(views)
    obs, w = np.zeros(views * block.OBS * BLOCK), np.zeros(block.ACC * BLOCK)
    count = np.zeros(BLOCK, np.int64)
    for first in range(start, stop, BLOCK):
        n = min(BLOCK, stop - first)
        for i in range(n):
            _begin(cameras, curves, xy, conf, sigma, options, first, i, obs, w, count, work, view)
        converge_block(cameras, obs, w, n, options[LENGTH], options[SOFT], count)
        for i in range(n):
            _write(first + i, i, views, obs, w, count, out_xyz, out_inlier, out_stats)
            if w[block.STATE * BLOCK + i] != block.DONE and count[i] >= 2:
                search_one(
                    cameras,
                    curves,
                    xy,
                    conf,
                    sigma,
                    options,
                    ranks,
                    first + i,
                    work,
                    view,
                    system,
                    best,
                    out_xyz,
                    out_inlier,
                    out_stats,
                )


@compiled
def _space(views: int) -> tuple[F64, IntArray, F64, F64]:
    size = max(views, TOP + 1)
    return np.zeros((ROWS, size)), np.zeros(size, np.int64), np.zeros(11), np.zeros(16)


@compiled
def _begin(
    cameras: F64,
    curves: F64,
    xy: F64,
    conf: F64,
    sigma: F64,
    options: F64,
    first: int,
    i: int,
    obs: F64,
    w: F64,
    count: IntArray,
    work: F64,
    view: IntArray,
) -> None:
    """Collect the observations of a point and start it at its first good pair."""
    m, top = 0, 0
    for v in range(len(cameras)):
        x, y, precision, limit, sure = admit(cameras, xy, conf, sigma, options, v, first + i)
        base = v * block.OBS * BLOCK + i
        obs[base], obs[base + BLOCK], obs[base + 2 * BLOCK] = x, y, precision
        obs[base + 3 * BLOCK] = limit
        if precision == 0:
            continue
        m += 1
        k = top
        while k > 0 and work[CONF, k - 1] < sure:
            if k < TOP:
                for row in (U, V_, CONF):
                    work[row, k] = work[row, k - 1]
                view[k] = view[k - 1]
            k -= 1
        if k < TOP:
            work[U, k], work[V_, k], work[CONF, k], view[k] = x, y, sure, v
            top = min(top + 1, TOP)
    count[i] = m
    w[i] = w[BLOCK + i] = w[2 * BLOCK + i] = 0.0
    w[block.STATE * BLOCK + i] = block.LEFT
    for k in range(top):
        work[RAY, k] = UNKNOWN
    for b in range(1, top):
        for a in range(b):
            X, Y, Z, ok = pair_point(
                cameras, curves, work, view, a, b, options[COS_WIDE], -2.0
            )
            if ok:
                w[i], w[BLOCK + i], w[2 * BLOCK + i] = X, Y, Z
                w[block.STATE * BLOCK + i] = block.MOVING
                return


@compiled
def _write(
    n: int,
    i: int,
    views: int,
    obs: F64,
    w: F64,
    count: IntArray,
    out_xyz: F64,
    out_inlier: BoolArray,
    out_stats: F64,
) -> None:
    """Write the result of a point that is at its optimum; nothing yet for the others."""
    done = w[block.STATE * BLOCK + i] == block.DONE
    for j in range(3):
        out_xyz[n, j] = w[j * BLOCK + i] if done else np.nan
    out_stats[n, :] = 0.0
    out_stats[n, CANDIDATES] = count[i]
    for v in range(views):
        agrees = obs[(v * block.OBS + block.RESIDUAL) * BLOCK + i] >= 0
        out_inlier[v, n] = done and agrees
    if not done:
        return
    out_stats[n, INLIERS], out_stats[n, CHI2] = (
        w[block.COUNT * BLOCK + i],
        w[block.CHI2 * BLOCK + i],
    )
    out_stats[n, COST] = w[block.COST * BLOCK + i]
    for j in range(6):
        out_stats[n, INFO + j] = w[(block.INFO + j) * BLOCK + i]
