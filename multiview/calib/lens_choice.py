"""How many coefficients a lens needs: cross-validation over boards, the simplest that is as good.

A larger model always fits its own footage better. Boards left out tell whether it also predicts
better; the simplest model within one standard error of the best is taken (Breiman et al. 1984,
"one standard error rule"), for a coefficient that footage does not fix costs accuracy where no
board was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from multiview._shapes import F64
from multiview.calib.bundle import Fit, adjust, adjust_boards, fit_robust
from multiview.calib.layout import LENS_TERMS, VIEWS_FOR_BEND, Layout, LensModel, lay_out
from multiview.calib.normals import LOST_PX, linearise, solve_step
from multiview.calib.priors import add_priors
from multiview.calib.problem import LENS, Bools, Sightings, State
from multiview.core import Intrinsics

__all__ = ["LensTrial", "choose_lens", "fit_lens", "lens_mask"]

FOLDS = 4
# Chi-square of the four coefficients that a rational lens adds, exceeded by pure noise 1 in 10 000
# times: below, nothing is to be gained, and the models are not tried.
WORTH_TRYING = 23.5
# A picture's corner further off the axis than 40 degrees: a fisheye may be worth a trial. What
# sees less is no fisheye, and its model would only be one more way to describe a pinhole's lens.
WIDE = np.tan(np.deg2rad(40))
SIZES = {"brown": 5, "brown_k3": 5, "rational": 8, "prism": 12, "fisheye": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class LensTrial:
    """A lens model fitted to one camera, and its error on boards left out (rms, pixels)."""

    model: LensModel
    fit: Fit
    heldout_px: float


def lens_mask(model: LensModel) -> Bools:
    """Lens parameters that a model estimates, shape (16,)."""
    return np.asarray(np.isin(np.arange(LENS), LENS_TERMS[model]), np.bool_)


def with_model(lens: Intrinsics, model: LensModel) -> Intrinsics:
    """Return the lens with as many coefficients as a model has; a fisheye starts without any."""
    dist = np.zeros(SIZES[model])
    kind = "fisheye" if model == "fisheye" else "brown"
    if kind == lens.model:
        dist[: lens.dist.size] = lens.dist[: dist.size]
    return replace(lens, dist=dist, model=kind)  # type: ignore[arg-type]


def fit_lens(state: State, one: Sightings, model: LensModel) -> Fit:
    """Fit a lens of a model to the sightings of one camera."""
    lens = with_model(state.lenses[0], model)
    return fit_robust(replace(state, lenses=(lens,)), one, _layout(one, model))


def _layout(one: Sightings, model: LensModel) -> Layout:
    """Lens and bends move: a bent board would else be taken for a strange lens."""
    views = np.bincount(one.target, minlength=len(one.targets.count))
    bends = one.targets.bends & (views >= VIEWS_FOR_BEND)[:, None]
    return lay_out(np.zeros(1, bool), lens_mask(model)[None], bends=bends)


def choose_lens(state: State, one: Sightings) -> tuple[LensTrial, ...]:
    """Fit the models that may matter to one camera.

    Returns
    -------
    tuple
        The models tried, the chosen one first.
    """
    first = fit_lens(state, one, "brown")
    lens = first.state.lenses[0]
    corner = float(np.hypot(*lens.size_wh) / (lens.K[0, 0] + lens.K[1, 1]))
    gain = _promised_gain(first, one)
    if gain < WORTH_TRYING and corner < WIDE:
        return (LensTrial(model="brown", fit=first, heldout_px=float("nan")),)
    fits: dict[LensModel, Fit] = {"brown": first}
    models: tuple[LensModel, ...] = ("brown_k3", "rational", "prism")
    for model in models:
        fits[model] = fit_lens(first.state, one, model)
    if corner > WIDE:
        fits["fisheye"] = fit_lens(state, one, "fisheye")
    costs = {model: _heldout_costs(fit, one, first) for model, fit in fits.items()}
    ranked = _simplest(costs)
    return tuple(
        LensTrial(model=m, fit=fits[m], heldout_px=float(np.sqrt(costs[m][1].mean())))
        for m in ranked
    )


def _promised_gain(fit: Fit, one: Sightings) -> float:
    """Fall of the chi-square that the coefficients of a rational lens promise to first order."""
    lens = with_model(fit.state.lenses[0], "rational")
    state = replace(fit.state, lenses=(lens,))
    layout = _layout(one, "rational")
    _, _, normals = linearise(
        state,
        one,
        fit.inlier,
        fit.sigma_px,
        layout,
        lambda squared: (squared, np.ones_like(squared)),
    )
    normals = add_priors(normals, state, one, layout)
    step = solve_step(normals, one.board, 0.0)
    if step is None:
        return 0.0
    return -float(normals.g @ step[0] + (normals.g_board * step[1]).sum())


def _heldout_costs(fit: Fit, one: Sightings, reference: Fit) -> tuple[F64, F64]:
    """Robust cost and mean squared error (px^2) of every board, fitted to the others.

    All models are judged in the noise of one (`reference`), or they could not be compared.
    """
    count = len(one.view)
    folds = min(FOLDS, count)
    cost, squared = np.zeros(count), np.full(count, np.nan)
    for fold in range(folds):
        held = np.arange(count) % folds == fold
        state = adjust(
            fit.state,
            one.take(~held),
            fit.inlier[~held],
            fit.sigma_px,
            fit.layout,
            robust=False,
            iterations=5,
        )
        test = one.take(held)
        _, own, _ = adjust_boards(state, test, test.seen, reference.sigma_px)
        cost[held] = own[test.board]
        squared[held] = cost[held] / np.maximum(test.seen.sum(1), 1) * reference.sigma_px[0] ** 2
    return cost, np.minimum(squared, LOST_PX**2)


def _simplest(costs: dict[LensModel, tuple[F64, F64]]) -> list[LensModel]:
    """Rank models: the simplest within one standard error of the best, then the others by cost."""
    by_cost = sorted(costs, key=lambda m: float(costs[m][0].sum()))
    best = by_cost[0]
    for model in sorted(costs, key=lambda m: len(LENS_TERMS[m])):
        loss = costs[model][0] - costs[best][0]
        error = float(loss.std(ddof=1) / np.sqrt(len(loss))) if len(loss) > 1 else 0.0
        if loss.mean() <= error:
            return [model, *(m for m in by_cost if m != model)]
    return by_cost
