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

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.geometry.compiled import block
from multiview.geometry.compiled.block import BLOCK, OBS
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.compiled.lens import (
    FOCAL,
    project,
    project_jacobian,
)
from multiview.geometry.compiled.pairs import FAR, pair_point
from multiview.geometry.compiled.polish import (
    ALMOST,
    BEST,
    CHI2,
    CONF,
    COS_LEAST,
    COS_WIDE,
    COST,
    INFO,
    INLIERS,
    LENGTH,
    LIMIT,
    NEAR,
    NOW,
    PRECISION,
    RAY,
    SOFT,
    V_,
    U,
    polish,
)

__all__ = ["search_one", "widen_one"]

# Of the best point so far: cost, count, chi^2, point 3, information 6; then a pair that waits.
PENDING = 15


@compiled
def _gather(obs: F64, i: int, views: int, work: F64, view: IntArray) -> int:
    """Collect the candidates of a point in falling order of confidence; returns their number."""
    m = 0
    for v in range(views):
        base = v * OBS * BLOCK + i
        if obs[base + block.PRECISION * BLOCK] == 0:
            continue
        sure, k = obs[base + block.CONF * BLOCK], m
        while k > 0 and work[CONF, k - 1] < sure:
            for row in range(CONF + 1):
                work[row, k] = work[row, k - 1]
            work[LIMIT, k], view[k] = work[LIMIT, k - 1], view[k - 1]
            k -= 1
        for row in range(3):
            work[row, k] = obs[base + row * BLOCK]
            work[RAY + row, k] = obs[base + (block.RAY + row) * BLOCK]
        work[LIMIT, k], work[CONF, k], view[k] = obs[base + block.LIMIT * BLOCK], sure, v
        m += 1
    return m


@compiled
def search_one(
    cameras: F64,
    curves: F64,
    ranks: IntArray,
    obs: F64,
    i: int,
    options: F64,
    n: int,
    work: F64,
    view: IntArray,
    system: F64,
    best: F64,
    out_xyz: F64,
    out_inlier: BoolArray,
    out_stats: F64,
) -> None:
    """Triangulate point ``n``, the ``i``-th of its block; what is written there is one solution."""
    m = _gather(obs, i, len(cameras), work, view)
    _load(n, m, work, view, best, out_xyz, out_inlier, out_stats)
    _search(cameras, curves, options, ranks, m, work, view, system, best)
    if best[0] == np.inf:
        return
    _widen(cameras, options, m, work, view, system, best)
    _put(cameras, n, m, work, view, best, out_xyz, out_inlier, out_stats)


@compiled
def widen_one(
    cameras: F64,
    obs: F64,
    i: int,
    options: F64,
    n: int,
    work: F64,
    view: IntArray,
    system: F64,
    best: F64,
    out_xyz: F64,
    out_inlier: BoolArray,
    out_stats: F64,
) -> None:
    """Ask again the views that disagree with point ``n``, which was refitted with its block."""
    m = _gather(obs, i, len(cameras), work, view)
    _load(n, m, work, view, best, out_xyz, out_inlier, out_stats)
    if _widen(cameras, options, m, work, view, system, best):
        _put(cameras, n, m, work, view, best, out_xyz, out_inlier, out_stats)


@compiled
def _load(
    n: int,
    m: int,
    work: F64,
    view: IntArray,
    best: F64,
    out_xyz: F64,
    out_inlier: BoolArray,
    out_stats: F64,
) -> None:
    """Read what is written of a point; without any, the cost of the best is infinite."""
    best[0], best[1], best[2] = np.inf, 1.0, 0.0
    if not out_stats[n, INLIERS] >= 2:
        return
    best[0], best[1], best[2] = out_stats[n, COST], out_stats[n, INLIERS], out_stats[n, CHI2]
    for j in range(3):
        best[3 + j] = out_xyz[n, j]
    for j in range(6):
        best[6 + j] = out_stats[n, INFO + j]
    for k in range(m):
        work[BEST, k] = 1.0 if out_inlier[view[k], n] else 0.0


@compiled
def _put(
    cameras: F64,
    n: int,
    m: int,
    work: F64,
    view: IntArray,
    best: F64,
    out_xyz: F64,
    out_inlier: BoolArray,
    out_stats: F64,
) -> None:
    """Write the best point."""
    for j in range(3):
        out_xyz[n, j] = best[3 + j]
    out_stats[n, INLIERS], out_stats[n, CHI2], out_stats[n, COST] = best[1], best[2], best[0]
    for j in range(6):
        out_stats[n, INFO + j] = best[6 + j]
    out_stats[n, ALMOST] = 0.0
    for k in range(m):
        out_inlier[view[k], n] = work[BEST, k] > 0
        if work[BEST, k] > 0:
            continue
        u, v, z = project(cameras[view[k]], best[3], best[4], best[5])
        e2 = ((u - work[U, k]) ** 2 + (v - work[V_, k]) ** 2) * work[PRECISION, k]
        out_stats[n, ALMOST] += 1.0 if z > 0 and e2 < NEAR * work[LIMIT, k] else 0.0


