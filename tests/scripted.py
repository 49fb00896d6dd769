"""A take whose pictures are numbers, and a detector that answers them by script."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from multiview.capture import open_capture
from multiview.core import HAND_21, Detections
from multiview.models.base import ImageHands
from multiview.models.mediapipe import next_rois

BLOCK = 8


def write_take(folder, rig, frames):
    """Write one plain picture a view and frame; its first blocks name view and frame."""
    for v, camera in enumerate(rig.cameras):
        (folder / camera.name).mkdir(parents=True)
        width, height = camera.intrinsics.size_wh
        for f in range(frames):
            image = np.zeros((height, width, 3), np.uint8)
            image[:BLOCK, :BLOCK], image[:BLOCK, BLOCK : 2 * BLOCK] = v, f
            cv2.imwrite(str(folder / camera.name / f"{f:06d}.png"), image)
    return open_capture(folder, sync="index")


@dataclass
class Scripted:
    """Knows where the hands are; what it says of a crop is the script.

    Parameters
    ----------
    xy
        True keypoints, shape (V, F, H, K, 2).
    mode
        ``"truth"``: the hand nearest to the crop; ``"other"``: the one farthest from it;
        ``"crop"``: a hand drawn in the middle of any crop; ``"none"``: no hand.
    right
        Probability of a right hand for each of H.
    """

    xy: np.ndarray
    mode: str = "truth"
    right: tuple[float, ...] = (0.03, 0.97)
    name: str = "scripted"
    skeleton: object = HAND_21
    asked: list = field(default_factory=list)

    def rois_of(self, xy_px):
        return next_rois(xy_px)

    def propose(self, image):
        raise AssertionError("a guided pass does not search")

    def detect(self, image, rois=None):
        v, f = int(image[0, 0, 0]), int(image[0, BLOCK, 0])
        self.asked.append((v, f, len(rois)))
        answers = [self._answer(self.xy[v, f], roi) for roi in rois]
        xy = np.array([a for a, _ in answers]).reshape(-1, 21, 2)
        seen = np.isfinite(xy).all((-1, -2))
        return ImageHands(
            xy_px=xy,
            conf=np.repeat(0.9 * seen[:, None], 21, 1),
            handedness=np.array([r for _, r in answers], float).reshape(-1),
            presence=0.9 * seen,
            rois=np.asarray(rois, float).reshape(-1, 4),
        )

    def detect_batch(self, images, rois=None):
        return [self.detect(i, r) for i, r in zip(images, rois, strict=True)]

    def _answer(self, hands, roi):
        if self.mode == "none":
            return np.full((21, 2), np.nan), np.nan
        distance = np.linalg.norm(hands.mean(1) - roi[:2], axis=-1)
        h = int(distance.argmax() if self.mode == "other" else distance.argmin())
        xy = hands[h]
        if self.mode == "crop":  # something hand-shaped, wherever one looks
            xy = roi[:2] + (xy - xy.mean(0))
        return xy, self.right[h]


def as_detections(rig, xy, right=(0.03, 0.97)):
    """First pass of the hands (V, F, H, K, 2), sorted; a hand that is NaN was missed."""
    seen = np.isfinite(xy).all(-1)
    some = seen.any(-1)
    return Detections(
        xy_px=xy,
        conf=0.9 * seen,
        camera_names=rig.names,
        frame_ids=np.arange(xy.shape[1]),
        times=np.full(xy.shape[:2], np.nan),
        skeleton=HAND_21,
        source="scripted",
        right=np.where(some, np.array(right), np.nan),
        hands=("left", "right"),
        size_wh=tuple(c.intrinsics.size_wh for c in rig.cameras),
    )
