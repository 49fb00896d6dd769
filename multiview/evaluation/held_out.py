"""What a detector is worth on labelled pictures that it was not trained on.

Two questions, as in the literature: how well are keypoints placed when the crop of the hand is
given (Simon et al., CVPR 2017, report that), and what does a user get from the bare picture, where
a hand that is not found counts as wrong in all its keypoints.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.evaluation.keypoints_2d import nearest_hands
from multiview.geometry.metrics import auc, pck
from multiview.models.base import U8, Detector, whole_hands

__all__ = ["HeldOut", "LabelledPicture", "score_detector"]

# Thresholds of the figures, and of the curve, in longer sides of the hand's box.
SHARES = (0.05, 0.1, 0.2)
CURVE = np.round(np.arange(0.01, 0.301, 0.01), 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPicture:
    """A picture and the hands in it.

    Parameters
    ----------
    image
        BGR.
    xy_px
        Labels, shape (N, K, 2); NaN where there is none.
    """

    image: U8
    xy_px: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Errors of a detector, one row a labelled hand.

    Parameters
    ----------
    crop_error
        Distance from the label over the longer side of the labelled box, the crop given from the
        label, shape (N, K); infinite where the detector saw no hand, NaN without a label.
    error
        The same from the bare picture.
    xy_px
        Keypoints read in the given crops, shape (N, K, 2).
    """

    crop_error: F64
    error: F64
    xy_px: F64

    @property
    def found(self) -> BoolArray:
        """Hands that were found in the bare picture, shape (N,)."""
        return np.asarray(np.isfinite(self.error).any(-1), np.bool_)

    def figures(self) -> dict[str, float]:
        """Numbers of a round: PCK at 0.05, 0.1, 0.2 and area under the curve up to 0.3."""
        out: dict[str, float] = {"hands": float(len(self.error))}
        for name, error in (("crop", self.crop_error), ("picture", self.error)):
            labelled = error[~np.isnan(error)]
            within = pck(labelled, np.array(SHARES))
            out |= {f"{name}_pck_{at}": float(w) for at, w in zip(SHARES, within, strict=True)}
            out[f"{name}_auc"] = auc(labelled, 0.0, 0.3)
        out["detection_rate"] = float(self.found.mean()) if len(self.error) else float("nan")
        return out

    def curve(self, *, crop: bool = True) -> F64:
        """PCK at the thresholds `CURVE`, shape (30,)."""
        error = self.crop_error if crop else self.error
        return pck(error[~np.isnan(error)], CURVE)


def score_detector(detector: Detector, pictures: Iterable[LabelledPicture]) -> HeldOut:
    """Run a detector over labelled pictures, with the crops given and without.

    Parameters
    ----------
    detector
        Of the labels' skeleton.
    pictures
        Read one after the other.
    """
    crops, errors, points = [], [], []
    for picture in pictures:
        size = _box(picture.xy_px)
        rois = detector.rois_of(whole_hands(picture.xy_px))
        inside = detector.detect(picture.image, rois).xy_px
        found = detector.detect(picture.image).xy_px
        crops.append(_error(inside, picture.xy_px, size))
        errors.append(_error(_matched(found, picture.xy_px, size), picture.xy_px, size))
        points.append(inside)
    keypoints = len(detector.skeleton.keypoints)
    return HeldOut(
        crop_error=np.concatenate(crops) if crops else np.zeros((0, keypoints)),
        error=np.concatenate(errors) if errors else np.zeros((0, keypoints)),
        xy_px=np.concatenate(points) if points else np.zeros((0, keypoints, 2)),
    )


def _box(xy: F64) -> F64:
    """Longer side of the box of each hand, shape (N,); NaN without a label."""
    seen = np.isfinite(xy)
    side = np.where(seen, xy, -np.inf).max(1) - np.where(seen, xy, np.inf).min(1)
    return np.asarray(np.where(seen.any((1, 2)), np.maximum(side.max(-1), 1.0), np.nan))


def _error(found: F64, truth: F64, size: F64) -> F64:
    """Relative distances: infinite where nothing was found, NaN where nothing is labelled."""
    distance = np.linalg.norm(found - truth, axis=-1) / size[:, None]
    distance = np.where(np.isnan(distance), np.inf, distance)
    return np.where(np.isfinite(truth).all(-1), distance, np.nan)


def _matched(found: F64, truth: F64, size: F64) -> F64:
    """Give every labelled hand the nearest found one, each once; NaN where none is near."""
    out = np.full(truth.shape, np.nan)
    if len(found):
        distance = np.linalg.norm(found[None] - truth[:, None], axis=-1)
        pick = nearest_hands(distance[None, None], size[None, None, :, None])[0, 0]
        out[pick >= 0] = found[pick[pick >= 0]]
    return out
