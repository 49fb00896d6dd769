"""2D detections against true keypoints: which hand is which, then errors, PCK, AUC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from multiview._shapes import F64, BoolArray, IntArray
from multiview.core import Detections, Skeleton
from multiview.errors import InputError
from multiview.geometry.metrics import auc, auc_mmpose, pck, point_errors

__all__ = [
    "HEAD_SHARE",
    "Matched",
    "Norm",
    "Truth2D",
    "figures_2d",
    "match_detections",
    "nearest_hands",
    "pck_of",
]

Norm = Literal["box", "head", "px"]
# The hand's size from the head's, as in MPII evaluations: 0.7 of the head segment.
HEAD_SHARE = 0.7
# PCK thresholds that are named in tables, as shares of the longer side of the true box.
BOX_SHARES = (0.05, 0.1, 0.2)
AUC_PX = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth2D:
    """True keypoints in the pictures.

    Parameters
    ----------
    xy_px
        Recorded pixels, shape (V, F, H, K, 2); NaN where there is no truth.
    camera_names, frame_ids, skeleton
        Axes V, F and K.
    hands
        Labels of axis H; empty where the truth does not say which hand is which.
    visible
        Whether the keypoint is seen, shape (V, F, H, K); None where nobody said.
    head_px
        Size of the person's head, shape (V, F, H); None where nobody said.
    to_camera
        Angle between the palm's normal and the ray to the camera, shape (V, F, H), radians: 0 looks
        into the palm; None without 3D.
    to_forearm
        Angle between the hand's length and the viewing ray, in [0, pi/2], same shape, or None.
    """

    xy_px: F64
    camera_names: tuple[str, ...]
    frame_ids: IntArray
    skeleton: Skeleton
    hands: tuple[str, ...] = ()
    visible: BoolArray | None = None
    head_px: F64 | None = None
    to_camera: F64 | None = None
    to_forearm: F64 | None = None

    @property
    def side_px(self) -> F64:
        """Longer side of the tight box of every hand, shape (V, F, H), pixels; NaN without one."""
        low = np.where(np.isnan(self.xy_px), np.inf, self.xy_px).min(-2)
        high = np.where(np.isnan(self.xy_px), -np.inf, self.xy_px).max(-2)
        side = (high - low).max(-1)
        return np.asarray(np.where(np.isfinite(side) & (side > 0), side, np.nan))


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """Errors of a detector, on the cameras and frames that it shares with the truth.

    Parameters
    ----------
    truth
        The truth on these axes.
    error_px
        Shape (V, F, H, K); NaN where missed or without truth.
    exists
        Where there is a truth, same shape.
    found
        Hands that were detected, shape (V, F, H).
    wrong_side
        Detected hands with the other hand's label, same shape; False where nothing says so.
    """

    truth: Truth2D
    error_px: F64
    exists: BoolArray
    found: BoolArray
    wrong_side: BoolArray

    def errors(self, norm: Norm = "box", where: BoolArray | None = None) -> F64:
        """Return errors of all true keypoints as one row, in units of the norm; NaN is missed.

        Parameters
        ----------
        norm
            ``"box"``: longer side of the true box; ``"head"``: 0.7 of the head; ``"px"``: pixels.
        where
            Keypoints to take, shape that broadcasts to (V, F, H, K).

        Raises
        ------
        InputError
            If the truth knows no heads.
        """
        use = self.exists if where is None else self.exists & where
        return np.asarray((self.error_px / self._unit(norm)[..., None])[use])

    def _unit(self, norm: Norm) -> F64:
        if norm == "px":
            return np.ones(self.found.shape)
        if norm == "box":
            return self.truth.side_px
        if self.truth.head_px is None:
            raise InputError(
                "errors by head size need heads, and the truth has none",
                "add head_px (V, F) to the truth's npz, or normalise by the box",
            )
        return HEAD_SHARE * self.truth.head_px


def match_detections(dets: Detections, truth: Truth2D) -> Matched:
    """Find the detection of every true hand, the nearest ones, and its errors.

    A hand's detections may be in any slot: its slot or label is judged apart. A detection farther
    off, in the mean, than the longer side of the true box is none of this hand.

    Raises
    ------
    InputError
        If keypoints differ, or no camera or frame is common.
    """
    dets, truth = _common(dets, truth)
    distance = point_errors(dets.xy_px[:, :, None], truth.xy_px[:, :, :, None])  # V F Ht Hd K
    side = truth.side_px[..., None]
    pick = nearest_hands(distance, side)
    found = pick >= 0
    error = np.take_along_axis(distance, np.maximum(pick, 0)[..., None, None], axis=3)[..., 0, :]
    return Matched(
        truth=truth,
        error_px=np.where(found[..., None], error, np.nan),
        exists=np.asarray(np.isfinite(truth.xy_px).all(-1) & np.isfinite(side), np.bool_),
        found=found,
        wrong_side=found & _mislabelled(dets, truth, pick),
    )


def nearest_hands(distance: F64, side_px: F64) -> IntArray:
    """Pick the detection of every true hand: most pairs, least mean distance.

    Parameters
    ----------
    distance
        Of keypoints, every true hand against every detection, shape (V, F, Ht, Hd, K); NaN where
        either is missing.
    side_px
        Longer side of the true hands' boxes, shape (V, F, Ht, 1): what is farther off, in the
        mean, is none of this hand.

    Returns
    -------
    IntArray
        Shape (V, F, Ht); -1 for none.
    """
    shared = np.isfinite(distance)
    cost = np.where(shared, distance, 0).sum(-1) / np.maximum(shared.sum(-1), 1)
    cost = np.where(shared.any(-1) & (cost <= side_px), cost, np.inf)
    pick = np.full(cost.shape[:3], -1)
    possible = np.isfinite(cost)
    for v, f in np.argwhere(possible.any((-1, -2))):
        # a pair that may not be costs more than all others together
        barred = 1 + np.where(possible[v, f], cost[v, f], 0).sum()
        rows, columns = linear_sum_assignment(np.where(possible[v, f], cost[v, f], barred))
        good = possible[v, f, rows, columns]
        pick[v, f, rows[good]] = columns[good]
    return pick


def _mislabelled(dets: Detections, truth: Truth2D, pick: IntArray) -> BoolArray:
    """Say where a detection's label (slot, or probability to be right) is another hand's."""
    if not truth.hands:
        return np.zeros(pick.shape, np.bool_)
    true = np.broadcast_to(np.array(truth.hands), pick.shape)
    if dets.hands:
        given = np.array(dets.hands)[np.maximum(pick, 0)]
    else:
        right = np.take_along_axis(dets.right, np.maximum(pick, 0), axis=2)
        given = np.where(np.isnan(right), true, np.where(right > 0.5, "right", "left"))
    return np.asarray(given != true, np.bool_)


def _common(dets: Detections, truth: Truth2D) -> tuple[Detections, Truth2D]:
    """Cut both to the cameras and frames that they share."""
    if dets.skeleton.keypoints != truth.skeleton.keypoints:
        raise InputError(
            f"the detections have {len(dets.skeleton.keypoints)} keypoints "
            f"({dets.skeleton.name}: {', '.join(dets.skeleton.keypoints[:3])}, ...), the truth "
            f"{len(truth.skeleton.keypoints)} ({', '.join(truth.skeleton.keypoints[:3])}, ...)",
            "give a truth of the same keypoints in the same order",
        )
    cameras = [n for n in dets.camera_names if n in truth.camera_names]
    if not cameras:
        raise InputError(
            f"the detections are of cameras {', '.join(dets.camera_names)}, the truth of "
            f"{', '.join(truth.camera_names)}: none is common",
            "give the truth of this take",
        )
    ids, here, there = np.intersect1d(dets.frame_ids, truth.frame_ids, return_indices=True)
    if not len(ids):
        raise InputError(
            f"the detections have frames {_range(dets.frame_ids)}, the truth "
            f"{_range(truth.frame_ids)}: none is common",
            "give the truth of this take",
        )
    return (
        select_detections(dets, [dets.camera_names.index(n) for n in cameras], here),
        _select_truth(truth, [truth.camera_names.index(n) for n in cameras], there),
    )


def _range(ids: IntArray) -> str:
    return f"{ids.min()} to {ids.max()}" if len(ids) else "(none)"


def select_detections(dets: Detections, views: Sequence[int], frames: IntArray) -> Detections:
    """Return the detections of some views and rows of frames."""
    at = np.ix_(np.asarray(views, np.int64), frames)
    return Detections(
        xy_px=dets.xy_px[at],
        conf=dets.conf[at],
        camera_names=tuple(dets.camera_names[v] for v in views),
        frame_ids=dets.frame_ids[frames],
        times=dets.times[at],
        skeleton=dets.skeleton,
        source=dets.source,
        right=dets.right[at],
        hands=dets.hands,
        size_wh=tuple(dets.size_wh[v] for v in views) if dets.size_wh else (),
    )


def _select_truth(truth: Truth2D, views: Sequence[int], frames: IntArray) -> Truth2D:
    at = np.ix_(np.asarray(views, np.int64), frames)
    return Truth2D(
        xy_px=truth.xy_px[at],
        camera_names=tuple(truth.camera_names[v] for v in views),
        frame_ids=truth.frame_ids[frames],
        skeleton=truth.skeleton,
        hands=truth.hands,
        visible=None if truth.visible is None else truth.visible[at],
        head_px=None if truth.head_px is None else truth.head_px[at],
        to_camera=None if truth.to_camera is None else truth.to_camera[at],
        to_forearm=None if truth.to_forearm is None else truth.to_forearm[at],
    )


def pck_of(
    dets: Detections, truth: Truth2D, thresholds: Sequence[float] = (0.1,), norm: Norm = "box"
) -> F64:
    """Share of all true keypoints that the detections have within each threshold.

    Parameters
    ----------
    dets, truth
        As in `match_detections`; a missed keypoint is wrong.
    thresholds, norm
        In units of the norm, as in `Matched.errors`.

    Returns
    -------
    F64
        One share per threshold.
    """
    errors = match_detections(dets, truth).errors(norm)
    return pck(errors, np.asarray(thresholds, np.float64))


def figures_2d(matched: Matched, where: BoolArray | None = None) -> dict[str, float]:
    """Say everything about a detector, or about its keypoints at some places, in numbers.

    Parameters
    ----------
    matched
        Errors.
    where
        Keypoints to take, shape that broadcasts to (V, F, H, K).

    Returns
    -------
    dict
        ``keypoints`` true ones; ``hands_found`` and ``keypoints_found`` shares; ``epe_px`` mean and
        ``epe_median_px`` of found ones; ``pck_box_*`` and, with heads, ``pck_head``;
        ``auc_px_0_30`` and ``auc_box_0_1`` by the trapezoid rule; ``auc_px_mmpose``, whose maximum
        is 0.95; ``wrong_side`` of the found hands.
    """
    use = matched.exists if where is None else matched.exists & where
    px, box = matched.errors("px", where), matched.errors("box", where)
    hands = use.any(-1)
    good = px[np.isfinite(px)]
    shares = pck(box, np.array(BOX_SHARES))
    out = {
        "keypoints": float(use.sum()),
        "hands_found": _mean(matched.found[hands]),
        "keypoints_found": _mean(np.isfinite(px)),
        "epe_px": _mean(good),
        "epe_median_px": float(np.median(good)) if good.size else float("nan"),
        **{f"pck_box_{s:g}": float(p) for s, p in zip(BOX_SHARES, shares, strict=True)},
        "auc_px_0_30": auc(px, 0, AUC_PX, 3001),
        "auc_px_mmpose": auc_mmpose(np.where(use, matched.error_px, np.nan), use, AUC_PX),
        "auc_box_0_1": auc(box, 0, 1, 1001),
        "wrong_side": _mean(matched.wrong_side[hands & matched.found]),
    }
    if matched.truth.head_px is not None:
        out["pck_head"] = float(pck(matched.errors("head", where), np.array([1.0]))[0])
    return out


def _mean(values: F64 | BoolArray) -> float:
    return float(np.mean(values)) if values.size else float("nan")
