"""Bundle adjustment of cameras and free points: Schur complement, robust loss, rejection.

The points (3 x 3 each) are eliminated, so that the system solved has the size of the cameras only
(Triggs et al. 2000). The loss is Cauchy's with the noise measured in each camera; then observations
beyond what that noise explains are dropped, and the last adjustment is plain least squares: maximum
likelihood for the rest. Nothing fixes the scale: a step never changes it, and the covariance is the
one in which the camera positions keep their sum of squares from the first camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from multiview._shapes import F64
from multiview.calib.bundle import CAUCHY_SIGMA, NOISE_FLOOR_PX, REJECT_SIGMA
from multiview.calib.scene_problem import (
    CAMERA,
    POSE,
    Bools,
    Observations,
    SceneState,
    linearise,
    residuals,
)

__all__ = [
    "PRIOR_FOCAL",
    "SceneFit",
    "adjust_scene",
    "fit_scene",
    "freedom",
    "observation_noise",
    "reduced",
]

# Cost (a chi-square) below which a step is not worth taking: every parameter is then within a
# thirtieth of its own standard deviation (least squares) or a third (robust, a start for it).
SETTLED_ROBUST, SETTLED = 0.1, 1e-3
# Cameras' noises are believed to differ from the whole rig's by at most this factor: a camera
# believed precise is fitted better, looks better still, and would run away with the rig.
NOISE_FACTOR = 2.0
# Fewer observations do not tell a camera's noise from that of all.
MIN_FOR_NOISE = 30
# A focal length that is refined was known to about this share (one standard deviation).
PRIOR_FOCAL = 0.05
# Share of observations that may still come and go at the end, and rounds to get there.
UNSETTLED, ROUNDS = 1e-3, 6
# An observation with less freedom than this fixes its own point and tells nothing of the noise.
LITTLE_FREEDOM = 0.05
# A point whose distance is uncertain by more than this many times itself (one sigma) could as well
# be anywhere: it only spoils the condition of the equations.
VAGUE_DEPTH = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneFit:
    """An adjustment.

    Parameters
    ----------
    state
        Cameras and points; the first camera is the world.
    inlier
        Observations that carry it, shape (M,).
    sigma_px
        Noise of one coordinate in each camera, shape (V,), corrected for the freedom of points.
    residual_px
        Shape (M, 2).
    converged
        Whether the choice of observations settled.
    """

    state: SceneState
    inlier: Bools
    sigma_px: F64
    residual_px: F64
    converged: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Normals:
    """Normal equations: cameras (P free parameters), points, and what couples them (N, P, 3)."""

    H: F64
    g: F64
    H_point: F64
    g_point: F64
    cross: F64


@dataclass(frozen=True, slots=True)
class _Reduced:
    """Schur complement: cameras' matrix and gradient, and what recovers the points."""

    H: F64
    g: F64
    point_inverse: F64
    cross: F64
    point_g: F64


def _loss(squared: F64, robust: bool) -> tuple[F64, F64]:
    """Cauchy's loss and weight of squared errors in units of the noise; else squares."""
    if not robust:
        return squared, np.ones_like(squared)
    c2 = CAUCHY_SIGMA**2
    return c2 * np.log1p(squared / c2), 1 / (1 + squared / c2)


def reduced(state: SceneState, obs: Observations, weight: F64, free: Bools) -> _Reduced:
    """Eliminate the points from the normal equations.

    Parameters
    ----------
    state, obs
        Where, and what was seen.
    weight
        Of each observation, shape (M,), 1 / px^2.
    free
        Camera parameters that move, shape (V, 7).
    """
    return _eliminate(_normals(state, obs, weight, free), 0.0)


def _normals(state: SceneState, obs: Observations, weight: F64, free: Bools) -> _Normals:
    V, N, on = len(free), len(state.xyz), free.ravel()
    res, Jc, Jp = linearise(state, obs)
    Jc = Jc * free[obs.view][:, None]
    wJc, wJp = Jc * weight[:, None, None], Jp * weight[:, None, None]
    H, g = np.zeros((V, CAMERA, V, CAMERA)), np.zeros((V, CAMERA))
    for v in range(V):
        at = obs.view == v
        a = wJc[at].reshape(-1, CAMERA)
        H[v, :, v] = a.T @ Jc[at].reshape(-1, CAMERA)
        g[v] = a.T @ res[at].ravel()
    H[np.arange(V), 6, np.arange(V), 6] += PRIOR_FOCAL**-2
    g[:, 6] += state.log_focal * PRIOR_FOCAL**-2
    cross = np.zeros((N, V, CAMERA, 3))
    cross[obs.point, obs.view] = wJc.swapaxes(1, 2) @ Jp
    return _Normals(
        H=H.reshape(V * CAMERA, -1)[np.ix_(on, on)],
        g=g.ravel()[on],
        H_point=_by_point(obs, N, wJp.swapaxes(1, 2) @ Jp),
        g_point=_by_point(obs, N, np.einsum("mki,mk->mi", wJp, res)),
        cross=np.ascontiguousarray(cross.reshape(N, -1, 3)[:, on]),
    )


