"""Levenberg-Marquardt on rigs and boards: Schur complement, robust loss, rejection of corners.

Boards are eliminated block by block (each is 6 x 6), so that the system solved has the size of the
cameras' parameters only, however many boards were filmed (Triggs et al. 2000). Loss: Cauchy, with
the scale of the corner noise measured in each camera; then corners beyond what that noise can
explain are dropped, and the last adjustment is plain least squares, which is optimal for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg

from multiview._shapes import F64
from multiview.calib.problem import (
    CAMERA,
    LENS,
    POSE,
    Bools,
    Normals,
    Sightings,
    State,
    linearise,
    residuals,
)
from multiview.core import Intrinsics

__all__ = ["Fit", "adjust", "adjust_boards", "corner_noise", "fit_robust", "free_parameters"]

# Corner errors in a plane have Rayleigh-distributed lengths: median and upper quartile per sigma.
RAYLEIGH_MEDIAN = float(np.sqrt(2 * np.log(2)))
RAYLEIGH_Q75 = float(np.sqrt(2 * np.log(4)))
# A Gaussian corner falls beyond 4.8 sigma once in 100 000.
REJECT_SIGMA = float(np.sqrt(2 * np.log(1e5)))
# Cauchy's 95 % efficiency on one coordinate; lengths in a plane are sqrt(2) longer.
CAUCHY_SIGMA = 2.385 * 2**0.5
# No detector is better than this; keeps noise-free synthetic corners from dividing by zero.
NOISE_FLOOR_PX = 0.01
# What an unpredictable corner (behind the camera, beyond the lens) costs: that many px off.
LOST_PX = 1000.0
# An adjustment stops when a step would lower the cost (a chi-square) by less: with 0.001 every
# parameter is within a thirtieth of its own standard deviation.
SETTLED_ROBUST, SETTLED = 0.1, 1e-3
# Share of corners that may still come and go at the end.
UNSETTLED = 2e-3
# Cameras' noises are taken to differ by at most this factor from the whole rig's: a camera whose
# noise is believed small is fitted better, looks better still, and would run away with the rig.
NOISE_FACTOR = 1.5
# Fewer corners do not tell a camera's noise from that of all.
MIN_FOR_NOISE = 30

# Priors on lenses, far wider than what footage tells, so that they only act on what it does not:
# principal point within 2 % of the width of the centre, pixels square to 1 %, radial terms each
# moving the corner of the picture by less than about 20 %, decentring by 1 %.
PRIOR_CENTRE, PRIOR_SQUARE, PRIOR_RADIAL, PRIOR_DECENTRE = 0.02, 0.01, 0.2, 0.01

Loss = Callable[[F64], tuple[F64, F64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """An adjustment: the state, which corners carry it (S, C), noise per camera (V,) in px."""

    state: State
    inlier: Bools
    sigma_px: F64
    residual_px: F64
    converged: bool = True


def _cauchy(squared: F64) -> tuple[F64, F64]:
    """Loss and weight of squared errors in units of the noise."""
    c2 = CAUCHY_SIGMA**2
    return c2 * np.log1p(squared / c2), 1 / (1 + squared / c2)


def _linear(squared: F64) -> tuple[F64, F64]:
    return squared, np.ones_like(squared)


def free_parameters(
    views: int, *, poses: bool = True, lenses: Bools | None = None, k3: bool = False
) -> Bools:
    """Say which of (V, 15) camera parameters move: not the first pose, lenses where ``True``."""
    free = np.zeros((views, CAMERA), dtype=bool)
    free[1:, :POSE] = poses
    if lenses is not None:
        free[lenses, POSE : CAMERA - 1] = True
        free[lenses, CAMERA - 1] = k3
    return free


def lens_prior(lens: Intrinsics) -> tuple[F64, F64]:
    """Residuals (M,) of the prior at a lens and their derivative (M, 9), both in its sigmas."""
    width, height = lens.size_wh
    fx, fy = lens.K[0, 0], lens.K[1, 1]
    corner = np.hypot(width, height) / (fx + fy)
    size = min(lens.dist.size, LENS - 4)
    radial = PRIOR_RADIAL / np.minimum(corner, 1.5) ** np.array([2, 4, 6, 8])
    decentre = PRIOR_DECENTRE / corner
    spread = radial if lens.model == "fisheye" else np.insert(radial[:3], 2, [decentre] * 2)
    J, r = np.zeros((3 + size, LENS)), np.zeros(3 + size)
    J[0, :2] = np.array([1 / fx, -1 / fy]) / PRIOR_SQUARE
    r[0] = np.log(fx / fy) / PRIOR_SQUARE
    J[1, 2] = J[2, 3] = 1 / (PRIOR_CENTRE * width)
    r[1:3] = (lens.K[:2, 2] - np.array([width - 1, height - 1]) / 2) / (PRIOR_CENTRE * width)
    J[3:, 4 : 4 + size] = np.diag(1 / spread[:size])
    r[3:] = lens.dist[:size] / spread[:size]
    return r, J


def _prior_cost(state: State, free: Bools) -> float:
    moving = (i for i, f in zip(state.lenses, free[:, POSE], strict=True) if f)
    return float(sum((lens_prior(lens)[0] ** 2).sum() for lens in moving))


def _with_prior(normals: Normals, state: State, free: Bools) -> Normals:
    H, g = normals.H_cam.copy(), normals.g_cam.copy()
    for v in np.flatnonzero(free[:, POSE]):
        r, J = lens_prior(state.lenses[v])
        H[v, POSE:, POSE:] += J.T @ J
        g[v, POSE:] += J.T @ r
    return replace(normals, H_cam=H, g_cam=g)


def _squared(res: F64, seen: Sightings, sigma: F64) -> F64:
    """Squared errors in units of the noise, (S, C); NaN (not predictable) counts as lost."""
    squared = np.nan_to_num((res**2).sum(-1), nan=LOST_PX**2)
    return np.asarray(squared / sigma[seen.view][:, None] ** 2)


def _reduced(
    normals: Normals, seen: Sightings, free: Bools, damping: float
) -> tuple[F64, F64, F64, F64]:
    """Schur complement: camera matrix, right side, and what recovers the boards."""
    V, B = len(free), len(normals.H_board)
    on = free.ravel()
    H_board = normals.H_board + _diagonal(normals.H_board, damping)
    inverse = np.asarray(np.linalg.inv(H_board), np.float64)
    cross = np.zeros((B, V, CAMERA, 6))
    cross[seen.board, seen.view] = normals.H_cross
    cross = cross.reshape(B, V * CAMERA, 6)[:, on]
    half = cross @ inverse
    wide = half.transpose(1, 0, 2).reshape(on.sum(), 6 * B)
    H = scipy.linalg.block_diag(*(normals.H_cam + _diagonal(normals.H_cam, damping)))
    H = H[np.ix_(on, on)] - wide @ cross.transpose(1, 0, 2).reshape(on.sum(), 6 * B).T
    rhs = -normals.g_cam.ravel()[on] + wide @ normals.g_board.ravel()
    return np.asarray(H), rhs, inverse, np.asarray(cross)


def _diagonal(H: F64, damping: float | F64) -> F64:
    """Marquardt's damping; the small constant keeps unseen parameters from being singular."""
    size = np.arange(H.shape[-1])
    out = np.zeros_like(H)
    diagonal = H[..., size, size]
    out[..., size, size] = np.asarray(damping)[..., None] * diagonal + 1e-12 * (1 + diagonal)
    return out


