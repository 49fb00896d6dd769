"""Blocks of points: the easy ones at once, the others one by one."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.geometry.compiled import block
from multiview.geometry.compiled.block import BLOCK, converge_block
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.compiled.points import search_one, widen_one
from multiview.geometry.compiled.polish import (
    ALMOST,
    CANDIDATES,
    CHI2,
    COST,
    INFO,
    INLIERS,
    LENGTH,
    NEAR,
    ROWS,
    SOFT,
)
from multiview.geometry.compiled.start import collect_block, start_block

__all__ = ["search_points"]


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
    work, view = np.zeros((ROWS, views)), np.zeros(views, np.int64)
    system, best = np.zeros(11), np.zeros(16)
    obs, w = np.zeros(views * block.OBS * BLOCK), np.zeros(block.ACC * BLOCK)
    count = np.zeros(BLOCK, np.int64)
    for first in range(start, stop, BLOCK):
        n = min(BLOCK, stop - first)
        collect_block(cameras, curves, xy, conf, sigma, options, first, n, obs, count)
        start_block(cameras, options, n, obs, w)
        converge_block(cameras, obs, w, n, options[LENGTH], options[SOFT], count)
        _write(first, n, views, obs, w, count, out_xyz, out_inlier, out_stats)
        for i in range(n):
            state, near = w[block.STATE * BLOCK + i], w[block.NEAR * BLOCK + i] > 0
            point = (obs, i, options, first + i, work, view, system, best)
            if state == block.DONE:
                if near:
                    widen_one(cameras, *point, out_xyz, out_inlier, out_stats)
            elif count[i] >= 2:
                search_one(cameras, curves, ranks, *point, out_xyz, out_inlier, out_stats)


@compiled
def _write(
    first: int,
    n: int,
    views: int,
    obs: F64,
    w: F64,
    count: IntArray,
    out_xyz: F64,
    out_inlier: BoolArray,
    out_stats: F64,
) -> None:
    """Write the points that are at their optimum, and say where a view is not far from agreeing."""
    begin = np.uint64(first)
    for i in range(np.uint64(n)):
        w[block.at(block.NEAR, i)] = 0.0
    for v in range(views):
        base = np.uint64(v * block.OBS * BLOCK)
        for i in range(np.uint64(n)):
            e2, state = obs[base + block.at(block.RESIDUAL, i)], w[block.at(block.STATE, i)]
            out_inlier[v, begin + i] = (e2 >= 0) & ((state == block.DONE) | (state == block.MINOR))
            near = (e2 < 0) & (-e2 < NEAR * obs[base + block.at(block.LIMIT, i)])
            w[block.at(block.NEAR, i)] += 1.0 if near else 0.0
    for i in range(n):
        to, state = first + i, w[block.STATE * BLOCK + i]
        solved = 1.0 if state == block.DONE or state == block.MINOR else 0.0
        for j in range(3):
            out_xyz[to, j] = w[j * BLOCK + i] if solved > 0 else np.nan
        out_stats[to, CANDIDATES] = count[i]
        out_stats[to, INLIERS] = w[block.COUNT * BLOCK + i] * solved
        out_stats[to, CHI2] = w[block.CHI2 * BLOCK + i]
        out_stats[to, COST] = w[block.COST * BLOCK + i]
        out_stats[to, ALMOST] = w[block.NEAR * BLOCK + i] * solved
        for j in range(6):
            out_stats[to, INFO + j] = w[(block.INFO + j) * BLOCK + i]
