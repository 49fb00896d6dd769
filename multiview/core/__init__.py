"""The data types: frozen values on arrays that are checked once and then read-only.

Conventions (docs/conventions.md): transforms are ``b_from_a`` applied right to left; camera axes
x right, y down, z forward; pixels with the centre of the top-left one at (0, 0); axes in the order
V views, F frames, H hands, K keypoints, coordinate; metres, pixels, radians, seconds; missing is
NaN with confidence 0.
"""

from multiview.core.bias import KeypointBias
from multiview.core.boards import BoardTrack
from multiview.core.cameras import Camera, Intrinsics, Pose, Rig
from multiview.core.covariance import RigCovariance
from multiview.core.record import CameraRecord, RigRecord
from multiview.core.samples import HandSamples
from multiview.core.skeleton import HAND_21, Skeleton
from multiview.core.takes import (
    HAND_SLOTS,
    Detections,
    Points3D,
    PseudoLabels,
    check_made_of,
    check_made_with,
    side_sign,
)

__all__ = [
    "HAND_21",
    "HAND_SLOTS",
    "BoardTrack",
    "Camera",
    "CameraRecord",
    "Detections",
    "HandSamples",
    "Intrinsics",
    "KeypointBias",
    "Points3D",
    "Pose",
    "PseudoLabels",
    "Rig",
    "RigCovariance",
    "RigRecord",
    "Skeleton",
    "check_made_of",
    "check_made_with",
    "side_sign",
]
