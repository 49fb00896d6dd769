"""What a take says of its own 3D: held-out views, bones, jerk, and two halves of the cameras."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2

from multiview._shapes import F64, BoolArray, IntArray
from multiview.association import assign_hands
from multiview.core import Detections, Points3D, Rig
from multiview.errors import InputError
from multiview.evaluation.keypoints_2d import select_detections
from multiview.geometry.leave_one_out import leave_one_out_errors
from multiview.geometry.metrics import bone_variation, dimensionless_jerk, jerk
from multiview.triangulation import TriangulationConfig, triangulate

__all__ = [
    "Halves",
    "bone_figures",
    "halves_figures",
    "held_out_errors",
    "jerk_figures",
    "split_cameras",
    "triangulate_halves",
    "view_figures",
]

# Duration of the pieces whose jerk is put in units of their own motion, seconds.
PIECE_S = 1.0
MIN_VIEWS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """The same take from two disjoint sets of cameras.

    Parameters
    ----------
    views
        Cameras of either half.
    difference
        Points of the first less those of the second, shape (F, H, K, 3), rig units.
    cov
        Sum of both covariances.
    """

    views: tuple[tuple[int, ...], tuple[int, ...]]
    difference: F64
    cov: F64


def held_out_errors(points: Points3D, rig: Rig, dets: Detections) -> F64:
    """Distance of every detection from the 3D point that the other views make, (V, F, H, K), px.

    An inlier's by leaving it out; an outlier took no part anyway. NaN without a point or detection,
    and where fewer than three views make the point.

    Parameters
    ----------
    points, rig
        3D of the take.
    dets
        Its detections, hands in the order of the points; frames and cameras of the points.
    """
    views = len(rig.cameras)
    use = points.inlier.reshape(views, -1)
    xy = dets.xy_px.reshape(views, -1, 2)
    left = leave_one_out_errors(rig, points.xyz_world.reshape(-1, 3), xy, use)
    left = left.reshape(points.inlier.shape)
    return np.asarray(np.where(points.inlier, left, points.err_px))


def view_figures(points: Points3D, held_out: F64) -> dict[str, float]:
    """Numbers about held-out views.

    ``held_out_*_px`` of the views that carry a point, leaving each out; ``inlier_ratio`` of all
    detections of keypoints that have a point.
    """
    good = held_out[points.inlier & np.isfinite(held_out)]
    seen = np.isfinite(points.err_px)
    return {
        "held_out_median_px": _quantile(good, 0.5),
        "held_out_p95_px": _quantile(good, 0.95),
        "inlier_ratio": _mean(points.inlier[seen]),
    }


def bone_figures(points: Points3D) -> dict[str, float]:
    """Coefficient of variation of the bones' lengths over frames, mean and worst bone and hand."""
    edges = points.skeleton.edges
    each = [bone_variation(points.xyz_world[:, h], edges) for h in range(points.valid.shape[1])]
    values = np.concatenate(each) if edges else np.zeros(0)
    values = values[np.isfinite(values)]
    return {"bone_variation": _mean(values), "bone_variation_worst": _quantile(values, 1.0)}


def jerk_figures(points: Points3D, times: F64) -> dict[str, float]:
    """Jerk of the keypoints over four frames in a row, and in units of their own motion.

    Parameters
    ----------
    points
        3D of the take.
    times
        Seconds of every frame, shape (F,).

    Returns
    -------
    dict
        ``jerk_rms`` and ``jerk_median``, rig units per second cubed; ``jerk_dimensionless``,
        median over keypoints of pieces of a second without a gap (720 is the smoothest movement
        from rest to rest).
    """
    if (np.diff(times) <= 0).any():  # no clock to speak of
        times = np.full(len(times), np.nan)
    size = np.linalg.norm(jerk(points.xyz_world, times), axis=-1)
    size = size[np.isfinite(size)]
    pieces = [dimensionless_jerk(points.xyz_world[piece], times[piece]) for piece in _pieces(times)]
    flat = np.concatenate([p.ravel() for p in pieces]) if pieces else np.zeros(0)
    return {
        "jerk_rms": float(np.sqrt(np.mean(size**2))) if size.size else float("nan"),
        "jerk_median": _quantile(size, 0.5),
        "jerk_dimensionless": _quantile(flat[np.isfinite(flat)], 0.5),
    }


