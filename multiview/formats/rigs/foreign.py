"""The right format for a rig of another program, and its unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from multiview.config import load_yaml
from multiview.core import Pose, Rig
from multiview.errors import InputError
from multiview.formats.handpose3d import read_handpose3d_rig
from multiview.formats.rig_yaml import read_rig
from multiview.formats.rigs.colmap import read_colmap_rig, write_colmap_rig
from multiview.formats.rigs.kalibr import read_kalibr_rig, write_kalibr_rig
from multiview.formats.rigs.names import PER_METRE, LengthUnit, RigFormat
from multiview.formats.rigs.opencv_yaml import HEAD, read_opencv_rig, write_opencv_rig
from multiview.formats.rigs.panoptic_json import read_panoptic_rig, write_panoptic_rig
from multiview.formats.rigs.toml_rig import (
    read_toml_rig,
    write_anipose_rig,
    write_caliscope_rig,
    write_pose2sim_rig,
)

__all__ = ["in_unit", "read_any_rig", "write_foreign_rig"]


@dataclass(frozen=True, slots=True)
class _Format:
    """How a format is written: by what, in which unit, and whether that unit is its only one."""

    write: Callable[[Rig, Path], Path]
    unit: LengthUnit
    only: bool = True


FORMATS: dict[str, _Format] = {
    "opencv": _Format(write_opencv_rig, "m", only=False),
    "anipose": _Format(write_anipose_rig, "mm", only=False),
    "pose2sim": _Format(write_pose2sim_rig, "m"),
    "caliscope": _Format(write_caliscope_rig, "m"),
    "colmap": _Format(write_colmap_rig, "m", only=False),
    "kalibr": _Format(write_kalibr_rig, "m"),
    "panoptic": _Format(write_panoptic_rig, "cm"),
}


def write_foreign_rig(
    rig: Rig, path: Path, format: RigFormat, unit: LengthUnit | None = None
) -> Path:
    """Write a rig for another program.

    Parameters
    ----------
    rig
        Metres, or a unit of its own where its scale is not known.
    path
        File, or folder for ``opencv`` (a file a camera) and ``colmap``.
    format
        The program.
    unit
        Of the lengths in the file; the program's usual one by default.

    Raises
    ------
    InputError
        If the format cannot hold a lens or the unit, names the camera; or the path is taken.
    """
    how = FORMATS[format]
    if unit not in (None, how.unit) and how.only:
        raise InputError(
            f"{format} files are in {how.unit}, not in {unit}", "leave --unit out, or choose --to"
        )
    if rig.unit not in PER_METRE and (how.only or unit is not None):
        raise InputError(
            f"{format} files are in {unit or how.unit}, and the scale of this rig is not known "
            f"(its unit is {rig.unit!r})",
            "state it first: multiview calib frame RIG --scale ...",
        )
    return how.write(in_unit(rig, unit or how.unit) if rig.unit in PER_METRE else rig, path)


def in_unit(rig: Rig, unit: LengthUnit) -> Rig:
    """Return a rig whose unit is m, cm or mm in another of these; poses and covariance follow."""
    scale = PER_METRE[unit] / PER_METRE[rig.unit]
    if scale == 1:
        return rig
    cameras = tuple(
        replace(c, cam_from_world=Pose(R=c.cam_from_world.R, t=c.cam_from_world.t * scale))
        for c in rig.cameras
    )
    covariance = rig.covariance and rig.covariance.scaled(scale)
    return replace(rig, cameras=cameras, unit=unit, covariance=covariance)


def read_any_rig(
    path: Path, size_wh: tuple[int, int] | None = None, unit: LengthUnit | None = None
) -> Rig:
    """Read a rig of any format by content, ours included, in metres where the unit is known.

    Parameters
    ----------
    path
        File or folder.
    size_wh
        Image size, where the source does not state it.
    unit
        Of the lengths in the source, where that does not state it (Anipose, COLMAP, OpenCV).

    Raises
    ------
    InputError
        If it is no rig, or the source states another unit.
    """
    rig = _read_folder(path, size_wh) if path.is_dir() else _read_file(path, size_wh)
    if unit is not None:
        if rig.unit in PER_METRE and rig.unit != unit:
            raise InputError(
                f"{path}: is in {rig.unit}, --unit says {unit}", "leave --unit out, or correct it"
            )
        rig = replace(rig, unit=unit)
    return in_unit(rig, "m") if rig.unit in PER_METRE else rig


def _read_folder(path: Path, size_wh: tuple[int, int] | None) -> Rig:
    if (path / "cameras.txt").exists() or (path / "images.txt").exists():
        return read_colmap_rig(path)
    panoptic = sorted(path.glob("calibration_*.json"))
    if panoptic:
        return read_panoptic_rig(panoptic[0])
    if any(p.suffix in {".yml", ".yaml"} and _opencv(p) for p in path.iterdir()):
        return read_opencv_rig(path, size_wh)
    if size_wh is None:
        raise InputError(
            f"{path}: its files do not state the image size, or it holds no rig that is known",
            "for handpose3d add --size-wh WIDTH HEIGHT; docs/export.md lists the rigs",
        )
    return read_handpose3d_rig(path, size_wh)


def _read_file(path: Path, size_wh: tuple[int, int] | None) -> Rig:
    suffix = path.suffix.lower()
    if suffix == ".toml":
        return read_toml_rig(path)
    if suffix == ".json":
        return read_panoptic_rig(path)
    if suffix in {".yaml", ".yml"}:
        if _opencv(path):
            return read_opencv_rig(path, size_wh)
        data = load_yaml(path)
        kalibr = isinstance(data, dict) and "format" not in data and "cam0" in data
        return read_kalibr_rig(path) if kalibr else read_rig(path)
    raise InputError(
        f"{path}: no rig is read from {path.suffix!r}",
        "rigs come from .toml (caliscope, pyxy3d, Anipose, Pose2Sim), .yaml (Kalibr, OpenCV), "
        "Panoptic .json, COLMAP and handpose3d folders; 2D keypoints go to --out FILE.parquet",
    )


def _opencv(path: Path) -> bool:
    """Whether a YAML file is one of OpenCV's, which no other parser reads."""
    with path.open("rb") as stream:
        return stream.read(16).startswith(HEAD)
