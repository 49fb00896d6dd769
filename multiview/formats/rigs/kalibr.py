"""Kalibr's ``camchain.yaml``: each camera's pose is that from the camera before it.

``cam0``, ``cam1``, ...: ``camera_model: pinhole``, ``intrinsics: [fu, fv, pu, pv]``,
``distortion_model: radtan`` (``k1 k2 p1 p2``), ``equidistant`` (OpenCV's fisheye) or ``none``,
``resolution``, ``rostopic``, and from ``cam1`` on ``T_cn_cnm1`` (4, 4), metres. There is no world:
what is read has ``cam0``'s frame as its world, and what is written keeps only how cameras stand to
one another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from multiview.config import load_yaml
from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.foreign import parsing
from multiview.formats.rigs.lens import brown_coefficients

__all__ = ["read_kalibr_rig", "write_kalibr_rig"]

RADTAN = 4
TOPIC = "image_raw"


def write_kalibr_rig(rig: Rig, path: Path) -> Path:
    """Write the chain in the order of the rig; names are kept as topics, ``/<name>/image_raw``."""
    chain: dict[str, Any] = {}
    before: Pose | None = None
    for n, camera in enumerate(rig.cameras):
        lens, pose = camera.intrinsics, camera.cam_from_world
        fisheye = lens.model == "fisheye"
        dist = lens.dist if fisheye else brown_coefficients(camera, RADTAN, "Kalibr")
        entry: dict[str, Any] = {
            "camera_model": "pinhole",
            "intrinsics": [lens.K[0, 0], lens.K[1, 1], lens.K[0, 2], lens.K[1, 2]],
            "distortion_model": "equidistant" if fisheye else "radtan",
            "distortion_coeffs": dist.tolist(),
            "resolution": list(lens.size_wh),
            "rostopic": f"/{camera.name}/{TOPIC}",
        }
        entry["intrinsics"] = [float(x) for x in entry["intrinsics"]]
        if before is not None:
            step = pose @ before.inv
            matrix = np.vstack([np.column_stack([step.R, step.t]), [0, 0, 0, 1]])
            entry["T_cn_cnm1"] = matrix.tolist()
        chain[f"cam{n}"] = entry
        before = pose
    return write_text(path, yaml.safe_dump(chain, sort_keys=False, default_flow_style=None))


def read_kalibr_rig(path: Path) -> Rig:
    """Read a chain; the world is the frame of ``cam0``.

    Raises
    ------
    InputError
        If a camera is missing in the chain, or of a model that OpenCV has not (omni, eucm, ds).
    """
    data = load_yaml(path)
    cameras: list[Camera] = []
    pose = Pose.identity()
    with parsing(path, "Kalibr"):
        for n in range(len([k for k in data if k.startswith("cam")])):
            c = data[f"cam{n}"]
            if n:
                step = np.array(c["T_cn_cnm1"], np.float64)
                pose = Pose(R=step[:3, :3], t=step[:3, 3]) @ pose
            lens = _lens(path, f"cam{n}", c)
            name = _name(str(c.get("rostopic", "")), f"cam{n}")
            cameras.append(Camera(name=name, intrinsics=lens, cam_from_world=pose))
    first = cameras[0].name
    about = f"converted from {path.name} (Kalibr)"
    return Rig(cameras=tuple(cameras), about=about, world=f"camera {first}")


def _name(topic: str, default: str) -> str:
    """Name the camera by its topic, less what the driver adds."""
    parts = [p for p in topic.split("/") if p and p not in {TOPIC, "image", "image_color"}]
    return "_".join(parts) or default


def _lens(path: Path, key: str, c: dict[str, Any]) -> Intrinsics:
    model, lens = c["camera_model"], c.get("distortion_model", "none")
    if model != "pinhole" or lens not in {"radtan", "equidistant", "none"}:
        raise InputError(
            f"{path}: {key} is {model}-{lens}, which OpenCV's models do not hold",
            "calibrate with pinhole-radtan or pinhole-equi",
        )
    fu, fv, pu, pv = (float(x) for x in c["intrinsics"])
    width, height = (int(x) for x in c["resolution"])
    return Intrinsics(
        K=np.array([[fu, 0, pu], [0, fv, pv], [0, 0, 1]]),
        dist=np.array([] if lens == "none" else c["distortion_coeffs"], np.float64),
        size_wh=(width, height),
        model="fisheye" if lens == "equidistant" else "brown",
    )
