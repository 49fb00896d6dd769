"""Which frames of different cameras belong to the same instant.

Cameras are matched by time, never by frame number, unless the user says so. All cameras are
matched to one timeline: that of the camera with the shortest frame interval, with its gaps (late
start, dropped frames, early end) filled from the others. A frame joins the timeline entry whose
nearest frame it is and vice versa, so matches are one-to-one and in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.errors import CaptureError

__all__ = [
    "CameraSync",
    "SyncReport",
    "default_tolerance",
    "match_by_index",
    "match_by_time",
    "report",
    "set_times",
]

IntArray = NDArray[np.int64]

# Free-running cameras of one rate are up to half an interval apart; 10 % more leaves room for
# jitter when they happen to be exactly half an interval apart.
TOLERANCE_SHARE = 0.55
# Mean resultant length of the phases above which two clocks keep a constant phase: a circular
# standard deviation of 7 % of the interval.
STEADY_PHASE = 0.9
# Times are sums of decimal seconds; a nanosecond absorbs their rounding.
ROUNDING_S = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSync:
    """How one camera fared.

    Parameters
    ----------
    name
        Camera name.
    frames
        Frames in its source.
    matched
        Frames that are part of a set.
    dropped
        Frames in no set, because no other camera has a picture then.
    missing
        Sets without a picture of this camera.
    start_s
        First frame after that of the earliest camera, seconds; NaN without a clock.
    interval_s
        Median time between its frames, seconds; NaN without a clock or with one frame.
    """

    name: str
    frames: int
    matched: int
    dropped: int
    missing: int
    start_s: float
    interval_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What synchronisation did.

    Parameters
    ----------
    mode
        ``"time"`` or ``"index"``.
    tolerance_s
        Largest allowed distance of a frame from its set's timeline entry, seconds; NaN for index.
    n_sets, n_complete
        Frame sets, and those with a picture of every camera.
    max_spread_s
        Largest time between the first and the last picture of one set, seconds; NaN without
        clocks. A hand at 1 m/s moves this many metres within the set.
    cameras
        One entry a camera.
    """

    mode: Literal["time", "index"]
    tolerance_s: float
    n_sets: int
    n_complete: int
    max_spread_s: float
    cameras: tuple[CameraSync, ...]

    def summary(self) -> str:
        """Return a few lines of text for people."""
        how = f" within {self.tolerance_s * 1e3:.2f} ms" if self.mode == "time" else ""
        apart = (
            f"pictures of a set are at most {self.max_spread_s * 1e3:.2f} ms apart"
            if self.max_spread_s == self.max_spread_s
            else "nothing says when they were taken"
        )
        lines = [
            f"{self.n_sets} frame sets matched by {self.mode}{how}, {self.n_complete} with all "
            f"{len(self.cameras)} cameras; {apart}"
        ]
        for c in self.cameras:
            timed = c.start_s == c.start_s
            when = f", starts at {c.start_s:+.3f} s, every {c.interval_s * 1e3:.2f} ms"
            lines.append(
                f"  {c.name}: {c.frames} frames, {c.matched} matched, {c.dropped} dropped, missing "
                f"in {c.missing} sets{when if timed else ''}"
            )
        counts = [c.frames for c in self.cameras]
        if self.mode == "index" and min(counts) != max(counts):
            lines.append(f"  frame counts differ ({counts}): check that no camera dropped frames")
        return "\n".join(lines)


def default_tolerance(times: Sequence[F64]) -> float:
    """0.55 of the shortest median frame interval of all cameras, seconds."""
    intervals = [_interval(t) for t in times]
    return TOLERANCE_SHARE * min(intervals) if np.isfinite(min(intervals)) else 0.0


def match_by_index(counts: Sequence[int]) -> IntArray:
    """Frame i of every camera is set i.

    Parameters
    ----------
    counts
        Frames of each of V cameras.

    Returns
    -------
    IntArray
        Shape (V, F), -1 where a camera has ended; F leaves out sets of a single camera if V > 1.
    """
    n_sets = sorted(counts)[-2 if len(counts) > 1 else -1]
    number = np.arange(n_sets)
    return np.where(number < np.asarray(counts)[:, None], number, -1).astype(np.int64)


def match_by_time(names: Sequence[str], times: Sequence[F64], tolerance_s: float) -> IntArray:
    """Match frames of V cameras one-to-one and in order.

    Parameters
    ----------
    names
        V camera names, for messages.
    times
        Per camera the increasing times of its frames on the common clock, seconds.
    tolerance_s
        Largest distance of a frame from the timeline entry it joins, seconds.

    Returns
    -------
    IntArray
        Frame number of each camera in each set, shape (V, F), -1 where missing. Sets of a single
        camera are left out if V > 1.

    Raises
    ------
    CaptureError
        If a camera shares no set with another; names the cameras and their time ranges.
    """
    timeline = _timeline(times, tolerance_s)
    index = np.full((len(times), timeline.size), -1, np.int64)
    for row, t in zip(index, times, strict=True):
        entry, ok, _ = _match(t, timeline, tolerance_s)
        row[entry[ok]] = np.flatnonzero(ok)
    index = index[:, (index >= 0).sum(0) >= min(2, len(times))]
    _check_common(names, times, index, tolerance_s)
    return index


