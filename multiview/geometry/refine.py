"""Non-linear triangulation: least squares on recorded pixels (Simon et al. 2017, equation 6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.core import Rig
from multiview.geometry.dlt import solve3
from multiview.geometry.project import project_jacobian

__all__ = ["normal_equations", "refine_points"]

# Levenberg-Marquardt from a DLT start is converged to far below a micrometre in 3-5 steps.
MAX_STEPS = 12
# A step below this share of the distance to the point changes no pixel by 1e-6.
STEP_TOLERANCE = 1e-10
# Points worked on at once: keeps the temporaries of a long take at a few megabytes.
BLOCK = 20_000


def normal_equations(
    rig: Rig, xyz: F64, xy_px: F64, use: NDArray[np.bool_]
) -> tuple[F64, F64, F64]:
    """Gauss-Newton system of each point's reprojection error.

    Parameters
    ----------
    rig
        V cameras.
    xyz
        World points, shape (N, 3).
    xy_px
        Recorded pixels, shape (V, N, 2).
    use
        Observations that count, shape (V, N).

    Returns
    -------
    JtJ, Jtr, cost
        Shapes (N, 3, 3), (N, 3), (N,); the cost is the sum of squared residuals, px^2,
        infinite where a used view cannot see the point.
    """
    n = len(xyz)
    JtJ, Jtr, cost = np.zeros((n, 3, 3)), np.zeros((n, 3)), np.zeros(n)
    for camera, xy, used in zip(rig.cameras, xy_px, use, strict=True):
        rows = np.flatnonzero(used)
        if not rows.size:
            continue
        i = camera.intrinsics
        R = camera.cam_from_world.R
        seen, by_cam = project_jacobian(
            camera.cam_from_world.apply(xyz[rows]), i.K, i.dist, i.model
        )
        residual = seen - xy[rows]
        bad = ~np.isfinite(residual).all(-1)
        residual[bad], by_cam[bad] = 0.0, 0.0
        J = by_cam @ R
        JtJ[rows] += np.einsum("nci,ncj->nij", J, J)
        Jtr[rows] += np.einsum("nci,nc->ni", J, residual)
        cost[rows] += np.where(bad, np.inf, (residual**2).sum(-1))
    return JtJ, Jtr, cost


def refine_points(rig: Rig, xyz: F64, xy_px: F64, use: NDArray[np.bool_]) -> F64:
    """Minimise every point's squared reprojection error by Levenberg-Marquardt, all at once.

    Parameters
    ----------
    rig
        V cameras.
    xyz
        Start, world, shape (N, 3), metres; NaN stays NaN.
    xy_px
        Recorded (distorted) pixels, shape (V, N, 2).
    use
        Observations that count, shape (V, N); at least two a point.

    Returns
    -------
    F64
        Shape (N, 3); never a higher cost than the start.
    """
    out = xyz.copy()
    for start in range(0, len(xyz), BLOCK):
        part = slice(start, start + BLOCK)
        out[part] = _refine_block(rig, xyz[part], xy_px[:, part], use[:, part])
    return out


def _refine_block(rig: Rig, xyz: F64, xy_px: F64, use: NDArray[np.bool_]) -> F64:
    out = xyz.copy()
    active = np.flatnonzero(np.isfinite(xyz).all(-1) & (use.sum(0) >= 2))
    damping = np.full(len(active), 1e-6)
    JtJ, Jtr, cost = normal_equations(rig, out[active], xy_px[:, active], use[:, active])
    for _ in range(MAX_STEPS):
        if not active.size:
            break
        diagonal = np.einsum("nii->ni", JtJ)
        step = -solve3(JtJ + (damping[:, None] * diagonal)[..., None] * np.eye(3), Jtr)
        trial = out[active] + np.where(np.isfinite(step), step, 0.0)
        new = normal_equations(rig, trial, xy_px[:, active], use[:, active])
        better = new[2] <= cost
        out[active[better]] = trial[better]
        size = np.abs(step).max(-1) / (np.abs(trial).max(-1) + np.abs(step).max(-1) + 1e-300)
        going = np.isfinite(step).all(-1) & ~(better & (size < STEP_TOLERANCE))
        JtJ = np.where(better[:, None, None], new[0], JtJ)[going]
        Jtr = np.where(better[:, None], new[1], Jtr)[going]
        cost = np.where(better, new[2], cost)[going]
        damping = np.where(better, damping / 10, damping * 30)[going]
        active = active[going]
    return out