def _eliminate(normals: _Normals, damping: float) -> _Reduced:
    """Schur complement, with Marquardt's damping relative to the diagonals."""
    H_point = normals.H_point + _marquardt(normals.H_point, damping)
    inverse = np.asarray(np.linalg.inv(H_point), np.float64)
    cross, P = normals.cross, len(normals.g)
    flat = cross.transpose(1, 0, 2).reshape(P, -1)
    half = (cross @ inverse).transpose(1, 0, 2).reshape(P, -1)
    H = normals.H + np.diag(damping * np.diag(normals.H)) - half @ flat.T
    g = normals.g - half @ normals.g_point.ravel()
    return _Reduced(H, g, inverse, cross, normals.g_point)


def _by_point(obs: Observations, n: int, values: F64) -> F64:
    """Sum values (M, ...) of each point; observations are in the order of their points."""
    out = np.zeros((n, *values.shape[1:]))
    if len(values):
        starts = np.flatnonzero(np.diff(obs.point, prepend=-1))
        out[obs.point[starts]] = np.add.reduceat(values, starts, axis=0)
    return out


def _marquardt(H: F64, damping: float) -> F64:
    """Damping of (N, 3, 3); the small constants keep points without observations regular."""
    diagonal = np.einsum("nii->ni", H)
    floor = 1e-12 * diagonal.max(-1, initial=0.0, keepdims=True) + 1e-9 * (diagonal == 0)
    return np.asarray((damping * diagonal + floor)[..., None] * np.eye(3))


def scale_direction(state: SceneState, free: Bools) -> F64:
    """Return the unit vector in the free parameters that only changes the scale of the rig."""
    out = np.zeros(free.shape)
    out[:, 3:POSE] = state.t
    flat = out[free]
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-300))


def _step(state: SceneState, system: _Reduced, free: Bools) -> tuple[F64, F64] | None:
    """Solve for steps of cameras (V, 7) and points (N, 3); None where the system is singular."""
    along = scale_direction(state, free)
    diagonal = np.diag(system.H)
    size = np.sqrt(np.maximum(diagonal, 1e-12 * max(float(diagonal.max()), 1e-300)))
    # what has no gradient (the scale) is held, instead of left to rounding errors
    scaled = system.H / np.outer(size, size)
    held = along / size
    held = held / max(float(np.linalg.norm(held)), 1e-300)
    try:
        factor = scipy.linalg.cho_factor(scaled + np.outer(held, held), check_finite=False)
    except np.linalg.LinAlgError:
        return None
    part = scipy.linalg.cho_solve(factor, -system.g / size, check_finite=False) / size
    cameras = np.zeros(free.shape)
    cameras[free] = part
    rest = system.point_g + np.einsum("npk,p->nk", system.cross, part)
    return cameras, -np.einsum("nij,nj->ni", system.point_inverse, rest)


def adjust_scene(
    state: SceneState,
    obs: Observations,
    sigma_px: F64,
    free: Bools,
    *,
    robust: bool,
    iterations: int = 30,
) -> SceneState:
    """Minimise the reprojection error over points and free camera parameters.

    Parameters
    ----------
    state, obs
        Start, and what takes part.
    sigma_px
        Noise of each camera, shape (V,).
    free
        Camera parameters that move, shape (V, 7).
    robust
        Cauchy's loss instead of squares.
    iterations
        At most so many steps.
    """
    inverse = 1 / sigma_px[obs.view] ** 2

    def cost_of(trial: SceneState) -> tuple[F64, float]:
        squared = (residuals(trial, obs) ** 2).sum(-1) * inverse
        rho, weight = _loss(squared, robust)
        prior = float(((trial.log_focal / PRIOR_FOCAL) ** 2).sum())
        return weight * inverse, float(rho.sum()) + prior

    weight, cost = cost_of(state)
    settled, damping = SETTLED_ROBUST if robust else SETTLED, 1e-4
    for _ in range(iterations):
        before = cost
        normals = _normals(state, obs, weight, free)
        while damping < 1e8:
            step = _step(state, _eliminate(normals, damping), free)
            if step is not None:
                trial = state.moved(*step)
                new_weight, new = cost_of(trial)
                if np.isfinite(new) and new < cost:
                    state, weight, cost = trial, new_weight, new
                    damping = max(damping / 10, 1e-12)
                    break
            damping *= 10
        if before - cost < settled:
            break
    return state