@compiled
def _widen(
    cameras: F64, options: F64, m: int, work: F64, view: IntArray, system: F64, best: F64
) -> bool:
    """Take in views whose distance the point's own doubt explains; says whether there were any.

    What counts is not how far a view is from the point that the others make, but by how much it
    raises the least cost of all: the distance in units of its own noise and the point's doubt
    together (the innovation of a Kalman filter).
    """
    changed = False
    for _ in range(m):
        before = best[0]
        for k in range(m):
            if work[BEST, k] > 0:
                continue
            X, Y, Z, ok = _drawn(cameras, options, work, view, k, best)
            if ok:
                _try(cameras, options, m, work, view, X, Y, Z, system, best)
            if best[0] < before:
                break
        if not best[0] < before:
            break
        changed = True
    return changed


@compiled
def _drawn(
    cameras: F64, options: F64, work: F64, view: IntArray, k: int, best: F64
) -> tuple[float, float, float, bool]:
    """Point that a further view draws the best one to, if the view is within its limit then."""
    c, X, Y, Z = cameras[view[k]], best[3], best[4], best[5]
    u, v, z, a0, a1, a2, b0, b1, b2 = project_jacobian(c, X, Y, Z)
    a, d, e, f, g, h = best[6], best[7], best[8], best[9], best[10], best[11]
    c00, c01, c02 = f * h - g * g, e * g - d * h, d * g - e * f
    c11, c12, c22 = a * h - e * e, d * e - a * g, a * f - d * d
    det = a * c00 + d * c01 + e * c02
    if not (z > 0 and det > 1e-14 * a * f * h):
        return X, Y, Z, False
    p0, p1 = (c00 * a0 + c01 * a1 + c02 * a2) / det, (c01 * a0 + c11 * a1 + c12 * a2) / det
    p2, q0 = (c02 * a0 + c12 * a1 + c22 * a2) / det, (c00 * b0 + c01 * b1 + c02 * b2) / det
    q1, q2 = (c01 * b0 + c11 * b1 + c12 * b2) / det, (c02 * b0 + c12 * b1 + c22 * b2) / det
    own = 1 / work[PRECISION, k]
    s00, s01 = own + a0 * p0 + a1 * p1 + a2 * p2, a0 * q0 + a1 * q1 + a2 * q2
    s11 = own + b0 * q0 + b1 * q1 + b2 * q2
    ru, rv, both = u - work[U, k], v - work[V_, k], s00 * s11 - s01 * s01
    x, y = (s11 * ru - s01 * rv) / both, (s00 * rv - s01 * ru) / both
    limit = work[LIMIT, k]
    if options[LENGTH] > 0:
        limit = max(limit, (options[LENGTH] * c[FOCAL] / z) ** 2 * work[PRECISION, k])
    ok = ru * x + rv * y < limit
    return X - p0 * x - q0 * y, Y - p1 * x - q1 * y, Z - p2 * x - q2 * y, ok


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
    # two views that agree are no reason to end: others may meet closer
    raw, count, best[PENDING] = best[0], 1.0, 0.0
    far = np.inf if options[LENGTH] > 0 else FAR
    angles = ((options[COS_WIDE], -2.0), (options[COS_LEAST], options[COS_WIDE]))
    for low, high in angles:
        for j in range(1, m):
            if j >= ranks[m, int(max(count, best[1] if best[1] > 2 else 1.0)) + 1]:
                break
            for i in range(j):
                X, Y, Z, ok = pair_point(cameras, curves, work, view, i, j, low, high, far)
                if ok:
                    raw = _consider(cameras, options, m, work, view, X, Y, Z, raw, system, best)
                if _settled(best, m):
                    return
        if best[PENDING] > 0:
            _try(cameras, options, m, work, view, best[12], best[13], best[14], system, best)
            best[PENDING] = 0.0
        count = best[1]
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
    cost, length, count, half = 0.0, options[LENGTH], 0, (1 + options[SOFT]) / 2
    for k in range(m):
        c, precision = cameras[view[k]], work[PRECISION, k]
        u, v, z = project(c, X, Y, Z)
        limit = work[LIMIT, k]
        if z > 0:
            if length > 0:
                limit = max(limit, (length * c[FOCAL] / z) ** 2 * precision)
            e2 = ((u - work[U, k]) ** 2 + (v - work[V_, k]) ** 2) * precision
            count += 1 if e2 < limit else 0
            cost += min(e2, limit * half)
        else:
            cost += limit * half
        if cost >= bound:
            return cost, count
    return cost, count
