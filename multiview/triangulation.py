"""Detections of all views to 3D keypoints with inliers, errors and covariances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from multiview._shapes import F64, BoolArray
from multiview.association import associate, find_repairs, no_repairs
from multiview.config import Config
from multiview.core import HAND_21, Detections, Points3D, Rig, Skeleton
from multiview.errors import InputError
from multiview.geometry.agreement import pair_trust
from multiview.geometry.ransac import Tolerance, Vote, vote_groups
from multiview.geometry.refit import pixel_errors, refit, undistort
from multiview.geometry.robust import LIMIT, Search
from multiview.geometry.scale import (
    bone_lengths,
    hand_length,
    length_per_px,
    measure_subject,
)
from multiview.geometry.stream import triangulate_blocks
from multiview.geometry.uncertainty import min_agreeing_views, rig_part
from multiview.geometry.viewpoints import count_places, places

__all__ = [
    "TriangulationConfig",
    "TriangulationReport",
    "bone_lengths",
    "hand_length",
    "triangulate",
]


class TriangulationConfig(Config):
    """How views must agree.

    Parameters
    ----------
    unit
        What votes: every ``"keypoint"`` by itself (most points; the tolerance is the detector's
        own noise, measured on the take; labels are made where whole fingers agree,
        `multiview.bootstrap.labels`), or a whole ``"finger"`` (Simon et al. 2017: a finger that a
        view saw only in part has no vote there).
    inlier_hand
        Of a finger: tolerance on its mean error as a share of hand length (wrist to middle tip,
        measured from the take itself, so any unit works). 0.045 is the 4 px of Simon et al. 2017 in
        their dome: 8 mm on a 180 mm hand.
    inlier_mm
        The same in millimetres, for rigs in metres or millimetres; 0 leaves it to ``inlier_hand``.
        Of a keypoint: least tolerance.
    inlier_px
        Floor of the tolerance in pixels: what no detector resolves.
    min_conf
        Detections below this are no candidates.
    min_views
        Agreeing views needed; 0 chooses per keypoint from the number of candidates and the
        detector's hit rate on this take.
    spurious
        With ``min_views=0``: expected number of chance agreements allowed per finger and frame.
    two_views
        Of a keypoint: a point that two views alone carry is kept if it is right with this
        probability, from how often detections of its confidence agree on the take; 0.8: a wrong
        point costs as much as four missing ones. `multiview.Points3D` stores the probability.
    max_hands
        Hands at a time, where detections are not sorted yet; 2: one person's.
    repair
        Put fingers and hands right that one view took for one another, where the 3D of at least
        three others says so (`multiview.association.repair`).
    accept
        Of a finger: a result is kept if its mean error is below this many tolerances (the group's
        6 px against 4 px), and the keypoints in it whose own error is.
    """

    unit: Literal["keypoint", "finger"] = "keypoint"
    inlier_hand: float = Field(0.045, gt=0, lt=1)
    inlier_mm: float = Field(0, ge=0)
    inlier_px: float = Field(1.0, ge=0)
    min_conf: float = Field(0.2, ge=0, le=1)
    min_views: int = Field(0, ge=0)
    spurious: float = Field(0.01, gt=0)
    two_views: float = Field(0.8, ge=0, le=1)
    accept: float = Field(1.5, gt=0)
    max_hands: int = Field(2, ge=1)
    repair: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TriangulationReport:
    """What the numbers of a take were.

    Parameters
    ----------
    hand_length
        Wrist to middle tip along the bones, rig units: a check on the rig's scale. Of anything but
        a hand, the largest distance of two keypoints.
    tolerance
        Inlier tolerance, rig units.
    hit_rate
        Share of candidate observations that agree with the vote; NaN if no vote was possible.
    min_views
        Agreeing views demanded for 2, 3, ... V candidates.
    sigma_px
        Noise of one coordinate of an inlier observation, median over the cameras.
    sigma_camera_px
        The same of every camera.
    two_view_trust
        Mean probability to be right of the points that two views alone carry; NaN if there are
        none.
    moved
        Detections whose left/right label was overruled by the other views.
    unassigned
        Candidates that belong to no hand.
    swapped_hands
        Per camera: hands called by the other side's name, overruled or repaired.
    repaired_fingers
        Per camera: fingers taken for one another and put right.
    repairs
        How often what was put right, per camera (`multiview.association.repair.Repairs`).
    """

    hand_length: float
    tolerance: float
    hit_rate: float
    min_views: tuple[int, ...]
    sigma_px: float
    sigma_camera_px: tuple[float, ...]
    two_view_trust: float
    moved: int
    unassigned: int
    swapped_hands: tuple[int, ...]
    repaired_fingers: tuple[int, ...]
    repairs: dict[str, tuple[int, ...]]


def triangulate(dets: Detections, rig: Rig, config: TriangulationConfig | None = None) -> Points3D:
    """Triangulate every keypoint by a vote of the views; see `triangulate_with_report`."""
    return triangulate_with_report(dets, rig, config)[0]


def triangulate_with_report(
    dets: Detections, rig: Rig, config: TriangulationConfig | None = None
) -> tuple[Points3D, TriangulationReport]:
    """Triangulate robustly: associate, vote, refit on recorded pixels, and say how sure.

    Parameters
    ----------
    dets
        Detections; candidates are first sorted into hands (`multiview.association.associate`),
        except one of anything else a picture.
    rig
        Has every camera of ``dets``.
    config
        Tolerances.

    Returns
    -------
    points, report
        A keypoint is NaN where too few views agree; ``points.voted`` is False where only two
        views saw it, or all of them from two places, so that no third could object.

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
    dets, moved, unassigned = _associated(_near_the_picture(dets, rig), rig, config.max_hands)
    points, found, length = _solve(dets, rig, config)
    fixed = no_repairs(dets)
    if config.repair:
        fixed = find_repairs(dets, points, rig, found.sigma_px)
    if fixed.any:
        points, found, length = _solve(fixed.apply(dets), rig, config)
    two = points.inlier.sum(0).ravel() == 2
    report = TriangulationReport(
        hand_length=length,
        tolerance=found.tolerance,
        hit_rate=found.rate,
        min_views=tuple(int(n) for n in found.needed[2:]),
        sigma_px=float(np.median(found.sigma_px)) if points.valid.any() else float("nan"),
        sigma_camera_px=tuple(float(s) for s in found.sigma_px),
        two_view_trust=float(found.trust[two].mean()) if two.any() else float("nan"),
        moved=int(moved.sum()),
        unassigned=unassigned,
        **fixed.figures(moved),
    )
    return points, report


