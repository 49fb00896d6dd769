"""Reproject 3D keypoints into every view as labels (Simon et al., CVPR 2017, equation 8).

Occluded joints are labelled too: the easy views of an instant label its hard views. That is the
point of multiview bootstrapping.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from multiview._shapes import F64, BoolArray
from multiview.bootstrap.anatomy import is_hand
from multiview.bootstrap.select import Selection
from multiview.bootstrap.shape import read_shapes
from multiview.config import Config
from multiview.core import Detections, Points3D, PseudoLabels, Rig, check_made_of, side_sign
from multiview.geometry.uncertainty import project_sigma

__all__ = ["LabelConfig", "pseudo_labels", "safe_keypoints"]

SEEN, REPROJECTED = 2, 1


class LabelConfig(Config):
    """What becomes a label.

    Parameters
    ----------
    unit
        What must agree: a whole ``"finger"`` (errors inside one go together: a point is a label if
        enough views agree with every point of its finger; fewest false labels) or the
        ``"keypoint"`` alone.
    min_views
        How many views that are.
    allow_unvoted
        Also label points that only two views carry. Nothing can outvote a wrong one, so this is
        off; a rig of two cameras has no other points.
    min_keypoints
        Share of the skeleton that must be labelled inside a picture for it to be kept.
    half_weight
        Standard deviation, as a share of the hand's box, at which a label counts half.
    """

    unit: Literal["finger", "keypoint"] = "finger"
    min_views: int = Field(3, ge=2)
    allow_unvoted: bool = False
    min_keypoints: float = Field(0.5, ge=0, le=1)
    half_weight: float = Field(0.05, gt=0)


def pseudo_labels(
    points: Points3D,
    dets: Detections,
    rig: Rig,
    config: LabelConfig | None = None,
    *,
    pictures: NDArray[np.bool_] | None = None,
    iteration: int = 1,
    selection: Selection | None = None,
) -> PseudoLabels:
    """Make labels for every view of every frame, or of those that were selected.

    Parameters
    ----------
    points
        Triangulated keypoints.
    dets
        The detections they come from: cameras, frames, provenance.
    rig
        The rig they were triangulated with.
    config
        What becomes a label.
    pictures
        Which camera has a picture in which frame set, shape (V, F); by default where the
        detections have a time or a hand.
    iteration
        Round of bootstrapping; 0: labels of a person.
    selection
        Which keypoints of which frames (`multiview.bootstrap.select.select_labels`); views in which
        something else hides the whole hand get none. All by default.

    Returns
    -------
    PseudoLabels
        Weight is ``1 / (1 + (sigma / (half_weight box))^2)``: 1 for a certain label, 0.5 where
        its standard deviation reaches that share of the hand's box.

    Raises
    ------
    InputError
        If the points were made with another rig or from other frames.
    """
    config = config or LabelConfig()
    rig = rig.select(points.camera_names)
    hint = "label with the rig file that triangulate used, or triangulate again"
    check_made_of(points, dets, rig, hint)
    use = safe_keypoints(points, config)
    views = np.ones((len(rig.cameras), *use.shape[:2]), np.bool_)
    if selection is not None:
        use, views = use & selection.labels, selection.views
    xyz = np.where(use[..., None], points.xyz_world, np.nan)
    xy = rig.project(xyz)
    size = np.array([c.intrinsics.size_wh for c in rig.cameras])[:, None, None, None]
    inside = np.asarray(((xy > -0.5) & (xy < size - 0.5)).all(-1), np.bool_) & views[..., None]
    sigma = np.where(inside, project_sigma(rig, xyz, points.cov), np.nan)
    xy = np.where(inside[..., None], xy, np.nan)
    weight = 1 / (1 + (sigma / (config.half_weight * _box(xy)[..., None])) ** 2)
    weight = np.where(inside & np.isfinite(weight), weight, 0.0)
    visibility = np.where(inside, np.where(points.inlier, SEEN, REPROJECTED), 0)
    if pictures is None:
        pictures = np.isfinite(dets.times) | np.asarray(dets.valid.any((-1, -2)), np.bool_)
    keep = (inside.mean(-1) >= config.min_keypoints) & inside.any(-1) & pictures[..., None]
    shown = use & keep.any(0)[..., None]
    return PseudoLabels(
        xy_px=xy,
        visibility=visibility.astype(np.int8),
        weight=weight,
        sigma_px=sigma,
        keep=keep,
        iteration=iteration,
        source=f"{dets.source}; smoothed: {points.smoothing}" if points.smoothing else dets.source,
        rig_digest=points.rig_digest,
        camera_names=points.camera_names,
        frame_ids=points.frame_ids,
        hands=points.hands,
        skeleton=points.skeleton,
        size_wh=tuple(c.intrinsics.size_wh for c in rig.cameras),
        risk=np.where(shown, np.nan if selection is None else selection.risk.risk, np.nan),
        right=_right(points, shown),
    )


def _right(points: Points3D, use: NDArray[np.bool_]) -> F64:
    """Handedness (F, H): what the slot says, or else what the 3D hand looks like."""
    frames, hands, k = use.shape
    said = np.array([side_sign(name) for name in points.hands or [""] * hands])
    side = np.broadcast_to(said, (frames, hands))
    if (said == 0).any() and is_hand(points.skeleton):
        xyz = np.where(use[..., None], points.xyz_world, np.nan)
        reading = read_shapes(xyz.reshape(-1, k, 3), side.ravel(), swaps=False)
        side = np.where(np.isfinite(reading.mirror_gain), reading.side, 0).reshape(frames, hands)
        side = np.where(said == 0, side, said)
    return np.where(use.any(-1) & (side != 0), (side + 1) / 2, np.nan)


def safe_keypoints(points: Points3D, config: LabelConfig) -> BoolArray:
    """Say which points are safe enough to be trained on, shape (F, H, K).

    A view that reads one point of a finger wrong is not believed in the others (Simon et al. 2017:
    whole fingers vote).
    """
    agrees = points.inlier
    if config.unit == "finger":
        agrees = agrees.copy()
        for members in points.skeleton.groups.values():
            some = list(members)
            agrees[..., some] &= points.inlier[..., some].all(-1, keepdims=True)
    least = 2 if config.allow_unvoted else max(config.min_views, 3)
    seen = points.valid & (points.voted | config.allow_unvoted)
    return np.asarray(seen & (agrees.sum(0) >= least), np.bool_)


def _box(xy: F64) -> F64:
    """Longer side of the labelled box of each hand, shape (V, F, H); 1 px at least."""
    seen = np.isfinite(xy)
    low, high = np.where(seen, xy, np.inf).min(-2), np.where(seen, xy, -np.inf).max(-2)
    side = (high - low).max(-1)
    return np.where(np.isfinite(side), np.maximum(side, 1.0), 1.0)
