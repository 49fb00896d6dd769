"""How good a frame is as a label (Simon et al., CVPR 2017, equation 7)."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.core import Detections, Points3D

__all__ = ["frame_scores"]


def frame_scores(points: Points3D, dets: Detections, use: BoolArray | None = None) -> F64:
    """Sum of the confidences of all keypoints over their inlier views.

    Parameters
    ----------
    points
        Triangulated keypoints.
    dets
        Detections of the same hands.
    use
        Keypoints that count, shape (F, H, K); all by default.

    Returns
    -------
    F64
        Shape (F, H); 0 for a hand that nobody sees.
    """
    counted = points.inlier if use is None else points.inlier & use
    return np.asarray(np.where(counted, dets.conf, 0.0).sum((0, 3)))
