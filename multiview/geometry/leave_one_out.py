"""Held-out reprojection errors: how far a view is from the point that the other views make."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.core import Rig
from multiview.geometry.project import project_jacobian
from multiview.geometry.refine import normal_equations

__all__ = ["leave_one_out_errors"]

# A point that two views carry has no answer without one of them; nor have three on one line.
MIN_VIEWS = 3
SINGULAR = 1e-9


def leave_one_out_errors(rig: Rig, xyz: F64, xy_px: F64, use: NDArray[np.bool_]) -> F64:
    """Distance of every used observation from the point refitted without it.

    In closed form, by the leverage of least squares: with residual ``r`` and Jacobian ``J`` of the
    view, ``(I - J (sum J^T J)^-1 J^T)^-1 r``. First order in the move of the point, which is some
    millimetres at the distance of a metre.

    Parameters
    ----------
    rig
        V cameras.
    xyz
        Refined points, shape (N, 3).
    xy_px
        Observations, shape (V, N, 2), recorded pixels.
    use
        Observations that made the point, shape (V, N).

    Returns
    -------
    F64
        Shape (V, N), pixels; NaN where a view was not used or fewer than three were.
    """
    out = np.full(use.shape, np.nan)
    rows = np.flatnonzero(np.isfinite(xyz).all(-1) & (use.sum(0) >= MIN_VIEWS))
    if not rows.size:
        return out
    JtJ, _, _ = normal_equations(rig, xyz[rows], xy_px[:, rows], use[:, rows])
    spread = np.linalg.pinv(JtJ, hermitian=True)
    for v, camera in enumerate(rig.cameras):
        i, pose = camera.intrinsics, camera.cam_from_world
        seen, by_cam = project_jacobian(pose.apply(xyz[rows]), i.K, i.dist, i.model)
        J = by_cam @ pose.R
        left = np.eye(2) - J @ spread @ np.swapaxes(J, -1, -2)
        ok = use[v, rows] & (np.abs(np.linalg.det(left)) > SINGULAR)
        residual = (xy_px[v, rows] - seen)[ok][..., None]
        moved = np.linalg.solve(left[ok], residual)[..., 0]
        out[v, rows[ok]] = np.linalg.norm(moved, axis=-1)
    return out
