"""Refit of one point on recorded pixels by Gauss-Newton steps, robust to views that stray."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.compiled.lens import FOCAL, project_jacobian

__all__ = ["GRID", "OPTIONS", "STATS", "polish", "refit_points"]

# Options: least confidence, limit as a length (0: none), share of the squared limit from which
# weights fall, cosines of the least and of a wide angle, how far outside the picture (pixels) an
# observation may lie; then the squared limits in units of the noise for equal steps of the
# confidence.
MIN_CONF, LENGTH, SOFT, COS_LEAST, COS_WIDE, MARGIN, LIMITS = 0, 1, 2, 3, 4, 5, 6
GRID = 64
OPTIONS = LIMITS + GRID + 1
# Statistics: candidates, inliers, chi^2 of the inliers, truncated cost, information (6 entries),
# views that disagree but are not far off.
CANDIDATES, INLIERS, CHI2, COST, INFO, ALMOST, STATS = 0, 1, 2, 3, 4, 10, 11
# A view that disagrees is not far off within this many times its squared limit: two rays at 25
# degrees leave a third view in doubt by 11 times the noise's variance; and noise four times the
# usual one has its limit here.
NEAR = 16.0
# Rows of the work space of a point: pixels, inverse variance, ray, confidence, inlier now and best,
# squared limit.
U, V_, PRECISION, RAY, CONF, NOW, BEST, LIMIT, ROWS = 0, 1, 2, 3, 6, 7, 8, 9, 10
# Gauss-Newton from a hypothesis converges in 3; the rest is for two narrow views.
MAX_STEPS = 20
# A step of less than a hundredth of the point's own standard deviation is the last: the next one
# would be below a thousandth.
STEP_SIGMAS = 1e-2


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
    """Sum the views that agree into a system: information 6, gradient 3, cost, count.

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

    On return ``system`` and ``work[NOW]`` belong to the point returned, or to one within a
    hundredth of its standard deviation; the count is 0 where the rays do not determine it.
    """
    _accumulate(cameras, options, m, work, view, X, Y, Z, system)
    for _ in range(MAX_STEPS):
        sx, sy, sz, squared = _step(system)
        if squared < 0 or system[10] < 2:
            system[10] = 0.0
            return X, Y, Z
        if squared < STEP_SIGMAS * STEP_SIGMAS:
            return X + sx, Y + sy, Z + sz
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
