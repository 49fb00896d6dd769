"""A causal filter of one hand for live use: the bank of `multiview.smoothing.motion`, as it comes.

Lag. A filter that looks back only must wait to tell a turn from noise. Of constant acceleration it
trails nothing, whatever the level; of a sudden stop or turn it overshoots until the measurements
outweigh the path, which the bank's lively levels do within a frame or two once the turn is larger
than the noise. `lag_frames` says how far back the weights of the present mixture look.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from multiview._shapes import F64, BoolArray, as_f64, check_shapes
from multiview.errors import InputError
from multiview.smoothing.motion import LEVELS, Bank, Habit

__all__ = ["LiveSmoother"]


@dataclass(slots=True, kw_only=True)
class LiveSmoother:
    """Filter of one hand; call `update` once a frame set.

    Parameters
    ----------
    reset_s
        A keypoint that was missing for longer starts afresh.
    habit
        How often which level of motion occurs; by default all alike. That of a recorded take
        (`multiview.smoothing.motion.measure_motion`) suits the same people better.

    Raises
    ------
    InputError
        If ``reset_s`` is not positive.
    """

    reset_s: float = 0.25
    habit: Habit = field(default_factory=Habit)
    _bank: Bank | None = field(init=False, default=None)
    _time: float = field(init=False, default=np.nan)
    _interval: float = field(init=False, default=np.nan)
    _unit: float = field(init=False, default=np.nan)
    _axes: F64 = field(init=False, default_factory=lambda: np.eye(3))
    _origin: F64 = field(init=False, default_factory=lambda: np.zeros(3))
    _seen: F64 = field(init=False, default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if not self.reset_s > 0:
            raise InputError(f"reset_s is {self.reset_s}", "give seconds above 0")

    def update(self, time_s: float, xyz: F64, cov: F64) -> tuple[F64, F64]:
        """Filter the next frame set.

        Parameters
        ----------
        time_s
            When, later than the last call [s].
        xyz, cov
            Keypoints (K, 3) and their covariances (K, 3, 3), rig units; NaN where missing.

        Returns
        -------
        xyz, cov
            Filtered; NaN where missing: nothing is filled.

        Raises
        ------
        InputError
            If time does not go on or the number of keypoints has changed.
        """
        xyz, cov = as_f64(xyz, "xyz"), as_f64(cov, "cov")
        n = check_shapes("LiveSmoother", {"xyz": (xyz, "K 3"), "cov": (cov, "K 3 3")})["K"]
        seen: BoolArray = np.isfinite(np.concatenate([xyz, cov.reshape(n, 9)], 1)).all(-1)
        if self._bank is None and seen.any():
            self._begin(xyz[seen], cov[seen], n)
        if self._bank is None:
            return np.full_like(xyz, np.nan), np.full_like(cov, np.nan)
        step = 1.0 if np.isnan(self._time) else self._step(time_s)
        if n != self._bank.points:
            raise InputError(
                f"{n} keypoints after {self._bank.points}", "use one filter a hand and skeleton"
            )
        self._bank.forget(time_s - self._seen > self.reset_s)
        size = np.sqrt(self._unit)
        z = np.where(seen[:, None], (xyz - self._origin) @ self._axes / size, np.nan)
        r = np.einsum("ia,kij,ja->ka", self._axes, cov, self._axes) / self._unit
        self._bank.step(step, z, r)
        self._time = time_s
        self._seen[seen] = time_s
        mean, var = self._bank.blend()
        out = mean[..., 0] @ self._axes.T * size + self._origin
        own = np.einsum("ia,ka,ja->kij", self._axes, var[..., 0, 0], self._axes) * self._unit
        return np.where(seen[:, None], out, np.nan), np.where(seen[:, None, None], own, np.nan)

    @property
    def lag_frames(self) -> F64:
        """Half-width of each keypoint's smoother in frames, shape (K,): what a turn may wait for.

        Empty before the first measurement.
        """
        if self._bank is None:
            return np.empty(0)
        level = np.log10(LEVELS) @ self._bank.prob
        return np.asarray((10.0**level) ** (-1 / 6))

    def _begin(self, xyz: F64, cov: F64, n: int) -> None:
        """Units of the first frame: its noise, its axes of independent noise, its place."""
        self._unit = float(np.median(np.einsum("kii->k", cov)) / 3)
        self._axes = np.linalg.eigh(np.median(cov, axis=0))[1]
        self._origin = np.median(xyz, axis=0)
        self._bank, self._seen = Bank(n, self.habit), np.full(n, -np.inf)

    def _step(self, time_s: float) -> float:
        """Time since the last call in units of the first interval."""
        step = time_s - self._time
        if not step > 0:
            raise InputError(f"time {time_s} s comes after {self._time} s", "give increasing times")
        if np.isnan(self._interval):
            self._interval = step
        return step / self._interval
