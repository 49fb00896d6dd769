"""One-Euro filter: steady keypoints for the eye, at a lag that is stated.

Source: Casiez, Roussel, Vogel, "1 Euro Filter", CHI 2012. A first-order low-pass whose cutoff
rises with speed: a hand at rest is steady, a moving one is followed closely. Smoothed keypoints
are for display and export only: errors that were independent from picture to picture and from view
to view no longer are, and a lag moves the cameras of a rig apart, so triangulation never gets them.

Lag. The filter ``y += a (x - y)`` with ``a = T / (T + tau)``, ``tau = 1 / (2 pi cutoff)``, trails a
point of constant velocity by exactly ``tau`` seconds, for any frame times. In space that is
``speed * tau``, which never reaches ``1 / (2 pi beta)``: with the default 1.6 % of the hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, as_f64, check_shapes, present
from multiview.errors import InputError

__all__ = ["OneEuro", "smooth"]

# Speed at which the lag is stated besides that at rest: a hand that moves by its length a second.
STATED_SPEED = 1.0


@dataclass(slots=True, kw_only=True)
class OneEuro:
    """Filter of one hand, or of several in fixed slots; call it once a picture.

    Speeds are in hand lengths (longer side of the tight keypoint box) a second, so that the same
    parameters fit every resolution and distance.

    Parameters
    ----------
    min_cutoff_hz
        Cutoff at rest. Lower is steadier: at 30 pictures a second, 1 Hz leaves 31 % of white
        noise.
    beta
        Rise of the cutoff with speed [Hz per hand length a second].
    speed_cutoff_hz
        Cutoff of the low-pass on the speed itself (the paper's value).

    Raises
    ------
    InputError
        If a parameter is not positive (``beta`` may be 0).
    """

    min_cutoff_hz: float = 1.0
    beta: float = 10.0
    speed_cutoff_hz: float = 1.0
    _time: float = field(init=False, default=np.nan)
    _last: F64 = field(init=False, default_factory=lambda: np.empty(0))
    _smooth: F64 = field(init=False, default_factory=lambda: np.empty(0))
    _speed: F64 = field(init=False, default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if not (self.min_cutoff_hz > 0 and self.beta >= 0 and self.speed_cutoff_hz > 0):
            raise InputError(
                f"min_cutoff_hz={self.min_cutoff_hz}, beta={self.beta}, "
                f"speed_cutoff_hz={self.speed_cutoff_hz}",
                "cutoffs are above 0 Hz, beta at least 0",
            )

    def lag_s(self, speed: float = 0.0) -> float:
        """Seconds by which a point trails that moves at a constant speed [hand lengths / s]."""
        return 1 / (2 * np.pi * (self.min_cutoff_hz + self.beta * speed))

    @property
    def lag_text(self) -> str:
        """The lag, for people."""
        return (
            f"{1000 * self.lag_s():.0f} ms at rest, {1000 * self.lag_s(STATED_SPEED):.0f} ms at "
            f"{STATED_SPEED:g} hand length a second"
        )

    def __call__(self, time_s: float, xy_px: F64) -> F64:
        """Filter the next picture's keypoints.

        Parameters
        ----------
        time_s
            When, later than the last call [s].
        xy_px
            Shape (..., K, 2), the same in all calls. NaN points stay NaN, and the filter starts
            afresh after them.

        Returns
        -------
        ndarray
            Same shape.

        Raises
        ------
        InputError
            If time does not go on, or the shape has changed.
        """
        xy_px = as_f64(xy_px, "xy_px")
        if self._last.size == 0:
            self._last, self._smooth = np.full_like(xy_px, np.nan), np.full_like(xy_px, np.nan)
            self._speed = np.zeros_like(xy_px)
            self._time = time_s - 1.0  # any: nothing is known from before
        step = time_s - self._time
        if xy_px.shape != self._last.shape or not step > 0:
            raise InputError(
                f"shape {xy_px.shape} after {self._last.shape}, {step} s after the last picture",
                "use one filter a track, and increasing times",
            )
        known = present(self._smooth)[..., None]
        moved = np.where(known, (xy_px - self._last) / (step * _hand_size(xy_px)), 0.0)
        before = np.where(known, self._speed, moved)
        self._speed = before + _weight(step, self.speed_cutoff_hz) * (moved - before)
        cutoff = self.min_cutoff_hz + self.beta * np.linalg.norm(self._speed, axis=-1)
        follow = self._smooth + _weight(step, cutoff)[..., None] * (xy_px - self._smooth)
        self._smooth = np.where(known, follow, xy_px)
        self._time, self._last = time_s, xy_px
        return self._smooth


def smooth(times: F64, xy_px: F64, one_euro: OneEuro | None = None) -> F64:
    """Filter a whole take of one camera.

    Parameters
    ----------
    times
        Seconds, increasing, shape (F,).
    xy_px
        Keypoints of tracked hands, shape (F, H, K, 2): slot h is one hand all along; NaN where
        missing.
    one_euro
        A fresh filter with other parameters than the default.

    Raises
    ------
    InputError
        If the times do not increase, or the shapes do not fit.
    """
    times, xy_px = as_f64(times, "times"), as_f64(xy_px, "xy_px")
    check_shapes("smooth", {"times": (times, "F"), "xy_px": (xy_px, "F H K 2")})
    run = one_euro or OneEuro()
    frames = [run(float(t), xy) for t, xy in zip(times, xy_px, strict=True)]
    return np.stack(frames) if frames else xy_px


def _weight(step: float, cutoff: F64 | float) -> F64:
    """Weight of the new value: T / (T + tau)."""
    tau = 1 / (2 * np.pi * np.asarray(cutoff, np.float64))
    return np.asarray(step / (step + tau), np.float64)


def _hand_size(xy_px: F64) -> F64:
    """Longer side of the tight box of each hand, (..., 1, 1) [px]; at least one pixel."""
    points = np.where(present(xy_px)[..., None], xy_px, np.nan)
    sides = _extent(points, np.fmax) - _extent(points, np.fmin)
    longer: NDArray[np.float64] = np.fmax(sides.max(axis=-1), 1.0)
    return longer[..., None, None]


def _extent(points: F64, pick: np.ufunc) -> F64:
    # fmax and fmin leave NaN out without the warning of nanmax for a hand that is missing
    return np.asarray(pick.reduce(points, axis=-2), np.float64)
