"""Cameras as rows of numbers, and their lenses one point at a time.

The formulas are those of `multiview.geometry.lens`, which is the oracle of the tests.
"""

from __future__ import annotations

from math import atan, sqrt

import numpy as np

from multiview._shapes import F64
from multiview.core import Rig
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.lens import lens_table

__all__ = [
    "COLUMNS",
    "TABLE",
    "pack_cameras",
    "pixel_errors",
    "project",
    "project_jacobian",
    "undistort",
    "undistort_points",
]

# Columns of a camera: rotation 9, translation 3, fx fy cx cy, twelve coefficients, kind of lens,
# squared radius where the lens ends, optical centre 3, width and height.
T, FOCAL, DIST, KIND, END, CENTRE, SIZE, COLUMNS = 9, 12, 16, 28, 29, 30, 33, 35
PINHOLE, POLYNOMIAL, FULL, FISHEYE = 0, 1, 2, 3
# Entries of the inverse radial curve: linear between them is good to 1e-6 for usual lenses, which
# two steps of Newton's method bring to rounding.
TABLE = 512
NEWTON_STEPS = 12
CONVERGED = 1e-12


def pack_cameras(rig: Rig) -> tuple[F64, F64]:
    """Turn a rig into numbers.

    Returns
    -------
    cameras, curves
        Shapes (V, `COLUMNS`) and (V, `TABLE` + 1): undistorted over distorted radius, at equal
        steps of the distorted one; the last entry is the inverse of the step.
    """
    cameras, curves = np.zeros((len(rig.cameras), COLUMNS)), np.ones((len(rig.cameras), TABLE + 1))
    for v, camera in enumerate(rig.cameras):
        lens, pose, row = camera.intrinsics, camera.cam_from_world, cameras[v]
        row[:T], row[T:FOCAL] = pose.R.ravel(), pose.t
        row[FOCAL:DIST] = lens.K[0, 0], lens.K[1, 1], lens.K[0, 2], lens.K[1, 2]
        row[DIST : DIST + lens.dist.size] = lens.dist
        row[KIND], row[END] = _kind(lens.model, row[DIST:KIND], lens.dist.size), np.inf
        row[CENTRE:SIZE], row[SIZE:] = camera.centre_world, lens.size_wh
        if lens.dist.size:
            radius, distorted = lens_table(lens.dist, lens.model)
            row[END] = radius[-1] ** 2
            grid = np.linspace(0, distorted[-1], TABLE)
            grid[0] = grid[1] * 1e-3
            curves[v, :TABLE] = np.interp(grid, distorted, radius) / grid
            curves[v, TABLE] = (TABLE - 1) / distorted[-1]
    return cameras, curves


def _kind(model: str, dist: F64, size: int) -> int:
    if size == 0:
        return PINHOLE
    if model == "fisheye":
        return FISHEYE
    return FULL if dist[5:].any() else POLYNOMIAL


@compiled
def distort(c: F64, x: float, y: float) -> tuple[float, float, float, float, float, float]:
    """Distorted x and y, then their derivatives: x by x, x by y, y by x, y by y."""
    kind = c[KIND]
    if kind == PINHOLE:
        return x, y, 1.0, 0.0, 0.0, 1.0
    if kind == POLYNOMIAL:
        return _polynomial(c, x, y)
    if kind == FULL:
        return _full(c, x, y)
    return _fisheye(c, x, y)


@compiled
def _polynomial(c: F64, x: float, y: float) -> tuple[float, float, float, float, float, float]:
    k1, k2, p1, p2, k3 = c[DIST], c[DIST + 1], c[DIST + 2], c[DIST + 3], c[DIST + 4]
    xx, yy, xy = x * x, y * y, x * y
    r2 = xx + yy
    factor = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    slope = 2 * (k1 + r2 * (2 * k2 + r2 * 3 * k3))
    mixed = xy * slope + 2 * p1 * x + 2 * p2 * y
    return (
        x * factor + 2 * p1 * xy + p2 * (r2 + 2 * xx),
        y * factor + p1 * (r2 + 2 * yy) + 2 * p2 * xy,
        factor + xx * slope + 2 * p1 * y + 6 * p2 * x,
        mixed,
        mixed,
        factor + yy * slope + 6 * p1 * y + 2 * p2 * x,
    )


@compiled
def _full(c: F64, x: float, y: float) -> tuple[float, float, float, float, float, float]:
    """Rational and thin-prism terms on top of the polynomial."""
    p1, p2 = c[DIST + 2], c[DIST + 3]
    s1, s2, s3, s4 = c[DIST + 8], c[DIST + 9], c[DIST + 10], c[DIST + 11]
    xx, yy, xy = x * x, y * y, x * y
    r2 = xx + yy
    num = 1 + r2 * (c[DIST] + r2 * (c[DIST + 1] + r2 * c[DIST + 4]))
    den = 1 + r2 * (c[DIST + 5] + r2 * (c[DIST + 6] + r2 * c[DIST + 7]))
    by_num = c[DIST] + r2 * (2 * c[DIST + 1] + r2 * 3 * c[DIST + 4])
    by_den = c[DIST + 5] + r2 * (2 * c[DIST + 6] + r2 * 3 * c[DIST + 7])
    factor = num / den
    slope = 2 * (by_num - factor * by_den) / den
    mixed = xy * slope + 2 * p1 * x + 2 * p2 * y
    prism_x, prism_y = 2 * (s1 + 2 * s2 * r2), 2 * (s3 + 2 * s4 * r2)
    return (
        x * factor + 2 * p1 * xy + p2 * (r2 + 2 * xx) + r2 * (s1 + s2 * r2),
        y * factor + p1 * (r2 + 2 * yy) + 2 * p2 * xy + r2 * (s3 + s4 * r2),
        factor + xx * slope + 2 * p1 * y + 6 * p2 * x + prism_x * x,
        mixed + prism_x * y,
        mixed + prism_y * x,
        factor + yy * slope + 6 * p1 * y + 2 * p2 * x + prism_y * y,
    )


