"""Points in a camera's frame to recorded pixels and back, with derivatives."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64
from multiview.geometry.lens import distort, distort_jacobian, undistort

__all__ = ["project", "project_jacobian", "unproject"]


def _in_front(xyz_cam: F64) -> tuple[F64, F64]:
    z = np.where(xyz_cam[..., 2] > 0, xyz_cam[..., 2], np.nan)
    with np.errstate(over="ignore"):  # in the plane of the lens, nearly: beyond every field
        return xyz_cam[..., :2] / z[..., None], z


def project(xyz_cam: F64, K: F64, dist: F64, model: str = "brown") -> F64:
    """Project to recorded (distorted) pixels.

    Parameters
    ----------
    xyz_cam
        Camera frame, shape (..., 3), metres.
    K, dist, model
        Lens, as in `multiview.Intrinsics`.

    Returns
    -------
    F64
        Shape (..., 2), pixels; NaN behind the camera and beyond the lens's field.
    """
    xy_norm, _ = _in_front(xyz_cam)
    with np.errstate(over="ignore"):
        xy = distort(xy_norm, dist, model) * np.diag(K)[:2] + K[:2, 2]
    return np.asarray(np.where(np.isfinite(xy), xy, np.nan))


def project_jacobian(xyz_cam: F64, K: F64, dist: F64, model: str = "brown") -> tuple[F64, F64]:
    """Project; also return the derivative of the pixels by ``xyz_cam``, shape (..., 2, 3)."""
    xy_norm, z = _in_front(xyz_cam)
    distorted, lens = distort_jacobian(xy_norm, dist, model)
    focal = np.diag(K)[:2]
    perspective = np.zeros((*xyz_cam.shape[:-1], 2, 3))
    perspective[..., 0, 0] = perspective[..., 1, 1] = 1 / z
    perspective[..., 0, 2] = -xy_norm[..., 0] / z
    perspective[..., 1, 2] = -xy_norm[..., 1] / z
    return distorted * focal + K[:2, 2], focal[:, None] * (lens @ perspective)


def unproject(xy_px: F64, K: F64, dist: F64, model: str = "brown") -> F64:
    """Turn recorded pixels (..., 2) into undistorted normalised coordinates (..., 2), z = 1.

    The result is NaN where no ray of the lens ends at that pixel.
    """
    return undistort((xy_px - K[:2, 2]) / np.diag(K)[:2], dist, model)
