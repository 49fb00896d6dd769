"""World frames from points that a person clicked: read strictly, triangulated, checked."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from pydantic import Field

from multiview._shapes import F64
from multiview.calib.frame import WorldFrame, gravity_frame, points_frame, scaled_frame
from multiview.config import Config, read_yaml
from multiview.core import Rig
from multiview.errors import InputError
from multiview.geometry.dlt import dlt
from multiview.geometry.refine import refine_points

__all__ = ["WorldPoints", "frame_of_gravity", "frame_of_points", "load_points", "locate"]

# Standard deviation of a careful click; a view further off than five of them shows another point.
CLICK_PX = 3.0
WRONG_CLICK_PX = 5 * CLICK_PX
# Rays that meet at less than this (radians) give no depth worth having: half a degree.
MIN_ANGLE = 0.009

# A point: pixels by camera (two or more), or its coordinates in the rig's present world.
Point = dict[str, tuple[float, float]] | tuple[float, float, float]


class _Scale(Config):
    a: Point
    b: Point
    length_m: float = Field(gt=0, allow_inf_nan=False)


class _Plumb(Config):
    top: Point
    bottom: Point


class _Down(Config):
    camera: str
    xyz: tuple[float, float, float]


class WorldPoints(Config):
    """What a points file may hold; every key is optional.

    Parameters
    ----------
    origin, x, xy
        Origin, a point on +x, and one on the side of +y, all three or none.
    plumb
        Top and bottom of something that hangs or stands upright.
    down
        Direction of gravity in a camera's frame (x right, y down, z forward).
    scale
        Two points and their distance in metres.
    """

    origin: Point | None = None
    x: Point | None = None
    xy: Point | None = None
    plumb: _Plumb | None = None
    down: _Down | None = None
    scale: _Scale | None = None


def load_points(path: str | Path) -> WorldPoints:
    """Read a points file.

    Raises
    ------
    ConfigError
        Naming the file and the key.
    """
    return read_yaml(path, WorldPoints)


def locate(rig: Rig, point: Point, name: str) -> F64:
    """World position of a clicked point, shape (3,).

    Parameters
    ----------
    rig
        Cameras.
    point
        Pixels by camera, or world coordinates, which are returned.
    name
        For messages.

    Raises
    ------
    InputError
        If fewer than two cameras are given, one is not in the rig, its pixel has no ray, the rays
        are nearly parallel, or the clicks contradict each other; names the camera that is off.
    """
    if not isinstance(point, dict):
        return np.asarray(point, np.float64)
    if len(point) < 2:
        raise InputError(
            f"point {name} is clicked in {', '.join(point) or 'no camera'} only",
            "click it in two cameras or more that look at it from different sides",
        )
    views = rig.select(list(point))
    xy = np.array(list(point.values()))[:, None]
    rays = views.undistort(xy)
    R, t = views.cam_from_world
    use = np.asarray(np.isfinite(rays).all(-1))
    if not use.all():
        lost = ", ".join(n for n, u in zip(views.names, use[:, 0], strict=True) if not u)
        raise InputError(f"point {name} in camera {lost} lies outside the lens", "click it again")
    _check_angle(rays, R, name)
    xyz = refine_points(views, dlt(R, t, rays), xy, use)
    off = np.linalg.norm(views.project(xyz) - xy, axis=-1)[:, 0]
    if not (off < WRONG_CLICK_PX).all():
        worst = int(np.argmax(np.nan_to_num(off, nan=np.inf)))
        far = "behind it" if np.isnan(off[worst]) else f"{off[worst]:.0f} px off"
        raise InputError(
            f"the clicks of point {name} do not meet: camera {views.names[worst]} has it {far}",
            "click the same point in every camera, on pictures of the rig's own size",
        )
    return np.asarray(xyz[0])


def _check_angle(rays: F64, R: F64, name: str) -> None:
    direction = np.concatenate([rays[:, 0], np.ones((len(rays), 1))], -1)
    direction = np.einsum("vji,vj->vi", R, direction)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    sine = np.linalg.norm(np.cross(direction[:, None], direction[None]), axis=-1).max()
    if sine < MIN_ANGLE:
        raise InputError(
            f"point {name}: its cameras look along nearly the same line, so its depth is open",
            "click it in a camera further to the side as well",
        )


def frame_of_points(rig: Rig, points: WorldPoints) -> WorldFrame:
    """World of the points origin, x and xy, scaled if the file says so.

    Raises
    ------
    InputError
        If one of the three is missing, or as in `locate` and `points_frame`.
    """
    three = {n: getattr(points, n) for n in ("origin", "x", "xy")}
    missing = [n for n, p in three.items() if p is None]
    if missing:
        raise InputError(
            f"the points file lacks {', '.join(missing)}",
            "give origin, x (on the +x axis) and xy (on the side of +y)",
        )
    frame = points_frame(rig, np.stack([locate(rig, p, n) for n, p in three.items()]))
    return with_scale(rig, frame, points)


def with_scale(rig: Rig, frame: WorldFrame, points: WorldPoints) -> WorldFrame:
    """Scale a frame by the known distance of the file, if it has one."""
    if points.scale is None:
        return frame
    ends = [locate(rig, getattr(points.scale, n), f"scale.{n}") for n in ("a", "b")]
    return scaled_frame(frame, np.stack(ends), points.scale.length_m)


def frame_of_gravity(rig: Rig, text: str) -> WorldFrame:
    """World with z up, from ``"CAMERA:x,y,z"`` (down in that camera) or a points file.

    Raises
    ------
    InputError
        If the text is neither, or the file has neither ``plumb`` nor ``down``.
    """
    match = re.fullmatch(r"([^:]+):([^,]+),([^,]+),([^,]+)", text)
    if match and not Path(text).exists():
        try:
            xyz = np.array([float(m) for m in match.groups()[1:]])
        except ValueError:
            raise InputError(f"gravity {text!r} is not CAMERA:x,y,z", "cam00:0,1,0") from None
        return gravity_frame(rig, _from_camera(rig, match[1], xyz), camera=match[1])
    points = load_points(text)
    if points.down is not None:
        name = points.down.camera
        down = _from_camera(rig, name, np.array(points.down.xyz))
        frame = gravity_frame(rig, down, camera=name)
    elif points.plumb is not None:
        top, bottom = (locate(rig, getattr(points.plumb, n), n) for n in ("top", "bottom"))
        frame = gravity_frame(rig, bottom - top)
    else:
        raise InputError(f"{text} has neither plumb nor down", "give one (docs/formats.md)")
    return with_scale(rig, frame, points)


def _from_camera(rig: Rig, name: str, direction: F64) -> F64:
    return np.asarray(rig.select([name]).cameras[0].cam_from_world.R.T @ direction)
