"""The vote of whole groups of keypoints: `multiview.geometry.ransac` says what it does and why."""

from __future__ import annotations

from math import sqrt

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.geometry.compiled.jit import compiled

__all__ = ["vote_groups"]

# All pairs of this many views are tried; of more, until most views agree and no other position can
# have as many.
EXHAUSTIVE = 12
# Rounds of "refit on the inliers, then ask every view again" after the best pair is known.
LOCAL_ROUNDS = 3


@compiled
def vote_groups(
    R: F64,
    t: F64,
    norm: F64,
    length: float,
    cos_least: float,
    xy: F64,
    order: IntArray,
    starts: IntArray,
    start: int,
    stop: int,
    out_xyz: F64,
    out_inlier: BoolArray,
    out_candidates: IntArray,
    out_error: F64,
) -> None:
    """Vote on frames ``start`` to ``stop``; group g has keypoints ``order[starts[g]:starts[g+1]]``.

    Inputs (V, 3, 3), (V, 3), (V,), and (V, N, K, 2); outputs (N, K, 3), (V, N, K), (N, K), (N, K).
    """
    views, keypoints = xy.shape[0], xy.shape[2]
    normal, ray = np.zeros((views, keypoints, 9)), np.zeros((views, keypoints, 3))
    point, ratio = np.zeros((keypoints, 3)), np.zeros(views)
    view = np.zeros(views, np.int64)
    now, best = np.zeros(views, np.bool_), np.zeros(views, np.bool_)
    for n in range(start, stop):
        for g in range(len(starts) - 1):
            members = order[starts[g] : starts[g + 1]]
            m = _prepare(R, t, xy, n, members, normal, ray, view)
            best[:] = False
            args = (R, t, norm, length, xy, n, members, m, view)
            _best_pair(args, cos_least, normal, ray, point, now, best)
            _widen(args, normal, point, ratio, best)
            count = _consistent(args, normal, point, ratio, best)
            error = 0.0
            if count >= 2:
                _fit(members, m, view, best, normal, point)
                _ratios(args, point, ratio)
                for k in range(m):
                    error += ratio[k] / count if best[k] else 0.0
            for j in members:
                out_candidates[n, j] = m
                out_error[n, j] = error if count >= 2 else np.nan
                for i in range(3):
                    out_xyz[n, j, i] = point[j, i] if count >= 2 else np.nan
                for v in range(views):
                    out_inlier[v, n, j] = False
                for k in range(m):
                    out_inlier[view[k], n, j] = best[k] and count >= 2


@compiled
def _prepare(
    R: F64, t: F64, xy: F64, n: int, members: IntArray, normal: F64, ray: F64, view: IntArray
) -> int:
    """Fill in normal equations (6 + 3) and world rays of the views that saw the whole group."""
    m = 0
    for v in range(len(R)):
        whole = True
        for j in members:
            whole &= np.isfinite(xy[v, n, j, 0]) and np.isfinite(xy[v, n, j, 1])
        if not whole:
            continue
        for j in members:
            x, y = xy[v, n, j, 0], xy[v, n, j, 1]
            scale = 1 / sqrt(x * x + y * y + 1)
            for i in range(3):
                ray[m, j, i] = (R[v, 0, i] * x + R[v, 1, i] * y + R[v, 2, i]) * scale
            _rows(R[v], t[v], x, y, normal[m, j])
        view[m] = v
        m += 1
    return m


@compiled
def _rows(R: F64, t: F64, x: float, y: float, out: F64) -> None:
    """Two equations a . X = b with a = x r3 - r1 and b = t1 - x t3, multiplied out."""
    a0, a1, a2 = x * R[2, 0] - R[0, 0], x * R[2, 1] - R[0, 1], x * R[2, 2] - R[0, 2]
    b0, b1, b2 = y * R[2, 0] - R[1, 0], y * R[2, 1] - R[1, 1], y * R[2, 2] - R[1, 2]
    p, q = t[0] - x * t[2], t[1] - y * t[2]
    out[0], out[1], out[2] = a0 * a0 + b0 * b0, a0 * a1 + b0 * b1, a0 * a2 + b0 * b2
    out[3], out[4], out[5] = a1 * a1 + b1 * b1, a1 * a2 + b1 * b2, a2 * a2 + b2 * b2
    out[6], out[7], out[8] = a0 * p + b0 * q, a1 * p + b1 * q, a2 * p + b2 * q


@compiled
def _solve(s: tuple[float, ...], out: F64) -> None:
    """Solve one system by cofactors; NaN where singular."""
    a, d, e, f, g, h, x, y, z = s
    c00, c01, c02 = f * h - g * g, e * g - d * h, d * g - e * f
    c11, c12, c22 = a * h - e * e, d * e - a * g, a * f - d * d
    det = a * c00 + d * c01 + e * c02
    # relative to the product of the diagonal (Hadamard's bound), so that units do not matter
    q = 1 / det if det > 1e-14 * a * f * h else np.nan
    out[0] = q * (c00 * x + c01 * y + c02 * z)
    out[1] = q * (c01 * x + c11 * y + c12 * z)
    out[2] = q * (c02 * x + c12 * y + c22 * z)


