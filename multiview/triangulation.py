"""Detections of all views to 3D keypoints with inliers, errors and covariances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from multiview._shapes import F64
from multiview.association import assign_hands
from multiview.config import Config
from multiview.core import Detections, Points3D, Rig, Skeleton
from multiview.errors import InputError
from multiview.geometry.dlt import pair_points, view_pairs
from multiview.geometry.ransac import Tolerance, Vote, vote_groups
from multiview.geometry.refine import refine_points
from multiview.geometry.uncertainty import min_agreeing_views, point_covariance

__all__ = ["TriangulationConfig", "TriangulationReport", "bone_lengths", "triangulate"]

# Hands that the scale of a take is measured on: the median of a few hundred is stable to 1 %.
SCALE_SAMPLE = 200


class TriangulationConfig(Config):
    """How views must agree.

    Parameters
    ----------
    inlier_hand
        Tolerance on a finger's mean error as a share of hand length (wrist to middle tip, measured
        from the take itself, so any unit works). 0.045 is the 4 px of Simon et al. 2017 in their
        dome: 8 mm on a 180 mm hand.
    inlier_px
        Floor of the tolerance in pixels: what no detector resolves.
    min_conf
        Detections below this are no candidates.
    min_views
        Agreeing views needed; 0 chooses per keypoint from the number of candidates and the
        detector's hit rate on this take.
    spurious
        With ``min_views=0``: expected number of chance agreements allowed per finger and frame.
    accept
        A result is kept if its mean error is below this many tolerances (the group's 6 px against
        4 px).
    """

    inlier_hand: float = Field(0.045, gt=0, lt=1)
    inlier_px: float = Field(1.0, ge=0)
    min_conf: float = Field(0.2, ge=0, le=1)
    min_views: int = Field(0, ge=0)
    spurious: float = Field(0.01, gt=0)
    accept: float = Field(1.5, gt=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriangulationReport:
    """What the numbers of a take were.

    Parameters
    ----------
    hand_length
        Wrist to middle tip along the bones, rig units: a check on the rig's scale.
    tolerance
        Inlier tolerance, rig units.
    hit_rate
        Share of candidate observations that agree with the vote; NaN if no vote was possible.
    min_views
        Agreeing views demanded for 2, 3, ... V candidates.
    sigma_px
        Noise of one coordinate of an inlier observation.
    moved
        Detections whose left/right label was overruled by the other views.
    """

    hand_length: float
    tolerance: float
    hit_rate: float
    min_views: tuple[int, ...]
    sigma_px: float
    moved: int


def triangulate(dets: Detections, rig: Rig, config: TriangulationConfig | None = None) -> Points3D:
    """Triangulate every keypoint by a vote of whole fingers; see `triangulate_with_report`."""
    return triangulate_with_report(dets, rig, config)[0]


def triangulate_with_report(
    dets: Detections, rig: Rig, config: TriangulationConfig | None = None
) -> tuple[Points3D, TriangulationReport]:
    """Triangulate robustly: associate, vote, refit on recorded pixels, and say how sure.

    Parameters
    ----------
    dets
        Detections; candidates are first sorted into left and right hands
        (`multiview.association.assign_hands`).
    rig
        Has every camera of ``dets``.
    config
        Tolerances.

    Returns
    -------
    points, report
        A keypoint is NaN where too few views agree; ``points.voted`` is False where only two
        views saw it, so that no third could object.

    Raises
    ------
    InputError
        If a camera of the detections is not in the rig or was calibrated at another image size,
        or there is only one.
    """
    config = config or TriangulationConfig()
    rig = rig.select(dets.camera_names)
    if len(rig.cameras) < 2:
        raise InputError(
            f"only one camera ({dets.camera_names[0]}): nothing to triangulate",
            "record with at least two calibrated cameras",
        )
    if dets.size_wh:
        rig.check_sizes(dets.size_wh)
    moved = 0
    if not dets.hands:
        dets, moved = assign_hands(dets, rig)
    views, frames, hands, k = dets.conf.shape
    xy_px = np.where((dets.conf >= config.min_conf)[..., None], dets.xy_px, np.nan)
    xy_px = xy_px.reshape(views, frames * hands, k, 2)
    xy_norm = rig.undistort(xy_px)
    xy_px = np.where(np.isnan(xy_norm), np.nan, xy_px)
    length = hand_length(bone_lengths(rig, xy_norm, dets.skeleton), dets.skeleton)
    tolerance = _tolerance(rig, config, length)
    vote = vote_groups(*rig.cam_from_world, xy_norm, dets.skeleton.group_index, tolerance)
    rate = _hit_rate(vote)
    assumed, width = (rate if np.isfinite(rate) else 0.5), (length or 1.0)
    needed = [
        config.min_views or min_agreeing_views(v, assumed, tolerance.length, width, config.spurious)
        for v in range(views + 1)
    ]
    keep, voted = _accepted(vote, np.array(needed), config)
    inlier = vote.inlier & keep
    xyz = np.where(keep[..., None], vote.xyz, np.nan)
    points, sigma = _refit(rig, xyz, xy_px, inlier)
    result = Points3D(
        xyz_world=points[0].reshape(frames, hands, k, 3),
        cov=points[1].reshape(frames, hands, k, 3, 3),
        inlier=inlier.reshape(views, frames, hands, k),
        err_px=_errors(rig, points[0], xy_px).reshape(views, frames, hands, k),
        voted=voted.reshape(frames, hands, k),
        frame_ids=dets.frame_ids,
        camera_names=dets.camera_names,
        hands=dets.hands,
        skeleton=dets.skeleton,
        rig_digest=rig.digest,
        unit=rig.unit,
    )
    report = TriangulationReport(
        hand_length=length,
        tolerance=tolerance.length,
        hit_rate=rate,
        min_views=tuple(needed[2:]),
        sigma_px=sigma,
        moved=moved,
    )
    return result, report


def bone_lengths(rig: Rig, xy_norm: F64, skeleton: Skeleton) -> F64:
    """Median length of every bone over frames and pairs of views: robust to half of them.

    Parameters
    ----------
    rig
        V cameras.
    xy_norm
        Undistorted detections, shape (V, N, K, 2).
    skeleton
        Its edges are the bones.

    Returns
    -------
    F64
        One length per edge, rig units; NaN for a bone that no two views saw.
    """
    seen = np.flatnonzero((np.isfinite(xy_norm).all((-1, -2))).sum(0) >= 2)
    if seen.size == 0:
        seen = np.flatnonzero((np.isfinite(xy_norm[..., 0]).any(-1)).sum(0) >= 2)
    pick = seen[np.linspace(0, len(seen) - 1, min(SCALE_SAMPLE, len(seen))).astype(int)]
    pairs = view_pairs(len(rig.cameras))
    xyz = pair_points(*rig.cam_from_world, xy_norm[:, pick], pairs)
    a, b = np.array(skeleton.edges).T
    length = np.linalg.norm(xyz[..., a, :] - xyz[..., b, :], axis=-1).reshape(-1, len(a))
    out = np.full(len(a), np.nan)
    some = np.isfinite(length).any(0)
    out[some] = np.nanmedian(length[:, some], axis=0)
    return out


def hand_length(bones: F64, skeleton: Skeleton) -> float:
    """Longest chain of bones from a root to a leaf: for a hand, wrist to middle tip."""
    reach = np.zeros(len(skeleton.keypoints))
    for (parent, child), length in zip(skeleton.edges, bones, strict=True):
        reach[child] = reach[parent] + (length if np.isfinite(length) else 0.0)
    return float(reach.max())


def _tolerance(rig: Rig, config: TriangulationConfig, length: float) -> Tolerance:
    focal = np.array([c.intrinsics.K[0, 0] for c in rig.cameras])
    return Tolerance(length=config.inlier_hand * length, norm=config.inlier_px / focal)


def _hit_rate(vote: Vote) -> float:
    """Share of candidate observations that agree where a vote was possible; NaN if nowhere."""
    possible = vote.candidates >= 3
    candidates = vote.candidates[possible].sum()
    if not candidates:
        return float("nan")
    counts = vote.inlier.sum(0)
    # two agreeing views of many are no evidence that either is right
    agreed = np.where(counts >= 3, counts, 0)[possible].sum()
    return float(np.clip(agreed / candidates, 0.05, 0.99))


def _accepted(
    vote: Vote, needed: NDArray[np.int64], config: TriangulationConfig
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    count = vote.inlier.sum(0)
    keep = (count >= 2) & (count >= needed[vote.candidates]) & (vote.error < config.accept)
    keep &= np.isfinite(vote.xyz).all(-1)
    return keep, keep & (count >= 3)


def _refit(
    rig: Rig, xyz: F64, xy_px: F64, inlier: NDArray[np.bool_]
) -> tuple[tuple[F64, F64], float]:
    """Refine all points; returns ((xyz, cov), sigma)."""
    n, k = xyz.shape[:2]
    flat_px, use = xy_px.reshape(len(xy_px), n * k, 2), inlier.reshape(len(inlier), n * k)
    refined = refine_points(rig, xyz.reshape(n * k, 3), flat_px, use)
    cov, sigma = point_covariance(rig, refined, flat_px, use)
    return (refined.reshape(n, k, 3), cov.reshape(n, k, 3, 3)), sigma


def _errors(rig: Rig, xyz: F64, xy_px: F64) -> F64:
    return np.asarray(np.linalg.norm(rig.project(xyz) - xy_px, axis=-1))
