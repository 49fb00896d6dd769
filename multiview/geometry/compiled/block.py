"""The easy points, many at once: the first good pair, refitted, where most views agree.

Nine of ten points need no search. Their refits run camera by camera over a block of points, a loop
that the compiler turns into vector instructions; the numbers are those of
`multiview.geometry.compiled.points`, which the points that are left over go through.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from multiview._shapes import F64, IntArray
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.compiled.lens import (
    DIST,
    END,
    FOCAL,
    KIND,
    POLYNOMIAL,
    T,
    project_jacobian,
    undistort,
)

__all__ = ["ACC", "BLOCK", "OBS", "UNKNOWN", "accumulate_block", "converge_block", "rays_block"]

# Points of a block; a constant, so that the compiler sees that rows do not overlap.
BLOCK = 128
# Rows of a view's observations: pixel, inverse variance (0: none), squared limit, squared residual
# (negative: disagrees; `-UNSEEN`: no candidate, or out of sight), direction of the ray in the world
# 3 (`UNKNOWN` where it is not told here), confidence.
U, V_, PRECISION, LIMIT, RESIDUAL, RAY, CONF, OBS = 0, 1, 2, 3, 4, 5, 8, 9
UNSEEN = 1e300
# No cosine: a ray that is not computed yet.
UNKNOWN = 2.0
# Newton steps from the distorted point are at 1e-6 for usual lenses; others go by the table.
RAY_STEPS, RAY_ERROR = 3, 1e-6
# Rows of the sums: point 3, information 6, gradient 3, cost, count, chi^2, cost before the
# last step, state of the point; then of the first and of the second view that it starts from:
# confidence, ray 3, optical centre 3; views that are not far from agreeing.
X_, INFO, GRADIENT, COST, COUNT, CHI2, OLD_COST, STATE = 0, 3, 9, 12, 13, 14, 15, 16
FIRST, SECOND, NEAR, ACC = 17, 24, 31, 32
# States: moving, at its optimum, at its optimum but without a majority, not there.
MOVING, DONE, MINOR, LEFT = 0.0, 1.0, 2.0, 3.0
# A start near the optimum is there after three rounds; then stragglers hold up a block: once fewer
# than this share move, they are left to the search.
ROUNDS, ENOUGH_ROUNDS, STRAGGLERS = 6, 3, 1 / 16
STEP_SIGMAS = 1e-2


@compiled
def rays_block(cameras: F64, curves: F64, v: int, obs: F64, n: int) -> None:
    """Undistort the observations of a camera and turn them into rays."""
    if cameras[v, KIND] <= POLYNOMIAL:
        _polynomial_rays(cameras, v, obs, n)
        return
    c, base = cameras[v], v * OBS * BLOCK
    for i in range(n):
        obs[base + RAY * BLOCK + i] = UNKNOWN
        if obs[base + PRECISION * BLOCK + i] == 0:
            continue
        x, y = undistort(c, curves[v], obs[base + i], obs[base + BLOCK + i], RAY_STEPS)
        scale = 1 / sqrt(x * x + y * y + 1)
        if scale > 0:
            for row in range(3):
                ray = (c[row] * x + c[3 + row] * y + c[6 + row]) * scale
                obs[base + (RAY + row) * BLOCK + i] = ray


@compiled
def _polynomial_rays(cameras: F64, v: int, obs: F64, n: int) -> None:
    base = np.uint64(v * OBS * BLOCK)
    r0, r1, r2, r3, r4 = cameras[v, 0], cameras[v, 1], cameras[v, 2], cameras[v, 3], cameras[v, 4]
    r5, r6, r7, r8 = cameras[v, 5], cameras[v, 6], cameras[v, 7], cameras[v, 8]
    fx, fy = 1 / cameras[v, FOCAL], 1 / cameras[v, FOCAL + 1]
    cx, cy = cameras[v, FOCAL + 2], cameras[v, FOCAL + 3]
    k1, k2, p1 = cameras[v, DIST], cameras[v, DIST + 1], cameras[v, DIST + 2]
    p2, k3, end = cameras[v, DIST + 3], cameras[v, DIST + 4], cameras[v, END]
    for i in range(np.uint64(n)):
        xd, yd = (obs[base + at(U, i)] - cx) * fx, (obs[base + at(V_, i)] - cy) * fy
        x, y, dx, dy = xd, yd, 0.0, 0.0
        for _ in range(RAY_STEPS):
            q = x * x + y * y
            factor = 1 + q * (k1 + q * (k2 + q * k3))
            slope = 2 * (k1 + q * (2 * k2 + q * 3 * k3))
            mixed = x * y * slope + 2 * p1 * x + 2 * p2 * y
            by_x = factor + x * x * slope + 2 * p1 * y + 6 * p2 * x
            by_y = factor + y * y * slope + 6 * p1 * y + 2 * p2 * x
            ex = x * factor + 2 * p1 * x * y + p2 * (q + 2 * x * x) - xd
            ey = y * factor + p1 * (q + 2 * y * y) + 2 * p2 * x * y - yd
            inverse = 1 / (by_x * by_y - mixed * mixed)
            dx, dy = inverse * (by_y * ex - mixed * ey), inverse * (by_x * ey - mixed * ex)
            x, y = x - dx, y - dy
        q = x * x + y * y
        off = dx * dx + dy * dy
        good = 1.0 if off < RAY_ERROR * RAY_ERROR else 0.0
        good = good if q <= end else 0.0
        scale = 1 / sqrt(q + 1)
        obs[base + at(RAY, i)] = (r0 * x + r3 * y + r6) * scale if good > 0 else UNKNOWN
        obs[base + at(RAY + 1, i)] = (r1 * x + r4 * y + r7) * scale
        obs[base + at(RAY + 2, i)] = (r2 * x + r5 * y + r8) * scale


@compiled
def accumulate_block(cameras: F64, obs: F64, w: F64, n: int, length: float, soft: float) -> None:
    """Sum the normal equations of ``n`` points over all cameras, at the points in ``w``."""
    for row in range(INFO, OLD_COST):
        for i in range(n):
            w[row * BLOCK + i] = 0.0
    for v in range(len(cameras)):
        if cameras[v, KIND] <= POLYNOMIAL:
            _add_polynomial(cameras, v, obs, w, n, length, soft)
        else:
            _add_other(cameras, v, obs, w, n, length, soft)


@compiled
def at(row: int, i: int) -> Any:
    """Index of a point in a row; unsigned, or the compiler would test for negative ones."""
    return np.uint64(row * BLOCK) + np.uint64(i)


@compiled
def _add_polynomial(
    cameras: F64, v: int, obs: F64, w: F64, n: int, length: float, soft: float
) -> None:
    r0, r1, r2, r3, r4 = cameras[v, 0], cameras[v, 1], cameras[v, 2], cameras[v, 3], cameras[v, 4]
    r5, r6, r7, r8 = cameras[v, 5], cameras[v, 6], cameras[v, 7], cameras[v, 8]
    t0, t1, t2 = cameras[v, T], cameras[v, T + 1], cameras[v, T + 2]
    fx, fy = cameras[v, FOCAL], cameras[v, FOCAL + 1]
    cx, cy = cameras[v, FOCAL + 2], cameras[v, FOCAL + 3]
    k1, k2, p1 = cameras[v, DIST], cameras[v, DIST + 1], cameras[v, DIST + 2]
    p2, k3, end = cameras[v, DIST + 3], cameras[v, DIST + 4], cameras[v, END]
    base = np.uint64(v * OBS * BLOCK)
    widen, half = (length * fx) ** 2, (1 + soft) / 2
    for i in range(np.uint64(n)):
        X, Y, Z = w[at(X_, i)], w[at(X_ + 1, i)], w[at(X_ + 2, i)]
        depth = r6 * X + r7 * Y + r8 * Z + t2
        inverse = 1 / (depth if depth > 0 else 1.0)
        x = (r0 * X + r1 * Y + r2 * Z + t0) * inverse
        y = (r3 * X + r4 * Y + r5 * Z + t1) * inverse
        xx, yy, xy = x * x, y * y, x * y
        q = xx + yy
        factor = 1 + q * (k1 + q * (k2 + q * k3))
        slope = 2 * (k1 + q * (2 * k2 + q * 3 * k3))
        mixed = xy * slope + 2 * p1 * x + 2 * p2 * y
        by_x = fx * inverse * (factor + xx * slope + 2 * p1 * y + 6 * p2 * x)
        by_y = fy * inverse * (factor + yy * slope + 6 * p1 * y + 2 * p2 * x)
        ux, uy, vx, vy = by_x, fx * inverse * mixed, fy * inverse * mixed, by_y
        uz, vz = -(ux * x + uy * y), -(vx * x + vy * y)
        a0, a1 = ux * r0 + uy * r3 + uz * r6, ux * r1 + uy * r4 + uz * r7
        a2, b0 = ux * r2 + uy * r5 + uz * r8, vx * r0 + vy * r3 + vz * r6
        b1, b2 = vx * r1 + vy * r4 + vz * r7, vx * r2 + vy * r5 + vz * r8
        ru = fx * (x * factor + 2 * p1 * xy + p2 * (q + 2 * xx)) + cx - obs[base + at(U, i)]
        rv = fy * (y * factor + p1 * (q + 2 * yy) + 2 * p2 * xy) + cy - obs[base + at(V_, i)]
        precision = obs[base + at(PRECISION, i)]
        far = widen * inverse * inverse * precision
        limit = obs[base + at(LIMIT, i)]
        limit = far if far > limit else limit
        e2 = (ru * ru + rv * rv) * precision
        seen = 1.0 if depth > 0 else 0.0
        seen = seen if q <= end else 0.0
        inside = seen if e2 < limit else 0.0
        fall = (limit - e2) / ((limit if limit > 0 else 1.0) * (1 - soft))
        share = fall if fall < 1 else 1.0
        weight = precision * share * inside
        kept = e2 if fall >= 1 else limit * half - fall * (limit - e2) / 2
        w[at(COST, i)] += kept if inside > 0 else limit * half
        w[at(COUNT, i)] += inside
        w[at(CHI2, i)] += e2 if inside > 0 else 0.0
        off = -e2 if seen * precision > 0 else -UNSEEN
        obs[base + at(RESIDUAL, i)] = e2 if inside > 0 else off
        w[at(INFO, i)] += weight * (a0 * a0 + b0 * b0)
        w[at(INFO + 1, i)] += weight * (a0 * a1 + b0 * b1)
        w[at(INFO + 2, i)] += weight * (a0 * a2 + b0 * b2)
        w[at(INFO + 3, i)] += weight * (a1 * a1 + b1 * b1)
        w[at(INFO + 4, i)] += weight * (a1 * a2 + b1 * b2)
        w[at(INFO + 5, i)] += weight * (a2 * a2 + b2 * b2)
        w[at(GRADIENT, i)] += weight * (a0 * ru + b0 * rv)
        w[at(GRADIENT + 1, i)] += weight * (a1 * ru + b1 * rv)
        w[at(GRADIENT + 2, i)] += weight * (a2 * ru + b2 * rv)


@compiled
def _add_other(cameras: F64, v: int, obs: F64, w: F64, n: int, length: float, soft: float) -> None:
    """Do the same for fisheye, rational and thin-prism lenses, point by point."""
    c, base, half = cameras[v], v * OBS * BLOCK, (1 + soft) / 2
    for i in range(n):
        precision = obs[base + PRECISION * BLOCK + i]
        limit = obs[base + LIMIT * BLOCK + i]
        u, q, z, a0, a1, a2, b0, b1, b2 = project_jacobian(c, w[i], w[BLOCK + i], w[2 * BLOCK + i])
        obs[base + RESIDUAL * BLOCK + i] = -UNSEEN
        e2 = np.inf
        ru, rv = u - obs[base + i], q - obs[base + BLOCK + i]
        if z > 0:
            limit = max(limit, (length * c[FOCAL] / z) ** 2 * precision)
            e2 = (ru * ru + rv * rv) * precision
            if precision > 0:
                obs[base + RESIDUAL * BLOCK + i] = -e2
        if not e2 < limit:
            w[COST * BLOCK + i] += limit * half
            continue
        fall = (limit - e2) / (limit * (1 - soft))
        weight = precision * min(fall, 1.0)
        w[COST * BLOCK + i] += e2 if fall >= 1 else limit * half - fall * (limit - e2) / 2
        w[COUNT * BLOCK + i] += 1.0
        w[CHI2 * BLOCK + i] += e2
        obs[base + RESIDUAL * BLOCK + i] = e2
        w[INFO * BLOCK + i] += weight * (a0 * a0 + b0 * b0)
        w[(INFO + 1) * BLOCK + i] += weight * (a0 * a1 + b0 * b1)
        w[(INFO + 2) * BLOCK + i] += weight * (a0 * a2 + b0 * b2)
        w[(INFO + 3) * BLOCK + i] += weight * (a1 * a1 + b1 * b1)
        w[(INFO + 4) * BLOCK + i] += weight * (a1 * a2 + b1 * b2)
        w[(INFO + 5) * BLOCK + i] += weight * (a2 * a2 + b2 * b2)
        w[GRADIENT * BLOCK + i] += weight * (a0 * ru + b0 * rv)
        w[(GRADIENT + 1) * BLOCK + i] += weight * (a1 * ru + b1 * rv)
        w[(GRADIENT + 2) * BLOCK + i] += weight * (a2 * ru + b2 * rv)


@compiled
def converge_block(
    cameras: F64, obs: F64, w: F64, n: int, length: float, soft: float, count: IntArray
) -> None:
    """Refit the points of a block: `DONE`, `MINOR` or `LEFT`.

    ``count`` has the candidates of each point; on entry points are `MOVING` or `LEFT`.
    """
    for i in range(n):
        w[OLD_COST * BLOCK + i] = np.inf
    for k in range(ROUNDS):
        accumulate_block(cameras, obs, w, n, length, soft)
        moving = _move(w, n, count)
        if moving == 0 or (k + 1 >= ENOUGH_ROUNDS and moving <= STRAGGLERS * n):
            break
    for i in range(n):
        if w[STATE * BLOCK + i] == MOVING:
            w[STATE * BLOCK + i] = LEFT


@compiled
def _move(w: F64, n: int, count: IntArray) -> int:
    """One Gauss-Newton step of all moving points; returns how many go on moving."""
    moving = 0
    for i in range(n):
        if w[STATE * BLOCK + i] != MOVING:
            continue
        a, d, e = w[INFO * BLOCK + i], w[(INFO + 1) * BLOCK + i], w[(INFO + 2) * BLOCK + i]
        f, g, h = w[(INFO + 3) * BLOCK + i], w[(INFO + 4) * BLOCK + i], w[(INFO + 5) * BLOCK + i]
        c00, c01, c02 = f * h - g * g, e * g - d * h, d * g - e * f
        c11, c12, c22 = a * h - e * e, d * e - a * g, a * f - d * d
        det = a * c00 + d * c01 + e * c02
        cost = w[COST * BLOCK + i]
        # rounding apart, the cost falls
        worse = cost > w[OLD_COST * BLOCK + i] * (1 + 1e-9) + 1e-12
        if worse or w[COUNT * BLOCK + i] < 2 or not det > 1e-14 * a * f * h:
            w[STATE * BLOCK + i] = LEFT
            continue
        gx, gy = w[GRADIENT * BLOCK + i], w[(GRADIENT + 1) * BLOCK + i]
        gz = w[(GRADIENT + 2) * BLOCK + i]
        sx = -(c00 * gx + c01 * gy + c02 * gz) / det
        sy = -(c01 * gx + c11 * gy + c12 * gz) / det
        sz = -(c02 * gx + c12 * gy + c22 * gz) / det
        w[OLD_COST * BLOCK + i] = cost
        if -(sx * gx + sy * gy + sz * gz) < STEP_SIGMAS * STEP_SIGMAS:
            majority = 2 * w[COUNT * BLOCK + i] > count[i] + 1
            w[STATE * BLOCK + i] = DONE if majority else MINOR
        else:
            moving += 1
        w[i] += sx
        w[BLOCK + i] += sy
        w[2 * BLOCK + i] += sz
    return moving