def _step(normals: Normals, seen: Sightings, free: Bools, damping: float) -> tuple[F64, F64] | None:
    """Solve for steps of cameras (V, 15) and boards (B, 6); None where the system is singular."""
    H, rhs, inverse, cross = _reduced(normals, seen, free, damping)
    scale = 1 / np.sqrt(np.maximum(np.diag(H), 1e-300))
    try:
        factor = scipy.linalg.cho_factor(H * np.outer(scale, scale), check_finite=False)
    except np.linalg.LinAlgError:
        return None
    part = scipy.linalg.cho_solve(factor, rhs * scale, check_finite=False) * scale
    cameras = np.zeros(free.size)
    cameras[free.ravel()] = part
    rest = normals.g_board + np.einsum("bnk,n->bk", cross, part)
    return cameras.reshape(free.shape), -np.einsum("bij,bj->bi", inverse, rest)


def adjust(
    state: State,
    seen: Sightings,
    use: Bools,
    sigma_px: F64,
    free: Bools,
    *,
    robust: bool,
    iterations: int = 30,
) -> State:
    """Minimise the error of the used corners over boards and free camera parameters.

    Parameters
    ----------
    state, seen
        Start, and what was measured.
    use
        Corners that take part, shape (S, C).
    sigma_px
        Noise of each camera's corners, shape (V,), pixels.
    free
        Camera parameters that move, shape (V, 15); see `free_parameters`.
    robust
        Cauchy loss instead of least squares.
    iterations
        At most this many steps; fewer where the cost no longer falls.
    """
    loss = _cauchy if robust else _linear

    def cost_of(trial: State, res: F64) -> float:
        rho, _ = loss(_squared(res, seen, sigma_px))
        return float(rho[use].sum()) + _prior_cost(trial, free)

    inverse_var = use / sigma_px[seen.view][:, None] ** 2
    settled = SETTLED_ROBUST if robust else SETTLED
    res = residuals(state, seen)
    cost, damping = cost_of(state, res), 1e-3
    for _ in range(iterations):
        weight = loss(_squared(res, seen, sigma_px))[1] * inverse_var
        normals = _with_prior(linearise(state, seen, weight)[1], state, free)
        before = cost
        while damping < 1e8:
            step = _step(normals, seen, free, damping)
            if step is not None:
                if _promised(normals, step) < settled:
                    return state
                trial = state.moved_cameras(step[0]).moved_boards(step[1])
                res_trial = residuals(trial, seen)
                cost_trial = cost_of(trial, res_trial)
                if cost_trial < cost:
                    state, res, cost, damping = trial, res_trial, cost_trial, damping / 10
                    break
            damping *= 10
        if before - cost < settled:
            break
    return state


