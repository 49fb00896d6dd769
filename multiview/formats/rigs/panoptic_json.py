"""CMU Panoptic's ``calibration_<sequence>.json``: ``K``, ``distCoef`` (5), ``R``, ``t`` (cm)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.foreign import parsing, read_json
from multiview.formats.rigs.lens import brown_coefficients

__all__ = [
    "COEFFICIENTS",
    "read_camera",
    "read_panoptic_rig",
    "write_panoptic_cameras",
    "write_panoptic_rig",
]

COEFFICIENTS = 5


def _entry(camera: Camera) -> dict[str, Any]:
    """One entry of ``cameras``; lengths as they are."""
    lens, pose = camera.intrinsics, camera.cam_from_world
    return {
        "name": camera.name,
        "type": "hd",
        "resolution": list(lens.size_wh),
        "K": lens.K.tolist(),
        "distCoef": brown_coefficients(camera, COEFFICIENTS, "panoptic").tolist(),
        "R": pose.R.tolist(),
        "t": pose.t[:, None].tolist(),
    }


def write_panoptic_rig(rig: Rig, path: Path) -> Path:
    """Write the calibration of a sequence, centimetres."""
    return write_panoptic_cameras(rig.cameras, path)


def write_panoptic_cameras(cameras: Sequence[Camera], path: Path) -> Path:
    """Write cameras whose lengths are centimetres."""
    return write_text(path, json.dumps({"cameras": [_entry(c) for c in cameras]}))


def read_panoptic_rig(path: Path) -> Rig:
    """Read all cameras of a sequence (VGA, HD, Kinect); the rig's unit is cm.

    Raises
    ------
    InputError
        If the file is not such a calibration.
    """
    data = read_json(path)
    with parsing(path, "CMU Panoptic"):
        if not isinstance(data, dict) or not data.get("cameras"):
            raise InputError(f"{path}: lists no cameras", "give calibration_<sequence>.json")
        cameras = tuple(read_camera(c) for c in data["cameras"])
    return Rig(cameras=cameras, unit="cm", about=f"converted from {path.name} (CMU Panoptic)")


def read_camera(data: dict[str, Any]) -> Camera:
    """Make a camera of an entry of ``cameras``; lengths as they are."""
    width, height = data["resolution"]
    lens = Intrinsics(
        K=np.array(data["K"]), dist=np.array(data["distCoef"]), size_wh=(width, height)
    )
    pose = Pose(R=np.array(data["R"]), t=np.array(data["t"], np.float64).ravel())
    return Camera(name=str(data["name"]), intrinsics=lens, cam_from_world=pose)
