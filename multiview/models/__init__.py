"""2D detectors: the embedded hand detector, and the protocol that every other one follows."""

from multiview.models.base import Detector, ImageHands
from multiview.models.load import load_detector
from multiview.models.mediapipe import MediaPipeHands, next_rois

__all__ = ["Detector", "ImageHands", "MediaPipeHands", "load_detector", "next_rois"]