def _promised(normals: Normals, step: tuple[F64, F64]) -> float:
    """Fall of the cost that a step promises to first order."""
    return -float((normals.g_cam * step[0]).sum() + (normals.g_board * step[1]).sum())


def adjust_boards(
    state: State, seen: Sightings, use: Bools, sigma_px: F64, iterations: int = 20
) -> tuple[State, F64, F64]:
    """Adjust each board by itself with the cameras fixed, Cauchy loss.

    Returns
    -------
    tuple
        State; cost of each board (B,); covariance of each board's pose (B, 6, 6) for rotation
        (rad) and translation (m) in the board's frame.
    """
    B = len(state.board_R)

    def cost_of(res: F64) -> F64:
        rho, _ = _cauchy(_squared(res, seen, sigma_px))
        total = np.bincount(seen.board, (rho * use).sum(-1), minlength=B)
        return total.astype(np.float64)

    inverse_var = use / sigma_px[seen.view][:, None] ** 2
    res = residuals(state, seen)
    cost, damping = cost_of(res), np.full(B, 1e-3)
    active = np.ones(B, bool)
    for _ in range(iterations):
        at = np.flatnonzero(active[seen.board])
        part = seen.take(at)
        weight = _cauchy(_squared(res[at], part, sigma_px))[1] * inverse_var[at]
        _, normals = linearise(state, part, weight, cameras=False)
        damped = normals.H_board + _diagonal(normals.H_board, damping)
        solved = np.linalg.solve(damped, normals.g_board[..., None])[..., 0]
        step = np.asarray(-solved, np.float64)
        trial = state.moved_boards(step)
        res_trial = res.copy()
        res_trial[at] = residuals(trial, part)
        cost_trial = cost_of(res_trial)
        better = active & (cost_trial < cost)
        active &= ~(better & (cost - cost_trial < SETTLED)) & (damping < 1e6)
        state = replace(
            state,
            board_R=np.where(better[:, None, None], trial.board_R, state.board_R),
            board_t=np.where(better[:, None], trial.board_t, state.board_t),
        )
        res = np.where(better[seen.board][:, None, None], res_trial, res)
        cost = np.where(better, cost_trial, cost)
        damping = np.where(better, damping / 10, damping * 10).clip(1e-12, 1e12)
        if not active.any():
            break
    weight = _cauchy(_squared(res, seen, sigma_px))[1] * inverse_var
    H = linearise(state, seen, weight, cameras=False)[1].H_board
    cov = np.linalg.pinv(H + _diagonal(H, 0.0), hermitian=True)
    return state, cost, np.asarray(cov, np.float64)


