"""A rig as YAML: the project's own file, readable and complete.

Poses are ``cam_from_world``; lengths in the stated unit (metres unless the source did not say).
Numbers are written with all their digits, so that reading gives back the same rig bit by bit.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import Field

from multiview.config import Config, load_yaml, parse_config
from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.rig_covariance import (
    covariance_path,
    read_rig_covariance,
    write_rig_covariance,
)

__all__ = ["read_rig", "rig_from_dict", "rig_to_dict", "write_rig"]

FORMAT = "multiview-rig/1"


class _CameraYaml(Config):
    name: str
    size_wh: tuple[int, int]
    model: Literal["brown", "fisheye"] = "brown"
    K: list[list[float]]
    dist: list[float]
    R: list[list[float]]
    t: list[float]


class _RigYaml(Config):
    format: Literal["multiview-rig/1"]
    unit: str = "m"
    about: str = ""
    convention: str = ""
    cameras: list[_CameraYaml] = Field(min_length=1)


def read_rig(path: str | Path) -> Rig:
    """Read a rig file, and its covariance if that lies beside it.

    Raises
    ------
    ConfigError
        If the file is missing, not YAML, of another version, or has a misspelt key.
    InputError
        If a camera's numbers are no camera; names it.
    """
    rig = rig_from_dict(load_yaml(Path(path)), where=str(path))
    covariance = read_rig_covariance(rig, covariance_path(Path(path)))
    return replace(rig, covariance=covariance)


def rig_from_dict(data: Any, where: str) -> Rig:
    """Build a rig from the plain data of a rig file."""
    parsed = parse_config(data, _RigYaml, where)
    cameras = []
    for c in parsed.cameras:
        try:
            intrinsics = Intrinsics(
                K=np.array(c.K), dist=np.array(c.dist), size_wh=c.size_wh, model=c.model
            )
            pose = Pose(R=np.array(c.R), t=np.array(c.t))
        except (InputError, ValueError) as error:
            what = error.what if isinstance(error, InputError) else str(error)
            raise InputError(f"{where}: camera {c.name}: {what}", "correct the file") from None
        cameras.append(Camera(name=c.name, intrinsics=intrinsics, cam_from_world=pose))
    return Rig(cameras=tuple(cameras), unit=parsed.unit, about=parsed.about)


def rig_to_dict(rig: Rig) -> dict[str, Any]:
    """Plain data of a rig file."""
    return {
        "format": FORMAT,
        "convention": "x_px = K distort(R x_world + t); OpenCV axes and pixel centres",
        "unit": rig.unit,
        "about": rig.about,
        "cameras": [
            {
                "name": c.name,
                "size_wh": list(c.intrinsics.size_wh),
                "model": c.intrinsics.model,
                "K": c.intrinsics.K.tolist(),
                "dist": c.intrinsics.dist.tolist(),
                "R": c.cam_from_world.R.tolist(),
                "t": c.cam_from_world.t.tolist(),
            }
            for c in rig.cameras
        ],
    }


def write_rig(rig: Rig, path: str | Path) -> Path:
    """Write a rig file, replacing an old one in one step, and its covariance beside it."""
    text = yaml.safe_dump(rig_to_dict(rig), sort_keys=False, default_flow_style=None, width=100)
    # the covariance first: without its rig it is harmless
    write_rig_covariance(rig, covariance_path(Path(path)))
    return write_text(Path(path), text)
