"""Structure in the residuals: whether errors depend on where in the picture, or board, they are.

Corners of one picture share its blur, its shutter and its board pose, so they are no independent
witnesses; whole sightings are. Under the hypothesis that nothing systematic is left, turning the
signs of all residuals of a sighting changes nothing in distribution: a sign-flip test over
sightings (Winkler et al., NeuroImage 2014), with the maximum over cells as its statistic, so that
many cells do not make a false alarm (Nichols and Holmes, Human Brain Mapping 2002).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64
from multiview.calib.evidence import Bools, Evidence, Ints
from multiview.geometry.project import project_jacobian

__all__ = ["BoardShape", "ResidualMap", "board_shape", "residual_map"]

# Cells across the wider side of the picture: a cell holds a few squares of a board.
CELLS = 12
# Sightings that a cell needs: with 6, one pattern of signs in 64 is as extreme as all equal.
MIN_SIGHTINGS = 6
FLIPS, LEVEL = 400, 0.01
# Sightings that an estimate of size needs: two tell the mean from its noise.
SIZED_SIGHTINGS = 2
# Smooth patterns over the whole picture that are looked for besides cells: what a lens model lacks
# is smooth, and shows in all of the picture before it shows in any one cell.
DEGREE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualMap:
    """Mean residuals of one camera on a grid of ``rows`` x ``columns`` cells.

    Parameters
    ----------
    mean_px
        Found minus predicted, mean over corners, shape (rows, columns, 2); NaN in empty cells.
    rms_px
        Error length, root mean square, shape (rows, columns); NaN in empty cells.
    count
        Corners, shape (rows, columns).
    significant
        Cells whose mean is not noise, shape (rows, columns).
    p_value
        Probability that noise alone shows a cell or a smooth pattern as extreme as the most extreme
        one; NaN where too little was seen.
    systematic_px
        Size of the mean residuals beyond noise (root mean square over corners); 0 where there is
        none.
    share
        Of the squared error that is systematic, 0 to 1.
    """

    mean_px: F64
    rms_px: F64
    count: Ints
    significant: Bools
    p_value: float
    systematic_px: float
    share: float

    @property
    def structured(self) -> bool:
        """Whether the residuals show more than noise."""
        return bool(self.p_value <= LEVEL and self.systematic_px > 0)


def residual_map(evidence: Evidence, view: int) -> ResidualMap:
    """Map the residuals of a camera's inliers, and test them for structure."""
    at = evidence.of_view(view)
    at = at[evidence.inlier[at] & np.isfinite(evidence.residual_px[at]).all(-1)]
    width, height = evidence.rig.cameras[view].intrinsics.size_wh
    side = max(width, height) / CELLS
    columns, rows = int(np.ceil(width / side)), int(np.ceil(height / side))
    place = np.floor((evidence.xy_px[at] + 0.5) / side).astype(int)
    cell = place[:, 1].clip(0, rows - 1) * columns + place[:, 0].clip(0, columns - 1)
    found = -evidence.residual_px[at]
    cells = rows * columns
    count = np.bincount(cell, minlength=cells)
    total = np.stack([np.bincount(cell, found[:, k], minlength=cells) for k in (0, 1)], -1)
    with np.errstate(invalid="ignore"):
        mean = np.where(count[:, None] > 0, total / count[:, None], np.nan)
        rms = np.sqrt(np.bincount(cell, (found**2).sum(-1), minlength=cells) / count)
    sums = _sighting_sums(cell, evidence.sighting[at], found, cells)
    modes = _mode_sums(evidence.xy_px[at], evidence.sighting[at], found, (width, height))
    significant, p_value = _sign_flips(np.concatenate([sums, modes], 1))
    significant = significant[:cells]
    systematic = _systematic(sums, count)
    square = float((found**2).sum(-1).mean()) if len(at) else 0.0
    return ResidualMap(
        mean_px=mean.reshape(rows, columns, 2),
        rms_px=rms.reshape(rows, columns),
        count=count.reshape(rows, columns),
        significant=significant.reshape(rows, columns),
        p_value=p_value,
        systematic_px=float(np.sqrt(systematic)),
        share=min(systematic / square, 1.0) if square else 0.0,
    )


def _sighting_sums(cell: Ints, sighting: Ints, found: F64, cells: int) -> F64:
    """Sum of residuals of each sighting in each cell, shape (S, cells, 2)."""
    names, row = np.unique(sighting, return_inverse=True)
    key = row.reshape(-1) * cells + cell
    size = len(names) * cells
    sums = [np.bincount(key, found[:, k], minlength=size) for k in (0, 1)]
    return np.asarray(np.stack(sums, -1).reshape(len(names), cells, 2), np.float64)


def _mode_sums(xy: F64, sighting: Ints, found: F64, size_wh: tuple[int, int]) -> F64:
    """Product of each sighting's residuals and smooth patterns, shape (S, modes, 2).

    Patterns are products of Legendre polynomials of the place up to a total degree, of either
    coordinate; the second entry is 0, so that they go with cells.
    """
    place = 2 * (xy + 0.5) / size_wh - 1
    x, y = (np.polynomial.legendre.legvander(place[:, k], DEGREE) for k in (0, 1))
    pairs = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
    names, row = np.unique(sighting, return_inverse=True)
    out = np.zeros((len(names), 2 * len(pairs), 2))
    for m, (i, j) in enumerate(pairs):
        for k in (0, 1):
            product = x[:, i] * y[:, j] * found[:, k]
            out[:, 2 * m + k, 0] = np.bincount(row.reshape(-1), product, minlength=len(names))
    return out


