"""Levenberg-Marquardt on rigs and boards: robust loss, rejection of corners.

Loss: Cauchy, with the scale of the corner noise measured in each camera; then corners beyond what
that noise can explain are dropped, and the last adjustment is plain least squares, which is optimal
for the rest. The normal equations are in `multiview.calib.normals`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from multiview._shapes import F64
from multiview.calib.layout import Layout
from multiview.calib.normals import LOST_PX, Normals, board_normals, linearise, solve_step
from multiview.calib.priors import add_priors, prior_cost
from multiview.calib.problem import Bools, Sightings, State, residuals
from multiview.calib.threads import one_blas_thread

__all__ = ["REJECT_SIGMA", "Fit", "adjust", "adjust_boards", "corner_noise", "fit_robust"]

# Corner errors in a plane have Rayleigh-distributed lengths. A Gaussian corner falls beyond 4.8
# sigma once in 100 000.
REJECT_SIGMA = float(np.sqrt(2 * np.log(1e5)))
# Cauchy's 95 % efficiency on one coordinate; lengths in a plane are sqrt(2) longer.
CAUCHY_SIGMA = 2.385 * 2**0.5
# No detector is better than this; keeps noise-free synthetic corners from dividing by zero.
NOISE_FLOOR_PX = 0.01
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
# Marquardt's damping: where it starts, and beyond which a step is no longer one.
FIRST_DAMPING, LAST_DAMPING = 1e-3, 1e8


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """An adjustment: the state, which corners carry it (S, C), noise per camera (V,) in px."""

    state: State
    layout: Layout
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


def moved(state: State, layout: Layout, shared: F64, boards: F64) -> State:
    """Apply steps of the shared unknowns (P,) and of the boards (B, 6)."""
    pose, lens, bend = layout.steps(shared)
    state = state.moved_cameras(pose, lens).moved_boards(boards)
    return replace(state, bend=state.bend + bend) if bend.size else state


@one_blas_thread
def adjust(
    state: State,
    seen: Sightings,
    use: Bools,
    sigma_px: F64,
    layout: Layout,
    *,
    robust: bool,
    iterations: int = 30,
) -> State:
    """Minimise the error of the used corners over boards and shared unknowns.

    Parameters
    ----------
    state, seen
        Start, and what was measured.
    use
        Corners that take part, shape (S, C).
    sigma_px
        Noise of each camera's corners, shape (V,), pixels.
    layout
        Unknowns that move; see `multiview.calib.layout.lay_out`.
    robust
        Cauchy loss instead of least squares.
    iterations
        At most this many steps; fewer where the cost no longer falls.
    """
    loss, settled = (_cauchy, SETTLED_ROBUST) if robust else (_linear, SETTLED)

    def at(trial: State) -> tuple[float, Normals]:
        cost, _, normals = linearise(trial, seen, use, sigma_px, layout, loss)
        return cost + prior_cost(trial, seen, layout), add_priors(normals, trial, seen, layout)

    cost, normals = at(state)
    damping = FIRST_DAMPING
    for _ in range(iterations):
        before = cost
        while damping < LAST_DAMPING:
            step = solve_step(normals, seen.board, damping)
            if step is not None:
                if _promised(normals, *step) < settled:
                    return state
                trial = moved(state, layout, *step)
                cost_trial, normals_trial = at(trial)
                if cost_trial < cost:
                    state, cost, normals = trial, cost_trial, normals_trial
                    damping /= 10
                    break
            damping *= 10
        if before - cost < settled:
            break
    return state


def _promised(normals: Normals, shared: F64, boards: F64) -> float:
    """Fall of the cost that a step promises to first order."""
    return -float(normals.g @ shared + (normals.g_board * boards).sum())


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
    cost, H, g = board_normals(state, seen, use, sigma_px, _cauchy)
    damping = np.full(len(cost), FIRST_DAMPING)
    active = np.bincount(seen.board, minlength=len(cost)) > 0
    for _ in range(iterations):
        if not active.any():
            break
        on = np.flatnonzero(active)
        at = active[seen.board]
        diagonal = np.einsum("bii->bi", H[on])
        damped = H[on] + np.eye(6) * (damping[on, None] * diagonal + 1e-12)[:, None]
        step = np.zeros_like(g)
        step[on] = -np.linalg.solve(damped, g[on][..., None])[..., 0]
        trial = state.moved_boards(step)
        part = seen.take(at)
        cost_new, H_new, g_new = board_normals(trial, part, use[at], sigma_px, _cauchy)
        better = active & (cost_new < cost)
        settled = better & (cost - cost_new < SETTLED)
        pick = better[:, None, None]
        state = replace(
            state,
            board_R=np.where(pick, trial.board_R, state.board_R),
            board_t=np.where(better[:, None], trial.board_t, state.board_t),
        )
        H, g = np.where(pick, H_new, H), np.where(better[:, None], g_new, g)
        cost = np.where(better, cost_new, cost)
        damping = np.where(better, damping / 10, damping * 10).clip(1e-12, 1e12)
        active &= ~settled & (damping < 1e6)
    tiny = 1e-12 * (1 + np.einsum("bii->bi", H))
    cov = np.linalg.pinv(H + np.eye(6) * tiny[:, None], hermitian=True)
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


def squared_errors(res: F64, seen: Sightings, sigma: F64) -> F64:
    """Squared errors in units of the noise, (S, C); NaN (not predictable) counts as lost."""
    squared = np.nan_to_num((res**2).sum(-1), nan=LOST_PX**2)
    return np.asarray(squared / sigma[seen.view][:, None] ** 2)


def fit_robust(state: State, seen: Sightings, layout: Layout, *, rounds: int = 8) -> Fit:
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
        state = adjust(state, seen, use, sigma, layout, robust=True, iterations=10)
        before, sigma = sigma, corner_noise(residuals(state, seen), seen, use, views, 0.5)
        if (np.abs(sigma / before - 1) < 0.02).all():
            break
    inlier = use & (squared_errors(residuals(state, seen), seen, sigma) < REJECT_SIGMA**2)
    settled = False
    for _ in range(4):
        state = adjust(state, seen, inlier, sigma, layout, robust=False)
        res = residuals(state, seen)
        sigma = corner_noise(res, seen, inlier, views, 0.75)
        before_in, inlier = inlier, use & (squared_errors(res, seen, sigma) < REJECT_SIGMA**2)
        settled = (inlier != before_in).sum() <= UNSETTLED * use.sum()
        if settled:
            break
    return Fit(
        state=state,
        layout=layout,
        inlier=inlier,
        sigma_px=sigma,
        residual_px=res,
        converged=bool(settled),
    )
