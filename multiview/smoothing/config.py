"""What may be chosen of smoothing, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from multiview.config import Config

__all__ = ["HandReport", "SmoothingConfig", "SmoothingReport"]


class SmoothingConfig(Config):
    """How paths are smoothed. How much is no option: it is measured on the take.

    Parameters
    ----------
    fill_s
        Gaps up to this many seconds are filled with the path's own places, which are marked
        ``filled``; 0 leaves every missing keypoint missing.
    bones
        Use that bones keep their length, as far as the take shows that they do.
    min_conf
        Detections below this are not looked at.
    readmit
        Views that the triangulation left out count where they agree with the smooth path.
    """

    fill_s: float = Field(0.0, ge=0)
    bones: bool = True
    min_conf: float = Field(0.2, ge=0, le=1)
    readmit: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HandReport:
    """Numbers of one hand; NaN where it has none.

    Parameters
    ----------
    hand
        Its name.
    points, filled, rejected, readmitted
        Points smoothed; filled; points of two views whose bones showed that they were wrong (now
        missing); observations that came back.
    noise, noise_after
        Standard deviation of one coordinate of a measured and of a smoothed point by their
        covariances, median, rig units.
    shift
        Distance of smoothed from measured points, median, rig units.
    frames_used
        Measured points that a smoothed one is worth, median: variance before over after.
    free
        Share of the intervals between frames in which points move so fast that their path tells
        nothing: they stay as measured.
    speed
        95th percentile of the speed, rig units a second (a frame, without a clock).
    lag_s, lag_fast_s
        By how much smoothed paths trail the measured ones, over all, and over the fastest
        twentieth; seconds (frames, without a clock).
    bone_spread, bone_spread_after
        Robust standard deviation of bone lengths over their medians, median over the bones.
    """

    hand: str
    points: int
    filled: int
    rejected: int
    readmitted: int
    noise: float
    noise_after: float
    shift: float
    frames_used: float
    free: float
    speed: float
    lag_s: float
    lag_fast_s: float
    bone_spread: float
    bone_spread_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothingReport:
    """Numbers of a take.

    Parameters
    ----------
    hands
        One an entry of axis H.
    sigma_px
        Noise of one coordinate per camera.
    persistence
        Correlation of a view's errors from frame to frame. White noise has 0; errors that persist
        (a detector's bias) are not smoothed away, and covariances are widened by what is seen.
    clock
        Whether the detections carry times; without, frames count as equally far apart.
    """

    hands: tuple[HandReport, ...]
    sigma_px: tuple[float, ...]
    persistence: float
    clock: bool
