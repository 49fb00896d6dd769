"""A rig as YAML: the project's own file, readable and complete.

Poses are ``cam_from_world``; lengths in the stated unit (metres unless the source did not say).
Numbers are written with all their digits, so that reading gives back the same rig bit by bit.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import Field

from multiview.config import Config, load_yaml, parse_config
from multiview.core import Camera, CameraRecord, Intrinsics, Pose, Rig, RigRecord
from multiview.errors import ConfigError, InputError
from multiview.formats.atomic import write_text
from multiview.formats.rig_covariance import (
    covariance_path,
    read_rig_covariance,
    write_rig_covariance,
)

__all__ = ["read_rig", "rig_from_dict", "rig_to_dict", "write_rig"]

VERSION = 1
FORMAT = f"multiview-rig/{VERSION}"


class _CameraYaml(Config):
    name: str
    size_wh: tuple[int, int]
    model: Literal["brown", "fisheye"] = "brown"
    K: list[list[float]]
    dist: list[float]
    R: list[list[float]]
    t: list[float]


class _CameraRecordYaml(Config):
    name: str
    lens: str = ""
    views: int = 0
    corners: int = 0
    rejected: int = 0
    rms_px: float | None = None
    noise_px: float | None = None
    focal_std_px: float | None = None
    centre_std_px: float | None = None
    rotation_std_deg: float | None = None
    position_std_m: float | None = None


class _RecordYaml(Config):
    program: str
    date: str = ""
    capture: str = ""
    boards: tuple[str, ...] = ()
    rms_px: float | None = None
    heldout_px: float | None = None
    heldout_mm: float | None = None
    cameras: tuple[_CameraRecordYaml, ...] = ()
    steps: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class _RigYaml(Config):
    format: Literal["multiview-rig/1"]
    unit: str = "m"
    about: str = ""
    convention: str = ""
    world: str = ""
    made: _RecordYaml | None = None
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
    _check_version(data, where)
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
    return Rig(
        cameras=tuple(cameras),
        unit=parsed.unit,
        about=parsed.about,
        world=parsed.world,
        made=None if parsed.made is None else _record(parsed.made),
    )


def _check_version(data: Any, where: str) -> None:
    """Say of a newer file that it is newer, not that one of its keys is misspelt."""
    found = data.get("format") if isinstance(data, dict) else None
    match = re.fullmatch(r"multiview-rig/(\d+)", found) if isinstance(found, str) else None
    if match and int(match[1]) > VERSION:
        raise ConfigError(
            f"{where}: is of format {found}, and this program reads up to {FORMAT}",
            "update multiview, or write the rig again with this version",
        )


def _record(made: _RecordYaml) -> RigRecord:
    data = _numbers(made.model_dump())
    cameras = tuple(CameraRecord(**c) for c in data.pop("cameras"))
    return RigRecord(cameras=cameras, **data)


def _numbers(data: Any) -> Any:
    """Missing numbers: null in the file, NaN in memory."""
    if isinstance(data, dict):
        return {k: _numbers(v) for k, v in data.items()}
    if isinstance(data, tuple):
        return tuple(_numbers(v) for v in data)
    return float("nan") if data is None else data


def _record_to_dict(made: RigRecord) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return dict(plain(asdict(made)))


def rig_to_dict(rig: Rig) -> dict[str, Any]:
    """Plain data of a rig file."""
    return {
        "format": FORMAT,
        "convention": "x_px = K distort(R x_world + t); OpenCV axes and pixel centres",
        "unit": rig.unit,
        "about": rig.about,
        **({"world": rig.world} if rig.world else {}),
        **({"made": _record_to_dict(rig.made)} if rig.made else {}),
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
