"""Points of two views: where their rays meet, if the noise lets them."""

from __future__ import annotations

from math import sqrt

from multiview._shapes import F64, IntArray
from multiview.geometry.compiled.block import UNKNOWN
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.compiled.lens import CENTRE, FOCAL, undistort
from multiview.geometry.compiled.polish import LIMIT, PRECISION, RAY, V_, U

__all__ = ["FAR", "pair_point"]

# Rays that pass each other farther than both limits together are no pair; squared margin for what
# a pixel spans off the optical axis.
FAR = 4.0
# Newton steps of a hypothesis's rays: good to far below a pixel.
PAIR_STEPS = 2


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
    far: float,
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
    # how far the rays pass each other, in units of both their noises there
    gap = d0 * (a1 * b2 - a2 * b1) + d1 * (a2 * b0 - a0 * b2) + d2 * (a0 * b1 - a1 * b0)
    apart = (s / p[FOCAL]) ** 2 / work[PRECISION, i] + (t / q[FOCAL]) ** 2 / work[PRECISION, j]
    if gap * gap > det * apart * far * (work[LIMIT, i] + work[LIMIT, j]):
        return 0.0, 0.0, 0.0, False
    X = (p[CENTRE] + s * a0 + q[CENTRE] + t * b0) / 2
    Y = (p[CENTRE + 1] + s * a1 + q[CENTRE + 1] + t * b1) / 2
    Z = (p[CENTRE + 2] + s * a2 + q[CENTRE + 2] + t * b2) / 2
    return X, Y, Z, True
