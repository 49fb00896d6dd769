"""2D tracks that can be read at shifted times: the parabola through the three nearest samples.

Between two samples a plain average would halve the noise, and an estimate that minimises errors
would be drawn to half frames; a parabola keeps nearly all of it and follows curved paths.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray, as_f64, check_shapes
from multiview.errors import ShapeError
from multiview.geometry.median import median_of

__all__ = ["Tracks"]

# Neighbours further apart than this many frame intervals say nothing of the velocity between them.
LARGEST_GAP = 1.5
# Ways of a still thing exceed three spreads in 1.1 % of its samples (Rayleigh): so much is rest.
MOVING_SHARE = 0.05
# A reading may lie this far from the nearest sample, in intervals: half, and room for jitter.
REACH = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """Points followed over a take by several cameras.

    Parameters
    ----------
    xy_px
        Recorded pixels, shape (V, F, N, 2); NaN where not seen.
    times
        Stamps of the pictures, seconds, shape (V, F); NaN where a camera has none.
    reach
        Samples to either side that a velocity is taken from: 1 for sharp points (the parabola),
        more for noisy ones (the straight line that fits best), so that noise is no motion.
    bodies
        Bodies that the points belong to, in equal shares.

    Attributes
    ----------
    velocity, acceleration
        Of every sample, px/s and px/s^2, shape (V, F, N, 2).
    interval_s
        Median time between pictures; NaN with fewer than two.
    set_times
        Time of each set, the median of its pictures', shape (F,), seconds.
    """

    xy_px: F64
    times: F64
    reach: int = 1
    bodies: int = 1
    velocity: F64 = field(init=False)
    acceleration: F64 = field(init=False)
    interval_s: float = field(init=False)
    set_times: F64 = field(init=False)

    def __post_init__(self) -> None:
        xy, times = as_f64(self.xy_px, "xy_px"), as_f64(self.times, "times")
        check_shapes("Tracks", {"xy_px": (xy, "V F N 2"), "times": (times, "V F")})
        interval = _interval(times)
        if times.shape[1] > 1 and not interval > 0:
            raise ShapeError("Tracks.times do not rise", "give seconds that rise along axis F")
        if self.reach > 1:
            velocity = _slopes(xy, times, interval, self.reach)
            acceleration = np.zeros_like(velocity)
        else:
            velocity, acceleration = _derivatives(xy, times, interval)
        object.__setattr__(self, "velocity", velocity)
        object.__setattr__(self, "acceleration", acceleration)
        object.__setattr__(self, "interval_s", interval)
        object.__setattr__(self, "set_times", median_of(times, 0))

    def read(self, view: int, shift_s: F64) -> tuple[F64, F64]:
        """Pixels and velocities (F, N, 2) of one camera, whose stamps are late by ``-shift_s``.

        Parameters
        ----------
        view
            Position on axis V.
        shift_s
            Added to the stamps to get the true times, shape (F,), seconds.
        """
        stamps = self.times[view]
        wanted = self.set_times - shift_s
        known = np.flatnonzero(np.isfinite(stamps) & np.isfinite(self.xy_px[view]).any((1, 2)))
        xy, velocity = self.xy_px[view], self.velocity[view]
        if not known.size or (np.isfinite(stamps) & (wanted == stamps))[known].all():
            return xy, np.nan_to_num(velocity)
        at = known[_nearest(stamps[known], wanted)]
        late = wanted - stamps[at]
        late[~(np.abs(late) <= REACH * self.interval_s)] = np.nan
        # without a known velocity a sample stands for the time it was taken at
        late = late[:, None, None]
        speed = np.nan_to_num(velocity[at])
        bend = np.nan_to_num(self.acceleration[view][at])
        return xy[at] + (speed + bend * late / 2) * late, speed + bend * np.nan_to_num(late)

    def smooth(self, noise_px: F64) -> bool:
        """Whether the motion is resolved by the frame rate.

        It is if samples lie nearer to the middle of their neighbours than these are apart, in the
        median over all cameras; still things and independent poses, filmed one by one, do not.
        """
        V, F, _, _ = self.xy_px.shape
        points = self.xy_px.reshape(V, F, self.bodies, -1, 2)
        before, here, after = points[:, :-2], points[:, 1:-1], points[:, 2:]
        seen = np.asarray(np.isfinite(before + here + after).all(-1), np.bool_)
        count = np.maximum(seen.sum(-1), 1)
        bend = _body_mean(here - (before + after) / 2, seen, count)
        way = _body_mean(after - before, seen, count)
        # below three spreads of its difference a way is noise
        noise = np.sqrt(2 / count) * noise_px[:, None, None]
        moves = np.asarray(seen.any(-1) & (way > 3 * noise), np.bool_)
        if moves.sum() <= MOVING_SHARE * seen.any(-1).sum():
            return False
        return bool(np.median(bend[moves] / way[moves]) < 0.5)


def _body_mean(vector: F64, seen: BoolArray, count: IntArray) -> F64:
    """Length of the mean over each body's points (V, F, B, n, 2)."""
    total = np.where(seen[..., None], np.nan_to_num(vector), 0.0).sum(-2)
    return np.asarray(np.linalg.norm(total / count[..., None], axis=-1))


