"""Time offsets between cameras from what moves in front of them: values in, values out.

With a rig, a camera's tracks are shifted in time until they meet what the others see. Without
one, two cameras are tried at every shift for whether any epipolar geometry fits their tracks
(after Albl et al., "On the two-view geometry of unsynchronized cameras", CVPR 2017): a wrong shift
fits worse the faster things move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from multiview._shapes import F64, BoolArray, as_f64
from multiview.calib.health_faults import UNDECIDED
from multiview.calib.health_fit import fit, scene_fit
from multiview.calib.health_footage import Footage
from multiview.calib.health_start import T_SCALE, hand_tolerance_px, start
from multiview.calib.health_statistics import covariance, search_offset, single_fault
from multiview.calib.timing_tracks import Tracks
from multiview.core import Intrinsics, Rig
from multiview.errors import InputError, ShapeError
from multiview.geometry.project import unproject

__all__ = ["Offsets", "estimate_offsets", "estimate_offsets_unposed", "worst_offset"]

# A clock that is known worse than this share of a frame interval is not known: the next picture
# might fit as well (two standard deviations within half an interval).
KNOWN_SHARE = 0.25
# Shifts tried without a rig, frames to either side, and points that each is judged by.
SEARCHED, JUDGES = 20, 1500
# An essential matrix from fewer points than this many times its unknowns fits anything.
FEW = 5 * 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Offsets:
    """Offsets of cameras' clocks.

    Parameters
    ----------
    offset_s
        What to add to a camera's stamps, shape (V,), seconds: ``offset_s`` of ``capture.yaml``.
        Zero for the reference; NaN where it cannot be told.
    std_s
        Standard deviations, shape (V,).
    known
        Where an offset is sure to a quarter of a frame interval, shape (V,).
    reference
        The camera whose clock the others are compared with, position on axis V.
    interval_s
        Time between pictures.
    """

    offset_s: F64
    std_s: F64
    known: BoolArray
    reference: int
    interval_s: float


def _offsets(offset: F64, std: F64, reference: int, interval: float) -> Offsets:
    known = np.isfinite(offset) & (std < KNOWN_SHARE * interval)
    known[reference] = True
    return Offsets(
        offset_s=offset, std_s=std, known=known, reference=reference, interval_s=interval
    )


def _footage(xy_px: F64, times: F64, names: tuple[str, ...]) -> Footage:
    xy, stamps = as_f64(xy_px, "xy_px"), as_f64(times, "times")
    if xy.ndim != 4 or xy.shape[-1] != 2 or stamps.shape != xy.shape[:2]:
        raise ShapeError(
            f"xy_px has shape {xy.shape}, times {stamps.shape}",
            "give (V, F, N, 2) pixels and (V, F) seconds",
        )
    return Footage(
        xy_px=xy,
        times=stamps,
        timed=True,
        names=names,
        sizes_wh=((0, 0),) * len(xy),
        solid=None,
        orders=(np.arange(xy.shape[2]),),
        bodies=1,
        what="anything",
    )


def estimate_offsets(xy_px: F64, times: F64, rig: Rig, *, sharp: bool = True) -> Offsets:
    """Offsets of all cameras of a known rig.

    Parameters
    ----------
    xy_px
        Points followed over the take (corners, keypoints), shape (V, F, N, 2), recorded pixels;
        NaN where not seen.
    times
        Stamps of the pictures, shape (V, F), seconds.
    rig
        Cameras in the order of axis V.
    sharp
        Corners (noise well below a pixel); False for keypoints, whose velocity is taken from more
        frames.

    Returns
    -------
    Offsets
        Compared with the camera that sees most.

    Raises
    ------
    InputError
        If no two cameras see anything at the same time.
    ShapeError
        If an array has the wrong shape.
    """
    footage = _footage(xy_px, times, rig.names)
    use = footage.frames_to_use()
    begin = start(rig, footage, use, hand_tolerance_px(footage, use), reach=1 if sharp else None)
    scene, model = begin.scene, scene_fit(begin.scene, begin.model)[0]
    V = len(rig.cameras)
    if not scene.tracks.smooth(model.scale_px / T_SCALE):
        none = np.full(V, np.nan)
        return _offsets(none, np.full(V, np.inf), 0, scene.tracks.interval_s)
    reference = int(footage.seen.sum((1, 2)).argmax())
    # twice: cameras out of step disturb the points that the first round compares with
    for _ in range(2):
        clock = model.clock.copy()
        for v in range(V):
            clock[v, 0] += search_offset(scene, model, v)
        clock[:, 0] -= clock[reference, 0]
        model = scene_fit(scene, replace(model, clock=clock))[0]
    free = [v for v in range(V) if v != reference and footage.seen[v].any()]
    columns = np.concatenate([single_fault("offset", v, V).columns for v in free], axis=1)
    model, linear = fit(scene, model, columns)
    offset, std = np.full(V, np.nan), np.full(V, np.inf)
    offset[free], offset[reference], std[reference] = model.clock[free, 0], 0.0, 0.0
    std[free] = np.sqrt(np.diag(covariance(linear, columns)))
    return _offsets(offset, std, reference, scene.tracks.interval_s)


def estimate_offsets_unposed(
    xy_px: F64, times: F64, lenses: Sequence[Intrinsics], *, sharp: bool = True
) -> Offsets:
    """Offsets of cameras whose poses are not known, from pairs of their tracks.

    Parameters
    ----------
    xy_px, times, sharp
        As in `estimate_offsets`.
    lenses
        One per camera.

    Returns
    -------
    Offsets
        Compared with the camera that sees most, along the pairs that share most. Standard
        deviations count every frame once, for points of one frame move together.

    Raises
    ------
    InputError
        If there are fewer than two cameras.
    """
    if len(lenses) < 2:
        raise InputError("offsets need two cameras", "give the tracks of all cameras")
    tracks = Tracks(xy_px=xy_px, times=times, reach=1 if sharp else 3)
    seen = np.asarray(np.isfinite(tracks.xy_px[..., 0]).any(-1), np.bool_)
    shared = (seen[:, None] & seen[None]).sum(-1)
    np.fill_diagonal(shared, 0)
    reference = int(seen.sum(1).argmax())
    V = len(lenses)
    offset, std = np.full(V, np.nan), np.full(V, np.inf)
    offset[reference] = std[reference] = 0.0
    tree = minimum_spanning_tree(csr_array(np.where(shared > 0, 1 / np.maximum(shared, 1), 0)))
    order, parents = breadth_first_order(tree, reference, directed=False)
    for v in order[1:]:
        p = int(parents[v])
        found, spread = _pair_offset(tracks, lenses, p, int(v))
        offset[v], std[v] = offset[p] + found, np.hypot(std[p], spread)
    return _offsets(offset, std, reference, tracks.interval_s)


def _pair_offset(
    tracks: Tracks, lenses: Sequence[Intrinsics], a: int, b: int
) -> tuple[float, float]:
    """Offset of camera b against camera a, and its standard deviation, seconds."""
    shifts = np.arange(-SEARCHED, SEARCHED + 1)
    interval = tracks.interval_s

    def cost(frames: F64) -> tuple[F64, F64]:
        both = [_epipolar_cost(tracks, lenses, (a, b), k * interval) for k in frames]
        return np.array([c for c, _ in both]), np.array([n for _, n in both])

    costs, counts = cost(shifts.astype(np.float64))
    # few common points fit any geometry
    costs[counts < counts.max() / 2] = np.nan
    seen = np.asarray(np.isfinite(tracks.xy_px[..., 0]).any(-1), np.bool_)
    frames = int((seen[a] & seen[b]).sum())
    if not np.isfinite(costs).any() or not frames:
        return float("nan"), float("inf")
    best = float(shifts[np.nanargmin(costs)])
    # the cost is the log of a scale: n of it is the log likelihood of n independent errors
    others = costs[np.abs(shifts - best) > 2]
    rival = np.nanmin(others) if np.isfinite(others).any() else np.inf
    if abs(best) == SEARCHED or not 2 * frames * (rival - np.nanmin(costs)) > UNDECIDED:
        return float("nan"), float("inf")
    for step in (0.5, 0.25, 0.125, 0.0625):
        near = best + step * np.array([-1.0, 0.0, 1.0])
        best = float(near[np.nan_to_num(cost(near)[0], nan=np.inf).argmin()])
    low, middle, high = cost(best + 0.5 * np.array([-1.0, 0.0, 1.0]))[0]
    bend = (low - 2 * middle + high) / 0.5**2
    if not bend > 0:
        return float("nan"), float("inf")
    return best * interval, float(interval / np.sqrt(frames * bend))


def _epipolar_cost(
    tracks: Tracks, lenses: Sequence[Intrinsics], pair: tuple[int, int], shift_s: float
) -> tuple[float, int]:
    """Logarithm of the median distance from the best epipolar geometry, and points in common.

    NaN with too few points.
    """
    frames = tracks.times.shape[1]
    norm = []
    for v, late in zip(pair, (0.0, shift_s), strict=True):
        lens = lenses[v]
        xy = tracks.read(v, np.full(frames, late))[0]
        norm.append(unproject(xy, lens.K, lens.dist, lens.model).reshape(-1, 2))
    both = np.flatnonzero(np.isfinite(norm[0] + norm[1]).all(-1))
    if len(both) < FEW:
        return float("nan"), len(both)
    some = both[np.linspace(0, len(both) - 1, min(JUDGES, len(both))).astype(int)]
    return float(np.log(_sampson_median(norm[0][some], norm[1][some]))), len(both)


def _sampson_median(a: F64, b: F64) -> float:
    """Median Sampson distance of points (n, 2) from the essential matrix that fits them best.

    Linear, with Hartley's conditioning, reweighted (Hartley and Zisserman, section 11.4).
    """
    Ta, Tb = _conditioning(a), _conditioning(b)
    one = np.ones((len(a), 1))
    pa, pb = np.hstack([a, one]) @ Ta.T, np.hstack([b, one]) @ Tb.T
    rows = (pb[:, :, None] * pa[:, None, :]).reshape(len(a), 9)
    weight, distance = np.ones(len(a)), np.ones(len(a))
    for _ in range(8):
        _, vectors = np.linalg.eigh((rows * weight[:, None]).T @ rows)
        F = vectors[:, 0].reshape(3, 3)
        U, s, Vt = np.linalg.svd(F)
        F = U @ np.diag([s[0], s[1], 0]) @ Vt
        line_b, line_a = pa @ F.T, pb @ F
        slope = (line_b[:, :2] ** 2).sum(1) + (line_a[:, :2] ** 2).sum(1)
        distance = np.abs((pb * line_b).sum(1)) / np.sqrt(np.maximum(slope, 1e-300))
        middle = max(float(np.median(distance)), 1e-12)
        weight = 1 / np.maximum(slope, 1e-300) / (1 + (distance / (2 * middle)) ** 2) ** 2
    return float(np.median(distance)) / float(Ta[0, 0] + Tb[0, 0])


def _conditioning(xy: F64) -> F64:
    """Similarity that puts points (n, 2) about the origin at a mean distance of sqrt(2)."""
    middle = xy.mean(0)
    s = np.sqrt(2) / max(float(np.linalg.norm(xy - middle, axis=1).mean()), 1e-12)
    return np.array([[s, 0, -s * middle[0]], [0, s, -s * middle[1]], [0, 0, 1]])


def worst_offset(offsets: Offsets, names: Sequence[str]) -> tuple[str, float, float] | None:
    """Name the camera furthest out of step by half a frame or more, its offset and spread (s).

    For a warning: None where all known clocks agree within half an interval or four spreads.
    """
    off = np.where(offsets.known, np.nan_to_num(np.abs(offsets.offset_s)), 0.0)
    v = int(off.argmax())
    if off[v] < offsets.interval_s / 2 or off[v] < 4 * offsets.std_s[v]:
        return None
    return names[v], float(offsets.offset_s[v]), float(offsets.std_s[v])
