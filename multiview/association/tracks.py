"""Hands over time: who is who from frame to frame, and after an absence.

Each hand is predicted as a point whose velocity comes and goes (an Ornstein-Uhlenbeck process: its
spread grows with the square of a short time and with the root of a long one); every frame is one
global assignment of hands to predictions, by log-likelihood against being somebody new.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, IntArray, present

__all__ = ["MAX_GAP_S", "Look", "follow", "step_times"]

# A hand unseen for longer (a second away, and a frame of 10 Hz to either side) is somebody new
MAX_GAP_S = 1.2
# In palms (wrist to the farthest finger base, about 95 mm): standard deviation of a coordinate of
# a hand's velocity, 0.8 m/s (fast reaching peaks at 3 m/s), and how long it lasts.
SPEED, LASTS_S = 8.0, 0.25
# Noise of a palm's place that is not motion: triangulation, and turning by 10 rad/s at 30 Hz.
PLACE = 0.2
# Two hands of different people differ by a tenth in size (standard deviation of the logarithm,
# adults); the size of one hand as measured in a frame by less than that.
PEOPLE, MEASURED = 0.10, 0.06
# Somebody new may appear anywhere in the volume of the take, at least this many palms wide.
ROOM = 10.0
# A hand that left comes back ten times as often as a stranger's appears within the same second.
RETURN = float(np.log(10))
# How sure the opinions of a frame and of a track can make one of its side.
SURE_FRAME, SURE_TRACK = float(np.log(9)), float(np.log(99))
# Seconds between frames whose times are unknown.
UNKNOWN_STEP_S = 1 / 30


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen of R hands in F frames; NaN or 0 where there is none.

    Parameters
    ----------
    xyz
        Shape (F, R, K, 3); some may be grossly wrong.
    palm
        Keypoints of the rigid part, the wrist first: their extent is the unit of motion.
    size
        Logarithm of each hand's size, shape (F, R).
    opinion
        Log odds of a right hand, shape (F, R).
    """

    xyz: F64
    palm: list[int]
    size: F64
    opinion: F64


@dataclass(slots=True)
class _Track:
    """A hand being followed: its last points, motion, and what is known of it."""

    number: int
    time: float
    xyz: F64  # (K, 3)
    velocity: F64  # (3,)
    cov: F64  # (2, 2) of place and velocity, each coordinate alike
    opinion: float
    sizes: list[float]


def step_times(times: F64) -> F64:
    """Return a time for every frame (F,) from the pictures' (V, F): strictly increasing."""
    seen = np.isfinite(times)
    total = np.where(seen, times, 0).sum(0)
    mean = np.where(seen.any(0), total / np.maximum(seen.sum(0), 1), np.nan)
    known = np.flatnonzero(np.isfinite(mean))
    frames = np.arange(len(mean), dtype=np.float64)
    if len(known) < 2 or (np.diff(mean[known]) <= 0).any():
        return frames * UNKNOWN_STEP_S
    return np.asarray(np.interp(frames, known, mean[known]))


def follow(look: Look, times: F64) -> IntArray:
    """Give every hand a number that it keeps.

    Parameters
    ----------
    look
        F frames of R hands.
    times
        Seconds, shape (F,).

    Returns
    -------
    IntArray
        Shape (F, R), numbers in the order of appearance; -1 where there is no hand.
    """
    from scipy.optimize import linear_sum_assignment  # loaded where it is needed: help is fast

    there = np.asarray(present(look.xyz).any(-1), np.bool_)
    out = np.full(there.shape, -1, np.int64)
    scale, room = _scale(look)
    tracks: list[_Track] = []
    fresh = 0
    for f in np.flatnonzero(there.any(1)).tolist():
        now = float(times[f])
        tracks = [t for t in tracks if now - t.time <= MAX_GAP_S * (1 + 1e-6)]
        seen = np.flatnonzero(there[f])
        moved = [_predict(t, now, scale) for t in tracks]
        gain = _gains(tracks, moved, look, f, seen, scale, room)
        for i, j in zip(*linear_sum_assignment(-gain), strict=True):
            if gain[i, j] > 0:
                out[f, seen[j]] = tracks[i].number
                _update(tracks[i], moved[i], look, (f, int(seen[j])), now, scale)
        for r in seen[out[f, seen] < 0].tolist():
            tracks.append(_start(fresh, look, (f, r), now, scale))
            out[f, r], fresh = fresh, fresh + 1
    return out


def _scale(look: Look) -> tuple[float, float]:
    """Size of a palm, and logarithm of the volume in which hands appear."""
    wrist, bases = look.xyz[:, :, look.palm[:1]], look.xyz[:, :, look.palm[1:]]
    reach = np.linalg.norm(bases - wrist, axis=-1)
    some = reach[np.isfinite(reach)]
    scale = float(np.median(some)) if some.size else 1.0
    points = look.xyz[present(look.xyz)]
    extent = np.ptp(points, axis=0) if len(points) else np.zeros(3)
    return scale, float(np.log(np.maximum(extent, ROOM * scale)).sum())