def _interval(times: F64) -> float:
    """Median time between pictures of a camera, seconds; NaN with fewer than two."""
    steps = np.diff(times, axis=1)
    steps = steps[np.isfinite(steps)]
    return float(np.median(steps)) if steps.size else float("nan")


def _nearest(stamps: F64, wanted: F64) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    right = np.searchsorted(stamps, wanted).clip(0, len(stamps) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.abs(wanted - stamps[left]) <= np.abs(stamps[right] - wanted)
    return np.asarray(np.where(nearer, left, right), np.int64)


def _derivatives(xy_px: F64, times: F64, interval_s: float) -> tuple[F64, F64]:
    """Velocity (px/s) and acceleration (px/s^2) of every sample, shapes (V, F, N, 2).

    Of the parabola through a sample and its neighbours; at the ends of a track the one-sided
    difference and NaN; both NaN where no neighbour was seen.
    """
    out = np.full(xy_px.shape, np.nan)
    if xy_px.shape[1] < 2:
        return out, out
    step = np.diff(times, axis=1)
    step[~((step > 0) & (step <= LARGEST_GAP * interval_s))] = np.nan
    step = step[..., None, None]
    slope = np.diff(xy_px, axis=1) / step
    none = np.full_like(slope[:, :1], np.nan)
    ahead, behind = np.concatenate([slope, none], axis=1), np.concatenate([none, slope], axis=1)
    gap = np.full_like(step[:, :1], np.nan)
    after, before = np.concatenate([step, gap], axis=1), np.concatenate([gap, step], axis=1)
    both = (ahead * before + behind * after) / (before + after)
    one = np.where(np.isnan(ahead), behind, ahead)
    bend = 2 * (ahead - behind) / (before + after)
    return np.where(np.isnan(both), one, both), np.asarray(bend)


def _slopes(xy_px: F64, times: F64, interval_s: float, reach: int) -> F64:
    """Slope of the best straight line through a sample and its neighbours, px/s; NaN if too few."""
    F = xy_px.shape[1]
    n, st, stt = (np.zeros(xy_px.shape[:3]) for _ in range(3))
    sx, stx = np.zeros(xy_px.shape), np.zeros(xy_px.shape)
    for k in range(-min(reach, F - 1), min(reach, F - 1) + 1):
        here, there = slice(max(0, -k), F - max(0, k)), slice(max(0, k), F + min(0, k))
        late = np.full(times.shape, np.nan)
        late[:, here] = times[:, there] - times[:, here]
        late[~(np.abs(late) <= (reach + 0.5) * interval_s)] = np.nan
        x = np.full(xy_px.shape, np.nan)
        x[:, here] = xy_px[:, there]
        ok = np.isfinite(x[..., 0]) & np.isfinite(late)[..., None]
        t = np.where(ok, late[..., None], 0.0)
        x = np.where(ok[..., None], x, 0.0)
        n, st, stt = n + ok, st + t, stt + t * t
        sx, stx = sx + x, stx + t[..., None] * x
    # half of the window on each side, or the line leans on one end
    enough = (n > reach) & (stt * n - st * st > 0)
    spread = np.where(enough, stt * n - st * st, np.nan)[..., None]
    return np.asarray((stx * n[..., None] - st[..., None] * sx) / spread)
