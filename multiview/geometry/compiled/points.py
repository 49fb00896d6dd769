"""One point: guided pairs, a truncated cost over all views, and a refit on recorded pixels.

Costs are squared residuals in units of the noise (Torr and Zisserman, MLESAC, CVIU 2000: MSAC);
a view that disagrees, or cannot see the point, costs the square of the limit; in the refit the
weight of a view falls to 0 linearly over the last part of the limit. The views are ranked by
confidence, and pairs are tried among the first 2, 3, ... of them (Chum and Matas, PROSAC, CVPR
2005), wide angles first. Whatever improves is refitted before it is compared (Chum, Matas and
Kittler, LO-RANSAC, DAGM 2003). The search ends

- when more than half of the views plus a half agree: two different points share at most one view,
  so no other point can have as many;
- or when a point with more views than the best is unlikely to have been missed
  (`multiview.geometry.robust.stop_ranks`).
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.geometry.compiled import block
from multiview.geometry.compiled.block import BLOCK, OBS, UNKNOWN
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.compiled.lens import CENTRE, FOCAL, SIZE, project, undistort
from multiview.geometry.compiled.polish import (
    BEST,
    CANDIDATES,
    CHI2,
    CONF,
    COS_LEAST,
    COS_WIDE,
    COST,
    GRID,
    INFO,
    INLIERS,
    LENGTH,
    LIMIT,
    LIMITS,
    MARGIN,
    MIN_CONF,
    NOW,
    PRECISION,
    RAY,
    V_,
    U,
    polish,
)

__all__ = ["admit", "pair_point", "search_one"]

# Of the best point so far: cost, count, chi^2, point 3, information 6; then a pair that waits.
PENDING = 15
# Newton steps of a hypothesis's rays: good to far below a pixel.
PAIR_STEPS = 2


@compiled
def admit(
    cameras: F64, xy: F64, conf: F64, sigma: F64, options: F64, v: int, n: int
) -> tuple[float, float, float, float, float]:
    """Pixel, inverse variance (0: no candidate), squared limit and confidence of a detection."""
    x, y, sure = xy[v, n, 0], xy[v, n, 1], conf[v, n if conf.shape[1] > 1 else 0]
    s = sigma[v, n if sigma.shape[1] > 1 else 0]
    # NaN fails every comparison
    if not (sure >= options[MIN_CONF] and s > 0):
        return 0.0, 0.0, 0.0, 0.0, 0.0
    margin = options[MARGIN]
    inside = -margin <= x < cameras[v, SIZE] + margin
    if not (inside and -margin <= y < cameras[v, SIZE + 1] + margin):
        return 0.0, 0.0, 0.0, 0.0, 0.0
    limit = options[LIMITS + int(min(max(sure, 0.0), 1.0) * GRID)]
    return x, y, 1 / (s * s), limit, sure


@compiled
def _gather(obs: F64, i: int, conf: F64, n: int, views: int, work: F64, view: IntArray) -> int:
    """Collect the candidates of a point in falling order of confidence; returns their number."""
    m = 0
    for v in range(views):
        base = v * OBS * BLOCK + i
        if obs[base + 2 * BLOCK] == 0:
            continue
        sure = conf[v, n if conf.shape[1] > 1 else 0]
        k = m
        while k > 0 and work[CONF, k - 1] < sure:
            for row in range(CONF + 1):
                work[row, k] = work[row, k - 1]
            work[LIMIT, k], view[k] = work[LIMIT, k - 1], view[k - 1]
            k -= 1
        for row in range(3):
            work[row, k] = obs[base + row * BLOCK]
            work[RAY + row, k] = obs[base + (block.RAY + row) * BLOCK]
        work[LIMIT, k], work[CONF, k], view[k] = obs[base + 3 * BLOCK], sure, v
        m += 1
    return m


@compiled
def search_one(
    cameras: F64,
    curves: F64,
    obs: F64,
    i: int,
    conf: F64,
    options: F64,
    ranks: IntArray,
    n: int,
    work: F64,
    view: IntArray,
    system: F64,
    best: F64,
    out_xyz: F64,
    out_inlier: BoolArray,
    out_stats: F64,
) -> None:
    """Triangulate point ``n``, the ``i``-th of its block."""
    m = _gather(obs, i, conf, n, len(cameras), work, view)
    out_stats[n, CANDIDATES] = m
    best[0], best[1] = np.inf, 1.0
    if m >= 2:
        _search(cameras, curves, options, ranks, m, work, view, system, best)
    if best[0] == np.inf:
        return
    for j in range(3):
        out_xyz[n, j] = best[3 + j]
    out_stats[n, INLIERS], out_stats[n, CHI2], out_stats[n, COST] = best[1], best[2], best[0]
    for j in range(6):
        out_stats[n, INFO + j] = best[6 + j]
    for k in range(m):
        out_inlier[view[k], n] = work[BEST, k] > 0


@compiled
def _search(
    cameras: F64,
    curves: F64,
    options: F64,
    ranks: IntArray,
    m: int,
    work: F64,
    view: IntArray,
    system: F64,
    best: F64,
) -> None:
    """Try pairs of views; the best refitted point ends up in ``best``."""
    raw, best[PENDING] = np.inf, 0.0
    angles = ((options[COS_WIDE], -2.0), (options[COS_LEAST], options[COS_WIDE]))
    for low, high in angles:
        for j in range(1, m):
            if j >= ranks[m, int(best[1]) + 1]:
                break
            for i in range(j):
                X, Y, Z, ok = pair_point(cameras, curves, work, view, i, j, low, high)
                if ok:
                    raw = _consider(cameras, options, m, work, view, X, Y, Z, raw, system, best)
                if _settled(best, m):
                    return
        if best[PENDING] > 0:
            _try(cameras, options, m, work, view, best[12], best[13], best[14], system, best)
            best[PENDING] = 0.0
        if _settled(best, m):
            return


@compiled
def _consider(
    cameras: F64,
    options: F64,
    m: int,
    work: F64,
    view: IntArray,
    X: float,
    Y: float,
    Z: float,
    raw: float,
    system: F64,
    best: F64,
) -> float:
    """Score a hypothesis; refit it if it beats all before; returns the least score so far.

    A pair that no third view supports waits: it is refitted only if nothing better turns up.
    """
    cost, count = _score(cameras, options, m, work, view, X, Y, Z, raw)
    if cost >= raw:
        return raw
    best[12], best[13], best[14] = X, Y, Z
    best[PENDING] = 1.0 if count < 3 else 0.0
    if count >= 3:
        _try(cameras, options, m, work, view, X, Y, Z, system, best)
    return cost


@compiled
def _settled(best: F64, m: int) -> bool:
    """Whether so many views agree that no other point can have as many."""
    return bool(best[0] < np.inf and 2 * best[1] > m + 1)


@compiled
def _try(
    cameras: F64,
    options: F64,
    m: int,
    work: F64,
    view: IntArray,
    X: float,
    Y: float,
    Z: float,
    system: F64,
    best: F64,
) -> None:
    """Refit a hypothesis and keep it where it beats the best."""
    X, Y, Z = polish(cameras, options, m, work, view, X, Y, Z, system)
    if system[10] < 2 or not system[9] < best[0]:
        return
    best[0], best[3], best[4], best[5] = system[9], X, Y, Z
    best[1], best[2] = system[10], 0.0
    for i in range(6):
        best[6 + i] = system[i]
    for k in range(m):
        work[BEST, k] = work[NOW, k]
        if work[NOW, k] > 0:
            best[2] += work[NOW, k] - 1.0


@compiled
def _ray(cameras: F64, curves: F64, work: F64, view: IntArray, k: int) -> None:
    """Direction of a view's ray in the world, kept for the next pair."""
    if work[RAY, k] != UNKNOWN:
        return
    c = cameras[view[k]]
    x, y = undistort(c, curves[view[k]], work[U, k], work[V_, k], PAIR_STEPS)
    scale = 1 / sqrt(x * x + y * y + 1)
    for i in range(3):
        work[RAY + i, k] = (c[i] * x + c[3 + i] * y + c[6 + i]) * scale