def corner_noise(res: F64, seen: Sightings, use: Bools, views: int, quantile: float) -> F64:
    """Noise of each camera's corners, shape (V,), pixels, from a quantile of error lengths."""
    length = np.where(use, np.linalg.norm(res, axis=-1), np.nan)
    length = np.where(use & np.isnan(length), LOST_PX, length)
    ratio = np.sqrt(-2 * np.log1p(-quantile))
    everywhere = np.nanquantile(length, quantile) / ratio if use.any() else 1.0
    sigma = np.full(views, everywhere)
    for v, part in seen.by_view(views):
        if use[part].sum() >= MIN_FOR_NOISE:
            sigma[v] = np.nanquantile(length[part], quantile) / ratio
    sigma = sigma.clip(everywhere / NOISE_FACTOR, everywhere * NOISE_FACTOR)
    return np.asarray(np.maximum(sigma, NOISE_FLOOR_PX))


def fit_robust(state: State, seen: Sightings, free: Bools, *, rounds: int = 8) -> Fit:
    """Adjust, measure the noise, drop what it cannot explain, repeat until nothing changes.

    Corners once dropped come back when the cameras have moved so that they fit.

    Returns
    -------
    Fit
        With least squares on the inliers as the last step.
    """
    views, use = len(state.lenses), seen.seen
    sigma = corner_noise(residuals(state, seen), seen, use, views, 0.5)
    for _ in range(rounds):
        state = adjust(state, seen, use, sigma, free, robust=True, iterations=10)
        before, sigma = sigma, corner_noise(residuals(state, seen), seen, use, views, 0.5)
        if (np.abs(sigma / before - 1) < 0.02).all():
            break
    inlier = use & (_squared(residuals(state, seen), seen, sigma) < REJECT_SIGMA**2)
    settled = False
    for _ in range(4):
        state = adjust(state, seen, inlier, sigma, free, robust=False)
        res = residuals(state, seen)
        sigma = corner_noise(res, seen, inlier, views, 0.75)
        before_in, inlier = inlier, use & (_squared(res, seen, sigma) < REJECT_SIGMA**2)
        settled = (inlier != before_in).sum() <= UNSETTLED * use.sum()
        if settled:
            break
    return Fit(state=state, inlier=inlier, sigma_px=sigma, residual_px=res, converged=bool(settled))


def lens_spread(fit: Fit, seen: Sightings, free: Bools) -> F64:
    """Return standard deviations of the lens parameters, shape (V, 9); 0 where fixed.

    They come from the inverse of the camera matrix, priors left out: what the footage alone tells.
    """
    weight = fit.inlier / fit.sigma_px[seen.view][:, None] ** 2
    _, normals = linearise(fit.state, seen, weight)
    H, *_ = _reduced(normals, seen, free, 0.0)
    scale = 1 / np.sqrt(np.maximum(np.diag(H), 1e-300))
    values, vectors = np.linalg.eigh(H * np.outer(scale, scale))
    # directions that nothing tells get a spread without bound instead of a rounding error
    variance = (vectors**2 / np.maximum(values, 1e-12)) @ np.ones(len(values)) * scale**2
    out = np.zeros(free.size)
    out[free.ravel()] = np.sqrt(variance)
    return out.reshape(free.shape)[:, POSE:]
