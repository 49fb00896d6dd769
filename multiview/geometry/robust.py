"""Robust triangulation of single keypoints: no threshold to choose, and a covariance for each.

The noise of the detector is measured on the data first (`multiview.geometry.noise`); a view agrees
within 3.7 standard deviations, which a right one exceeds once in a thousand times. How many views
must agree follows from how often they do (`multiview.geometry.agreement`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray, as_f64, check_shapes
from multiview.core import Rig
from multiview.errors import ShapeError
from multiview.geometry.agreement import GRID, PAIR_CHI2, Agreement, measure_agreement
from multiview.geometry.coarser import search_coarser
from multiview.geometry.noise import measure_noise
from multiview.geometry.spread import scale_prior
from multiview.geometry.threads import over_blocks

__all__ = ["LIMIT", "RobustPoints", "Search", "TakeModel", "stop_ranks", "triangulate_points"]

# A right detection is farther off than this many standard deviations once in ten thousand times.
LIMIT = float(np.sqrt(-2 * np.log(1e-4)))
# A detection that noise carried over the edge of the picture is still one.
MARGIN_PX = 16.0
# Half of the squared limit: weights fall from 2.6 standard deviations on, where 3 % of the right
# ones lie. Costs 0.3 % of accuracy and takes most of the pull of wrong ones near the limit.
SOFT = 0.5
# Chance that a point with one more agreeing view than the best was missed, if the confidences rank
# the views by chance (they do better).
MISS = 1e-4
# Pairs among this many views at most (2016): of hundreds of views 10 % may be right, and a point is
# missed once in 100 times.
MAX_RANK = 64
# Rays that meet at less say nothing about depth; those at more than the second are tried first.
LEAST_ANGLE, WIDE_ANGLE = np.deg2rad(1.5), np.deg2rad(25.0)


@lru_cache(maxsize=16)
def stop_ranks(views: int, miss: float = MISS) -> IntArray:
    """Among how many of the best ranked views to try pairs.

    Parameters
    ----------
    views
        V.
    miss
        Chance that fewer than two of the agreeing views are among them, all orders being alike.

    Returns
    -------
    IntArray
        Shape (V + 1, V + 2): for m candidates of which k agree; 0 for k > m.
    """
    m, k = np.arange(views + 1)[:, None], np.arange(views + 2)[None]
    ranks = np.where(k <= m, np.minimum(m, MAX_RANK), 0)
    ranks[:, :2] = ranks[:, 2:3]
    open_ = k <= m
    for r in range(2, min(views, MAX_RANK)):
        with np.errstate(invalid="ignore"):  # r of m < r: NaN, which is not enough
            none = _log_choose(m - k, r) - _log_choose(m, r)
            one = _log_choose(m - k, r - 1) - _log_choose(m, r) + np.log(np.maximum(k, 1))
            enough = open_ & (np.exp(none) + np.exp(one) <= miss) & (r < m)
        ranks[enough & (k >= 2)] = r
        open_ = open_ & ~enough
    return np.ascontiguousarray(ranks.astype(np.int64))


def _log_choose(n: IntArray, r: int) -> F64:
    """Logarithm of binomials n over r; minus infinity where n < r."""
    from scipy.special import gammaln

    factorial = gammaln(np.arange(n.max(initial=0) + 1) + 1.0)
    safe = np.maximum(n, 0)
    value = factorial[safe] - gammaln(r + 1) - factorial[np.maximum(safe - r, 0)]
    return np.where(n >= r, value, -np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How the search is done.

    Parameters
    ----------
    min_conf
        Detections below this confidence are no candidates.
    length
        Least distance from the point, rig units, at which a view disagrees; 0 leaves that to the
        noise.
    bounds
        Detections outside the picture are no candidates.
    trust
        Two views alone make a point if it is right with this probability: a wrong one costs as much
        as four missing ones.
    spurious
        Chance agreements of three and more views allowed per point.
    min_views
        Agreeing views needed; 0 derives them from the data.
    workers
        Threads; 0 for all cores.
    """

    min_conf: float = 0.0
    length: float = 0.0
    bounds: bool = True
    trust: float = 0.8
    spurious: float = 0.01
    min_views: int = 0
    workers: int = 0

    def options(self, limits: F64 | None = None) -> F64:
        """As the compiled search takes them, with squared limits by confidence (`GRID` + 1,)."""
        angles = (np.cos(LEAST_ANGLE), np.cos(WIDE_ANGLE))
        limits = np.full(GRID + 1, LIMIT**2) if limits is None else limits
        margin = MARGIN_PX if self.bounds else 1e9
        return np.array([self.min_conf, self.length, SOFT, *angles, margin, *limits])


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeModel:
    """What a take says about its detector: parts of it are triangulated alike by the same one.

    Parameters
    ----------
    sigma
        Noise within which views agree, shape (V, 1), or (V, N) where it was given so.
    agreement
        How often views agree, and how many must.
    common, prior
        Variance of residuals over that noise, and how many degrees of freedom it counts for beside
        a point's own residuals (`multiview.geometry.spread.scale_prior`).
    usual
        Share of a group's points whose views hardly agree (`multiview.geometry.coarser`).
    """

    sigma: F64
    agreement: Agreement
    common: float = 1.0
    prior: float = 0.0
    usual: float = 0.0

    @property
    def sigma_px(self) -> F64:
        """Noise of one coordinate per camera, shape (V,)."""
        return np.asarray(np.median(self.sigma, axis=1) * np.sqrt(self.common))

    @property
    def limits(self) -> F64:
        """Squared limits of agreement by confidence, in units of the noise."""
        return self.agreement.limits(float(np.median(self.sigma)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustPoints:
    """Points and how far to believe them.

    Parameters
    ----------
    xyz
        Shape (N, 3), rig units; NaN where too few views agree.
    cov
        Covariances, shape (N, 3, 3), NaN where there is no point.
    inlier
        Views that agree, shape (V, N).
    candidates
        Views that were asked, shape (N,).
    trust
        Probability that the point is no chance agreement, shape (N,); NaN without a point.
    model
        What was measured first.
    """

    xyz: F64
    cov: F64
    inlier: BoolArray
    candidates: IntArray
    trust: F64
    model: TakeModel

    @property
    def sigma_px(self) -> F64:
        """Noise of one coordinate per camera, shape (V,)."""
        return self.model.sigma_px

    @property
    def agreement(self) -> Agreement:
        """How often views agree, and how many must."""
        return self.model.agreement


def triangulate_points(
    rig: Rig,
    xy_px: F64,
    conf: F64 | None = None,
    search: Search | None = None,
    *,
    sigma_px: F64 | float | None = None,
    groups: IntArray | None = None,
    model: TakeModel | None = None,
) -> RobustPoints:
    """Triangulate points that some views see wrongly or not at all.

    Parameters
    ----------
    rig
        V cameras.
    xy_px
        Recorded pixels, shape (V, N, 2); NaN where missing.
    conf
        Confidences, shape (V, N): they gate and rank, they do not weigh.
    search
        How.
    sigma_px
        Noise of a coordinate: one number, one a camera (V,), or one an observation (V, N); by
        default measured on the data.
    groups
        Number of every point's group, shape (N,): points of one group (a hand in a frame) may be
        noisier together (`multiview.geometry.coarser`). By default all are alike.
    model
        Of the take that these points are a part of; by default measured on them.

    Raises
    ------
    ShapeError
        If shapes do not fit or a given noise is not positive.
    """
    search = search or Search()
    xy = as_f64(xy_px, "xy_px")
    sizes = check_shapes("triangulate_points", {"xy_px": (xy, "V N 2")})
    if sizes["V"] != len(rig.cameras):
        raise ShapeError(
            f"xy_px has {sizes['V']} views, the rig {len(rig.cameras)} cameras",
            "give one row per camera of the rig, in its order",
        )
    sure = np.ones((sizes["V"], 1)) if conf is None else as_f64(conf, "conf")
    if conf is not None:
        check_shapes("triangulate_points", {"xy_px": (xy, "V N 2"), "conf": (sure, "V N")})
    from multiview.geometry.compiled.lens import pack_cameras

    task = _Task(rig, xy, sure, search, *pack_cameras(rig))
    if model is not None:
        return _judge(task, model, groups, pool=None)
    given = None if sigma_px is None else _given(sigma_px, xy)
    sample = measure_noise(rig, task.cameras, task.run, xy, given)
    tolerance = LIMIT * float(np.median(sample.sigma))
    sure = task.conf_of(sample.rows)
    agreement = measure_agreement(rig, sample, sure, tolerance, search.spurious)
    model = TakeModel(sigma=sample.sigma, agreement=agreement)
    return _judge(task, model, groups, pool=given is None)


def _given(sigma_px: F64 | float, xy: F64) -> F64:
    sigma = as_f64(sigma_px, "sigma_px")
    sigma = sigma.reshape(-1, 1) if sigma.ndim == 1 else sigma
    sigma = np.ascontiguousarray(
        np.broadcast_to(sigma, (len(xy), sigma.shape[1] if sigma.ndim == 2 else 1))
    )
    if sigma.shape[1] not in (1, xy.shape[1]) or not (sigma > 0).all():
        raise ShapeError(
            f"sigma_px has shape {np.shape(sigma_px)} or is not positive",
            "give pixels: one number, one per camera or one per observation",
        )
    return sigma


@dataclass(frozen=True, slots=True)
class _Task:
    rig: Rig
    xy: F64
    conf: F64
    search: Search
    cameras: F64
    curves: F64

    def conf_of(self, rows: IntArray) -> F64:
        """Confidences of some points, shape (V, n); NaN for what is no candidate."""
        conf = np.broadcast_to(self.conf, self.xy.shape[:2])[:, rows]
        seen = np.isfinite(self.xy[:, rows, 0]) & (conf >= self.search.min_conf)
        return np.where(seen, conf, np.nan)

    def run(
        self, sigma: F64, rows: IntArray | slice, limits: F64 | None = None
    ) -> tuple[F64, BoolArray, F64]:
        """Search some points with a noise (V, 1) or (V, N): xyz, inliers, statistics."""
        from multiview.geometry.compiled.polish import STATS
        from multiview.geometry.compiled.search import search_points

        xy = np.ascontiguousarray(self.xy[:, rows])
        conf, sigma = (
            x if x.shape[1] == 1 else np.ascontiguousarray(x[:, rows]) for x in (self.conf, sigma)
        )
        views, n = xy.shape[:2]
        xyz, stats = np.empty((n, 3)), np.empty((n, STATS))
        inlier = np.empty((views, n), np.bool_)
        options, ranks = self.search.options(limits), stop_ranks(views)
        given = (self.cameras, self.curves, xy, conf, sigma, options, ranks)
        over_blocks(
            lambda start, stop: search_points(*given, start, stop, xyz, inlier, stats),
            n,
            self.search.workers,
        )
        return xyz, inlier, stats


def _judge(
    task: _Task, model: TakeModel, groups: IntArray | None, *, pool: bool | None
) -> RobustPoints:
    """Search; take out points that too few views carry; say how sure the others are.

    ``pool``: whether the residuals correct the noise, or None where the model says how much.
    """
    from multiview.geometry.compiled.spread import accept_points, finish_points

    found = task.run(model.sigma, slice(None), model.limits)
    coarse, usual = np.empty(0), 0.0
    if groups is not None:
        limits = (LIMIT * float(np.median(model.sigma)), task.search.spurious)
        given = (task.run, model.sigma, model.agreement, limits, *found, groups)
        coarse, usual = search_coarser(*given, None if pool is not None else model.usual)
    (xyz, inlier, stats), n = found, len(found[0])
    search, agreement = task.search, model.agreement
    trust, keep = np.empty(n), np.empty(n, np.bool_)
    odds = agreement.rate_of_conf / (1 - agreement.rate_of_conf)
    least = np.array([search.min_conf, search.trust, PAIR_CHI2, search.min_views])
    told = (task.xy, task.conf, least, odds, agreement.pair_ratio, agreement.needed, stats, inlier)
    over_blocks(lambda a, b: accept_points(*told, a, b, trust, keep), n, search.workers)
    if pool is not None:
        plain = keep & ~np.isfinite(coarse) if coarse.size else keep
        common, prior = scale_prior(stats[:, 2], stats[:, 1], plain, pool=pool)
        model = replace(model, common=common, prior=prior, usual=usual)
    cov, scale = np.empty((n, 3, 3)), (model.common, model.prior, coarse)
    over_blocks(
        lambda a, b: finish_points(stats, *scale, a, b, xyz, cov, inlier, trust, keep),
        n,
        search.workers,
    )
    candidates = stats[:, 0].astype(np.int64)
    return RobustPoints(
        xyz=xyz, cov=cov, inlier=inlier, candidates=candidates, trust=trust, model=model
    )