def freedom(state: SceneState, obs: Observations, sigma_px: F64) -> F64:
    """Share of an observation's error that its point leaves in the residual, shape (M,).

    One minus the mean leverage of both coordinates: 1 for a point that many others fix, 1/4 where
    two cameras see it.
    """
    _, _, Jp = linearise(state, obs)
    weight = 1 / sigma_px[obs.view] ** 2
    H = _by_point(obs, len(state.xyz), (Jp * weight[:, None, None]).swapaxes(1, 2) @ Jp)
    cov = np.linalg.inv(H + _marquardt(H, 0.0))
    leverage = np.einsum("mki,mij,mkj->m", Jp, cov[obs.point], Jp) * weight / 2
    return np.asarray(np.clip(1 - leverage, 0.0, 1.0))


def observation_noise(
    res: F64, obs: Observations, views: int, share: F64, quantile: float = 0.5
) -> F64:
    """Noise of one coordinate in each camera, shape (V,), from a quantile of error lengths.

    Parameters
    ----------
    res, obs
        Residuals and what they belong to.
    views
        Number of cameras.
    share
        `freedom` of each observation, by which residuals are smaller than errors.
    quantile
        Of the lengths: the median bears most outliers, 0.75 is sharper.
    """
    known = share > LITTLE_FREEDOM
    length = np.linalg.norm(res[known], axis=-1) / np.sqrt(share[known])
    view = obs.view[known]
    ratio = np.sqrt(-2 * np.log1p(-quantile))
    if not length.size:
        return np.ones(views)
    whole = float(np.quantile(length, quantile)) / ratio
    sigma = np.full(views, whole)
    for v in range(views):
        mine = length[view == v]
        if mine.size >= MIN_FOR_NOISE:
            sigma[v] = np.quantile(mine, quantile) / ratio
    sigma = sigma.clip(whole / NOISE_FACTOR, whole * NOISE_FACTOR)
    return np.asarray(np.maximum(sigma, NOISE_FLOOR_PX))


def _inliers(state: SceneState, obs: Observations, sigma: F64, share: F64) -> Bools:
    """Observations within the noise, of points that at least two of them carry and place."""
    allowed = (REJECT_SIGMA * sigma[obs.view]) ** 2 * np.maximum(share, LITTLE_FREEDOM)
    good = (residuals(state, obs) ** 2).sum(-1) < allowed
    good &= _placed(state, obs.take(good), sigma)[obs.point]
    enough = np.bincount(obs.point[good], minlength=len(state.xyz)) >= 2
    return np.asarray(good & enough[obs.point])


def _placed(state: SceneState, obs: Observations, sigma: F64) -> Bools:
    """Whether the distance of each point (N,) is known well enough for its errors to be linear."""
    _, _, Jp = linearise(state, obs)
    weight = 1 / sigma[obs.view] ** 2
    H = _by_point(obs, len(state.xyz), (Jp * weight[:, None, None]).swapaxes(1, 2) @ Jp)
    least = np.linalg.eigvalsh(H)[:, 0]
    centres = -np.einsum("vji,vj->vi", state.R, state.t)
    reach = np.full(len(state.xyz), np.inf)
    distance = np.linalg.norm(state.xyz[obs.point] - centres[obs.view], axis=-1)
    np.minimum.at(reach, obs.point, distance)
    reach[np.isinf(reach)] = 0.0  # a point without observations
    return np.asarray(least * (VAGUE_DEPTH * reach) ** 2 > 1)


def fit_scene(
    state: SceneState, obs: Observations, free: Bools, *, sigma_px: F64 | None = None
) -> SceneFit:
    """Adjust, measure the noise, drop what it cannot explain, repeat until nothing changes.

    Returns
    -------
    SceneFit
        With least squares on the inliers as the last step.
    """
    V, ones = len(free), np.ones(len(obs.view))
    sigma = np.ones(V) if sigma_px is None else sigma_px
    if sigma_px is None:
        sigma = observation_noise(residuals(state, obs), obs, V, ones)
    share = freedom(state, obs, sigma)
    for _ in range(ROUNDS):
        state = adjust_scene(state, obs, sigma, free, robust=True, iterations=10)
        before, share = sigma, freedom(state, obs, sigma)
        sigma = observation_noise(residuals(state, obs), obs, V, share)
        if (np.abs(sigma / before - 1) < 0.02).all():
            break
    inlier = _inliers(state, obs, sigma, share)
    settled = False
    for _ in range(ROUNDS):
        kept = obs.take(inlier)
        state = adjust_scene(state, kept, sigma, free, robust=False)
        res = residuals(state, obs)
        share = np.ones(len(obs.view))
        share[inlier] = freedom(state, kept, sigma)
        sigma = observation_noise(res[inlier], kept, V, share[inlier], 0.75)
        before_in, inlier = inlier, _inliers(state, obs, sigma, share)
        settled = bool((inlier != before_in).sum() <= UNSETTLED * len(inlier))
        if settled:
            break
    return SceneFit(state=state, inlier=inlier, sigma_px=sigma, residual_px=res, converged=settled)
