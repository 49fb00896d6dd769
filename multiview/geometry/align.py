"""Similarity and rigid alignment of point sets (Umeyama, PAMI 1991)."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, check_shapes
from multiview.errors import ShapeError

__all__ = ["estimate_alignment"]


def estimate_alignment(
    source: F64, target: F64, *, with_scale: bool = False
) -> tuple[float, F64, F64]:
    """Least-squares ``target = s R source + t``.

    Parameters
    ----------
    source, target
        Shape (N, 3); rows with NaN in either are left out.
    with_scale
        Estimate s too; otherwise it is 1.

    Returns
    -------
    s, R, t
        Scale, rotation (3, 3) with det +1, translation (3,).

    Raises
    ------
    ShapeError
        If the shapes differ or fewer than three common points exist.
    """
    check_shapes("estimate_alignment", {"source": (source, "N 3"), "target": (target, "N 3")})
    both = np.isfinite(source).all(-1) & np.isfinite(target).all(-1)
    if both.sum() < 3:
        raise ShapeError("fewer than three common points to align", "check that the takes overlap")
    a, b = source[both], target[both]
    mean_a, mean_b = a.mean(0), b.mean(0)
    U, D, Vt = np.linalg.svd((b - mean_b).T @ (a - mean_a) / len(a))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])
    R = (U * sign) @ Vt
    scale = float((D * sign).sum() / ((a - mean_a) ** 2).sum(-1).mean()) if with_scale else 1.0
    return scale, R, mean_b - scale * R @ mean_a
