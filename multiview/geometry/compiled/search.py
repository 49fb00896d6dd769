"""Blocks of points: the easy ones at once, the others one by one."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.geometry.compiled import block
from multiview.geometry.compiled.block import BLOCK, converge_block, rays_block
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.compiled.points import admit, pair_point, search_one
from multiview.geometry.compiled.polish import (
    CANDIDATES,
    CHI2,
    COS_WIDE,
    COST,
    INFO,
    INLIERS,
    LENGTH,
    RAY,
    ROWS,
    SOFT,
    V_,
    U,
)

__all__ = ["search_points"]

# Views among which the first pair is looked for, by confidence.
TOP = 4


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
    count, top = np.zeros(BLOCK, np.int64), np.zeros((TOP, BLOCK), np.int64)
    for first in range(start, stop, BLOCK):
        n = min(BLOCK, stop - first)
        _collect(cameras, xy, conf, sigma, options, first, n, obs, w, count, top)
        _begin(cameras, curves, options, n, obs, w, top, work, view)
        converge_block(cameras, obs, w, n, options[LENGTH], options[SOFT], count)
        for i in range(n):
            _write(first + i, i, views, obs, w, count, out_xyz, out_inlier, out_stats)
            if w[block.STATE * BLOCK + i] != block.DONE and count[i] >= 2:
                search_one(
                    cameras,
                    curves,
                    obs,
                    i,
                    conf,
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
def _collect(
    cameras: F64,
    xy: F64,
    conf: F64,
    sigma: F64,
    options: F64,
    first: int,
    n: int,
    obs: F64,
    w: F64,
    count: IntArray,
    top: IntArray,
) -> None:
    """Copy the observations of a block and rank the views of each point, the first `TOP` only."""
    for i in range(n):
        count[i] = 0
        for k in range(TOP):
            w[(block.TOP_CONF + k) * BLOCK + i] = -np.inf
            top[k, i] = -1
    for v in range(len(cameras)):
        base = v * block.OBS * BLOCK
        for i in range(n):
            x, y, precision, limit, sure = admit(cameras, xy, conf, sigma, options, v, first + i)
            obs[base + i], obs[base + BLOCK + i], obs[base + 2 * BLOCK + i] = x, y, precision
            obs[base + 3 * BLOCK + i] = limit
            if precision == 0:
                continue
            count[i] += 1
            k = TOP
            while k > 0 and w[(block.TOP_CONF + k - 1) * BLOCK + i] < sure:
                if k < TOP:
                    place = (block.TOP_CONF + k) * BLOCK + i
                    w[place], top[k, i] = w[place - BLOCK], top[k - 1, i]
                k -= 1
            if k < TOP:
                w[(block.TOP_CONF + k) * BLOCK + i], top[k, i] = sure, v
        rays_block(cameras, v, obs, n)


@compiled
def _begin(
    cameras: F64,
    curves: F64,
    options: F64,
    n: int,
    obs: F64,
    w: F64,
    top: IntArray,
    work: F64,
    view: IntArray,
) -> None:
    """Start every point at its first pair of views that stand wide apart."""
    for i in range(n):
        w[i] = w[BLOCK + i] = w[2 * BLOCK + i] = 0.0
        w[block.STATE * BLOCK + i] = block.LEFT
        for b in range(TOP):
            v = top[b, i]
            if v < 0 or w[block.STATE * BLOCK + i] == block.MOVING:
                break
            base = v * block.OBS * BLOCK + i
            view[b], work[U, b], work[V_, b] = v, obs[base], obs[base + BLOCK]
            for row in range(3):
                work[RAY + row, b] = obs[base + (block.RAY + row) * BLOCK]
            for a in range(b):
                X, Y, Z, ok = pair_point(cameras, curves, work, view, a, b, options[COS_WIDE], -2.0)
                if ok:
                    w[i], w[BLOCK + i], w[2 * BLOCK + i] = X, Y, Z
                    w[block.STATE * BLOCK + i] = block.MOVING
                    break


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
