"""Fits of the model of a rig's health: structure, scales, some cameras (Levenberg-Marquardt)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from multiview._shapes import F64
from multiview.calib.health_model import (
    PARAMETERS,
    Linear,
    Model,
    Scene,
    linearise,
    loss_of,
    read_views,
)
from multiview.geometry.project import project

__all__ = ["fit", "scene_fit", "scene_loss"]

# A fit stops when a step lowers twice the negative log likelihood by less, or scales change less:
# rivals are told apart from 10 on.
STEPS, SETTLED_LOSS, SETTLED_SCALE = 15, 0.3, 0.01


def scene_loss(scene: Scene, model: Model) -> float:
    """Twice the negative log likelihood."""
    xyz, total = model.points(scene), 0.0
    for v in range(len(model.R)):
        xy = read_views(scene, model, v)[0]
        f, n = np.nonzero(np.isfinite(xy[..., 0]) & np.isfinite(xyz[..., 0]))
        lens = model.lens(scene.rig, v)
        cam = xyz[f, n] @ model.R[v].T + model.t[v]
        error = project(cam, lens.K, lens.dist, lens.model) - xy[f, n]
        total += loss_of(error[np.isfinite(error[:, 0])], model.scale_px[v], lens.size_wh)
    return total


def fit(scene: Scene, model: Model, columns: F64, steps: int = STEPS) -> tuple[Model, Linear]:
    """Adjust the structure, the scales and some directions of the deviations together.

    Parameters
    ----------
    scene, model
        What was filmed, and the start.
    columns
        Directions in which cameras may deviate, shape (9 V, k); k may be 0.
    steps
        At most so many.

    Returns
    -------
    model, linear
        The maximum of the likelihood, and the model about it.
    """
    damping, linear = 1e-4, linearise(scene, model)
    for _ in range(steps):
        change = np.abs(np.log(linear.scale_px / model.scale_px)).max()
        model = replace(model, scale_px=linear.scale_px)
        loss, gain = scene_loss(scene, model), 0.0
        while damping < 1e6:
            trial = _step(model, linear, columns, damping)
            gain = loss - scene_loss(scene, trial)
            if gain > 0:
                model, damping = trial, max(damping / 10, 1e-9)
                break
            damping *= 10
        if gain < SETTLED_LOSS and change < SETTLED_SCALE:
            break
        damping = min(damping, 1e2)
        linear = linearise(scene, model)
    return model, linearise(scene, model)


def _step(model: Model, linear: Linear, columns: F64, damping: float) -> Model:
    cameras = np.zeros(len(linear.S))
    if columns.shape[1]:
        A = columns.T @ linear.S @ columns
        A[np.diag_indices_from(A)] *= 1 + damping
        cameras = -columns @ np.linalg.lstsq(A, columns.T @ linear.gradient, rcond=None)[0]
    own = np.einsum("bij,bj->bi", linear.inverse, linear.g_block)
    block = -own / (1 + damping) - np.einsum("bps,p->bs", linear.half, cameras)
    return model.moved(cameras.reshape(-1, PARAMETERS)).reshaped(block)


def scene_fit(scene: Scene, model: Model, steps: int = STEPS) -> tuple[Model, Linear]:
    """Adjust the structure and the scales only: the rig as it is."""
    return fit(scene, model, np.zeros((len(model.R) * PARAMETERS, 0)), steps)