def _solve(
    dets: Detections, rig: Rig, config: TriangulationConfig
) -> tuple[Points3D, _Found, float]:
    """Triangulate sorted detections; also the hand's length."""
    views, frames, hands, k = dets.conf.shape
    xy_px = np.where((dets.conf >= config.min_conf)[..., None], dets.xy_px, np.nan)
    xy_px = xy_px.reshape(views, frames * hands * k, 2)
    length = measure_subject(rig, xy_px.reshape(views, -1, k, 2), dets.skeleton)
    scene = _Scene(rig, config, dets.skeleton, length, xy_px)
    if config.unit == "keypoint":
        found = _by_keypoint(scene, dets.conf.reshape(views, -1))
    else:
        found = _by_finger(scene)
    return _points(found, dets, rig, xy_px), found, length


def _near_the_picture(dets: Detections, rig: Rig) -> Detections:
    """Leave out what lies farther outside a picture than that is large: no detector's answer.

    Hands at the edge reach some way beyond it; numbers like 1e300 come from broken files.
    """
    size = np.array([c.intrinsics.size_wh for c in rig.cameras], np.float64)
    size = size.reshape(-1, *[1] * (dets.conf.ndim - 1), 2)
    room = size.max(-1, keepdims=True)
    near = ((dets.xy_px > -room) & (dets.xy_px < size + room)).all(-1)
    if (near == dets.valid).all():
        return dets
    return replace(dets, xy_px=np.where(near[..., None], dets.xy_px, np.nan))


def _associated(
    dets: Detections, rig: Rig, max_hands: int
) -> tuple[Detections, NDArray[np.int64], int]:
    """Say which candidate is which hand, how many sides were wrong, and how many are none."""
    none = np.zeros(len(rig.cameras), np.int64)
    if dets.hands:
        return dets, none, 0
    if dets.conf.shape[2] == 1 and dets.skeleton.keypoints != HAND_21.keypoints:
        return replace(dets, hands=("1",)), none, 0
    found = associate(dets, rig, max_hands)
    return found.detections, found.moved, int(found.unassigned.sum())


def _points(found: _Found, dets: Detections, rig: Rig, xy_px: F64) -> Points3D:
    """Add the doubt about the rig, and what every view says of the points."""
    shape = dets.conf.shape
    cov = found.cov + rig_part(rig, found.xyz, found.inlier, found.sigma_px)
    valid = np.asarray(np.isfinite(cov).all((-1, -2)), np.bool_)
    inlier = found.inlier & valid
    xyz = np.where(valid[:, None], found.xyz, np.nan)
    return Points3D(
        xyz_world=xyz.reshape(*shape[1:], 3),
        cov=np.where(valid[:, None, None], cov, np.nan).reshape(*shape[1:], 3, 3),
        inlier=inlier.reshape(shape),
        err_px=pixel_errors(rig, xyz, xy_px).reshape(shape),
        voted=(count_places(inlier, places(rig, xyz)) >= 3).reshape(shape[1:]),
        trust=np.where(valid, found.trust, np.nan).reshape(shape[1:]),
        frame_ids=dets.frame_ids,
        camera_names=dets.camera_names,
        hands=dets.hands,
        skeleton=dets.skeleton,
        rig_digest=rig.digest,
        unit=rig.unit,
    )


