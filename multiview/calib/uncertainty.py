"""How well a calibration is known: covariance of the rig, and what it does to points.

The covariance is the inverse of the information of the shared unknowns, boards eliminated, at the
noise that was measured (Triggs et al. 2000, section 9). The world is the first camera's frame, so
that camera's pose is exact by definition; errors of points are therefore stated after the best
rigid motion, which is what a user means by accuracy.
"""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64
from multiview.calib.bundle import Fit
from multiview.calib.normals import Normals, linearise, reduce_boards
from multiview.calib.priors import add_priors
from multiview.calib.problem import POSE, Bools, Sightings
from multiview.core import Rig, RigCovariance
from multiview.geometry.camera_jacobian import camera_jacobian
from multiview.geometry.project import project_jacobian

__all__ = ["expected_error", "lens_spread", "rig_covariance"]

# Directions that nothing tells get a spread without bound instead of a rounding error.
UNTOLD = 1e-12


def _information(fit: Fit, seen: Sightings, *, priors: bool) -> F64:
    normals: Normals = linearise(
        fit.state,
        seen,
        fit.inlier,
        fit.sigma_px,
        fit.layout,
        lambda squared: (squared, np.ones_like(squared)),
    )[2]
    if priors:
        normals = add_priors(normals, fit.state, seen, fit.layout)
    return reduce_boards(normals, seen.board, 0.0)[0]


def _inverse(H: F64) -> F64:
    scale = 1 / np.sqrt(np.maximum(np.diag(H), 1e-300))
    values, vectors = np.linalg.eigh(H * np.outer(scale, scale))
    root = vectors / np.sqrt(np.maximum(values, UNTOLD)) * scale[:, None]
    return np.asarray(root @ root.T)


def lens_spread(fit: Fit, seen: Sightings) -> F64:
    """Return standard deviations of the lens parameters, shape (V, 16); 0 where fixed.

    Priors are left out: what the footage alone tells.
    """
    variance = np.diag(_inverse(_information(fit, seen, priors=False)))
    return np.sqrt(fit.layout.steps(variance)[1])


def rig_covariance(fit: Fit, seen: Sightings) -> RigCovariance:
    """Covariance of all that the cameras share; boards' bends are marginalised."""
    cov = _inverse(_information(fit, seen, priors=True))
    used = np.unique(np.concatenate([fit.layout.pose.ravel(), fit.layout.lens.ravel()]))
    used = used[used >= 0]
    new = np.full(fit.layout.size + 1, -1)
    new[used] = np.arange(len(used))
    return RigCovariance(
        matrix=cov[np.ix_(used, used)], pose=new[fit.layout.pose], lens=new[fit.layout.lens]
    )


def expected_error(
    rig: Rig, covariance: RigCovariance, xyz_world: F64, *, sigma_px: float | F64 = 0.0
) -> F64:
    """Predict the 3D error of points triangulated with a rig, root mean square, metres.

    The rig's own part is taken after the rigid motion that aligns all points best (the world frame
    of a calibration is arbitrary); pixel noise adds to it.

    Parameters
    ----------
    rig, covariance
        From a calibration.
    xyz_world
        Points, shape (N, 3), as a user's volume: at least three not on a line.
    sigma_px
        Noise of a detection, per coordinate; one number or one a camera (V,). 0 tells what the
        calibration alone does to points that are seen exactly.

    Returns
    -------
    ndarray
        Shape (N,); NaN where fewer than two cameras see a point.
    """
    by_rig, noise = _point_derivatives(rig, covariance, xyz_world, sigma_px)
    known = np.isfinite(noise)
    if known.sum() < 3:
        return np.full(len(xyz_world), np.nan)
    moved = _without_rigid(by_rig[known], xyz_world[known])
    values, vectors = np.linalg.eigh(covariance.matrix)
    root = vectors * np.sqrt(np.maximum(values, 0))
    out = np.full(len(xyz_world), np.nan)
    out[known] = np.sqrt(((moved @ root) ** 2).sum((1, 2)) + noise[known])
    return out


def _point_derivatives(
    rig: Rig, covariance: RigCovariance, xyz: F64, sigma_px: float | F64
) -> tuple[F64, F64]:
    """Differentiate triangulated points by the rig, (N, 3, P); variance (N,) of pixel noise."""
    sigma = np.broadcast_to(np.asarray(sigma_px, np.float64), (len(rig.cameras),))
    weigh = np.where(sigma > 0, sigma, 1.0)
    H, pull = np.zeros((len(xyz), 3, 3)), np.zeros((len(xyz), 3, len(covariance.matrix)))
    count = np.zeros(len(xyz))
    for v, camera in enumerate(rig.cameras):
        seen = inside(camera.project(xyz), camera.intrinsics.size_wh)
        count += seen
        lens = camera.intrinsics
        at = camera.cam_from_world.apply(xyz[seen])
        by_xyz = project_jacobian(at, lens.K, lens.dist, lens.model)[1]
        J = by_xyz @ camera.cam_from_world.R / weigh[v]
        own = camera_jacobian(at, lens) / weigh[v]
        columns = np.concatenate([covariance.pose[v], covariance.lens[v]])
        on = columns >= 0
        H[seen] += np.swapaxes(J, 1, 2) @ J
        pull[np.ix_(seen, np.arange(3), columns[on])] += np.swapaxes(J, 1, 2) @ own[..., on]
    enough = count >= 2
    H[~enough] = np.eye(3)
    inverse = np.linalg.inv(H)
    noise = np.einsum("nii->n", inverse) * bool((sigma > 0).any())
    return -inverse @ pull, np.where(enough, noise, np.nan)


def inside(xy_px: F64, size_wh: tuple[int, int]) -> Bools:
    """Say which pixels (N, 2) lie in a picture, shape (N,); NaN does not."""
    low, high = np.array([-0.5, -0.5]), np.array(size_wh) - 0.5
    return np.asarray(((xy_px > low) & (xy_px < high)).all(-1), np.bool_)


def _without_rigid(by_rig: F64, xyz: F64) -> F64:
    """Take the best rigid motion of all points out of their derivatives (N, 3, P)."""
    centred = xyz - xyz.mean(0)
    motion = np.zeros((len(xyz), 3, POSE))
    motion[:, :, 3:] = np.eye(3)
    motion[:, :, :3] = np.cross(np.eye(3)[None], centred[:, None, :]).transpose(0, 2, 1)
    flat, modes = by_rig.reshape(-1, by_rig.shape[-1]), motion.reshape(-1, POSE)
    basis = np.linalg.qr(modes)[0]
    return np.asarray((flat - basis @ (basis.T @ flat)).reshape(by_rig.shape))
