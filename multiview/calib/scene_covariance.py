"""How sure the poses are, and how they move when the world does.

Poses are 6 V numbers, rotation (left perturbation in the camera's frame, rad) and translation of
each camera; a scene without scale or origin fixes 6 V - 7 of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from multiview._shapes import F64
from multiview.calib.scene_bundle import SceneFit, reduced, scale_direction
from multiview.calib.scene_problem import CAMERA, POSE, Bools, Observations, linearise
from multiview.core import Rig, RigCovariance
from multiview.core.covariance import LENS

__all__ = [
    "centre_from_pose",
    "gauge_directions",
    "known_rig",
    "scene_covariance",
    "similar_covariance",
]


def scene_covariance(fit: SceneFit, obs: Observations, free: Bools) -> tuple[F64, float]:
    """Covariance of the poses, and how much errors of one frame are alike.

    Parameters
    ----------
    fit, obs
        The adjustment and all its observations.
    free
        Camera parameters that moved, shape (V, 7); focal lengths are marginalised.

    Returns
    -------
    covariance, alike
        Shape (6 V, 6 V): zero for the first camera, and without change of scale. It holds for
        errors that are independent. ``alike`` is the variance of what whole frames say relative to
        what independent errors would: near 1 for noise, larger where a detector errs on a whole
        hand (the mean of the sandwich estimator over all directions).
    """
    kept = obs.take(fit.inlier)
    weight = 1 / fit.sigma_px[kept.view] ** 2
    system = reduced(fit.state, kept, weight, free)
    along = scale_direction(fit.state, free)
    diagonal = np.diag(system.H)
    size = np.sqrt(np.maximum(diagonal, 1e-12 * max(float(diagonal.max()), 1e-300)))
    held = along * float(np.mean(size))
    inverse = np.linalg.inv((system.H + np.outer(held, held)) / np.outer(size, size))
    inverse = inverse / np.outer(size, size)
    # the scale's own direction was held by a made-up term: take it out again
    inverse = inverse - np.outer(along, along) * (along @ inverse @ along)
    V = len(free)
    full = np.zeros((V * CAMERA, V * CAMERA))
    full[np.ix_(free.ravel(), free.ravel())] = inverse
    at = (np.arange(V)[:, None] * CAMERA + np.arange(POSE)).ravel()
    return full[np.ix_(at, at)], _alike(fit, kept, weight, free, inverse)


def _alike(fit: SceneFit, kept: Observations, weight: F64, free: Bools, inverse: F64) -> float:
    """Mean over directions of the scores' variance by frames, relative to the information."""
    res, J, _ = linearise(fit.state, kept)
    score = np.einsum("mki,mk->mi", J, res) * weight[:, None]
    frames, index = np.unique(kept.frame, return_inverse=True)
    total = np.zeros((len(frames), *free.shape))
    np.add.at(total, (index.reshape(-1), kept.view), score)
    rows = total.reshape(len(frames), -1)[:, free.ravel()]
    # the cameras take their own share of the freedom out of the scores
    left = 1 - free.sum() / max(2 * len(kept.view) - 3 * len(np.unique(kept.point)), 1)
    return float(
        np.einsum("fi,ij,fj->", rows, inverse, rows) / max(free.sum() - 1, 1) / max(left, 0.1)
    )


def gauge_directions(R: F64, t: F64) -> F64:
    """How poses change with rotation, shift and scale of the world, shape (6 V, 7)."""
    G = np.zeros((len(R), POSE, 7))
    G[:, :3, :3] = -R
    G[:, 3:, 3:6] = -R
    G[:, 3:, 6] = t
    return G.reshape(-1, 7)


def similar_covariance(cov: F64, R: F64, scale: float, shift: F64) -> F64:
    """Covariance after ``X' = s Q X + shift``; ``R`` (V, 3, 3) are the new rotations."""
    moved = np.einsum("vij,j->vi", R, shift)
    M = np.zeros((len(R), POSE, len(R), POSE))
    for v, y in enumerate(moved):
        M[v, :3, v, :3] = np.eye(3)
        M[v, 3:, v, 3:] = scale * np.eye(3)
        M[v, 3:, v, :3] = np.array([[0, -y[2], y[1]], [y[2], 0, -y[0]], [-y[1], y[0], 0]])
    flat = M.reshape(len(R) * POSE, -1)
    return np.asarray(flat @ cov @ flat.T)


def known_rig(rig: Rig, covariance: F64) -> Rig:
    """Return the rig with the covariance of its poses, shape (6 V, 6 V); its lenses are held.

    Here ``t`` becomes ``t + dt`` beside its turn, there ``exp(w) t + s``: ``s = dt + t x w``.
    """
    t = rig.cam_from_world[1]
    V = len(t)
    M = np.zeros((V, POSE, V, POSE))
    for v, y in enumerate(t):
        M[v, :, v, :] = np.eye(POSE)
        M[v, 3:, v, :3] = np.array([[0, -y[2], y[1]], [y[2], 0, -y[0]], [-y[1], y[0], 0]])
    flat = M.reshape(V * POSE, -1)
    poses = RigCovariance(
        matrix=flat @ covariance @ flat.T,
        pose=np.arange(V * POSE).reshape(V, POSE),
        lens=np.full((V, LENS), -1),
    )
    return replace(rig, covariance=poses)


def centre_from_pose(t: F64) -> F64:
    """Map of pose changes to rotation and motion of the centre in the camera's frame.

    Shape (6 V, 6 V); the centre moves by ``-(dt + t x w)`` there.
    """
    M = np.zeros((len(t), POSE, len(t), POSE))
    for v, y in enumerate(t):
        M[v, :3, v, :3] = np.eye(3)
        M[v, 3:, v, 3:] = -np.eye(3)
        M[v, 3:, v, :3] = -np.array([[0, -y[2], y[1]], [y[2], 0, -y[0]], [-y[1], y[0], 0]])
    return M.reshape(len(t) * POSE, -1)