@compiled
def _fisheye(c: F64, x: float, y: float) -> tuple[float, float, float, float, float, float]:
    r2 = x * x + y * y
    if r2 < 1e-24:
        return x, y, 1.0, 0.0, 0.0, 1.0
    r = sqrt(r2)
    theta = atan(r)
    t2 = theta * theta
    k1, k2, k3, k4 = c[DIST], c[DIST + 1], c[DIST + 2], c[DIST + 3]
    factor = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4)))) / r
    slope = 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))
    rest = (slope / (1 + r2) - factor) / r2
    mixed = rest * x * y
    return x * factor, y * factor, factor + rest * x * x, mixed, mixed, factor + rest * y * y


@compiled
def undistort(c: F64, curve: F64, u: float, v: float, steps: int) -> tuple[float, float]:
    """Normalised coordinates of a recorded pixel; NaN where no ray of the lens ends there."""
    xd, yd = (u - c[FOCAL + 2]) / c[FOCAL], (v - c[FOCAL + 3]) / c[FOCAL + 1]
    if c[KIND] == PINHOLE:
        return xd, yd
    place = sqrt(xd * xd + yd * yd) * curve[TABLE]
    if not place < TABLE:
        return np.nan, np.nan
    i = min(int(place), TABLE - 2)
    scale = curve[i] + (place - i) * (curve[i + 1] - curve[i])
    x, y, error = xd * scale, yd * scale, np.inf
    for _ in range(steps):
        px, py, xx, xy, yx, yy = distort(c, x, y)
        px, py = px - xd, py - yd
        error = max(abs(px), abs(py))
        if error < CONVERGED:
            break
        det = xx * yy - xy * yx
        x, y = x - (yy * px - xy * py) / det, y - (xx * py - yx * px) / det
    # a quadratic iteration that stands at 1e-6 is at rounding after the step that followed
    if not error < 1e-5 or not x * x + y * y <= c[END] * (1 + 1e-9):
        return np.nan, np.nan
    return x, y


@compiled
def project(c: F64, X: float, Y: float, Z: float) -> tuple[float, float, float]:
    """Return recorded pixel and depth of a world point; depth 0 where the camera cannot see it."""
    z = c[6] * X + c[7] * Y + c[8] * Z + c[11]
    if not z > 0:
        return 0.0, 0.0, 0.0
    x = (c[0] * X + c[1] * Y + c[2] * Z + c[9]) / z
    y = (c[3] * X + c[4] * Y + c[5] * Z + c[10]) / z
    if not x * x + y * y <= c[END]:
        return 0.0, 0.0, 0.0
    x, y, _, _, _, _ = distort(c, x, y)
    return c[FOCAL] * x + c[FOCAL + 2], c[FOCAL + 1] * y + c[FOCAL + 3], z


@compiled
def project_jacobian(
    c: F64, X: float, Y: float, Z: float
) -> tuple[float, float, float, float, float, float, float, float, float]:
    """Pixel, depth (0: unseen), and the derivatives of u and of v by the world point."""
    z = c[6] * X + c[7] * Y + c[8] * Z + c[11]
    if not z > 0:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    inverse = 1 / z
    x = (c[0] * X + c[1] * Y + c[2] * Z + c[9]) * inverse
    y = (c[3] * X + c[4] * Y + c[5] * Z + c[10]) * inverse
    if not x * x + y * y <= c[END]:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    px, py, xx, xy, yx, yy = distort(c, x, y)
    fx, fy = c[FOCAL] * inverse, c[FOCAL + 1] * inverse
    ux, uy, vx, vy = fx * xx, fx * xy, fy * yx, fy * yy
    uz, vz = -(ux * x + uy * y), -(vx * x + vy * y)
    return (
        c[FOCAL] * px + c[FOCAL + 2],
        c[FOCAL + 1] * py + c[FOCAL + 3],
        z,
        ux * c[0] + uy * c[3] + uz * c[6],
        ux * c[1] + uy * c[4] + uz * c[7],
        ux * c[2] + uy * c[5] + uz * c[8],
        vx * c[0] + vy * c[3] + vz * c[6],
        vx * c[1] + vy * c[4] + vz * c[7],
        vx * c[2] + vy * c[5] + vz * c[8],
    )


@compiled
def undistort_points(cameras: F64, curves: F64, xy: F64, start: int, stop: int, out: F64) -> None:
    """Undistort pixels (V, N, 2) of the points ``start`` to ``stop``; NaN stays NaN."""
    for v in range(len(cameras)):
        for n in range(start, stop):
            x, y = undistort(cameras[v], curves[v], xy[v, n, 0], xy[v, n, 1], NEWTON_STEPS)
            out[v, n, 0], out[v, n, 1] = x, y


@compiled
def pixel_errors(cameras: F64, xyz: F64, xy: F64, start: int, stop: int, out: F64) -> None:
    """Distance (V, N) of pixels (V, N, 2) from projected points (N, 3); NaN where unseen."""
    for v in range(len(cameras)):
        for n in range(start, stop):
            x, y, z = project(cameras[v], xyz[n, 0], xyz[n, 1], xyz[n, 2])
            off = sqrt((x - xy[v, n, 0]) ** 2 + (y - xy[v, n, 1]) ** 2)
            out[v, n] = off if z > 0 else np.nan