@compiled
def pair_point(
    cameras: F64,
    curves: F64,
    work: F64,
    view: IntArray,
    i: int,
    j: int,
    low: float,
    high: float,
) -> tuple[float, float, float, bool]:
    """Midpoint of two rays whose angle is in range and that meet before both cameras."""
    _ray(cameras, curves, work, view, i)
    _ray(cameras, curves, work, view, j)
    a0, a1, a2 = work[RAY, i], work[RAY + 1, i], work[RAY + 2, i]
    b0, b1, b2 = work[RAY, j], work[RAY + 1, j], work[RAY + 2, j]
    cosine = a0 * b0 + a1 * b1 + a2 * b2
    size = abs(cosine)
    if not (high <= size < low or (high < 0 and size < low)):
        return 0.0, 0.0, 0.0, False
    p, q = cameras[view[i]], cameras[view[j]]
    d0, d1, d2 = q[CENTRE] - p[CENTRE], q[CENTRE + 1] - p[CENTRE + 1], q[CENTRE + 2] - p[CENTRE + 2]
    da, db = d0 * a0 + d1 * a1 + d2 * a2, d0 * b0 + d1 * b1 + d2 * b2
    det = 1 - cosine * cosine
    s, t = (da - cosine * db) / det, (cosine * da - db) / det
    if not (s > 0 and t > 0):
        return 0.0, 0.0, 0.0, False
    X = (p[CENTRE] + s * a0 + q[CENTRE] + t * b0) / 2
    Y = (p[CENTRE + 1] + s * a1 + q[CENTRE + 1] + t * b1) / 2
    Z = (p[CENTRE + 2] + s * a2 + q[CENTRE + 2] + t * b2) / 2
    return X, Y, Z, True


@compiled
def _score(
    cameras: F64,
    options: F64,
    m: int,
    work: F64,
    view: IntArray,
    X: float,
    Y: float,
    Z: float,
    bound: float,
) -> tuple[float, int]:
    """Sum the truncated cost of a point and count the views that agree, up to a bound."""
    cost, length, count = 0.0, options[LENGTH], 0
    for k in range(m):
        c, precision = cameras[view[k]], work[PRECISION, k]
        u, v, z = project(c, X, Y, Z)
        limit = work[LIMIT, k]
        if z > 0:
            if length > 0:
                limit = max(limit, (length * c[FOCAL] / z) ** 2 * precision)
            e2 = ((u - work[U, k]) ** 2 + (v - work[V_, k]) ** 2) * precision
            if e2 < limit:
                limit = e2
                count += 1
        cost += limit
        if cost >= bound:
            return cost, count
    return cost, count
