"""Expected 3D error over the capture volume of a real rig, with a detector that misses.

Which views hit is drawn: all subsets of few cameras, a fixed sample of those of many. For every
subset the covariance is that of least squares, ``(sum J^T J / s^2)^-1`` over the views that hit and
have the point inside their picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.bootstrap.planner import Detector
from multiview.core import Camera, Rig
from multiview.errors import InputError
from multiview.geometry.project import project_jacobian
from multiview.geometry.uncertainty import rig_part

__all__ = ["Box", "ErrorMap", "Hits", "draw_hits", "error_map", "seen_box", "view_information"]

# Positions on the grid of a map; subsets of hitting views that stand for all.
POSITIONS, DRAWS = 1500, 128
# Rigs of up to this many cameras: every subset, with its probability.
FEW = 7
# Steps along each axis in which the common view of the cameras is looked for, and the share of
# their distance within which nothing is filmed because it is too near.
STEPS, NEAR = 24, 0.2
# Parts of the seen cells cut off at both ends of each axis: the thin tips of where frusta meet.
TIPS = 0.02
# Rows and columns of the six numbers of a symmetric matrix.
ROW, COL = np.triu_indices(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A box along the axes of the rig's world, rig units; ``low`` and ``high`` of shape (3,)."""

    low: F64
    high: F64

    def __post_init__(self) -> None:
        low, high = np.asarray(self.low, np.float64), np.asarray(self.high, np.float64)
        good = low.shape == high.shape == (3,) and np.isfinite([low, high]).all()
        if not good or (high < low).any() or not (high > low).any():
            raise InputError(
                f"a volume from {low.tolist()} to {high.tolist()} is no box",
                "give x0 x1 y0 y1 z0 z1 with each first below its second, in the rig's unit",
            )
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @property
    def centre(self) -> F64:
        """Middle, shape (3,)."""
        return np.asarray((self.low + self.high) / 2)

    def grid(self, positions: int) -> tuple[F64, tuple[int, int, int]]:
        """Return about so many positions (N, 3) in cubic cells, and their number on each axis."""
        size = self.high - self.low
        solid = size > 0
        step = (size[solid].prod() / positions) ** (1 / solid.sum())
        count = np.where(solid, np.maximum(2, np.rint(size / step)), 1).astype(int)
        axes = [
            low + (np.arange(n) + 0.5) / n * (high - low)
            for low, high, n in zip(self.low, self.high, count, strict=True)
        ]
        xyz = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        return xyz, (int(count[0]), int(count[1]), int(count[2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """Subsets of views that hit: shape (S, V), and the probability of each, shape (S,)."""

    hit: BoolArray
    weight: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorMap:
    """What to expect at N positions.

    Parameters
    ----------
    xyz, shape
        Positions (N, 3), rig units, and their number along each axis.
    views, agree
        Cameras with the position in their picture, and how many of these must agree, shape (N,).
    found
        Probability that a keypoint there is found, shape (N,).
    rms
        3D error of one that is found, root mean square, rig units, shape (N,); NaN where none is.
    cov
        Covariance of one that is found, shape (N, 3, 3): detector and rig.
    rms_rig
        The part of the rig's own covariance in `rms`; 0 where it is not known.
    error, weight
        Error with every subset of hitting views, shape (N, S), inf where it is not found, and the
        probability of the subset, shape (S,).
    """

    xyz: F64
    shape: tuple[int, int, int]
    views: IntArray
    agree: IntArray
    found: F64
    rms: F64
    cov: F64
    rms_rig: F64
    error: F64
    weight: F64

    def quantile(self, share: float) -> float:
        """Error that this share of all keypoints in the volume stays below; missing ones are inf.

        All positions count alike.
        """
        return weighted_quantile(self.error, self.weight, share)

    def covered(self, cameras: int) -> float:
        """Share of the volume that at least so many cameras see: 2 give a point, 3 a vote."""
        return float((self.views >= cameras).mean())

    @property
    def worst_direction(self) -> F64:
        """Unit vector of the largest error at every position, shape (N, 3)."""
        known = np.isfinite(self.cov).all((-1, -2))
        out = np.full((len(self.cov), 3), np.nan)
        out[known] = np.linalg.eigh(self.cov[known])[1][..., -1]
        return out

    @property
    def elongation(self) -> F64:
        """Largest over smallest standard deviation at every position, shape (N,)."""
        known = np.isfinite(self.cov).all((-1, -2))
        out = np.full(len(self.cov), np.nan)
        values = np.linalg.eigvalsh(self.cov[known])
        out[known] = np.sqrt(values[:, -1] / np.maximum(values[:, 0], 1e-300))
        return out


def weighted_quantile(error: F64, weight: F64, share: float) -> float:
    """Value that a share of all (N, S) stay below, columns weighted (S,)."""
    flat = error.ravel()
    if (weight == weight[0]).all():
        at = max(int(np.ceil(share * flat.size * (1 - 1e-12))) - 1, 0)
        return float(np.partition(flat, at)[at])
    order = np.argsort(flat, kind="stable")
    total = np.cumsum(np.tile(weight, len(error))[order])
    at = int(np.searchsorted(total, share * total[-1] * (1 - 1e-12)))
    return float(flat[order[min(at, len(flat) - 1)]])


def draw_hits(views: int, rate: float) -> Hits:
    """Take all subsets of up to 7 views with their probabilities, or 128 drawn ones."""
    if views <= FEW:
        hit = np.array(list(product((False, True), repeat=views)))
        count = hit.sum(1)
        return Hits(hit=hit, weight=rate**count * (1 - rate) ** (views - count))
    rng = np.random.default_rng(0)
    # every camera hits in its share of the draws exactly, in an order of its own
    ranks = np.stack([rng.permutation(DRAWS) for _ in range(views)], axis=1)
    return Hits(hit=(ranks + 0.5) / DRAWS < rate, weight=np.full(DRAWS, 1 / DRAWS))


def view_information(camera: Camera, xyz: F64, noise_px: float) -> tuple[F64, BoolArray]:
    """Return what a camera tells of positions, ``J^T J / s^2`` (N, 6), and if it sees them (N,).

    Zero where the position is outside the picture (as recorded, with distortion) or behind.
    """
    lens = camera.intrinsics
    xy, by_cam = project_jacobian(camera.cam_from_world.apply(xyz), lens.K, lens.dist, lens.model)
    inside = np.all((xy > -0.5) & (xy < np.array(lens.size_wh) - 0.5), axis=-1)
    J = np.where(inside[:, None, None], by_cam @ camera.cam_from_world.R, 0.0) / noise_px
    return np.asarray((J[:, :, ROW] * J[:, :, COL]).sum(1)), np.asarray(inside, np.bool_)


def trace_of_inverse(H: F64) -> F64:
    """Trace of the inverse of symmetric matrices given as six numbers (..., 6); inf if singular."""
    a, b, c, d, e, f = np.moveaxis(H, -1, 0)
    xx, yy, zz = d * f - e * e, a * f - c * c, a * d - b * b
    det = a * xx - b * (b * f - c * e) + c * (b * e - c * d)
    # a determinant that is rounding of its own terms
    good = det > 1e-12 * a * d * f
    return np.asarray(np.where(good, (xx + yy + zz) / np.where(good, det, 1.0), np.inf))


def needed_views(detector: Detector, most: int, allowed: float) -> IntArray:
    """How many of 0, 1, ... ``most`` views must agree; 2 of 2, where no vote is possible."""
    return np.array([detector.agree(max(v, 2), allowed) for v in range(most + 1)])


def error_map(
    rig: Rig, box: Box, detector: Detector, allowed: float = 0.01, positions: int = POSITIONS
) -> ErrorMap:
    """Expect an error at positions over a volume.

    The detector's ``rate`` holds in every view that has the position in its picture, one view
    apart from the other; hands are points.

    Parameters
    ----------
    rig
        V cameras; its covariance, where known, adds to the points'.
    box
        The volume.
    detector, allowed
        As in `multiview.bootstrap.planner.plan_views`.
    positions
        About how many.
    """
    xyz, shape = box.grid(positions)
    told = [view_information(c, xyz, detector.noise) for c in rig.cameras]
    info, seen = np.stack([i for i, _ in told]), np.stack([s for _, s in told])
    hits = draw_hits(len(rig.cameras), detector.rate)
    views = seen.sum(0)
    agree = needed_views(detector, len(rig.cameras), allowed)[views]
    by_rig = rig_part(rig, xyz, seen, np.full(len(rig.cameras), detector.noise))
    by_rig[views < 2] = 0.0
    error, cov = np.empty((len(xyz), len(hits.weight))), by_rig.copy()
    for n in range(len(xyz)):
        H = hits.hit @ info[:, n]
        enough = hits.hit @ seen[:, n].astype(np.int64) >= agree[n]
        square = np.where(enough, trace_of_inverse(H), np.inf) + np.trace(by_rig[n])
        error[n] = np.sqrt(square)
        cov[n] += _mean_inverse(H, hits.weight, np.isfinite(square))
    found = np.isfinite(error) @ hits.weight
    return ErrorMap(
        xyz=xyz,
        shape=shape,
        views=views,
        agree=agree,
        found=found,
        rms=np.sqrt(np.trace(cov, axis1=1, axis2=2)),
        cov=cov,
        rms_rig=np.sqrt(np.trace(by_rig, axis1=1, axis2=2)),
        error=error,
        weight=hits.weight,
    )


def _mean_inverse(H: F64, weight: F64, use: BoolArray) -> F64:
    """Weighted mean of the inverses of those used; NaN if there are none."""
    if not weight[use].sum() > 0:
        return np.full((3, 3), np.nan)
    full = np.empty((int(use.sum()), 3, 3))
    full[:, ROW, COL] = full[:, COL, ROW] = H[use]
    return np.asarray(np.average(np.linalg.inv(full), axis=0, weights=weight[use]))


def seen_box(rig: Rig) -> Box:
    """Box around what half as many cameras see as see the best place, and at least three.

    Looked for near where the cameras look; two cameras are enough for a rig of two.

    Raises
    ------
    InputError
        If the cameras have no view in common.
    """
    middle, reach = _common_target(rig)
    steps = np.linspace(-reach, reach, STEPS)
    xyz = middle + np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    away = np.linalg.norm(xyz[:, None] - rig.centres_world, axis=-1).min(1)
    xyz = xyz[(np.linalg.norm(xyz - middle, axis=-1) < reach) & (away > NEAR * reach)]
    seen = np.stack([view_information(c, xyz, 1.0)[1] for c in rig.cameras]).sum(0)
    need = max(min(3, len(rig.cameras)), -(-int(seen.max(initial=0)) // 2))
    cells = xyz[seen >= need]
    if len(cells) < 2:
        raise InputError(
            f"no place near {np.round(middle, 2).tolist()} is in the pictures of {need} cameras",
            "give the volume: --volume x0 x1 y0 y1 z0 z1 in the rig's unit",
        )
    low, high = np.quantile(cells, [TIPS, 1 - TIPS], axis=0)
    half = reach / (STEPS - 1)
    return Box(low=low - half, high=high + half)


def _common_target(rig: Rig) -> tuple[F64, float]:
    """Point nearest to all optical axes, shape (3,), and the cameras' median distance to it."""
    axes = rig.cam_from_world[0][:, 2]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    H = across.sum(0)
    if len(axes) < 2 or np.linalg.cond(H) > 1e6:
        raise InputError(
            "the cameras look in parallel: no point in front of them is their common target",
            "give the volume: --volume x0 x1 y0 y1 z0 z1 in the rig's unit",
        )
    middle = np.linalg.solve(H, np.einsum("vij,vj->i", across, rig.centres_world))
    reach = float(np.median(np.linalg.norm(rig.centres_world - middle, axis=-1)))
    return np.asarray(middle), reach
