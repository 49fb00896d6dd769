"""One small picture a camera, for the report."""

from __future__ import annotations

import cv2
import numpy as np

from multiview.calib import CalibrationResult
from multiview.capture import Capture
from multiview.errors import CaptureError

__all__ = ["thumbnails"]

# About 15 kB a camera: a page of 31 cameras stays below a megabyte of pictures.
WIDTH, QUALITY = 400, 72


def thumbnails(capture: Capture, result: CalibrationResult) -> dict[str, bytes]:
    """Return a JPEG of each camera, of the frame in which most corners of its board were kept.

    A camera whose picture cannot be decoded again has none.
    """
    out = {}
    for v, name in enumerate(capture.names):
        # of long footage only some frames were looked at
        kept = np.zeros(len(capture.frame_ids))
        at = np.searchsorted(capture.frame_ids, result.corners.frame_ids)
        kept[at] = np.sum([part.inlier[v].sum(-1) for part in result.boards], axis=0)
        have = capture.index[v] >= 0
        if not have.any():
            continue
        try:
            image = capture.image(v, int(np.argmax(np.where(have, kept, -1))))
        except CaptureError:
            continue
        height = max(round(WIDTH * image.shape[0] / image.shape[1]), 1)
        small = cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)
        done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if done:
            out[name] = data.tobytes()
    return out