def set_times(times: Sequence[F64], index: IntArray) -> F64:
    """Time of each picture of each set, shape (V, F), seconds; NaN where missing."""
    rows = [np.where(row >= 0, t[row], np.nan) for t, row in zip(times, index, strict=True)]
    return np.stack(rows)


def report(
    mode: Literal["time", "index"],
    tolerance_s: float,
    names: Sequence[str],
    times: Sequence[F64],
    index: IntArray,
) -> SyncReport:
    """Count what `match_by_time` or `match_by_index` did."""
    have = index >= 0
    starts = np.array([t[0] for t in times])
    starts = starts - (np.nanmin(starts) if np.isfinite(starts).any() else 0.0)
    cameras = tuple(
        CameraSync(
            name=name,
            frames=t.size,
            matched=int(row.sum()),
            dropped=t.size - int(row.sum()),
            missing=int((~row).sum()),
            start_s=float(start),
            interval_s=float(np.median(np.diff(t))) if t.size > 1 else np.nan,
        )
        for name, t, row, start in zip(names, times, have, starts, strict=True)
    )
    at = set_times(times, index)
    low, high = np.fmin.reduce(at, axis=0), np.fmax.reduce(at, axis=0)  # ignore NaN, unlike min
    spread = high - low
    return SyncReport(
        mode=mode,
        tolerance_s=tolerance_s if mode == "time" else np.nan,
        n_sets=index.shape[1],
        n_complete=int(have.all(0).sum()),
        max_spread_s=float(np.nanmax(spread)) if np.isfinite(spread).any() else np.nan,
        cameras=cameras,
    )


def _interval(times: F64) -> float:
    return float(np.median(np.diff(times))) if times.size > 1 else np.inf


def _timeline(times: Sequence[F64], tolerance_s: float) -> F64:
    """Merge the times of all sets: the densest camera's, gaps filled by the others in turn."""
    # Whole milliseconds: cameras of nominally one rate count as equal, then the longest one leads.
    order = sorted(times, key=lambda t: (np.round(_interval(t), 3), -t.size))
    timeline = order[0]
    for t in order[1:]:
        entry, ok, aligned = _match(t, timeline, tolerance_s)
        # A frame that lost its entry to a nearer one of the same camera is no gap.
        gap = min(tolerance_s, TOLERANCE_SHARE * _interval(timeline)) + ROUNDING_S
        alone = ~ok & (np.abs(aligned - timeline[entry]) > gap)
        timeline = np.sort(np.concatenate([timeline, aligned[alone]]))
    return timeline


def _match(
    times: F64, timeline: F64, tolerance_s: float
) -> tuple[IntArray, NDArray[np.bool_], F64]:
    """Mutual nearest neighbours.

    Returns each frame's timeline entry, whether it is matched to it, and the times less the
    constant phase between the two clocks. Without taking out that phase, clocks half an interval
    apart would flip between two neighbours with every jitter.
    """
    phase = _phase(times, timeline)
    aligned = times - (phase if abs(phase) <= tolerance_s else 0.0)
    entry = _nearest(aligned, timeline)
    mutual = _nearest(timeline, aligned)[entry] == np.arange(times.size)
    near = np.abs(times - timeline[entry]) <= tolerance_s + ROUNDING_S
    return entry, mutual & near, aligned


def _phase(times: F64, timeline: F64) -> float:
    """Constant offset of the clocks within half an interval; 0 if it drifts or is unknown."""
    interval = _interval(timeline)
    if not 0 < interval < np.inf:
        return 0.0
    offset = times - timeline[_nearest(times, timeline)]
    mean = np.exp(2j * np.pi * offset / interval).mean()
    return float(np.angle(mean) / (2 * np.pi) * interval) if abs(mean) > STEADY_PHASE else 0.0


def _nearest(times: F64, targets: F64) -> IntArray:
    """Index of the nearest target, the earlier one of two equally near."""
    right = np.clip(np.searchsorted(targets, times), 0, targets.size - 1)
    left = np.maximum(right - 1, 0)
    return np.where(np.abs(times - targets[left]) <= np.abs(targets[right] - times), left, right)


def _check_common(
    names: Sequence[str], times: Sequence[F64], index: IntArray, tolerance_s: float
) -> None:
    alone = [n for n, row in zip(names, index, strict=True) if not (row >= 0).any()]
    if not alone:
        return
    ranges = ", ".join(
        f"{n} {t[0]:.3f} to {t[-1]:.3f} s" for n, t in zip(names, times, strict=True)
    )
    raise CaptureError(
        f"camera {', '.join(alone)} has no frame within {tolerance_s * 1e3:.2f} ms of another "
        f"camera's; the clocks run {ranges}",
        "shift a camera by offset_s in capture.yaml, raise tolerance_s, or pair frames by number "
        "with 'sync: index'",
    )
