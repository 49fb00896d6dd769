"""Reprojection terms of points whose place is also known from elsewhere: from their own path."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64
from multiview.geometry.compiled.jit import compiled
from multiview.geometry.compiled.lens import project_jacobian

__all__ = ["FIXED", "OPEN", "UNUSED", "add_views"]

# What may happen to an observation: it is not used; it counts whatever the path says, for other
# views confirm it; it counts as far as it agrees with the path.
UNUSED, FIXED, OPEN = 0, 1, 2


@compiled
def add_views(
    cameras: F64,
    xyz: F64,
    xy: F64,
    sigma: F64,
    role: np.ndarray,
    limit: float,
    soft: float,
    start: int,
    stop: int,
    H: F64,
    g: F64,
    weight: F64,
) -> None:
    """Sum the normal equations of the points ``start`` to ``stop``.

    Parameters
    ----------
    cameras
        From `pack_cameras`.
    xyz, xy
        Points (N, 3) and recorded pixels (V, N, 2).
    sigma
        Noise of each camera, shape (V,), pixels.
    role
        `UNUSED`, `FIXED` or `OPEN`, shape (V, N).
    limit, soft
        Squared error, in variances, at which an open observation has no weight; and the last share
        of it over which the weight falls.
    H, g, weight
        Results: information (N, 3, 3), its product with the step asked for (N, 3), and the weight
        of every observation (V, N).
    """
    for n in range(start, stop):
        H[n], g[n] = 0.0, 0.0
        for v in range(len(cameras)):
            weight[v, n] = 0.0
            if role[v, n] == 0:
                continue
            u, w, z, ux, uy, uz, vx, vy, vz = project_jacobian(
                cameras[v], xyz[n, 0], xyz[n, 1], xyz[n, 2]
            )
            if not z > 0:
                continue
            p = 1 / (sigma[v] * sigma[v])
            a, b = xy[v, n, 0] - u, xy[v, n, 1] - w
            own = 1.0
            if role[v, n] == 2:
                own = min(max((limit - (a * a + b * b) * p) / (soft * limit), 0.0), 1.0)
            weight[v, n] = own
            p *= own
            J = ((ux, vx), (uy, vy), (uz, vz))
            for i in range(3):
                g[n, i] += p * (J[i][0] * a + J[i][1] * b)
                for j in range(3):
                    H[n, i, j] += p * (J[i][0] * J[j][0] + J[i][1] * J[j][1])
