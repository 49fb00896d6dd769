"""TOML rigs of caliscope and pyxy3d, Anipose, Pose2Sim: one table a camera.

All hold ``size``, ``matrix``, ``distortions``, ``rotation`` (a rotation vector; pyxy3d: a matrix)
and ``translation``, ``x_cam = R x_world + t``, in OpenCV's conventions. They differ in this:

- caliscope: ``[cameras.N]`` with ``cam_id``, cameras ``cam_N`` as their videos; before, and in
  pyxy3d, ``[cam_N]`` with ``port``, cameras ``port_N``. Metres; ``fisheye`` where it is one. A
  ``name`` is ours: caliscope knows numbers only, and does not read it.
- Anipose (``aniposelib.cameras.CameraGroup.dump``): ``name``; ``fisheye = true`` for a fisheye; the
  unit is that of the user's board, mostly mm, and not stated. We state it as ``unit`` in
  ``[metadata]``, which Anipose keeps and does not read.
- Pose2Sim: ``name``, metres, always ``fisheye = false``: its triangulation has no fisheye.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from multiview._shapes import F64
from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.rigs.lens import brown_coefficients

__all__ = ["read_toml_rig", "write_anipose_rig", "write_caliscope_rig", "write_pose2sim_rig"]

COEFFICIENTS = 5
UNSTATED = "anipose unit"


def read_toml_rig(path: str | Path) -> Rig:
    """Read the cameras; which program wrote them is told by their keys.

    Raises
    ------
    InputError
        If the file is not TOML or a camera has no pose.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable TOML file ({error})", "check it") from None
    nested = data.get("cameras")
    found = {f"cam_{k}": c for k, c in nested.items()} if isinstance(nested, dict) else data
    tables = {
        k: c
        for k, c in found.items()
        if isinstance(c, dict) and ("matrix" in c or _caliscope(k, c))
    }
    cameras = [_camera(path, k, tables[k]) for k in sorted(tables) if not tables[k].get("ignore")]
    if not cameras:
        raise InputError(
            f"{path}: no table of a camera (matrix, distortions, rotation, translation)",
            "give the config.toml of caliscope or pyxy3d, or a calibration of Anipose or Pose2Sim",
        )
    if any(_caliscope(k, c) for k, c in tables.items()):
        program, unit = "caliscope, pyxy3d", "m"
    elif any(c.get("fisheye") is False for c in tables.values()):
        program, unit = "Pose2Sim", "m"
    else:
        meta = data.get("metadata", {})
        unit = meta.get("unit", UNSTATED) if isinstance(meta, dict) else UNSTATED
        program = "Anipose"
    about = f"converted from {path.name} ({program})"
    return Rig(cameras=tuple(cameras), unit=str(unit), about=about)


def _caliscope(key: str, c: dict[str, Any]) -> bool:
    return re.fullmatch(r"cam_\d+", key) is not None and ("port" in c or "cam_id" in c)


def _camera(path: Path, key: str, c: dict[str, Any]) -> Camera:
    try:
        rotation = np.array(c["rotation"], np.float64)
        if rotation.shape != (3, 3):
            rotation = Rotation.from_rotvec(rotation.ravel()).as_matrix()
        lens = Intrinsics(
            K=np.array(c["matrix"]),
            dist=np.array(c["distortions"]),
            size_wh=tuple(c["size"]),
            model="fisheye" if c.get("fisheye") else "brown",
        )
        pose = Pose(R=rotation, t=np.array(c["translation"]))
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise InputError(
            f"{path}: {key} is not a calibrated camera ({error})", "calibrate it first"
        ) from None
    default = f"port_{c['port']}" if "port" in c else f"cam_{c['cam_id']}" if "cam_id" in c else key
    return Camera(name=str(c.get("name", default)), intrinsics=lens, cam_from_world=pose)


def write_anipose_rig(rig: Rig, path: Path) -> Path:
    """Write ``calibration.toml`` of Anipose; the unit is noted in ``[metadata]``."""
    tables = []
    for n, c in enumerate(rig.cameras):
        about: dict[str, Any] = {"name": c.name}
        fisheye = c.intrinsics.model == "fisheye"
        dist = c.intrinsics.dist if fisheye else brown_coefficients(c, COEFFICIENTS, "Anipose")
        tables.append(
            (f"cam_{n}", about | _numbers(c, dist) | ({"fisheye": True} if fisheye else {}))
        )
    tables.append(("metadata", {"adjusted": False, "error": 0.0, "unit": rig.unit}))
    return write_text(path, _toml(tables))


def write_pose2sim_rig(rig: Rig, path: Path) -> Path:
    """Write ``Calib.toml`` of Pose2Sim: metres."""
    tables: list[tuple[str, dict[str, Any]]] = []
    for c in rig.cameras:
        dist = brown_coefficients(c, COEFFICIENTS, "Pose2Sim")
        dist = dist if dist[4] else dist[:4]  # its own files have four
        key = json.dumps(c.name) if re.search(r"[^A-Za-z0-9_-]", c.name) else c.name
        tables.append((key, {"name": c.name} | _numbers(c, dist) | {"fisheye": False}))
    tables.append(("metadata", {"adjusted": False, "error": 0.0}))
    return write_text(path, _toml(tables))


def write_caliscope_rig(rig: Rig, path: Path) -> Path:
    """Write caliscope's ``camera_array.toml``: metres.

    There a camera is a number: that at the end of its name, or its place where names have none.
    """
    ends = [re.search(r"\d+$", c.name) for c in rig.cameras]
    numbers = [int(m[0]) for m in ends if m]
    if len(set(numbers)) < len(rig.cameras):
        numbers = list(range(len(rig.cameras)))
    tables: list[tuple[str, dict[str, Any]]] = []
    for number, c in zip(numbers, rig.cameras, strict=True):
        fisheye = c.intrinsics.model == "fisheye"
        dist = c.intrinsics.dist if fisheye else brown_coefficients(c, COEFFICIENTS, "caliscope")
        about = {"cam_id": number, "name": c.name, "rotation_count": 0, "fisheye": fisheye}
        tables.append((f"cameras.{number}", about | _numbers(c, dist)))
    return write_text(path, _toml(tables))


def _numbers(camera: Camera, dist: F64) -> dict[str, Any]:
    lens, pose = camera.intrinsics, camera.cam_from_world
    return {
        "size": list(lens.size_wh),
        "matrix": lens.K.tolist(),
        "distortions": dist.tolist(),
        "rotation": Rotation.from_matrix(pose.R).as_rotvec().tolist(),
        "translation": pose.t.tolist(),
    }


def _toml(tables: list[tuple[str, dict[str, Any]]]) -> str:
    """TOML of plain values; its texts, numbers and lists are spelled as in JSON."""
    lines = []
    for name, values in tables:
        lines += [f"[{name}]"]
        lines += [f"{k} = {json.dumps(v)}" for k, v in values.items()]
        lines += [""]
    return "\n".join(lines)
