"""Candidates of a block of points, and where each point starts: at its surest two wide rays.

Loops over the points of a block, camera by camera, that the compiler turns into vector
instructions.
"""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, IntArray
from multiview.geometry.compiled.block import (
    BLOCK,
    CONF,
    FIRST,
    LEFT,
    LIMIT,
    MOVING,
    OBS,
    PRECISION,
    RAY,
    SECOND,
    STATE,
    UNKNOWN,
    V_,
    U,
    at,
    rays_block,
)
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.compiled.lens import CENTRE, SIZE
from multiview.geometry.compiled.polish import COS_WIDE, GRID, LIMITS, MARGIN, MIN_CONF

__all__ = ["collect_block", "start_block"]

NONE = -np.inf


@compiled
def collect_block(
    cameras: F64,
    curves: F64,
    xy: F64,
    conf: F64,
    sigma: F64,
    options: F64,
    first: int,
    n: int,
    obs: F64,
    count: IntArray,
) -> None:
    """Copy the observations of ``n`` points; those that are no candidates get no precision."""
    for i in range(n):
        count[i] = 0
    for v in range(len(cameras)):
        _row(conf, v, first, n, obs, CONF)
        _row(sigma, v, first, n, obs, PRECISION)
        _admit(cameras, v, xy, options, first, n, obs)
        base = np.uint64((v * OBS + PRECISION) * BLOCK)
        for i in range(np.uint64(n)):
            count[i] += 1 if obs[base + i] > 0 else 0
        rays_block(cameras, curves, v, obs, n)


@compiled
def _row(values: F64, v: int, first: int, n: int, obs: F64, row: int) -> None:
    """Copy a camera's numbers, one a point or one for all."""
    base = np.uint64((v * OBS + row) * BLOCK)
    if values.shape[1] == 1:
        for i in range(np.uint64(n)):
            obs[base + i] = values[v, 0]
        return
    begin = np.uint64(first)
    for i in range(np.uint64(n)):
        obs[base + i] = values[v, begin + i]


@compiled
def _admit(cameras: F64, v: int, xy: F64, options: F64, first: int, n: int, obs: F64) -> None:
    base, begin = np.uint64(v * OBS * BLOCK), np.uint64(first)
    least, low = options[MIN_CONF], -options[MARGIN]
    right, below = cameras[v, SIZE] - low, cameras[v, SIZE + 1] - low
    for i in range(np.uint64(n)):
        x, y = xy[v, begin + i, 0], xy[v, begin + i, 1]
        sure, s = obs[base + at(CONF, i)], obs[base + at(PRECISION, i)]
        # NaN fails every comparison
        ok = (sure >= least) & (s > 0) & (x >= low) & (x < right) & (y >= low) & (y < below)
        obs[base + at(U, i)] = x if ok else 0.0
        obs[base + at(V_, i)] = y if ok else 0.0
        obs[base + at(PRECISION, i)] = 1 / (s * s) if ok else 0.0
        obs[base + at(CONF, i)] = sure if ok else NONE
    for i in range(np.uint64(n)):
        sure = obs[base + at(CONF, i)]
        step = np.uint64(min(max(sure, 0.0), 1.0) * GRID)
        limit = options[np.uint64(LIMITS) + step]
        obs[base + at(LIMIT, i)] = limit if sure > NONE else 0.0


@compiled
def start_block(cameras: F64, options: F64, n: int, obs: F64, w: F64) -> None:
    """Start every point at the surest view and the surest that stands wide apart from it."""
    for i in range(np.uint64(n)):
        w[at(FIRST, i)] = w[at(SECOND, i)] = NONE
        w[at(FIRST + 1, i)] = w[at(FIRST + 2, i)] = w[at(FIRST + 3, i)] = 0.0
    for v in range(len(cameras)):
        _take(cameras, v, FIRST, 2.0, n, obs, w)
    for v in range(len(cameras)):
        _take(cameras, v, SECOND, options[COS_WIDE], n, obs, w)
    _meet(n, w)


@compiled
def _take(cameras: F64, v: int, row: int, wide: float, n: int, obs: F64, w: F64) -> None:
    """Keep the view as first or second where it is surer, and wide apart from the first."""
    base = np.uint64(v * OBS * BLOCK)
    c0, c1, c2 = cameras[v, CENTRE], cameras[v, CENTRE + 1], cameras[v, CENTRE + 2]
    for i in range(np.uint64(n)):
        x, y, z = obs[base + at(RAY, i)], obs[base + at(RAY + 1, i)], obs[base + at(RAY + 2, i)]
        cosine = abs(x * w[at(FIRST + 1, i)] + y * w[at(FIRST + 2, i)] + z * w[at(FIRST + 3, i)])
        sure = obs[base + at(CONF, i)]
        surer = (sure > w[at(row, i)]) & (x < UNKNOWN) & ((cosine < wide) | (row == FIRST))
        w[at(row, i)] = sure if surer else w[at(row, i)]
        w[at(row + 1, i)] = x if surer else w[at(row + 1, i)]
        w[at(row + 2, i)] = y if surer else w[at(row + 2, i)]
        w[at(row + 3, i)] = z if surer else w[at(row + 3, i)]
        w[at(row + 4, i)] = c0 if surer else w[at(row + 4, i)]
        w[at(row + 5, i)] = c1 if surer else w[at(row + 5, i)]
        w[at(row + 6, i)] = c2 if surer else w[at(row + 6, i)]


@compiled
def _meet(n: int, w: F64) -> None:
    """Midpoints of the two rays where they meet before both cameras."""
    a, b = FIRST, SECOND
    for i in range(np.uint64(n)):
        a0, a1, a2 = w[at(a + 1, i)], w[at(a + 2, i)], w[at(a + 3, i)]
        b0, b1, b2 = w[at(b + 1, i)], w[at(b + 2, i)], w[at(b + 3, i)]
        d0, d1 = w[at(b + 4, i)] - w[at(a + 4, i)], w[at(b + 5, i)] - w[at(a + 5, i)]
        d2 = w[at(b + 6, i)] - w[at(a + 6, i)]
        cosine = a0 * b0 + a1 * b1 + a2 * b2
        da, db = d0 * a0 + d1 * a1 + d2 * a2, d0 * b0 + d1 * b1 + d2 * b2
        inverse = 1 / (1 - cosine * cosine)
        s, t = (da - cosine * db) * inverse, (cosine * da - db) * inverse
        good = (w[at(b, i)] > NONE) & (s > 0) & (t > 0)
        w[at(0, i)] = (w[at(a + 4, i)] + s * a0 + w[at(b + 4, i)] + t * b0) / 2 if good else 0.0
        w[at(1, i)] = (w[at(a + 5, i)] + s * a1 + w[at(b + 5, i)] + t * b1) / 2 if good else 0.0
        w[at(2, i)] = (w[at(a + 6, i)] + s * a2 + w[at(b + 6, i)] + t * b2) / 2 if good else 0.0
        w[at(STATE, i)] = MOVING if good else LEFT
