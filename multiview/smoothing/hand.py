"""One hand of a take: from measured points to the most probable paths."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.core import Rig, Skeleton
from multiview.geometry.robust import LIMIT
from multiview.smoothing.bones import bone_vectors, measure_bones, robust_sd
from multiview.smoothing.config import SmoothingConfig
from multiview.smoothing.motion import LEVELS, measure_motion
from multiview.smoothing.path import ORDER, Views, find_path, runs

__all__ = ["Measured", "Smoothed", "smooth_hand"]

FIXED, OPEN = 1, 2  # as in geometry.compiled.path, which only a compiler can import
# Gaps, in frame intervals, through which a path goes on (places in it are only given if asked for).
BRIDGE = 8.0
# A stretch of fewer measured frames has no third difference to speak of.
LEAST_RUN = 5
# Windows overlap by this many half-widths of the widest smoother: its kernel is below 1e-6 there.
HALF_WIDTHS = 16
# Frames in a row over which a path is compared with what was measured, the chance of an alarm
# without cause, and rounds of giving way.
TOGETHER, CHANCE, DOUBTS = (1, 3, 9), 1e-4, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A hand as triangulated.

    Parameters
    ----------
    rig
        V cameras.
    xy_px
        Candidate observations, shape (V, F, K, 2); NaN where missing.
    xyz, cov
        Points (F, K, 3), NaN where missing, and covariances without the rig's own doubt.
    inlier
        Shape (V, F, K).
    sigma_px
        Shape (V,).
    times
        Shape (F,).
    skeleton
        Its bones.
    """

    rig: Rig
    xy_px: F64
    xyz: F64
    cov: F64
    inlier: BoolArray
    sigma_px: F64
    times: F64
    skeleton: Skeleton


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothed:
    """A hand's paths.

    Parameters
    ----------
    xyz, cov
        Shape (F, K, 3) and (F, K, 3, 3); NaN where there is no path.
    measured
        Where the triangulation's points stand behind them, shape (F, K).
    inlier
        Views that agree with the path, shape (V, F, K).
    rejected
        Points of two views that their bones showed to be wrong, shape (F, K).
    free
        Share of intervals without smoothing.
    """

    xyz: F64
    cov: F64
    measured: BoolArray
    inlier: BoolArray
    rejected: BoolArray
    free: float


def smooth_hand(hand: Measured, config: SmoothingConfig, fill: float) -> Smoothed:
    """Smooth one hand.

    Parameters
    ----------
    hand
        What was measured.
    config
        Options.
    fill
        Longest gap that will be filled, in the units of the times.
    """
    rejected = _rejected(hand)
    measured = np.isfinite(hand.xyz[..., 0]) & np.isfinite(hand.cov[..., 0, 0]) & ~rejected
    frames, k = measured.shape
    if measured.sum(0).max(initial=0) < LEAST_RUN:
        return _unchanged(hand, measured, rejected)
    usual = float(np.median(np.diff(hand.times)))
    gap = max(BRIDGE * usual, fill)
    active = _active(measured, hand.times, gap)
    unit, level = _levels(hand, measured, gap / usual)
    xyz = _bridged(hand.xyz, measured, active, hand.times)
    views, clock = _views(hand, measured, config), hand.times / usual
    overlap = int(np.ceil(HALF_WIDTHS * (10.0 ** level.min()) ** (-1 / (2 * ORDER))))
    for _ in range(DOUBTS):
        precision = _precision(clock, level, unit)
        path = find_path(views, xyz, active, clock, precision, None, overlap)
        missed = _missed(hand, measured, path.xyz)
        if not missed.any():
            break
        level, xyz = np.where(missed, np.log10(LEVELS[-1]), level), path.xyz
    if config.bones:
        ratio = np.einsum("fkii->fk", hand.cov) / np.einsum("fkii->fk", path.cov)
        pairs = zip(ratio.T, measured.T, strict=True)
        looks = np.array([np.median(x[m]) if m.any() else 1.0 for x, m in pairs])
        bones = measure_bones(path.xyz, path.cov, measured, hand.skeleton, looks)
        if bones is not None:
            path = find_path(views, path.xyz, active, clock, precision, bones, overlap)
    return Smoothed(
        xyz=np.where(active[..., None], path.xyz, np.nan),
        cov=np.where(active[..., None, None], path.cov, np.nan),
        measured=measured,
        inlier=path.weight.reshape(-1, frames, k) > 0,
        rejected=rejected,
        free=_free(level, active),
    )


def _unchanged(hand: Measured, measured: BoolArray, rejected: BoolArray) -> Smoothed:
    """Return a hand as it is: it was hardly seen."""
    return Smoothed(
        xyz=np.where(measured[..., None], hand.xyz, np.nan),
        cov=np.where(measured[..., None, None], hand.cov, np.nan),
        measured=measured,
        inlier=hand.inlier & measured,
        rejected=rejected,
        free=1.0,
    )


def _free(level: F64, active: BoolArray) -> float:
    """Share of intervals whose smoother looks less than half a frame far."""
    on = active[1:] & active[:-1]
    return float((level[on] > np.log10(2.0 ** (2 * ORDER))).mean()) if on.any() else float("nan")