def _sign_flips(sums: F64) -> tuple[Bools, float]:
    """Cells that stand out of all sign patterns, and the probability of the most extreme one."""
    power = (sums**2).sum(-1)
    tested = (power > 0).sum(0) >= MIN_SIGHTINGS
    if not tested.any():
        return tested, float("nan")
    scale = power[:, tested].sum(0)
    flat = sums[:, tested].reshape(len(sums), -1)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (FLIPS, len(sums)))
    signs[0] = 1  # the pattern that was seen counts as one of them
    moved = (signs @ flat).reshape(FLIPS, -1, 2)
    statistic = (moved**2).sum(-1) / scale
    extreme = statistic.max(1)
    out = np.zeros(len(tested), bool)
    out[tested] = statistic[0] > np.quantile(extreme, 1 - LEVEL)
    return out, float((extreme >= extreme[0]).mean())


def _systematic(sums: F64, count: Ints) -> float:
    """Mean square of the cells' means, corners weighted alike, less what noise adds to it."""
    seen = (np.abs(sums).sum(-1) > 0).sum(0)
    use = seen >= SIZED_SIGHTINGS
    if not use.any():
        return 0.0
    n, s = count[use].astype(float), seen[use]
    mean = sums[:, use].sum(0) / n[:, None]
    # variance of the total, from the spread of the sightings' sums about their share of the mean
    noise = ((sums[:, use] ** 2).sum((0, 2)) - (sums[:, use].sum(0) ** 2).sum(-1) / s) * s / (s - 1)
    bias = np.maximum(noise, 0) / n**2
    return max(float((n * ((mean**2).sum(-1) - bias)).sum() / n.sum()), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardShape:
    """How far a board's corners lie off the shape that its file states.

    Parameters
    ----------
    height
        Towards the reader of the print, shape (C,), unit of the rig; NaN where it is not known.
    p_value
        Probability that noise alone raises a corner as far; NaN where too little was seen.
    share
        Of the squared error of all corners that the heights explain, 0 to 1.
    """

    height: F64
    p_value: float
    share: float

    @property
    def bent(self) -> bool:
        """Whether the board is not flat (or not as modelled), beyond noise."""
        return bool(self.p_value <= LEVEL and self.share > 0)


def board_shape(evidence: Evidence, kind: int = 0) -> BoardShape:
    """Estimate the height of each corner from residuals along the board's normal.

    The poses of the boards have already been fitted to a board without these heights and hide a
    part of them, so that the true ones are larger. Witnesses are board poses, not sightings: all
    cameras that see one share its pose.
    """
    pose = evidence.pose[evidence.sighting]
    use = evidence.inlier & np.isfinite(evidence.residual_px).all(-1) & (pose >= 0)
    use &= evidence.kind[np.maximum(pose, 0)] == kind if len(evidence.kind) else False
    at = np.flatnonzero(use)
    count = len(evidence.points[kind])
    if not at.size:
        return BoardShape(height=np.full(count, np.nan), p_value=float("nan"), share=0.0)
    along = _along_normal(evidence, at)
    weight = 1 / evidence.noise_px[evidence.corner_view[at]] ** 2
    found = evidence.residual_px[at]  # predicted minus found: towards the reader, against z
    corner = evidence.corner[at]
    pull = weight * (along * found).sum(-1)
    hold = np.bincount(corner, weight * (along**2).sum(-1), minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        height = np.bincount(corner, pull, minlength=count) / hold
    sums = _sighting_sums(corner, pose[at], np.stack([pull, 0 * pull], -1), count)
    _, p_value = _sign_flips(sums)
    own = np.bincount(corner, minlength=count)
    explained = np.nansum(height**2 * hold) - (own > 0).sum()  # one degree of freedom a corner
    square = float((weight[:, None] * found**2).sum())
    return BoardShape(
        height=np.asarray(height),
        p_value=p_value,
        share=float(np.clip(explained / square, 0, 1)) if square else 0.0,
    )


def _along_normal(evidence: Evidence, at: Ints) -> F64:
    """Motion in the picture of corners that move along their board's z, shape (n, 2), px / unit."""
    out = np.zeros((len(at), 2))
    view, pose = evidence.corner_view[at], evidence.pose[evidence.sighting[at]]
    for v, camera in enumerate(evidence.rig.cameras):
        mine = view == v
        lens, R = camera.intrinsics, camera.cam_from_world.R
        xyz = camera.cam_from_world.apply(evidence.xyz_corner[at[mine]])
        _, J = project_jacobian(xyz, lens.K, lens.dist, lens.model)
        normal = evidence.pose_R[pose[mine]][:, :, 2] @ R.T
        out[mine] = np.einsum("nij,nj->ni", J, normal)
    return np.nan_to_num(out)
