"""Calibrated cameras, robust 3D hand keypoints, and the labels they make.

>>> import multiview as mv
>>> rig = mv.calibrate(mv.open_capture("captures/board"), mv.load_board("board.yaml")).rig
>>> take = mv.open_capture("captures/take01")
>>> dets = mv.detect(take, mv.load_detector("hand"))
>>> points = mv.triangulate(dets, rig)
>>> labels = mv.pseudo_labels(points, dets, rig)
>>> mv.save(labels, "out/take01.coco.json")
>>> mv.show(points, rig, take, dets=dets)

Conventions: ``b_from_a`` transforms; camera axes x right, y down, z forward; pixels with the centre
of the top-left one at (0, 0); axes V views, F frames, H hands, K keypoints, coordinate; metres,
pixels, radians, seconds; missing is NaN with confidence 0. See docs/conventions.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiview.bootstrap.labels import pseudo_labels as pseudo_labels
    from multiview.calib import calibrate as calibrate
    from multiview.calib import load_board as load_board
    from multiview.capture import open_capture as open_capture
    from multiview.core import HAND_21 as HAND_21
    from multiview.core import Camera as Camera
    from multiview.core import Detections as Detections
    from multiview.core import Intrinsics as Intrinsics
    from multiview.core import Points3D as Points3D
    from multiview.core import Pose as Pose
    from multiview.core import PseudoLabels as PseudoLabels
    from multiview.core import Rig as Rig
    from multiview.core import Skeleton as Skeleton
    from multiview.detection import detect as detect
    from multiview.formats.files import load as load
    from multiview.formats.files import save as save
    from multiview.models.load import load_detector as load_detector
    from multiview.smoothing.take import smooth as smooth
    from multiview.stages.show import show as show
    from multiview.triangulation import triangulate as triangulate

_CORE = "HAND_21 Camera Detections Intrinsics Points3D Pose PseudoLabels Rig Skeleton"  # one module
_HOME = {name: "multiview.core" for name in _CORE.split()} | {
    "calibrate": "multiview.calib",
    "detect": "multiview.detection",
    "load": "multiview.formats.files",
    "load_board": "multiview.calib",
    "load_detector": "multiview.models.load",
    "open_capture": "multiview.capture",
    "pseudo_labels": "multiview.bootstrap.labels",
    "save": "multiview.formats.files",
    "show": "multiview.stages.show",
    "smooth": "multiview.smoothing.take",
    "triangulate": "multiview.triangulation",
}

__all__ = [
    "HAND_21",
    "Camera",
    "Detections",
    "Intrinsics",
    "Points3D",
    "Pose",
    "PseudoLabels",
    "Rig",
    "Skeleton",
    "calibrate",
    "detect",
    "load",
    "load_board",
    "load_detector",
    "open_capture",
    "pseudo_labels",
    "save",
    "show",
    "smooth",
    "triangulate",
]


def __getattr__(name: str) -> Any:
    """Import on first use: `multiview --help` needs neither cv2 nor pyarrow."""
    if name not in _HOME:
        raise AttributeError(f"module 'multiview' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