def _pieces(times: F64) -> list[IntArray]:
    """Rows of frames in pieces of a second; the last, short one is left out."""
    if len(times) < 4 or not np.isfinite(times).all():
        return []
    step = float(np.median(np.diff(times)))
    n = max(4, round(PIECE_S / step) + 1)
    return [np.arange(s, s + n) for s in range(0, len(times) - n + 1, n - 1)]


def split_cameras(rig: Rig) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split cameras into two halves that both look from all sides.

    Along the order of their directions around the middle, in turn one and the other.

    Raises
    ------
    InputError
        If there are fewer than four.
    """
    views = len(rig.cameras)
    if views < MIN_VIEWS:
        raise InputError(
            f"two halves of {views} cameras make no 3D", "this check needs at least four cameras"
        )
    offset = rig.centres_world - rig.centres_world.mean(0)
    # the two directions in which the cameras spread most
    plane = np.linalg.svd(offset, full_matrices=False)[2][:2]
    order = np.argsort(np.arctan2(*(offset @ plane.T).T), kind="stable")
    first, second = sorted(order[::2].tolist()), sorted(order[1::2].tolist())
    return tuple(first), tuple(second)


def triangulate_halves(
    dets: Detections, rig: Rig, config: TriangulationConfig | None = None
) -> Halves:
    """Triangulate a take twice, from disjoint cameras, each half choosing its own inliers.

    Parameters
    ----------
    dets, rig, config
        As in `multiview.triangulation.triangulate`; left and right are first decided by all.

    Raises
    ------
    InputError
        If there are fewer than four cameras.
    """
    rig = rig.select(dets.camera_names)
    views = split_cameras(rig)
    if not dets.hands:
        dets = assign_hands(dets, rig, (config or TriangulationConfig()).max_hands)[0]
    rows = np.arange(len(dets.frame_ids))
    # the rig's own doubt is common to both, mostly, and no part of their difference
    known = replace(rig, covariance=None)
    a, b = (triangulate(select_detections(dets, v, rows), known, config) for v in views)
    return Halves(views=views, difference=a.xyz_world - b.xyz_world, cov=a.cov + b.cov)


def halves_figures(halves: Halves) -> dict[str, float]:
    """Numbers about two halves, in rig units.

    ``halves_median`` and ``halves_p95`` of the distance; ``halves_implied_rms``: half the root mean
    square distance, an estimate of the error of all cameras together, blind to errors that both
    halves share and carried by the few largest; ``halves_normalised``: median of the distance in
    standard deviations over its expected 1.54, so 1 if the covariances are right.
    """
    distance = np.linalg.norm(halves.difference, axis=-1)
    both = np.isfinite(distance) & np.isfinite(halves.cov).all((-1, -2))
    d = halves.difference[both]
    square = (d * np.linalg.solve(halves.cov[both], d[..., None])[..., 0]).sum(-1)
    found = distance[both]
    return {
        "halves_points": float(both.sum()),
        "halves_median": _quantile(found, 0.5),
        "halves_p95": _quantile(found, 0.95),
        "halves_implied_rms": float(np.sqrt(np.mean(found**2)) / 2) if found.size else np.nan,
        "halves_normalised": _quantile(np.sqrt(square), 0.5) / float(np.sqrt(chi2.median(3))),
    }


def _mean(values: F64 | BoolArray) -> float:
    return float(np.mean(values)) if values.size else float("nan")


def _quantile(values: F64, share: float) -> float:
    return float(np.quantile(values, share)) if values.size else float("nan")