def _rejected(hand: Measured) -> BoolArray:
    """Points of two views none of whose bones has its length: no third view could object."""
    length, u = bone_vectors(hand.xyz, hand.skeleton)
    wrong = np.zeros(hand.xyz.shape[:2], np.int64)
    bones = np.zeros_like(wrong)
    for i, (a, b) in enumerate(hand.skeleton.edges):
        on = np.isfinite(length[:, i])
        if on.sum() < LEAST_RUN:
            continue
        both = hand.cov[on, a] + hand.cov[on, b]
        noise = np.einsum("fi,fij,fj->f", u[on, i], both, u[on, i])
        own = length[on, i] - np.median(length[on, i])
        # how much the bone itself varies
        real = max(robust_sd(own) ** 2 - float(np.median(noise)), 0.0)
        off = own**2 > LIMIT**2 * (noise + real)
        for j in (a, b):
            bones[on, j] += 1
            wrong[on, j] += off
    return np.asarray((hand.inlier.sum(0) == 2) & (bones > 0) & (wrong == bones), np.bool_)


def _missed(hand: Measured, measured: BoolArray, path: F64) -> BoolArray:
    """Intervals (F - 1, K) beside frames where the path is not what was measured.

    Summed over `TOGETHER` frames, squared distances in units of the measured points' covariances
    are chi-square at most: the path follows the points.
    """
    from scipy.stats import chi2

    off = np.where(measured[..., None], hand.xyz - path, 0.0)
    cov = np.where(measured[..., None, None], hand.cov, np.eye(3))
    square = np.einsum("fki,fki->fk", off, np.linalg.solve(cov, off[..., None])[..., 0])
    out = np.zeros((len(off) - 1, off.shape[1]), np.bool_)
    for n in TOGETHER:
        total = np.stack([np.convolve(x, np.ones(n), "valid") for x in square.T], -1)
        for f, k in np.argwhere(total > chi2.isf(CHANCE, 3 * n)):
            out[max(f - 1, 0) : f + n, k] = True
    return out


def _active(measured: BoolArray, times: F64, gap: float) -> BoolArray:
    """Measured places and the short gaps between them, in stretches with enough to go on."""
    active = measured.copy()
    for k in range(measured.shape[1]):
        seen = np.flatnonzero(measured[:, k])
        for a, b in pairwise(seen):
            if b - a > 1 and times[b] - times[a] <= gap * (1 + 1e-9):
                active[a:b, k] = True
        for start, stop in runs(active[:, k]):
            if measured[start:stop, k].sum() < LEAST_RUN:
                active[start:stop, k] = measured[start:stop, k]
    return active


def _levels(hand: Measured, measured: BoolArray, gap: float) -> tuple[float, F64]:
    """Variance of the usual noise, and the logarithmic level of motion (F - 1, K)."""
    good = hand.cov[measured]
    unit = float(np.median(np.einsum("nii->n", good)) / 3)
    # axes in which the noise of the usual point is independent
    axes = np.linalg.eigh(np.median(good, axis=0))[1]
    z = np.where(measured[..., None], hand.xyz - np.median(hand.xyz[measured], 0), np.nan)
    r = np.einsum("ia,fkij,ja->fka", axes, hand.cov, axes)
    steps = np.diff(hand.times) / np.median(np.diff(hand.times))
    level = measure_motion(steps, z @ axes / np.sqrt(unit), r / unit, gap).level
    for k in range(level.shape[1]):
        seen = np.flatnonzero(measured[:, k])
        for a, b in pairwise(seen):
            if b - a > 1:  # it may have happened anywhere in the gap
                level[a:b, k] = level[a:b, k].max()
    return unit, level


def _precision(clock: F64, level: F64, unit: float) -> F64:
    """Weight of every third derivative: the liveliest interval in or beside it decides.

    A sudden stop lies within one interval but bends all differences that touch it.
    """
    n = len(clock) - ORDER
    wide = np.pad(level, ((1, 1), (0, 0)), mode="edge")
    top = np.maximum.reduce([wide[a : a + n] for a in range(ORDER + 2)])
    width = (clock[ORDER:] - clock[:-ORDER]) / ORDER
    return np.asarray(width[:, None] / (unit * 10.0**top))


def _bridged(xyz: F64, measured: BoolArray, active: BoolArray, times: F64) -> F64:
    """Start: straight lines through the gaps."""
    out = np.where(active[..., None], xyz, 0.0)
    for k in range(xyz.shape[1]):
        gap, seen = active[:, k] & ~measured[:, k], measured[:, k]
        for axis in range(3):
            out[gap, k, axis] = np.interp(times[gap], times[seen], xyz[seen, k, axis])
    return out


def _views(hand: Measured, measured: BoolArray, config: SmoothingConfig) -> Views:
    """Let the views of measured points count; others, as far as the path agrees with them."""
    seen = np.isfinite(hand.xy_px[..., 0])
    role = np.where(hand.inlier & measured, FIXED, OPEN if config.readmit else 0) * seen
    v = len(role)
    return Views(
        hand.rig,
        np.ascontiguousarray(hand.xy_px.reshape(v, -1, 2)),
        np.ascontiguousarray(hand.sigma_px),
        np.ascontiguousarray(role.reshape(v, -1).astype(np.int8)),
    )
