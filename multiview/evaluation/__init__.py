"""How good detections and 3D keypoints are, with a truth and without: values in, values out."""

from multiview.evaluation.keypoints_2d import Truth2D, match_detections, pck_of

__all__ = ["Truth2D", "match_detections", "pck_of"]
