"""A take on an even clock: what motion-capture and animation files hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray, present
from multiview.core import Points3D, Skeleton
from multiview.errors import InputError

__all__ = ["Clock", "Motion", "even_clock", "make_motion"]

# A frame further than this from its tick (a share of the interval) may belong to the next one.
LARGEST_OFF = 0.5
# Frames are added where the take has none; beyond so many an animation is not what is wanted.
LARGEST_GROWTH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Which tick of an even clock each frame is.

    Parameters
    ----------
    rate_hz
        Ticks a second.
    tick
        Tick of every frame, shape (F,), from 0.
    off_s
        Largest distance of a frame's time from its tick, seconds.
    """

    rate_hz: float
    tick: IntArray
    off_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Markers on an even clock, in the axes and unit of the file to be.

    Parameters
    ----------
    labels
        N names, ``<hand>_<keypoint>``.
    xyz
        Shape (T, N, 3); NaN where missing.
    sigma
        Root mean square of the standard deviations along the axes, shape (T, N), same unit.
    carried
        Views that carry the point, shape (V, T, N).
    rate_hz
        Frames a second.
    unit
        ``m``, ``cm``, ``mm``, or the rig's where its scale is not known.
    up
        ``y``, ``z``, or empty where the world's axes were kept.
    hands, skeleton
        Markers are H blocks of K.
    """

    labels: tuple[str, ...]
    xyz: F64
    sigma: F64
    carried: BoolArray
    rate_hz: float
    unit: str
    up: str
    hands: tuple[str, ...]
    skeleton: Skeleton

    @property
    def valid(self) -> BoolArray:
        """Where there is a point, shape (T, N)."""
        return present(self.xyz)


def even_clock(times: F64, frame_ids: IntArray, fps: float | None = None) -> Clock:
    """Fit an even clock to the times of a take.

    Parameters
    ----------
    times
        Of every frame, shape (F,), seconds; NaN where unknown.
    frame_ids
        Shape (F,), increasing; the ticks where times are not known.
    fps
        Frames a second, where times are not known.

    Raises
    ------
    InputError
        If neither times nor a rate are known, or the times are of no even clock; says where.
    """
    ids = np.asarray(frame_ids, np.int64)
    if not np.isfinite(times).all() or len(times) < 2:
        if fps is None:
            raise InputError(
                "the take carries no times (or one frame), and this format needs a frame rate",
                "add --fps RATE, or --detections DETECT_DIR, which tells the times",
            )
        tick = ids - ids[0]
        _check_growth(tick)
        return Clock(rate_hz=float(fps), tick=tick, off_s=0.0)
    if fps is not None:
        raise InputError("--fps is for takes without times, this one has them", "leave it out")
    steps = np.diff(times)
    ticks = np.rint(steps / np.median(steps)).astype(np.int64)
    if (ticks < 1).any():
        at = int(np.argmin(ticks))
        raise InputError(
            f"frames {ids[at]} and {ids[at + 1]} are {steps[at] * 1000:.1f} ms apart, others "
            f"{np.median(steps) * 1000:.1f} ms: the take has no even frame rate",
            "export csv or parquet, which keep every frame's time",
        )
    tick = np.concatenate([[0], np.cumsum(ticks)])
    _check_growth(tick)
    interval, start = np.polyfit(tick, times, 1)
    off = np.abs(times - (start + interval * tick))
    if off.max() > LARGEST_OFF * interval:
        raise InputError(
            f"frame {ids[off.argmax()]} is {off.max() * 1000:.1f} ms off an even clock of "
            f"{1 / interval:.3f} Hz",
            "export csv or parquet, which keep every frame's time",
        )
    return Clock(rate_hz=round(float(1 / interval), 6), tick=tick, off_s=float(off.max()))


def _check_growth(tick: IntArray) -> None:
    if tick[-1] + 1 > LARGEST_GROWTH * (len(tick) + 1):
        raise InputError(
            f"{len(tick)} frames lie spread over {tick[-1] + 1} frame intervals",
            "export csv or parquet, which keep every frame's time, or split the take",
        )


def make_motion(
    points: Points3D, clock: Clock, axes: F64, *, up: str, scale: float, unit: str
) -> Motion:
    """Put a take on a clock, turned and scaled.

    Parameters
    ----------
    points
        The take.
    clock
        Ticks without a frame become missing.
    axes
        New axes in the old world, rows, shape (3, 3).
    up, unit
        Of the result, in words.
    scale
        New lengths by old ones.
    """
    frames, hands, k = points.xyz_world.shape[:3]
    length, n = int(clock.tick[-1]) + 1, hands * k
    xyz, sigma = np.full((length, n, 3), np.nan), np.full((length, n), np.nan)
    carried = np.zeros((len(points.camera_names), length, n), np.bool_)
    xyz[clock.tick] = scale * (points.xyz_world.reshape(frames, n, 3) @ axes.T)
    variance = np.trace(points.cov, axis1=-2, axis2=-1).reshape(frames, n) / 3
    sigma[clock.tick] = scale * np.sqrt(np.maximum(variance, 0))
    carried[:, clock.tick] = points.inlier.reshape(-1, frames, n)
    names = points.hands or tuple(str(h) for h in range(hands))
    return Motion(
        labels=tuple(f"{hand}_{name}" for hand in names for name in points.skeleton.keypoints),
        xyz=xyz,
        sigma=sigma,
        carried=carried,
        rate_hz=clock.rate_hz,
        unit=unit,
        up=up,
        hands=names,
        skeleton=points.skeleton,
    )
