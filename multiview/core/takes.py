"""What is known of a take: 2D detections, 3D points, labels made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import (
    CONVENTIONS,
    F64,
    BoolArray,
    IntArray,
    as_f64,
    check_shapes,
    freeze,
    present,
)
from multiview.core.cameras import Rig
from multiview.core.skeleton import Skeleton
from multiview.errors import InputError, ShapeError

# Labels of the H axis after association.
HAND_SLOTS = ("left", "right")


def side_sign(name: str) -> int:
    """1 for a right hand, -1 for a left one, 0 where the name of the slot does not say."""
    words = name.lower()
    return int("right" in words) - int("left" in words)


def _unknown() -> F64:
    return np.array(np.nan)


def _broadcast(value: F64, shape: tuple[int, ...], name: str) -> F64:
    """One number for all, or an array that is checked later."""
    array = as_f64(value, name)
    return np.full(shape, array) if array.ndim == 0 else array


def _set_arrays(value: Any, arrays: dict[str, NDArray[Any]]) -> None:
    for name, array in arrays.items():
        object.__setattr__(value, name, freeze(array))


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """2D keypoints of a take.

    Parameters
    ----------
    xy_px
        Recorded (distorted) pixels, shape (V, F, H, K, 2); NaN where missing.
    conf
        Confidence in [0, 1], shape (V, F, H, K); 0 where missing.
    camera_names
        V names.
    frame_ids
        Number of each frame set, shape (F,), increasing.
    times
        Seconds on the capture's clock, shape (V, F); NaN where a camera has no image.
    skeleton
        Meaning of axis K.
    source
        Detector or file the points come from.
    right
        Probability that the hand is a right one, shape (V, F, H); NaN where unknown.
    hands
        Labels of axis H. ``("left", "right")`` (with more hands ``left-1, right-1, left-2, ...``)
        when every view's slot h is the same hand; empty while they are one image's candidates,
        best first, in no common order (`multiview.association.assign_hands` orders them).
    size_wh
        Image size of every camera, pixels; empty where the source does not say. Triangulation
        refuses a rig calibrated at another size.
    """

    xy_px: F64
    conf: F64
    camera_names: tuple[str, ...]
    frame_ids: IntArray
    times: F64
    skeleton: Skeleton
    source: str
    right: F64
    hands: tuple[str, ...] = ()
    size_wh: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        xy, conf = as_f64(self.xy_px, "xy_px"), as_f64(self.conf, "conf")
        times, right = as_f64(self.times, "times"), as_f64(self.right, "right")
        ids = np.asarray(self.frame_ids, np.int64)
        sizes = check_shapes(
            "Detections",
            {
                "xy_px": (xy, "V F H K 2"),
                "conf": (conf, "V F H K"),
                "right": (right, "V F H"),
                "times": (times, "V F"),
                "frame_ids": (ids, "F"),
            },
        )
        if sizes["V"] != len(self.camera_names) or sizes["K"] != len(self.skeleton.keypoints):
            raise ShapeError(
                f"Detections has {sizes['V']} views and {sizes['K']} keypoints for "
                f"{len(self.camera_names)} camera names and {len(self.skeleton.keypoints)} "
                "skeleton keypoints",
                CONVENTIONS,
            )
        if self.hands and len(self.hands) != sizes["H"]:
            raise ShapeError(f"Detections.hands names {self.hands} for H={sizes['H']}", CONVENTIONS)
        if len(self.size_wh) not in (0, sizes["V"]):
            raise ShapeError(f"Detections.size_wh has {len(self.size_wh)} entries", CONVENTIONS)
        if np.isinf(xy).any() or not ((conf >= 0) & (conf <= 1)).all():
            raise ShapeError(
                "Detections.xy_px holds infinite values or conf is outside [0, 1]",
                "mark missing points by NaN with confidence 0",
            )
        missing = np.isnan(xy).any(-1)
        if (conf[missing] > 0).any():
            conf = np.where(missing, 0.0, conf)
        _set_arrays(
            self,
            {"xy_px": xy, "conf": conf, "times": times, "right": right, "frame_ids": ids},
        )

    @property
    def valid(self) -> BoolArray:
        """Where a point is present, shape (V, F, H, K)."""
        return present(self.xy_px)


@dataclass(frozen=True, slots=True, kw_only=True)
class Points3D:
    """Triangulated keypoints of a take.

    Parameters
    ----------
    xyz_world
        Shape (F, H, K, 3), metres (or the rig's unit); NaN where not accepted.
    cov
        Covariance of each point, shape (F, H, K, 3, 3), metres squared.
    inlier
        Which views carry the point, shape (V, F, H, K).
    err_px
        Reprojection error in every view that detected the keypoint, inlier or not, shape
        (V, F, H, K), recorded pixels; NaN elsewhere.
    voted
        True where views from at least three places agree, so that a wrong one could be outvoted,
        shape (F, H, K). A point of two views is geometry without a witness.
    trust
        Probability that the point is no chance agreement, shape (F, H, K): 1 where voted; NaN
        without a point, and for two views of a source that does not say. Empty: it says nothing.
    frame_ids, camera_names, hands, skeleton
        As in the detections.
    rig_digest, unit
        The rig's, so that labels of another rig are noticed.
    filled
        Places that no triangulation stands behind but the path before and after, shape (F, H, K);
        all False unless smoothing was asked to fill gaps.
    smoothing
        How the points were smoothed over time, in words; empty if they were not.
    """

    xyz_world: F64
    cov: F64
    inlier: BoolArray
    err_px: F64
    voted: BoolArray
    frame_ids: IntArray
    camera_names: tuple[str, ...]
    hands: tuple[str, ...]
    skeleton: Skeleton
    rig_digest: str
    unit: str = "m"
    filled: BoolArray = field(default_factory=lambda: np.zeros((0, 0, 0), np.bool_))
    smoothing: str = ""
    trust: F64 = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        filled = np.asarray(self.filled, np.bool_)
        voted = np.asarray(self.voted, np.bool_)
        trust = self.trust if self.trust.size else np.where(voted, 1.0, np.nan)
        arrays: dict[str, NDArray[Any]] = {
            "xyz_world": as_f64(self.xyz_world, "xyz_world"),
            "cov": as_f64(self.cov, "cov"),
            "err_px": as_f64(self.err_px, "err_px"),
            "inlier": np.asarray(self.inlier, np.bool_),
            "voted": voted,
            "trust": as_f64(trust, "trust"),
            "filled": filled if filled.size else np.zeros(voted.shape, np.bool_),
            "frame_ids": np.asarray(self.frame_ids, np.int64),
        }
        patterns = {
            "xyz_world": "F H K 3",
            "cov": "F H K 3 3",
            "inlier": "V F H K",
            "err_px": "V F H K",
            "voted": "F H K",
            "filled": "F H K",
            "trust": "F H K",
            "frame_ids": "F",
        }
        check_shapes("Points3D", {n: (arrays[n], p) for n, p in patterns.items()})
        _set_arrays(self, arrays)

    @property
    def valid(self) -> BoolArray:
        """Where a point was accepted, shape (F, H, K)."""
        return present(self.xyz_world)


def check_made_with(points: Points3D, rig: Rig, next_step: str) -> None:
    """Refuse points that were made with another rig; see `check_made_of`."""
    if points.rig_digest != rig.digest:
        raise InputError(
            f"the 3D points were made with rig {points.rig_digest}, this one is {rig.digest}",
            next_step,
        )


def check_made_of(points: Points3D, dets: Detections, rig: Rig, next_step: str) -> None:
    """Refuse points that were made with another rig, or of other detections.

    Parameters
    ----------
    points, dets, rig
        What is said to belong together; the rig with the cameras of the points.
    next_step
        What to do about another rig.

    Raises
    ------
    InputError
        Saying which of both it is.
    """
    check_made_with(points, rig, next_step)
    same = dets.camera_names == points.camera_names
    if not same or not np.array_equal(dets.frame_ids, points.frame_ids):
        raise InputError(
            "the 3D points and the detections have different cameras or frames",
            "give the detections that triangulate used",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoLabels:
    """3D keypoints reprojected into every view: training labels of the next round.

    Parameters
    ----------
    xy_px
        Recorded pixels, shape (V, F, H, K, 2); NaN where the keypoint was not triangulated or
        falls outside the picture.
    visibility
        Shape (V, F, H, K): 2 in views that carry the point, 1 in views it is only reprojected to
        (occluded or missed by the detector: what the next round learns from), 0 where missing.
    weight
        Loss weight in [0, 1], same shape; 0 where missing.
    sigma_px
        Standard deviation of the label from the 3D covariance, same shape, pixels.
    keep
        Which hand in which picture makes a training example, shape (V, F, H).
    iteration
        Round of bootstrapping, 0 for the labels of the first detector.
    source, rig_digest
        Provenance.
    risk
        Estimated probability that the 3D keypoint is false (`multiview.bootstrap.risk`), shape
        (F, H, K); NaN where it was not estimated.
    right
        1 for a right hand, 0 for a left one, shape (F, H); NaN where unknown.
    """

    xy_px: F64
    visibility: NDArray[np.int8]
    weight: F64
    sigma_px: F64
    keep: BoolArray
    iteration: int
    source: str
    rig_digest: str
    camera_names: tuple[str, ...]
    frame_ids: IntArray
    hands: tuple[str, ...]
    skeleton: Skeleton
    size_wh: tuple[tuple[int, int], ...]
    risk: F64 = field(default_factory=_unknown)
    right: F64 = field(default_factory=_unknown)

    def __post_init__(self) -> None:
        shape = np.shape(self.visibility)[1:]
        arrays: dict[str, NDArray[Any]] = {
            "risk": _broadcast(self.risk, shape, "risk"),
            "right": _broadcast(self.right, shape[:2], "right"),
            "xy_px": as_f64(self.xy_px, "xy_px"),
            "visibility": np.asarray(self.visibility, np.int8),
            "weight": as_f64(self.weight, "weight"),
            "sigma_px": as_f64(self.sigma_px, "sigma_px"),
            "keep": np.asarray(self.keep, np.bool_),
            "frame_ids": np.asarray(self.frame_ids, np.int64),
        }
        patterns = {
            "xy_px": "V F H K 2",
            "visibility": "V F H K",
            "weight": "V F H K",
            "sigma_px": "V F H K",
            "keep": "V F H",
            "frame_ids": "F",
            "risk": "F H K",
            "right": "F H",
        }
        check_shapes("PseudoLabels", {n: (arrays[n], p) for n, p in patterns.items()})
        _set_arrays(self, arrays)

    @property
    def box_px(self) -> F64:
        """Left, top, width, height of each hand's labelled keypoints, (V, F, H, 4); NaN if none."""
        shown = (self.visibility > 0)[..., None]
        low = np.where(shown, self.xy_px, np.inf).min(-2)
        high = np.where(shown, self.xy_px, -np.inf).max(-2)
        box = np.concatenate([low, high - low], axis=-1)
        return np.where(shown.any(-2), box, np.nan)
