"""Run a 2D detector over every picture of a capture."""

from __future__ import annotations

import numpy as np

from multiview.capture import Capture
from multiview.core import Detections
from multiview.models.base import Detector, ImageHands
from multiview.progress import Progress

__all__ = ["concatenate", "detect"]


def detect(
    capture: Capture,
    detector: Detector,
    *,
    start: int = 0,
    stop: int | None = None,
    max_hands: int = 2,
    progress: Progress | None = None,
) -> Detections:
    """Detect hands in every picture; memory holds one picture a camera at a time.

    Parameters
    ----------
    capture
        Synchronised cameras.
    detector
        From `multiview.load_detector`.
    start, stop
        Range of frame sets.
    max_hands
        Slots of axis H; a picture's best hands are kept.
    progress
        Called with ("detect", pictures done, pictures in all).

    Returns
    -------
    Detections
        Candidates (``hands == ()``): which is which hand is decided by
        `multiview.association.assign_hands`.

    Raises
    ------
    CaptureError
        If a frame does not decode; names camera, file and frame.
    """
    first, last, _ = slice(start, stop).indices(len(capture.frame_ids))
    views, frames, k = len(capture.names), last - first, len(detector.skeleton.keypoints)
    xy = np.full((views, frames, max_hands, k, 2), np.nan)
    conf, right = np.zeros(xy.shape[:-1]), np.full(xy.shape[:3], np.nan)
    done, total = 0, int((capture.index[:, first:last] >= 0).sum())
    for v in range(views):
        for f, image in capture.images(v, first, last):
            hands = detector.detect(image)
            _store(hands, max_hands, (xy[v, f - first], conf[v, f - first], right[v, f - first]))
            done += 1
            if progress:
                progress("detect", done, total)
    return Detections(
        xy_px=xy,
        conf=conf,
        camera_names=capture.names,
        frame_ids=capture.frame_ids[first:last],
        times=capture.times[:, first:last],
        skeleton=detector.skeleton,
        source=detector.name,
        right=right,
        size_wh=capture.sizes_wh,
    )


def _store(
    hands: ImageHands, max_hands: int, row: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    n = min(len(hands), max_hands)
    row[0][:n], row[1][:n], row[2][:n] = hands.xy_px[:n], hands.conf[:n], hands.handedness[:n]


def concatenate(parts: list[Detections]) -> Detections:
    """Join consecutive frame ranges of one take."""
    head = parts[0]
    return Detections(
        xy_px=np.concatenate([p.xy_px for p in parts], axis=1),
        conf=np.concatenate([p.conf for p in parts], axis=1),
        camera_names=head.camera_names,
        frame_ids=np.concatenate([p.frame_ids for p in parts]),
        times=np.concatenate([p.times for p in parts], axis=1),
        skeleton=head.skeleton,
        source=head.source,
        right=np.concatenate([p.right for p in parts], axis=1),
        hands=head.hands,
        size_wh=head.size_wh,
    )
