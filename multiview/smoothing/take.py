"""Smoothing of a take: `smooth` and what it reports."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from multiview._shapes import F64, BoolArray
from multiview.association import as_triangulated
from multiview.core import Detections, Points3D, Rig, check_made_of
from multiview.errors import InputError
from multiview.geometry.refit import pixel_errors, refit
from multiview.geometry.uncertainty import rig_part
from multiview.smoothing.bones import bone_vectors, robust_sd
from multiview.smoothing.config import HandReport, SmoothingConfig, SmoothingReport
from multiview.smoothing.hand import Measured, Smoothed, smooth_hand

__all__ = ["frame_times", "smooth", "smooth_with_report"]

# Share of the frames whose lag is told apart: the fastest.
FAST = 0.05


def smooth(
    points: Points3D, dets: Detections, rig: Rig, config: SmoothingConfig | None = None
) -> Points3D:
    """Smooth triangulated points over time; see `smooth_with_report`."""
    return smooth_with_report(points, dets, rig, config)[0]


def smooth_with_report(
    points: Points3D, dets: Detections, rig: Rig, config: SmoothingConfig | None = None
) -> tuple[Points3D, SmoothingReport]:
    """Find the most probable paths given all views, the motion of the take, and its bones.

    Parameters
    ----------
    points
        Of `multiview.triangulate`; every slot of axis H is one hand all along.
    dets
        The detections they were made of.
    rig
        The rig they were made with.
    config
        Options.

    Returns
    -------
    points, report
        ``points.smoothing`` says how they were made; filled places are marked in
        ``points.filled``. Where a hand moves too fast for its path to tell anything, points are
        as measured.

    Raises
    ------
    InputError
        If the points are smoothed already, do not belong to the rig or the detections, times do not
        increase, or gaps are to be filled without a clock.
    """
    config = config or SmoothingConfig()
    rig = rig.select(points.camera_names)
    _check(points, dets, rig)
    dets = as_triangulated(dets, points, rig)
    times, clock = frame_times(dets)
    if config.fill_s and not clock:
        raise InputError(
            "the detections have no times, so a gap in seconds means nothing",
            "detect from a take with timestamps, or leave out fill_s",
        )
    hands, sigma = _measured(points, dets, rig, times, config)
    # blocks of 63 rows are too small for several threads
    with threadpool_limits(limits=1, user_api="blas"):
        done = [smooth_hand(hand, config, config.fill_s) for hand in hands]
    persistence = _persistence(hands, done, rig)
    out = _points(points, dets, rig, hands, done, sigma, persistence, config)
    report = SmoothingReport(
        hands=tuple(
            _told(points, out, h, *pair) for h, pair in enumerate(zip(hands, done, strict=True))
        ),
        sigma_px=tuple(float(s) for s in sigma),
        persistence=persistence,
        clock=clock,
    )
    return out, report


def frame_times(dets: Detections) -> tuple[F64, bool]:
    """Time of every frame set, shape (F,), and whether it is seconds: else frames are counted.

    Raises
    ------
    InputError
        If times do not increase.
    """
    have = np.isfinite(dets.times)
    count = have.sum(0)
    if not have.any():
        return dets.frame_ids.astype(np.float64), False
    times = np.where(have, dets.times, 0.0).sum(0) / np.maximum(count, 1)
    known = count > 0
    times = np.interp(dets.frame_ids, dets.frame_ids[known], times[known])
    bad = np.flatnonzero(~(np.diff(times) > 0))
    if bad.size:
        raise InputError(
            f"frame set {dets.frame_ids[bad[0] + 1]} is not later than {dets.frame_ids[bad[0]]}",
            "smoothing needs increasing times: check the timestamps of the videos",
        )
    return times, True


def _check(points: Points3D, dets: Detections, rig: Rig) -> None:
    if points.smoothing:
        raise InputError(
            f"these points are smoothed already ({points.smoothing})",
            "smooth the points of triangulate: twice takes the same views for new ones",
        )
    check_made_of(points, dets, rig, "give the rig file that triangulate used")


def _measured(
    points: Points3D, dets: Detections, rig: Rig, times: F64, config: SmoothingConfig
) -> tuple[list[Measured], F64]:
    """Points refitted without the rig's own doubt, which time does not reduce, and the noise."""
    shape = points.inlier.shape
    xy = np.where((dets.conf >= config.min_conf)[..., None], dets.xy_px, np.nan)
    use = points.inlier & np.isfinite(xy[..., 0])
    fit = refit(
        rig, points.xyz_world.reshape(-1, 3), xy.reshape(shape[0], -1, 2), use.reshape(shape[0], -1)
    )
    xyz, cov = fit.xyz.reshape(*shape[1:], 3), fit.cov.reshape(*shape[1:], 3, 3)
    inlier = fit.use.reshape(shape) & np.isfinite(xyz[..., 0])
    hands = [
        Measured(
            rig=rig,
            xy_px=xy[:, :, h],
            xyz=xyz[:, h],
            cov=cov[:, h],
            inlier=inlier[:, :, h],
            sigma_px=fit.sigma_px,
            times=times,
            skeleton=points.skeleton,
        )
        for h in range(shape[2])
    ]
    return hands, fit.sigma_px


def _persistence(hands: list[Measured], done: list[Smoothed], rig: Rig) -> float:
    """Correlation of a view's errors from a frame to the next, over all views that count."""
    both = same = 0.0
    for hand, path in zip(hands, done, strict=True):
        off = rig.project(path.xyz) - hand.xy_px
        off = np.where((path.inlier & np.isfinite(off[..., 0]))[..., None], off, 0.0)
        pair = off[:, 1:] * off[:, :-1]
        there = pair[..., 0] != 0
        both += float(pair.sum())
        same += float(((off[:, 1:] ** 2 + off[:, :-1] ** 2).sum(-1) * there).sum()) / 2
    return both / same if same > 0 else float("nan")


