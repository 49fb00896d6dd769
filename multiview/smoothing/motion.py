"""How fast a point may change its acceleration, measured on its own path: a bank of filters.

Every keypoint is followed by Kalman filters of constant acceleration with white jerk, one a level
of its amplitude from "as good as still" to "as good as free", which share what they know at every
frame (interacting multiple models: Blom and Bar-Shalom, IEEE Transactions on Automatic Control
1988). The levels are in units of the measurement noise and the frame interval: no length and no
time is built in, so the unit of the rig changes nothing. How often each level occurs, and how often
the level changes, is estimated from the take by expectation maximisation.

The bank is causal: it is the live filter (`multiview.smoothing.live`). Of a whole take it runs in
both directions, and only its levels are used (`measure_motion`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from multiview._shapes import F64, BoolArray

__all__ = ["LEVELS", "Bank", "Habit", "Motion", "measure_motion"]

# Variance of a third difference of the path over that of the noise. A smoother of level L looks
# L^(-1/6) frames far: 46 at the first, where longer would not help any hand at any frame rate in
# use; at the last, a path that turns within a frame by 300 standard deviations is followed.
LEVELS = 10.0 ** np.arange(-10, 6)
# Variance of the first velocity and acceleration, noise standard deviations a frame: 1000 of them
# is 60 m/s at 2 mm and 30 frames a second, so that the start prefers nothing.
DIFFUSE = 1e6
# A level changes at least this often, per frame, whatever a calm take says: a first impact must
# find the bank ready. Costs less than 1 % of accuracy on calm takes.
LEAST_CHANGE = 0.01
FIRST_CHANGE = 0.05
# Frames whose levels are counted, and rounds of counting: the habit is a prior, frames decide.
HABIT_FRAMES, HABIT_ROUNDS = 1000, 3
# Frames of a stretch, on which single levels are compared: the widest smoother's half-width, and
# more.
STRETCH = 64
# A filter whose point is less likely than the bank's by this has lost it: the odds of a deviation
# of 4.3 standard deviations, the limit of triangulation.
LOST = -float(np.log(1e-4))


@dataclass(frozen=True, slots=True)
class Habit:
    """How a take moves.

    Parameters
    ----------
    share
        How often each level is chosen when the level changes, shape (L,), sums to 1.
    change
        Probability that the level changes from frame to frame.
    """

    share: F64 = field(default_factory=lambda: np.full(len(LEVELS), 1 / len(LEVELS)))
    change: float = FIRST_CHANGE


@dataclass(slots=True)
class Bank:
    """Filters of N points over L levels, in units of noise (length) and frame interval (time).

    Parameters
    ----------
    points
        N.
    habit
        Prior of the levels.
    """

    points: int
    habit: Habit = field(default_factory=Habit)
    mean: F64 = field(init=False)  # (L, N, axis, state)
    cov: F64 = field(init=False)  # (L, N, axis, state, state)
    prob: F64 = field(init=False)  # (L, N)
    predicted: F64 = field(init=False)  # (L, N)
    started: BoolArray = field(init=False)
    log: F64 = field(init=False)  # likelihood of the last measurement (L, N), logarithm

    def __post_init__(self) -> None:
        shape = (len(LEVELS), self.points, 3)
        self.mean, self.cov = np.zeros((*shape, 3)), np.zeros((*shape, 3, 3))
        self.prob = np.repeat(self.habit.share[:, None], self.points, 1)
        self.predicted = self.prob.copy()
        self.started = np.zeros(self.points, np.bool_)
        self.log = np.zeros((len(LEVELS), self.points))

    def step(self, dt: float, z: F64, r: F64) -> None:
        """Go on by a frame.

        Parameters
        ----------
        dt
            Frame intervals since the last call.
        z, r
            Measured places (N, 3) and their variances by axis (N, 3); NaN where there is none.
        """
        if self.habit.change > 0:
            self._mix(dt)
        self._predict(dt)
        seen = np.isfinite(z).all(-1) & np.isfinite(r).all(-1)
        old = seen & self.started
        self._update(np.where(old[:, None], z, 0.0), np.where(old[:, None], r, np.inf), old)
        self._start(seen & ~self.started, z, r)

    def forget(self, which: BoolArray) -> None:
        """Start these points (N,) afresh at their next measurement."""
        self.started &= ~which

    def blend(self) -> tuple[F64, F64]:
        """Mean (N, axis, state) and covariance (N, axis, state, state) over the levels."""
        mean = np.einsum("ln,lnas->nas", self.prob, self.mean)
        off = self.mean - mean
        spread = self.cov + off[..., :, None] * off[..., None, :]
        return mean, np.einsum("ln,lnast->nast", self.prob, spread)

    def _mix(self, dt: float) -> None:
        """Take over what other filters know, as far as the level may have changed to theirs."""
        change = 1 - (1 - self.habit.change) ** dt
        stay, come = (1 - change) * self.prob, change * self.habit.share[:, None]
        mean, cov = self.blend()
        self.predicted = stay + come
        own = (stay / np.maximum(self.predicted, 1e-300))[..., None, None]
        mixed = own * self.mean + (1 - own) * mean
        a, b = self.mean - mixed, mean - mixed
        own = own[..., None]
        self.cov = own * (self.cov + a[..., :, None] * a[..., None, :])
        self.cov += (1 - own) * (cov + b[..., :, None] * b[..., None, :])
        self.mean = mixed

    def _predict(self, dt: float) -> None:
        F = np.array([[1, dt, dt * dt / 2], [0, 1, dt], [0, 0, 1]])
        i = np.arange(3)
        # integral of the jerk's effect on place, velocity and acceleration over the interval
        power = 5.0 - i[:, None] - i
        own = np.array([2.0, 1.0, 1.0])
        Q = dt**power / (power * own[:, None] * own)
        self.mean = self.mean @ F.T
        self.cov = F @ self.cov @ F.T + LEVELS[:, None, None, None, None] * Q

    def _update(self, z: F64, r: F64, seen: BoolArray) -> None:
        off = z - self.mean[..., 0]
        total = self.cov[..., 0, 0] + r  # infinite where nothing is seen: no gain
        gain = self.cov[..., 0] / total[..., None]
        with np.errstate(invalid="ignore"):
            log = -0.5 * (np.log(total) + off**2 / total).sum(-1)
        log = np.where(seen, log, 0.0)
        self.log = log
        weight = self.predicted * np.exp(log - log.max(0))
        self.prob = weight / weight.sum(0)
        self.mean = self.mean + gain * off[..., None]
        self.cov = self.cov - gain[..., :, None] * self.cov[..., None, 0, :]

    def _start(self, new: BoolArray, z: F64, r: F64) -> None:
        if not new.any():
            return
        self.mean[:, new] = 0.0
        self.mean[..., 0][:, new] = z[new]
        self.cov[:, new] = np.diag([0.0, DIFFUSE, DIFFUSE])
        self.cov[..., 0, 0][:, new] = r[new]
        self.prob[:, new] = self.habit.share[:, None]
        self.started |= new


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """What the paths of a take are like.

    Parameters
    ----------
    level
        Logarithm (base 10) of the level in every interval between frames, shape (F - 1, N).
    usual
        That of most of the take, shape (N,): nothing is smoothed more than it allows.
    habit
        How often each occurs.
    """

    level: F64
    usual: F64
    habit: Habit


def measure_motion(steps: F64, z: F64, r: F64, gap: float) -> Motion:
    """Measure the level of motion along a take, the same seen forwards and backwards.

    Parameters
    ----------
    steps
        Time between frames in units of the usual one, shape (F - 1,).
    z, r
        Places and variances by axis, in units of the noise, shape (F, N, 3); NaN where missing.
    gap
        Points that were missing for longer than this (frame intervals) start afresh.
    """
    habit, some = Habit(), min(len(z), HABIT_FRAMES)
    first = (len(z) - some) // 2
    part = slice(first, first + some)
    inner = steps[first : first + some - 1]
    for _ in range(HABIT_ROUNDS):
        forth = _levels(inner, z[part], r[part], gap, habit)[1]
        back = _levels(inner[::-1], z[part][::-1], r[part][::-1], gap, habit)[1]
        habit = Habit((forth.share + back.share) / 2, (forth.change + back.change) / 2)
    first_way = _levels(steps, z, r, gap, habit)[0]
    other_way = _levels(steps[::-1], z[::-1], r[::-1], gap, habit)[0][::-1]
    # what starts suddenly is seen late by the one, what ends suddenly by the other
    usual = _usual(steps, z, r, gap, habit)
    return Motion(
        level=np.maximum(np.maximum(first_way, other_way), usual), usual=usual, habit=habit
    )


def _usual(steps: F64, z: F64, r: F64, gap: float, habit: Habit) -> F64:
    """Level that explains most of the take, for each point (N,): the most likely one of a stretch.

    Of single filters, which share nothing: one that goes on for long must pay for what it misses.
    The median over the stretches leaves bursts to the bank.
    """
    log = _likelihoods(steps, z, r, gap, habit)
    log += _likelihoods(steps[::-1], z[::-1], r[::-1], gap, habit)[::-1]
    parts = np.array_split(log / 2, max(len(z) // STRETCH, 1))
    best = []
    for part in parts:
        total = part.sum(0)
        weight = np.exp(total - total.max(0))
        best.append(np.log10(LEVELS) @ (weight / weight.sum(0)))
    return np.asarray(np.median(best, axis=0))


def _likelihoods(steps: F64, z: F64, r: F64, gap: float, habit: Habit) -> F64:
    """Logarithmic likelihood of every frame for single filters, shape (F, L, N).

    One that lost its point, in a burst, pays once a frame and goes on from where the bank is.
    """
    bank, single = Bank(z.shape[1], habit), Bank(z.shape[1], Habit(change=0.0))
    out = np.zeros((len(z), len(LEVELS), z.shape[1]))
    for f, _ in _run((bank, single), steps, z, r, gap):
        least = np.log((bank.predicted * np.exp(bank.log - bank.log.max(0))).sum(0))
        least += bank.log.max(0) - LOST
        lost = single.log < least
        mean, cov = bank.blend()
        single.mean = np.where(lost[..., None, None], mean, single.mean)
        single.cov = np.where(lost[..., None, None, None], cov, single.cov)
        out[f] = np.maximum(single.log, least)
    return out


def _run(
    banks: tuple[Bank, ...], steps: F64, z: F64, r: F64, gap: float
) -> Iterator[tuple[int, BoolArray]]:
    """Step through a take; yields frames and which points were followed."""
    unseen = np.zeros(z.shape[1])
    for f in range(len(z)):
        dt = float(steps[f - 1]) if f else 1.0
        seen = np.isfinite(z[f]).all(-1)
        unseen += dt
        followed = seen & banks[0].started & (unseen <= gap)
        for bank in banks:
            bank.forget(unseen > gap)
            bank.step(dt, z[f], r[f])
        unseen[seen] = 0
        yield f, followed


def _levels(steps: F64, z: F64, r: F64, gap: float, habit: Habit) -> tuple[F64, Habit]:
    """Mean level of every interval given the whole take, shape (F - 1, N), and the new habit."""
    bank = Bank(z.shape[1], habit)
    frames, n = z.shape[:2]
    prob, predicted = np.empty((frames, len(LEVELS), n)), np.empty((frames, len(LEVELS), n))
    moved = np.zeros((frames, n), np.bool_)
    for f, followed in _run((bank,), steps, z, r, gap):
        prob[f], predicted[f], moved[f] = bank.prob, bank.predicted, followed
    return _smooth_levels(steps, prob, predicted, moved, habit)


def _smooth_levels(
    steps: F64, prob: F64, predicted: F64, moved: BoolArray, habit: Habit
) -> tuple[F64, Habit]:
    frames, levels, n = prob.shape
    out = np.empty((frames - 1, n))
    after, chosen, told = prob[-1], np.zeros(levels), 0.0
    for f in range(frames - 1, 0, -1):
        out[f - 1] = np.log10(LEVELS) @ after
        change = 1 - (1 - habit.change) ** float(steps[f - 1])
        ratio = after / np.maximum(predicted[f], 1e-300)
        switched = change * habit.share[:, None] * ratio
        chosen += switched @ moved[f]
        told += moved[f].sum() * float(steps[f - 1])
        after = prob[f - 1] * ((1 - change) * ratio + switched.sum(0))
        after /= after.sum(0)
    # one switch to every level was seen before the take began
    share = (chosen + 1) / (chosen.sum() + levels)
    change = (chosen.sum() + 1) / (told + 1 / FIRST_CHANGE)
    return out, Habit(share, float(np.clip(change, LEAST_CHANGE, 0.5)))