@compiled
def _ratio(
    R: F64,
    t: F64,
    norm: F64,
    length: float,
    xy: F64,
    n: int,
    members: IntArray,
    v: int,
    point: F64,
) -> float:
    """Mean error of a view over the group, over its tolerance; infinite behind the camera."""
    total = 0.0
    for j in members:
        X, Y, Z = point[j, 0], point[j, 1], point[j, 2]
        z = R[v, 2, 0] * X + R[v, 2, 1] * Y + R[v, 2, 2] * Z + t[v, 2]
        if not z > 0:
            return np.inf
        dx = (R[v, 0, 0] * X + R[v, 0, 1] * Y + R[v, 0, 2] * Z + t[v, 0]) / z - xy[v, n, j, 0]
        dy = (R[v, 1, 0] * X + R[v, 1, 1] * Y + R[v, 1, 2] * Z + t[v, 1]) / z - xy[v, n, j, 1]
        total += sqrt(dx * dx + dy * dy) / max(length / z, norm[v])
    return total / len(members)


@compiled
def _ratios(args: tuple, point: F64, out: F64) -> None:  # type: ignore[type-arg]
    R, t, norm, length, xy, n, members, m, view = args
    for k in range(m):
        out[k] = _ratio(R, t, norm, length, xy, n, members, view[k], point)


@compiled
def _pair(
    a: int, b: int, cos_least: float, members: IntArray, normal: F64, ray: F64, point: F64
) -> bool:
    """Position of the group from two views; False where their rays are near parallel."""
    cosine = 0.0
    for j in members:
        dot = ray[a, j, 0] * ray[b, j, 0] + ray[a, j, 1] * ray[b, j, 1]
        cosine += abs(dot + ray[a, j, 2] * ray[b, j, 2])
    if not cosine < cos_least * len(members):
        return False
    for j in members:
        p, q = normal[a, j], normal[b, j]
        _solve(
            (
                p[0] + q[0],
                p[1] + q[1],
                p[2] + q[2],
                p[3] + q[3],
                p[4] + q[4],
                p[5] + q[5],
                p[6] + q[6],
                p[7] + q[7],
                p[8] + q[8],
            ),
            point[j],
        )
    return True


@compiled
def _best_pair(
    args: tuple,  # type: ignore[type-arg]
    cos_least: float,
    normal: F64,
    ray: F64,
    point: F64,
    now: BoolArray,
    best: BoolArray,
) -> None:
    """Find the views that agree with the pair with the most votes, ties to the smaller error."""
    members, m = args[6], args[7]
    most, score = 0, -1.0
    for a in range(m):
        for b in range(a + 1, m):
            if not _pair(a, b, cos_least, members, normal, ray, point):
                continue
            count, error = _votes(args, a, b, most, point, now)
            if count < max(most, 2) or not count - error / count > score:
                continue
            most, score = count, count - error / count
            for k in range(m):
                best[k] = now[k]
            if count == m or (m > EXHAUSTIVE and 2 * count > m + 1):
                return


@compiled
def _votes(
    args: tuple,  # type: ignore[type-arg]
    a: int,
    b: int,
    most: int,
    point: F64,
    now: BoolArray,
) -> tuple[int, float]:
    """Count the views that agree with a pair's position and sum their errors.

    The count is 0 where the pair itself disagrees, and too small where it cannot reach ``most``.
    """
    R, t, norm, length, xy, n, members, m, view = args
    error = 0.0
    for k in (a, b):
        value = _ratio(R, t, norm, length, xy, n, members, view[k], point)
        if not value < 1:
            return 0, 0.0
        error += value
    count = 2
    for k in range(m):
        now[k] = k in (a, b)
        if now[k]:
            continue
        if count + (m - k) - (a > k) - (b > k) < most:
            return count, error
        value = _ratio(R, t, norm, length, xy, n, members, view[k], point)
        if value < 1:
            now[k] = True
            count += 1
            error += value
    return count, error


@compiled
def _fit(
    members: IntArray, m: int, view: IntArray, use: BoolArray, normal: F64, point: F64
) -> None:
    """Linear least squares of every keypoint on the views in use."""
    for j in members:
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = 0.0
        for k in range(m):
            if use[k]:
                p = normal[k, j]
                s0, s1, s2 = s0 + p[0], s1 + p[1], s2 + p[2]
                s3, s4, s5 = s3 + p[3], s4 + p[4], s5 + p[5]
                s6, s7, s8 = s6 + p[6], s7 + p[7], s8 + p[8]
        _solve((s0, s1, s2, s3, s4, s5, s6, s7, s8), point[j])


@compiled
def _count(use: BoolArray, m: int) -> int:
    total = 0
    for k in range(m):
        total += use[k]
    return total


@compiled
def _widen(args: tuple, normal: F64, point: F64, ratio: F64, best: BoolArray) -> None:  # type: ignore[type-arg]
    """Refit and ask every view again while more agree."""
    members, m, view = args[6], args[7], args[8]
    for _ in range(LOCAL_ROUNDS):
        count = _count(best, m)
        if count < 2:
            return
        _fit(members, m, view, best, normal, point)
        _ratios(args, point, ratio)
        more = 0
        for k in range(m):
            more += ratio[k] < 1
        if more <= count:
            return
        for k in range(m):
            best[k] = ratio[k] < 1


@compiled
def _consistent(args: tuple, normal: F64, point: F64, ratio: F64, best: BoolArray) -> int:  # type: ignore[type-arg]
    """Drop views that the refit on all contradicts, until none is left; returns their number."""
    members, m, view = args[6], args[7], args[8]
    for _ in range(m):
        count = _count(best, m)
        if count < 2:
            return 0
        _fit(members, m, view, best, normal, point)
        _ratios(args, point, ratio)
        kept = 0
        for k in range(m):
            kept += best[k] and ratio[k] < 1
        if kept == count:
            return count
        for k in range(m):
            best[k] = best[k] and ratio[k] < 1 and kept >= 2
    return _count(best, m)
