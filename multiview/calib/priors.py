"""What is known of lenses and boards before any footage: weak, and only felt where footage is mute.

Principal point within 2 % of the width of the centre, pixels square to 1 %, radial terms each
moving the corner of the picture by less than about 20 %, decentring and thin prism by 1 %, boards
flat to 1 % of their size.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from multiview._shapes import F64
from multiview.calib.layout import Layout
from multiview.calib.normals import Normals
from multiview.calib.problem import LENS, Sightings, State
from multiview.core import Intrinsics

__all__ = ["add_priors", "lens_prior", "prior_cost"]

CENTRE, SQUARE, RADIAL, DECENTRE, FLAT = 0.02, 0.01, 0.2, 0.01, 0.01
# Beyond this tangent of the field angle the corner is no measure of a radial term.
WIDEST = 1.5


def lens_prior(lens: Intrinsics) -> tuple[F64, F64]:
    """Residuals (M,) of the prior at a lens and their derivative (M, 16), both in its sigmas."""
    width, height = lens.size_wh
    fx, fy = lens.K[0, 0], lens.K[1, 1]
    size = lens.dist.size
    J, r = np.zeros((3 + size, LENS)), np.zeros(3 + size)
    J[0, :2] = np.array([1 / fx, -1 / fy]) / SQUARE
    r[0] = np.log(fx / fy) / SQUARE
    J[1, 2] = J[2, 3] = 1 / (CENTRE * width)
    r[1:3] = (lens.K[:2, 2] - np.array([width - 1, height - 1]) / 2) / (CENTRE * width)
    spread = _spreads(lens, min(np.hypot(width, height) / (fx + fy), WIDEST))
    J[3:, 4 : 4 + size] = np.diag(1 / spread)
    r[3:] = lens.dist / spread
    return r, J


def _spreads(lens: Intrinsics, corner: float) -> F64:
    """Spread each coefficient has; ``corner`` is the radius of the normalised corner."""
    radial = RADIAL / corner ** np.array([2.0, 4, 6, 8])
    if lens.model == "fisheye":
        return radial
    decentre = DECENTRE / corner
    prism = DECENTRE / corner ** np.array([1.0, 3])
    whole = [*radial[:2], decentre, decentre, radial[2], *radial[:3], *prism, *prism]
    return np.array(whole[: lens.dist.size])


def _owners(layout: Layout) -> list[int]:
    """Cameras whose lens moves, one for each shared lens."""
    focal = layout.lens[:, 0]
    moving, first = np.unique(focal, return_index=True)
    return [int(v) for c, v in zip(moving, first, strict=True) if c >= 0]


def _flatness(seen: Sightings) -> F64:
    return FLAT * seen.targets.extent[:, None]


def prior_cost(state: State, seen: Sightings, layout: Layout) -> float:
    """Sum of squares of the priors' residuals."""
    lenses = sum(float((lens_prior(state.lenses[v])[0] ** 2).sum()) for v in _owners(layout))
    if not layout.bend.size:
        return lenses
    return lenses + float(((state.bend / _flatness(seen)) ** 2)[layout.bend >= 0].sum())


def add_priors(normals: Normals, state: State, seen: Sightings, layout: Layout) -> Normals:
    """Add the priors to the normal equations."""
    H, g = normals.H.copy(), normals.g.copy()
    for v in _owners(layout):
        on = np.flatnonzero(layout.lens[v] >= 0)
        r, J = lens_prior(state.lenses[v])
        columns = layout.lens[v, on]
        H[np.ix_(columns, columns)] += (J.T @ J)[np.ix_(on, on)]
        g[columns] += (J.T @ r)[on]
    if layout.bend.size:
        on_bend = layout.bend >= 0
        at, precision = layout.bend[on_bend], 1 / (np.ones_like(state.bend) * _flatness(seen)) ** 2
        H[at, at] += precision[on_bend]
        g[at] += (precision * state.bend)[on_bend]
    return replace(normals, H=H, g=g)