@dataclass(frozen=True, slots=True)
class _Scene:
    rig: Rig
    config: TriangulationConfig
    skeleton: Skeleton
    length: float
    xy_px: F64  # (V, N K, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Points of a take in one row (M = F H K), before the rig's own doubt is added."""

    xyz: F64  # (M, 3)
    cov: F64  # (M, 3, 3)
    inlier: BoolArray  # (V, M)
    trust: F64  # (M,)
    sigma_px: F64  # (V,)
    tolerance: float
    rate: float
    needed: NDArray[np.int64]


def _by_keypoint(scene: _Scene, conf: F64) -> _Found:
    """Every keypoint by itself, within the noise of the take."""
    config, rig = scene.config, scene.rig
    search = Search(
        min_conf=config.min_conf,
        length=_in_rig_units(rig, config.inlier_mm),
        trust=config.two_views,
        spurious=config.spurious,
        min_views=config.min_views,
    )
    hand = len(scene.skeleton.keypoints)
    points, take = triangulate_blocks(rig, scene.xy_px, conf, search, group=hand)
    allowed = LIMIT * float(np.median(take.sigma_px)) * length_per_px(rig, points.xyz)
    return _Found(
        xyz=points.xyz,
        cov=points.cov,
        inlier=points.inlier,
        trust=points.trust,
        sigma_px=take.sigma_px,
        tolerance=max(search.length, allowed),
        rate=take.agreement.rate,
        needed=take.agreement.needed,
    )


def _by_finger(scene: _Scene) -> _Found:
    """Whole fingers vote; then each keypoint is refitted, without what strays from its finger."""
    config, rig, k = scene.config, scene.rig, len(scene.skeleton.keypoints)
    xy_norm = undistort(rig, scene.xy_px)
    scene.xy_px[np.isnan(xy_norm)] = np.nan
    views, m = scene.xy_px.shape[:2]
    tolerance = _tolerance(rig, config, scene.length)
    grouped = xy_norm.reshape(views, -1, k, 2)
    vote = vote_groups(*rig.cam_from_world, grouped, scene.skeleton.group_index, tolerance)
    rate = _hit_rate(vote)
    assumed, width = (rate if np.isfinite(rate) else 0.5), _patch(scene, vote.xyz)
    needed = np.array(
        [
            config.min_views
            or min_agreeing_views(v, assumed, tolerance.length, width, config.spurious)
            for v in range(views + 1)
        ]
    )
    keep = _accepted(vote, needed, config)
    use = (vote.inlier & keep).reshape(views, m)
    xyz = np.where(keep[..., None], vote.xyz, np.nan).reshape(m, 3)
    fit = refit(rig, xyz, scene.xy_px, use, length=config.accept * tolerance.length)
    # a keypoint that strays from its finger in one view too many has not enough left
    enough = fit.use.sum(0) >= np.minimum(needed[vote.candidates], vote.inlier.sum(0)).ravel()
    enough &= np.isfinite(fit.xyz[:, 0])
    chance = min(1.0, 4 * tolerance.length / width)
    odds = np.where(np.isfinite(scene.xy_px[..., 0]), assumed / (1 - assumed), 0.0)
    return _Found(
        xyz=np.where(enough[:, None], fit.xyz, np.nan),
        cov=np.where(enough[:, None, None], fit.cov, np.nan),
        inlier=fit.use & enough,
        trust=np.where(fit.use.sum(0) >= 3, 1.0, pair_trust(odds, fit.use, chance, 0.5)),
        sigma_px=fit.sigma_px,
        tolerance=tolerance.length,
        rate=rate,
        needed=needed,
    )


def _patch(scene: _Scene, xyz: F64) -> float:
    """Width of the square in which wrong detections lie: as large as the hand, or the picture."""
    side = np.median([min(c.intrinsics.size_wh) for c in scene.rig.cameras])
    picture = float(side) * length_per_px(scene.rig, xyz.reshape(-1, 3))
    return min((s for s in (scene.length, picture) if s > 0), default=1.0)


def _in_rig_units(rig: Rig, mm: float) -> float:
    per_mm = {"m": 1e-3, "cm": 0.1, "mm": 1.0}
    if mm and rig.unit not in per_mm:
        raise InputError(
            f"inlier_mm is {mm}, but the rig's unit is {rig.unit!r}",
            "give the tolerance as inlier_hand, or calibrate with a board of known size",
        )
    return mm * per_mm.get(rig.unit, 0.0)


def _tolerance(rig: Rig, config: TriangulationConfig, length: float) -> Tolerance:
    focal = np.array([c.intrinsics.K[0, 0] for c in rig.cameras])
    allowed = _in_rig_units(rig, config.inlier_mm) or config.inlier_hand * length
    return Tolerance(length=allowed, norm=config.inlier_px / focal)


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


def _accepted(vote: Vote, needed: NDArray[np.int64], config: TriangulationConfig) -> BoolArray:
    count = vote.inlier.sum(0)
    keep = (count >= 2) & (count >= needed[vote.candidates]) & (vote.error < config.accept)
    return np.asarray(keep & np.isfinite(vote.xyz).all(-1), np.bool_)
