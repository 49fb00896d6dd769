"""`multiview export`: a take for other programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from multiview._shapes import F64
from multiview.bootstrap.joints import FINGERS, JOINTS, measure_joints
from multiview.core import Detections, Points3D, Rig, side_sign
from multiview.errors import InputError
from multiview.formats.atomic import disk_errors
from multiview.formats.detections_parquet import read_detections
from multiview.formats.exports.c3d import write_c3d
from multiview.formats.exports.deeplabcut_take import write_deeplabcut_take
from multiview.formats.exports.gltf import write_gltf
from multiview.formats.exports.hands_3d_json import write_openpose_3d, write_panoptic_3d
from multiview.formats.exports.long_table import (
    angle_columns,
    detection_columns,
    point_columns,
    write_long,
)
from multiview.formats.exports.motion import Motion, even_clock, make_motion
from multiview.formats.exports.names import Axes, ExportFormat
from multiview.formats.exports.sleap_take import write_sleap_take
from multiview.formats.exports.trc import write_trc
from multiview.formats.exports.usda import write_usda
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import read_rig
from multiview.formats.rigs.foreign import in_unit
from multiview.formats.rigs.names import PER_METRE, LengthUnit
from multiview.geometry.axes import UP_IN_WORDS, up_axes
from multiview.progress import say
from multiview.stage import read_manifest

__all__ = ["run_export"]

# Axes of a y-up world in a z-up one, rows: x stays, y is its z, z its -y.
Y_FROM_Z = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True, slots=True)
class _Format:
    """What a format holds, and what it is by default.

    Parameters
    ----------
    suffixes
        Of the file; empty: a folder.
    unit, units
        Lengths by default, and those that may be asked for.
    axes
        By default; ``fixed``: no others may be asked for.
    of
        What of a run it is made of: points, or 2D keypoints.
    """

    suffixes: tuple[str, ...]
    unit: LengthUnit = "m"
    units: tuple[str, ...] = ("m", "cm", "mm")
    axes: Axes = "world"
    fixed: bool = False
    of: str = "points"


FORMATS: dict[str, _Format] = {
    "c3d": _Format((".c3d",), "mm", axes="z-up"),
    "trc": _Format((".trc",), "mm", ("m", "mm"), axes="y-up"),
    "csv": _Format((".csv",), of="both"),
    "parquet": _Format((".parquet",), of="both"),
    "angles": _Format((".csv", ".parquet"), fixed=True),
    "usd": _Format((".usda",), axes="y-up"),
    "gltf": _Format((".glb",), "m", ("m",), axes="y-up", fixed=True),
    "panoptic": _Format((), "cm", ("cm",), fixed=True),
    "openpose": _Format((), fixed=True),
    "deeplabcut": _Format((), fixed=True, of="2D"),
    "slp": _Format((".slp",), fixed=True, of="2D"),
}
MOTIONS: dict[str, Callable[[Motion, Path], Path]] = {
    "c3d": write_c3d,
    "trc": write_trc,
    "usd": write_usda,
    "gltf": write_gltf,
}


@dataclass(frozen=True, slots=True)
class _Run:
    """What a folder holds: points with the rig beside them, detections, or all three."""

    path: Path
    points: Points3D | None
    rig: Rig | None
    dets: Detections | None


def run_export(
    run: Path,
    out: Path,
    format: ExportFormat,
    *,
    unit: LengthUnit | None = None,
    axes: Axes | None = None,
    fps: float | None = None,
    detections: Path | None = None,
) -> Path:
    """Write a take for another program.

    Parameters
    ----------
    run
        Folder of `triangulate` or `smooth`; of `detect` for 2D keypoints.
    out
        File, or new folder.
    format
        docs/export.md says what each holds.
    unit, axes
        Of 3D coordinates; the program's usual ones by default.
    fps
        Frames a second, where the take carries no times.
    detections
        Folder of `detect` or a table, which tells the times; by default what the points were made
        of.

    Raises
    ------
    InputError
        If the run has not what the format holds, or the format cannot hold it.
    """
    how = FORMATS[format]
    _check(how, format, out, unit, axes)
    take = _open(run, detections)
    with disk_errors(out):
        if how.of != "2D" and take.points is not None:
            _export_3d(take, take.points, out, format, unit or how.unit, axes or how.axes, fps)
        elif unit is not None or axes is not None or fps is not None:
            raise InputError(
                "--unit, --axes and --fps mean nothing for 2D keypoints", "leave them out"
            )
        else:
            _export_2d(take, out, format, how)
    return out


def _check(
    how: _Format, format: str, out: Path, unit: LengthUnit | None, axes: Axes | None
) -> None:
    if how.suffixes and out.suffix.lower() not in how.suffixes:
        raise InputError(
            f"{out}: {format} is written to a file that ends in {' or '.join(how.suffixes)}",
            f"--out {out.with_suffix(how.suffixes[0])}",
        )
    if unit is not None and (unit not in how.units or how.of == "2D" or format == "angles"):
        what = "holds no lengths" if how.of == "2D" or format == "angles" else "is in"
        units = "" if what != "is in" else f" {' or '.join(how.units)}"
        raise InputError(f"{format} {what}{units}: not in {unit}", "leave --unit out")
    if how.fixed and axes not in (None, how.axes):
        raise InputError(f"{format} keeps the axes {how.axes}: not {axes}", "leave --axes out")


def _open(run: Path, detections: Path | None) -> _Run:
    """Read what is there of a run; the detections a take was made of where they were."""
    if (run / "points.parquet").exists():
        points, rig = read_points(run / "points.parquet"), read_rig(run / "rig.yaml")
        if not len(points.frame_ids):
            raise InputError(f"{run}: holds no frame", "triangulate a take that has some")
        if detections is not None:
            table = detections / "detections.parquet" if detections.is_dir() else detections
            return _Run(run, points, rig, read_detections(table))
        way = read_manifest(run).get("figures", {}).get("detections", "")
        table = (run / str(way)).resolve()
        found = bool(way) and table.is_file()
        return _Run(run, points, rig, read_detections(table) if found else None)
    if (run / "detections.parquet").exists():
        return _Run(run, None, None, read_detections(run / "detections.parquet"))
    raise InputError(
        f"{run}: holds neither points.parquet nor detections.parquet",
        "give the --out folder of multiview triangulate, smooth or detect",
    )


def _times(take: _Run, points: Points3D) -> F64:
    """Seconds of every frame of the points: the median over the cameras; NaN where unknown."""
    times = np.full(len(points.frame_ids), np.nan)
    if take.dets is None:
        return times
    ids = take.dets.frame_ids
    at = np.minimum(np.searchsorted(ids, points.frame_ids), len(ids) - 1)
    known = np.isfinite(take.dets.times).any(0) & np.isin(ids, points.frame_ids)
    for f, n in enumerate(at.tolist()):
        if known[n] and ids[n] == points.frame_ids[f]:
            times[f] = np.nanmedian(take.dets.times[:, n])
    return times


def _export_2d(take: _Run, out: Path, format: str, how: _Format) -> None:
    if how.of == "points":
        raise InputError(
            f"{take.path}: holds 2D keypoints, and {format} 3D points", "give a triangulate folder"
        )
    dets = take.dets
    what = "detections"
    if take.points is not None and take.rig is not None:
        dets = _reprojected(take.points, take.rig, _times(take, take.points))
        what = "reprojections of the 3D points"
    assert dets is not None
    if format == "deeplabcut":
        write_deeplabcut_take(dets, out)
    elif format == "slp":
        write_sleap_take(dets, out)
    else:
        write_long(detection_columns(dets), out, {"source": dets.source})
    say(
        f"export: {what} of {len(dets.camera_names)} cameras, {len(dets.frame_ids)} frames -> {out}"
    )


def _reprojected(points: Points3D, rig: Rig, times: F64) -> Detections:
    """2D keypoints of a take where its points fall into the pictures, with confidence 1."""
    rig = rig.select(points.camera_names)
    xy = rig.project(points.xyz_world)
    size = np.array([c.intrinsics.size_wh for c in rig.cameras])[:, None, None, None]
    with np.errstate(invalid="ignore"):
        inside = np.asarray(((xy > -0.5) & (xy < size - 0.5)).all(-1), np.bool_)
    side = np.array([{1: 1.0, -1: 0.0}.get(side_sign(n), np.nan) for n in points.hands])
    views = len(rig.cameras)
    return Detections(
        xy_px=np.where(inside[..., None], xy, np.nan),
        conf=np.asarray(inside, np.float64),
        camera_names=points.camera_names,
        frame_ids=points.frame_ids,
        times=np.broadcast_to(times, (views, len(times))),
        skeleton=points.skeleton,
        source="3D points reprojected",
        right=np.broadcast_to(side, (views, len(times), len(side))),
        hands=points.hands,
        size_wh=tuple(c.intrinsics.size_wh for c in rig.cameras),
    )


def _export_3d(
    take: _Run,
    points: Points3D,
    out: Path,
    format: str,
    unit: LengthUnit,
    axes: Axes,
    fps: float | None,
) -> None:
    assert take.rig is not None
    times = _times(take, points)
    if format == "angles":
        _write_angles(points, times, out)
        return
    scale, name = _scale(points, unit, format)
    turn, up, words = _turn(take.rig, axes)
    if format in MOTIONS:
        clock = even_clock(times, points.frame_ids, fps)
        MOTIONS[format](make_motion(points, clock, turn, up=up, scale=scale, unit=name), out)
        added = int(clock.tick[-1]) + 1 - len(clock.tick)
        words += f", {clock.rate_hz:.6g} Hz (times within {clock.off_s * 1000:.2f} ms of it"
        words += f", {added} frames missing in the take left empty)" if added else ")"
    elif fps is not None:
        raise InputError(f"--fps means nothing for {format}", "leave it out")
    elif format in {"csv", "parquet"}:
        about = {"unit": name, "axes": axes, "smoothing": points.smoothing}
        write_long(point_columns(_turned(points, turn), times, scale, name), out, about)
    else:
        moved = _scaled(points, scale)
        if format == "panoptic":
            write_panoptic_3d(moved, in_unit(take.rig, "cm").select(points.camera_names), out)
        else:
            write_openpose_3d(moved, out)
    hands = ", ".join(points.hands)
    say(f"export: {len(points.frame_ids)} frames of {hands}; {name}, {words} -> {out}")


def _write_angles(points: Points3D, times: F64, out: Path) -> None:
    angles = measure_joints(points)
    columns = angle_columns(
        points,
        times,
        (FINGERS, JOINTS),
        (angles.flexion_deg, angles.flexion_sd_deg),
        (angles.abduction_deg, angles.abduction_sd_deg),
    )
    write_long(columns, out, {"unit": "degrees", "smoothing": points.smoothing})
    known = np.isfinite(angles.flexion_deg).mean()
    say(f"export: joint angles of {len(points.frame_ids)} frames, {known:.0%} determined -> {out}")


def _scale(points: Points3D, unit: LengthUnit, format: str) -> tuple[float, str]:
    if points.unit in PER_METRE:
        return PER_METRE[unit] / PER_METRE[points.unit], unit
    if format in {"csv", "parquet"}:
        return 1.0, points.unit
    raise InputError(
        f"{format} is in {unit}, and the scale of this take is not known (its unit is "
        f"{points.unit!r})",
        "state the rig's scale (multiview calib frame RIG --scale ...) and triangulate again, or "
        "export csv",
    )


def _turn(rig: Rig, axes: Axes) -> tuple[F64, str, str]:
    """Axes of the file in the world (3, 3), which of them is up, and both in words."""
    if axes == "world":
        return np.eye(3), "z" if UP_IN_WORDS in rig.world else "", "axes of the rig's world"
    up = axes[0]
    turn = up_axes(rig)
    known = UP_IN_WORDS in rig.world
    how = "" if known else " (up guessed from the cameras: see multiview calib frame)"
    return Y_FROM_Z @ turn if up == "y" else turn, up, f"{up} up{how}"


def _turned(points: Points3D, turn: F64) -> Points3D:
    cov = np.einsum("ij,...jk,lk->...il", turn, points.cov, turn)
    return replace(points, xyz_world=points.xyz_world @ turn.T, cov=cov)


def _scaled(points: Points3D, scale: float) -> Points3D:
    return replace(points, xyz_world=scale * points.xyz_world, cov=scale**2 * points.cov)
