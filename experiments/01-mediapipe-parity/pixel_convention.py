"""Measure which pixels the landmark network counts: index (0 to 223) or edge (0.5 to 223.5).

``python pixel_convention.py [FOLDER]`` cuts the crop around every hand, runs it as it
is and mirrored, and adds the two answers for each keypoint's x. A keypoint at index u is at index
223 - u of the mirrored crop; if the network counted from the edge, the sum would be 224.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from compare import shared_photos

from multiview.models import ImageHands, MediaPipeHands
from multiview.models.card import load_card

SIZE = 224
SURE = 0.8  # presence of both answers


def bias(detector: MediaPipeHands, image: np.ndarray) -> float | None:
    """Return half of (sum of x and mirrored x) - 223, mean over a hand's keypoints [crop px]."""
    hands = detector.detect(image)
    if not len(hands):
        return None
    x, y, side, angle = hands.rois[0]
    # mirroring the image about x = (W - 1) / 2 and the crop with it: index i shows index 224 - i of
    # the same square, so the mirrored square is moved by one crop pixel to show exactly 223 - i
    step = side / SIZE
    centre = np.array([x - step * np.cos(angle), y - step * np.sin(angle)])
    mirrored = np.array([[image.shape[1] - 1 - centre[0], centre[1], side, -angle]])
    other = detector.detect(np.ascontiguousarray(image[:, ::-1]), mirrored)
    if min(hands.presence[0], other.presence[0]) < SURE:
        return None
    return float(np.mean(crop_x(hands) + crop_x(other) - (SIZE - 1)) / 2)


def crop_x(hands: ImageHands) -> np.ndarray:
    """Give x of the first hand's keypoints in its crop [crop px]."""
    x, y, side, angle = hands.rois[0]
    along = (hands.xy_px[0] - [x, y]) @ [np.cos(angle), np.sin(angle)]
    return (along / side + 0.5) * SIZE


def main(folder: Path) -> None:
    """Print the mean and its standard error for both models."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg"})
    for model in ("lite", "full"):
        detector = MediaPipeHands(load_card(f"mediapipe-{model}"))
        found = [bias(detector, cv2.imread(str(path))) for path in files]
        values = np.array([v for v in found if v is not None])
        error = values.std() / np.sqrt(len(values))
        print(f"{model}: {len(values)} hands, {values.mean():+.3f} +- {error:.3f} crop px")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else shared_photos())
