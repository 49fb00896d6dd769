"""Derivatives of pixels by the parameters of a camera, in the order of `multiview.RigCovariance`.

Coordinates are kept apart, (sightings, parameter, u or v, points), so that large problems run in
the cache.
"""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64
from multiview._shapes import IntArray as Ints
from multiview.core import Intrinsics
from multiview.core.covariance import LENS, POSE
from multiview.geometry.lens import distort_parts

__all__ = ["camera_jacobian", "fill_lens", "fill_pose"]


def camera_jacobian(xyz_cam: F64, lens: Intrinsics) -> F64:
    """Differentiate the pixels of points by their camera's pose and lens.

    Parameters
    ----------
    xyz_cam
        Points in the camera's frame and field of view, shape (N, 3), metres.
    lens
        The lens.

    Returns
    -------
    ndarray
        Shape (N, 2, 22): turn and shift of the camera's frame, fx fy cx cy, and coefficients in
        OpenCV's order; zero for those that the lens does not have.
    """
    xyz = np.ascontiguousarray(xyz_cam.T)[None]
    inverse = 1 / xyz[:, 2]
    x, y = xyz[:, 0] * inverse, xyz[:, 1] * inverse
    parts = distort_parts(x, y, lens.dist, lens.model)
    one = np.ones_like(x)
    J = np.zeros((1, POSE + LENS, 2, xyz.shape[-1]))
    fill_pose(J, xyz, (x, y, inverse), parts, lens.K[0, 0] * one, lens.K[1, 1] * one)
    fill_lens(J[:, POSE:], np.arange(LENS), lens, (x, y), parts, one)
    return np.asarray(J[0].transpose(2, 1, 0))


def fill_pose(
    J: F64, xyz: F64, at: tuple[F64, F64, F64], parts: tuple[F64, ...], fx: F64, fy: F64
) -> None:
    """Fill in the derivatives by a turn and a shift of the camera's frame.

    Parameters
    ----------
    J
        Shape (S, 6 or more, 2, C): the first six are written.
    xyz
        Points in the camera's frame, shape (S, 3, C).
    at
        Their normalised coordinates and inverse depth, each (S, C).
    parts
        From `multiview.geometry.lens.distort_parts`.
    fx, fy
        Focal lengths times the weights of the points, each (S, C).
    """
    x, y, inverse = at
    for row, focal, (by_x, by_y) in ((0, fx, parts[2:4]), (1, fy, parts[4:6])):
        scale = focal * inverse
        jx, jy = by_x * scale, by_y * scale
        jz = -(jx * x + jy * y)
        J[:, 0, row] = xyz[:, 1] * jz - xyz[:, 2] * jy
        J[:, 1, row] = xyz[:, 2] * jx - xyz[:, 0] * jz
        J[:, 2, row] = xyz[:, 0] * jy - xyz[:, 1] * jx
        J[:, 3, row], J[:, 4, row], J[:, 5, row] = jx, jy, jz


def fill_lens(
    J: F64, terms: Ints, lens: Intrinsics, at: tuple[F64, F64], parts: tuple[F64, ...], root: F64
) -> None:
    """Fill in the derivatives by lens parameters; those that the lens does not have stay zero.

    Parameters
    ----------
    J
        Shape (S, M, 2, C), zeros.
    terms
        Numbers of the M parameters in fx fy cx cy and OpenCV's order of coefficients.
    lens
        The lens.
    at, parts
        As in `fill_pose`.
    root
        Weights of the points, shape (S, C).
    """
    x, y = at
    fx, fy = lens.K[0, 0] * root, lens.K[1, 1] * root
    r2 = x * x + y * y
    radial = _radial_derivatives(terms, lens, r2)
    for i, term in enumerate(terms.tolist()):
        if term < 4:
            J[:, i, term % 2] = root * (parts[term % 2] if term < 2 else 1.0)
        elif term - 4 in radial:
            by_k = radial[term - 4]
            J[:, i, 0], J[:, i, 1] = fx * x * by_k, fy * y * by_k
        elif term - 4 >= lens.dist.size or lens.model == "fisheye":
            continue
        elif term in (6, 7):  # decentring
            cross = 2 * x * y
            pair = (cross, r2 + 2 * y * y) if term == 6 else (r2 + 2 * x * x, cross)
            J[:, i, 0], J[:, i, 1] = fx * pair[0], fy * pair[1]
        else:  # thin prism: s1 s2 in x, s3 s4 in y
            J[:, i, int(term >= 14)] = (fx, fy)[int(term >= 14)] * (
                r2 if term % 2 == 0 else r2 * r2
            )


def _radial_derivatives(terms: Ints, lens: Intrinsics, r2: F64) -> dict[int, F64]:
    """By coefficient: what the normalised point is multiplied by."""
    wanted = {t - 4 for t in terms.tolist() if t >= 4 and t - 4 < lens.dist.size}
    if lens.model == "fisheye":
        r = np.sqrt(np.maximum(r2, 1e-300))
        theta = np.arctan(r)
        return {k: theta / r * theta ** (2 * k + 2) for k in wanted}
    c = lens.dist
    rational = c.size >= 8 and bool(wanted & {5, 6, 7} or c[5:8].any())
    den = 1 + r2 * (c[5] + r2 * (c[6] + r2 * c[7])) if rational else np.ones_like(r2)
    out, power = {}, r2 / den
    for up, down in ((0, 5), (1, 6), (4, 7)):
        if up in wanted:
            out[up] = power
        if down in wanted:
            num = 1 + r2 * (c[0] + r2 * (c[1] + r2 * c[4]))
            out[down] = -num / den * power
        power = power * r2
    return out
