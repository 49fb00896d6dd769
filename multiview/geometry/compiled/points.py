"""One point: guided pairs, a truncated cost over all views, and a refit on recorded pixels.

Costs are squared residuals in units of the noise (Torr and Zisserman, MLESAC, CVIU 2000: MSAC);
a view that disagrees, or cannot see the point, costs the square of the limit; in the refit the weight
of a view falls to 0 linearly over the last part of the limit. The views are ranked
by confidence, and pairs are tried among the first 2, 3, ... of them (Chum and Matas, PROSAC, CVPR
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
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.compiled.lens import (
    CENTRE,
    FOCAL,
    SIZE,
    project,
    project_jacobian,
    undistort,
)

__all__ = [
    "GRID",
    "OPTIONS",
    "STATS",
    "admit",
    "pair_point",
    "polish",
    "refit_points",
    "search_one",
]

# Options: least confidence, limit as a length (0: none), share of the squared limit from which
# weights fall, cosines of the least and of a wide angle, how far outside the picture (pixels) an
# observation may lie; then the squared limits in units of the noise for equal steps of the
# confidence.
MIN_CONF, LENGTH, SOFT, COS_LEAST, COS_WIDE, MARGIN, LIMITS = 0, 1, 2, 3, 4, 5, 6
GRID = 64
OPTIONS = LIMITS + GRID + 1
# Statistics: candidates, inliers, chi^2 of the inliers, truncated cost, information (6 entries).
CANDIDATES, INLIERS, CHI2, COST, INFO, STATS = 0, 1, 2, 3, 4, 10
# Rows of the work space of a point: pixels, inverse variance, ray, confidence, inlier now and best,
# squared limit.
U, V_, PRECISION, RAY, CONF, NOW, BEST, LIMIT, ROWS = 0, 1, 2, 3, 6, 7, 8, 9, 10
# No cosine: a ray that is not computed yet.
UNKNOWN = 2.0
# Newton steps of a hypothesis's rays: good to 1e-6 px.
PAIR_STEPS = 3
# Gauss-Newton from a hypothesis converges in 3; the rest is for two narrow views.
MAX_STEPS = 20
# A step of less than a hundredth of the point's own standard deviation is the last: the next one
# would be below a thousandth.
STEP_SIGMAS = 1e-2


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
def _gather(
    cameras: F64, xy: F64, conf: F64, sigma: F64, options: F64, n: int, work: F64, view: IntArray
) -> int:
    """Collect the candidates of a point in falling order of confidence; returns their number."""
    m = 0
    for v in range(len(cameras)):
        x, y, precision, limit, sure = admit(cameras, xy, conf, sigma, options, v, n)
        if precision == 0:
            continue
        k = m
        while k > 0 and work[CONF, k - 1] < sure:
            for row in (U, V_, PRECISION, CONF, LIMIT):
                work[row, k] = work[row, k - 1]
            view[k] = view[k - 1]
            k -= 1
        work[U, k], work[V_, k], work[PRECISION, k] = x, y, precision
        work[LIMIT, k], work[CONF, k], view[k] = limit, sure, v
        m += 1
    for k in range(m):
        work[RAY, k] = UNKNOWN
    return m


@compiled
def search_one(
    cameras: F64,
    curves: F64,
    xy: F64,
    conf: F64,
    sigma: F64,
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
    """Triangulate point ``n``."""
    m = _gather(cameras, xy, conf, sigma, options, n, work, view)
    out_stats[n, CANDIDATES] = m
    best[0] = np.inf
    if m >= 2:
        _search(cameras, curves, options, ranks, m, work, view, system, best)
    if best[0] == np.inf:
        return
    for i in range(3):
        out_xyz[n, i] = best[3 + i]
    out_stats[n, INLIERS], out_stats[n, CHI2], out_stats[n, COST] = best[1], best[2], best[0]
    for i in range(6):
        out_stats[n, INFO + i] = best[6 + i]
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
    raw, hopes = np.inf, 0.0
    for narrow in range(2):
        low = options[COS_LEAST] if narrow else options[COS_WIDE]
        high = options[COS_WIDE] if narrow else -2.0
        for j in range(1, m):
            if j >= ranks[m, int(best[1]) + 1 if best[0] < np.inf else 2]:
                break
            for i in range(j):
                X, Y, Z, ok = pair_point(cameras, curves, work, view, i, j, low, high)
                if not ok:
                    continue
                cost, count = _score(cameras, options, m, work, view, X, Y, Z, raw)
                if cost >= raw:
                    continue
                raw = cost
                best[12], best[13], best[14] = X, Y, Z
                # a pair that no third view supports is refitted only if nothing better turns up
                hopes = 1.0 if count < 3 else 0.0
                if count >= 3:
                    _try(cameras, options, m, work, view, X, Y, Z, system, best)
                if best[0] < np.inf and 2 * best[1] > m + 1:
                    return
        if hopes > 0:
            _try(cameras, options, m, work, view, best[12], best[13], best[14], system, best)
            hopes = 0.0
        if best[0] < np.inf and 2 * best[1] > m + 1:
            return


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
    """Truncated cost of a point and the views that agree; stops where it exceeds the bound."""
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


@compiled
def _accumulate(
    cameras: F64,
    options: F64,
    m: int,
    work: F64,
    view: IntArray,
    X: float,
    Y: float,
    Z: float,
    system: F64,
) -> None:
    """Normal equations of the views that agree: system = information 6, gradient 3, cost, count.

    ``work[NOW]`` is 1 plus the squared residual of a view that agrees, and 0 else.
    """
    length, soft = options[LENGTH], options[SOFT]
    h0 = h1 = h2 = h3 = h4 = h5 = g0 = g1 = g2 = cost = count = 0.0
    for k in range(m):
        c, precision = cameras[view[k]], work[PRECISION, k]
        u, v, z, a0, a1, a2, b0, b1, b2 = project_jacobian(c, X, Y, Z)
        work[NOW, k] = 0.0
        limit = work[LIMIT, k]
        if not z > 0:
            cost += limit * (1 + soft) / 2
            continue
        if length > 0:
            limit = max(limit, (length * c[FOCAL] / z) ** 2 * precision)
        ru, rv = u - work[U, k], v - work[V_, k]
        e2 = (ru * ru + rv * rv) * precision
        if not e2 < limit:
            cost += limit * (1 + soft) / 2
            continue
        count += 1
        work[NOW, k] = 1.0 + e2
        weight = precision
        if e2 > soft * limit:
            fall = (limit - e2) / (limit - soft * limit)
            weight *= fall
            # the integral of the weight, so that steps go down this cost
            cost += limit * (1 + soft) / 2 - fall * (limit - e2) / 2
        else:
            cost += e2
        h0 += weight * (a0 * a0 + b0 * b0)
        h1 += weight * (a0 * a1 + b0 * b1)
        h2 += weight * (a0 * a2 + b0 * b2)
        h3 += weight * (a1 * a1 + b1 * b1)
        h4 += weight * (a1 * a2 + b1 * b2)
        h5 += weight * (a2 * a2 + b2 * b2)
        g0 += weight * (a0 * ru + b0 * rv)
        g1 += weight * (a1 * ru + b1 * rv)
        g2 += weight * (a2 * ru + b2 * rv)
    system[0], system[1], system[2], system[3], system[4], system[5] = h0, h1, h2, h3, h4, h5
    system[6], system[7], system[8], system[9], system[10] = g0, g1, g2, cost, count


@compiled
def _step(system: F64) -> tuple[float, float, float, float]:
    """Gauss-Newton step, and its squared length in standard deviations of the point."""
    a, d, e, f, g, h = system[0], system[1], system[2], system[3], system[4], system[5]
    c00, c01, c02 = f * h - g * g, e * g - d * h, d * g - e * f
    c11, c12, c22 = a * h - e * e, d * e - a * g, a * f - d * d
    det = a * c00 + d * c01 + e * c02
    if not det > 1e-14 * a * f * h:
        return 0.0, 0.0, 0.0, -1.0
    scale = -1 / det
    x, y, z = system[6], system[7], system[8]
    sx = scale * (c00 * x + c01 * y + c02 * z)
    sy = scale * (c01 * x + c11 * y + c12 * z)
    sz = scale * (c02 * x + c12 * y + c22 * z)
    return sx, sy, sz, -(sx * x + sy * y + sz * z)


@compiled
def polish(
    cameras: F64,
    options: F64,
    m: int,
    work: F64,
    view: IntArray,
    X: float,
    Y: float,
    Z: float,
    system: F64,
) -> tuple[float, float, float]:
    """Lower the truncated cost by Gauss-Newton steps, halved where they overshoot.

    On return ``system`` and ``work[NOW]`` belong to the point returned; the count is 0 where the
    rays do not determine it.
    """
    _accumulate(cameras, options, m, work, view, X, Y, Z, system)
    for _ in range(MAX_STEPS):
        sx, sy, sz, squared = _step(system)
        if squared < 0 or system[10] < 2:
            system[10] = 0.0
            return X, Y, Z
        cost, shrink = system[9], 1.0
        _accumulate(cameras, options, m, work, view, X + sx, Y + sy, Z + sz, system)
        # the rounding of a cost near its least may raise it a little
        while system[9] > cost * (1 + 1e-9) + 1e-12 and shrink > 0.01:
            shrink *= 0.25
            _accumulate(
                cameras,
                options,
                m,
                work,
                view,
                X + shrink * sx,
                Y + shrink * sy,
                Z + shrink * sz,
                system,
            )
        if shrink <= 0.01:
            _accumulate(cameras, options, m, work, view, X, Y, Z, system)
            break
        X, Y, Z = X + shrink * sx, Y + shrink * sy, Z + shrink * sz
        if squared * shrink * shrink < STEP_SIGMAS * STEP_SIGMAS:
            break
    if _step(system)[3] < 0:
        system[10] = 0.0
    return X, Y, Z


@compiled
def refit_points(
    cameras: F64,
    xy: F64,
    sigma: F64,
    options: F64,
    limit: float,
    start: int,
    stop: int,
    use: BoolArray,
    xyz: F64,
    out_stats: F64,
) -> None:
    """Refit points in place on the observations in ``use``; NaN where they determine none.

    Observations beyond the limit are taken out of ``use``: the larger of ``limit`` (squared, in
    units of the noise) and the length of the options.
    """
    views = len(cameras)
    work, view, system = np.zeros((ROWS, views)), np.zeros(views, np.int64), np.zeros(11)
    for n in range(start, stop):
        m = 0
        for v in range(views):
            if use[v, n]:
                s = sigma[v, n if sigma.shape[1] > 1 else 0]
                work[U, m], work[V_, m], work[PRECISION, m] = xy[v, n, 0], xy[v, n, 1], 1 / (s * s)
                work[LIMIT, m], view[m] = limit, v
                use[v, n] = False
                m += 1
        out_stats[n, :] = 0.0
        out_stats[n, CANDIDATES] = m
        X, Y, Z = xyz[n, 0], xyz[n, 1], xyz[n, 2]
        known = m >= 2 and abs(X) < np.inf and abs(Y) < np.inf and abs(Z) < np.inf
        if known:
            X, Y, Z = polish(cameras, options, m, work, view, X, Y, Z, system)
        if not known or system[10] < 2:
            xyz[n, :] = np.nan
            continue
        xyz[n, 0], xyz[n, 1], xyz[n, 2] = X, Y, Z
        out_stats[n, INLIERS], out_stats[n, COST] = system[10], system[9]
        for k in range(m):
            use[view[k], n] = work[NOW, k] > 0
            out_stats[n, CHI2] += max(work[NOW, k] - 1.0, 0.0)
        for i in range(6):
            out_stats[n, INFO + i] = system[i]