def _predict(track: _Track, now: float, scale: float) -> tuple[F64, F64, F64]:
    """Points, velocity and covariance of a track at a later time."""
    dt = now - track.time
    a = float(np.exp(-dt / LASTS_S))
    step = np.array([[1.0, LASTS_S * (1 - a)], [0.0, a]])
    power = (SPEED * scale) ** 2
    place = LASTS_S**2 * (2 * dt / LASTS_S - 3 + 4 * a - a * a)
    noise = np.array([[place, LASTS_S * (1 - a) ** 2], [LASTS_S * (1 - a) ** 2, 1 - a * a]])
    xyz = track.xyz + step[0, 1] * track.velocity
    return xyz, a * track.velocity, step @ track.cov @ step.T + power * noise


def _gains(
    tracks: list[_Track],
    moved: list[tuple[F64, F64, F64]],
    look: Look,
    f: int,
    seen: IntArray,
    scale: float,
    room: float,
) -> F64:
    """Log-likelihood that a hand is a track's, over being new, shape (tracks, seen); at least 0."""
    if not tracks or not seen.size:
        return np.zeros((len(tracks), len(seen)))
    xyz = np.stack([m[0] for m in moved])
    d2 = ((look.xyz[f, seen] - xyz[:, None]) ** 2).sum(-1)
    common = np.isfinite(d2)
    count = common.sum(-1)
    # half of the points may be grossly wrong
    middle = np.nanmedian(np.where(count[..., None] > 0, d2, 0.0), axis=-1)
    variance = np.array([m[2][0, 0] for m in moved])[:, None] + (PLACE * scale) ** 2
    gain = RETURN + room - 1.5 * np.log(2 * np.pi * variance) - middle / (2 * variance)
    ours = np.array([np.clip(t.opinion, -SURE_TRACK, SURE_TRACK) for t in tracks])
    theirs = np.clip(look.opinion[f, seen], -SURE_FRAME, SURE_FRAME)
    gain += _side_gain(ours[:, None], theirs)
    gain += _size_gain(tracks, look.size[f, seen])
    return np.asarray(np.where(count > 0, np.maximum(gain, 0), 0))


def _side_gain(ours: F64, theirs: F64) -> F64:
    """Log-likelihood ratio of two log odds of "right" being of one hand, not of any two."""
    p, q = 1 / (1 + np.exp(-ours)), 1 / (1 + np.exp(-theirs))
    return np.asarray(np.log(2 * (p * q + (1 - p) * (1 - q))))


def _size_gain(tracks: list[_Track], sizes: F64) -> F64:
    """Log-likelihood ratio of two sizes being of one hand, not of two people's."""
    mean = np.array([np.median(t.sizes) if t.sizes else np.nan for t in tracks])[:, None]
    count = np.array([max(len(t.sizes), 1) for t in tracks])[:, None]
    same = MEASURED**2 * (1 + 1 / count)
    other = same + 2 * PEOPLE**2
    d2 = (sizes - mean) ** 2
    gain = 0.5 * np.log(other / same) + d2 / 2 * (1 / other - 1 / same)
    # a size that is wrong altogether (few bones seen) must not end a track
    return np.asarray(np.where(np.isfinite(gain), np.maximum(gain, -SURE_FRAME), 0.0))


def _update(
    track: _Track,
    moved: tuple[F64, F64, F64],
    look: Look,
    at: tuple[int, int],
    now: float,
    scale: float,
) -> None:
    """Kalman update of place and velocity by the median step of the common points."""
    xyz, velocity, cov = moved
    new = look.xyz[at]
    off = new - xyz
    common = present(off)
    mean = np.median(off[common], axis=0) if common.any() else np.zeros(3)
    gain = cov[:, 0] / (cov[0, 0] + (PLACE * scale) ** 2)
    track.velocity = velocity + gain[1] * mean
    track.cov = cov - np.outer(gain, cov[0])
    # points not seen now move with the others
    track.xyz = np.where(present(new)[:, None], new, xyz + mean)
    track.time = now
    track.opinion += float(look.opinion[at])
    if np.isfinite(look.size[at]):
        track.sizes = [*track.sizes[-30:], float(look.size[at])]


def _start(number: int, look: Look, at: tuple[int, int], now: float, scale: float) -> _Track:
    size = float(look.size[at])
    cov = np.diag([(PLACE * scale) ** 2, (SPEED * scale) ** 2])
    xyz, opinion = look.xyz[at].copy(), float(look.opinion[at])
    sizes = [size] if np.isfinite(size) else []
    return _Track(number, now, xyz, np.zeros(3), cov, opinion, sizes)