def _widening(before: F64, after: F64, persistence: float) -> F64:
    """By how much covariances grow for errors that persist, never beyond the measured point's."""
    rho = min(max(np.nan_to_num(persistence), 0.0), 0.99)
    ratio = np.einsum("...ii->...", before) / np.einsum("...ii->...", after)
    bound = np.where(np.isfinite(ratio), np.maximum(ratio, 1.0), np.inf)
    return np.asarray(np.minimum((1 + rho) / (1 - rho), bound))


def _points(
    points: Points3D,
    dets: Detections,
    rig: Rig,
    hands: list[Measured],
    done: list[Smoothed],
    sigma: F64,
    persistence: float,
    config: SmoothingConfig,
) -> Points3D:
    measured = np.stack([d.measured for d in done], 1)
    xyz, cov = np.stack([d.xyz for d in done], 1), np.stack([d.cov for d in done], 1)
    before = np.stack([h.cov for h in hands], 1)
    filled = np.isfinite(xyz[..., 0]) & ~measured
    filled &= _short(measured, hands[0].times, config.fill_s)
    valid = measured | filled
    inlier = np.stack([d.inlier for d in done], 2) & valid
    cov = cov * _widening(before, cov, persistence)[..., None, None]
    xyz = np.where(valid[..., None], xyz, np.nan)
    flat = inlier.reshape(len(inlier), -1)
    rig_cov = rig_part(rig, xyz.reshape(-1, 3), flat, sigma).reshape(cov.shape)
    cov = np.where(valid[..., None, None], cov + rig_cov, np.nan)
    xy = dets.xy_px.reshape(len(inlier), -1, 2)
    return replace(
        points,
        xyz_world=xyz,
        cov=cov,
        inlier=inlier,
        err_px=pixel_errors(rig, xyz.reshape(-1, 3), xy).reshape(inlier.shape),
        voted=inlier.sum(0) >= 3,
        filled=filled,
        smoothing=_words(config),
    )


def _words(config: SmoothingConfig) -> str:
    parts = ["over time, both ways", "bones kept" if config.bones else "without bones"]
    parts.append(f"gaps up to {config.fill_s:g} s filled" if config.fill_s else "no gap filled")
    return "; ".join(parts)


def _short(measured: BoolArray, times: F64, fill: float) -> BoolArray:
    """Places between measured ones that are at most so far apart, shape (F, H, K)."""
    out = np.zeros_like(measured)
    for h, k in np.ndindex(*measured.shape[1:]):
        seen = np.flatnonzero(measured[:, h, k])
        for a, b in pairwise(seen):
            out[a + 1 : b, h, k] = times[b] - times[a] <= fill * (1 + 1e-9)
    return out


def _told(points: Points3D, out: Points3D, h: int, hand: Measured, path: Smoothed) -> HandReport:
    """Numbers of a hand that need no truth."""
    m, name = path.measured, (points.hands[h] if points.hands else str(h))
    before, after = hand.cov[m], out.cov[:, h][m]
    var_a, var_b = (np.einsum("nii->n", c) / 3 for c in (before, after))
    shift = np.linalg.norm(path.xyz - hand.xyz, axis=-1)[m]
    v, speed = _velocity(path.xyz, hand.times)
    known = m & np.isfinite(speed)
    fast = known & (speed >= _quantile(speed[known], 1 - FAST))
    spread = [_bone_spread(x, points) for x in (hand.xyz, np.where(m[..., None], path.xyz, np.nan))]
    return HandReport(
        hand=name,
        points=int(m.sum()),
        filled=int(out.filled[:, h].sum()),
        rejected=int(path.rejected.sum()),
        readmitted=int((path.inlier & ~hand.inlier & m).sum()),
        noise=float(np.sqrt(_quantile(var_a, 0.5))),
        noise_after=float(np.sqrt(_quantile(var_b, 0.5))),
        shift=_quantile(shift, 0.5),
        frames_used=_quantile(var_a / var_b, 0.5),
        free=path.free,
        speed=_quantile(speed[known], 0.95),
        lag_s=_lag(hand.xyz, path.xyz, v, known),
        lag_fast_s=_lag(hand.xyz, path.xyz, v, fast),
        bone_spread=spread[0],
        bone_spread_after=spread[1],
    )


def _quantile(values: F64, share: float) -> float:
    return float(np.quantile(values, share)) if values.size else float("nan")


def _velocity(xyz: F64, times: F64) -> tuple[F64, F64]:
    """Velocity (F, K, 3) by central differences and speed (F, K); NaN at ends."""
    v = np.full_like(xyz, np.nan)
    v[1:-1] = (xyz[2:] - xyz[:-2]) / (times[2:] - times[:-2])[:, None, None]
    return v, np.linalg.norm(v, axis=-1)


def _lag(raw: F64, smoothed: F64, v: F64, on: BoolArray) -> float:
    """Time by which the smoothed path trails the measured one, least squares."""
    ahead, way = (raw - smoothed)[on], v[on]
    power = float((way**2).sum())
    return float((ahead * way).sum() / power) if power > 0 else float("nan")


def _bone_spread(xyz: F64, points: Points3D) -> float:
    length = bone_vectors(xyz, points.skeleton)[0]
    each = [x[np.isfinite(x)] for x in length.T]
    spread = [robust_sd(x) / float(np.median(x)) for x in each if x.size]
    return float(np.median(spread)) if spread else float("nan")
