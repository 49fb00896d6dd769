"""The world of a rig: where its origin lies, which way its axes point, and how long its unit is.

A calibration leaves the world open: any rigid motion of everything fits the footage as well. These
functions choose one that people can use (z up, a corner of the board on the floor), say in words
what it is, and move cameras and boards along. Lens figures and reprojection errors do not change;
a camera's uncertainty in its own frame (a turn and a shift applied on the left of
``cam_from_world``) keeps its numbers, but for the shift, which scales with the unit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from multiview._shapes import F64, as_f64
from multiview.calib.so3 import mean_rotation
from multiview.core import BoardTrack, Pose, Rig, RigRecord
from multiview.core.boards import Origin
from multiview.errors import InputError

__all__ = [
    "WorldFrame",
    "board_frame",
    "camera_frame",
    "gravity_frame",
    "points_frame",
    "reframe_poses",
    "reframe_rig",
    "reframe_track",
    "scaled_frame",
]

# Three points whose angle is smaller (sine) leave the third axis to the clicks' noise: 3 degrees.
MIN_SINE = 0.05
# A camera that looks within 10 degrees of the plumb line has no heading.
MIN_HORIZONTAL = 0.17


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldFrame:
    """A new world.

    Parameters
    ----------
    new_from_old
        Rigid motion, in the old unit.
    world
        Origin and axes in words.
    scale
        New units per old unit, applied after the motion.
    notes
        What to look at.
    """

    new_from_old: Pose
    world: str
    scale: float = 1.0
    notes: tuple[str, ...] = ()

    def apply(self, xyz: F64) -> F64:
        """Take points (..., 3) of the old world into the new one."""
        return np.asarray(self.scale * self.new_from_old.apply(xyz))


def reframe_rig(rig: Rig, frame: WorldFrame, *, unit: str | None = None) -> Rig:
    """Express a rig in a new world; every camera sees what it saw.

    Parameters
    ----------
    rig, frame
        The rig, and the world to express it in.
    unit
        Name of the new unit, where it changes.
    """
    old_from_new = frame.new_from_old.inv
    cameras = []
    for camera in rig.cameras:
        pose = camera.cam_from_world @ old_from_new
        pose = Pose(R=pose.R, t=frame.scale * pose.t)
        cameras.append(replace(camera, cam_from_world=pose))
    step = f"world: {frame.world}"
    if frame.scale != 1:
        step += f"; lengths multiplied by {frame.scale:.6g}"
    made = rig.made and _moved_record(rig.made, step, frame.scale)
    return replace(
        rig,
        cameras=tuple(cameras),
        world=frame.world,
        made=made,
        unit=unit or rig.unit,
        about=re.sub(r"^world = [^;]*; ", "", rig.about),  # older files say the old world
        # a step turns and shifts a camera's own frame: only lengths tell worlds apart
        covariance=rig.covariance and rig.covariance.scaled(frame.scale),
    )


def _moved_record(made: RigRecord, step: str, scale: float) -> RigRecord:
    """Note the step; figures that are lengths follow the scale."""
    cameras = tuple(replace(c, position_std_m=scale * c.position_std_m) for c in made.cameras)
    return replace(
        made, cameras=cameras, steps=(*made.steps, step), heldout_mm=scale * made.heldout_mm
    )


def reframe_poses(R: F64, t: F64, frame: WorldFrame) -> tuple[F64, F64]:
    """Express ``world_from_board`` poses (..., 3, 3), (..., 3) in a new world."""
    return np.asarray(frame.new_from_old.R @ R), frame.apply(t)


def reframe_track(track: BoardTrack, frame: WorldFrame, rig: Rig) -> BoardTrack:
    """Express a board's poses in the world of a rig that `reframe_rig` returned."""
    R, t = reframe_poses(track.R, track.t, frame)
    return replace(track, R=R, t=t, xyz_board=frame.scale * track.xyz_board, rig_digest=rig.digest)


def scaled_frame(frame: WorldFrame, xyz_ends: F64, length: float) -> WorldFrame:
    """Choose the unit so that two points have a known distance.

    Parameters
    ----------
    frame
        World to scale.
    xyz_ends
        The two points in the old world, shape (2, 3).
    length
        Their distance in the new unit, metres.

    Raises
    ------
    InputError
        If the points are the same or the length is not positive.
    """
    xyz_ends = as_f64(xyz_ends, "xyz_ends")
    measured = float(np.linalg.norm(xyz_ends[1] - xyz_ends[0]))
    if not (np.isfinite(measured) and measured > 0 and np.isfinite(length) and length > 0):
        raise InputError(
            f"points {measured:g} apart cannot be made {length:g} m long",
            "give two different points and their distance in metres",
        )
    return replace(frame, scale=length / measured)


def camera_frame(rig: Rig, name: str) -> WorldFrame:
    """Make a camera the world: origin at its optical centre, x right, y down, z forward.

    Raises
    ------
    InputError
        If the rig has no such camera.
    """
    camera = rig.select([name]).cameras[0]
    world = f"origin at the optical centre of camera {name}; x right, y down, z forward in it"
    return WorldFrame(new_from_old=camera.cam_from_world, world=world)


def board_frame(
    rig: Rig, track: BoardTrack, frames: Sequence[int], *, origin: Origin = "bottom-left"
) -> WorldFrame:
    """Make a board that lies on the floor the world: z up, x along its rows.

    Up is the side on which most cameras are, so a board of which the pose is upside down (one seen
    through a transparent print) still gives a floor under the cameras.

    Parameters
    ----------
    rig
        Cameras.
    track
        Poses of the board.
    frames
        Frame numbers over which the pose is averaged: the board must not have moved.
    origin
        Corner of the grid of corners that becomes the origin, named as one reads the print.

    Raises
    ------
    InputError
        If the pose is not known in these frames, or there is no such corner.
    """
    at = np.isin(track.frame_ids, np.asarray(frames))
    if not at.any():
        raise InputError(
            f"{_named(track)} has no pose in frame {', '.join(str(f) for f in frames)}",
            f"choose one of the {len(track.frame_ids)} frames that have: "
            f"{_some(track.frame_ids.tolist())}",
        )
    R = mean_rotation(track.R[at], np.ones(at.sum()))
    corner = R @ _corner(track, origin) + track.t[at].mean(0)
    heights = (rig.centres_world - corner) @ -R[:, 2]
    side = -1.0 if np.median(heights) < 0 else 1.0
    axes = np.stack([R[:, 0], -side * R[:, 1], -side * R[:, 2]])
    new_from_old = Pose(R=axes, t=-axes @ corner)
    ids = track.frame_ids[at]
    when = f"frame {ids[0]}" if len(ids) == 1 else f"frames {ids[0]} to {ids[-1]}"
    upward = "up its page" if side > 0 else "down its page"
    world = (
        f"origin at the {origin} {'of' if origin == 'centre' else 'corner of'} the grid of corners "
        f"of {_named(track)} in {when}; x to the right along its rows, y {upward}, "
        "z up, away from the floor it lies on"
    )
    return WorldFrame(
        new_from_old=new_from_old, world=world, notes=_below(rig, side * heights, "the board")
    )


def _named(track: BoardTrack) -> str:
    name = "the board" if track.name == "board" else f"board {track.name}"
    return f"{name} ({track.about})" if track.about else name


def _corner(track: BoardTrack, origin: Origin) -> F64:
    if origin not in get_args(Origin):
        raise InputError(
            f"a board has no corner {origin!r}", f"choose one of {', '.join(get_args(Origin))}"
        )
    low, high = track.xyz_board.min(0), track.xyz_board.max(0)
    if origin == "centre":
        return np.asarray((low + high) / 2)
    # the board's own frame: x to the right, y down the page
    x = low[0] if origin.endswith("left") else high[0]
    return np.array([x, low[1] if origin.startswith("top") else high[1], low[2]])


def _below(rig: Rig, heights: F64, floor: str) -> tuple[str, ...]:
    low = [f"{n} by {-h:.2f} {rig.unit}" for n, h in zip(rig.names, heights, strict=True) if h < 0]
    if not low:
        return ()
    return (f"cameras lie below {floor}: {', '.join(low)}; does it lie on the floor?",)


def _some(ids: list[int], most: int = 8) -> str:
    chosen = ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]
    text = [str(i) for i in chosen]
    return ", ".join(text if len(ids) <= most else [*text[:-1], "...", text[-1]])


def points_frame(rig: Rig, xyz: F64) -> WorldFrame:
    """Make three points the world: origin, a point on +x, a point on the side of +y.

    Parameters
    ----------
    rig
        Cameras.
    xyz
        Shape (3, 3), in the present world.

    Raises
    ------
    InputError
        If the points lie on a line.
    """
    xyz = as_f64(xyz, "xyz")
    along, across = xyz[1] - xyz[0], xyz[2] - xyz[0]
    normal = np.cross(along, across)
    lengths = np.linalg.norm(along) * np.linalg.norm(across)
    if not np.linalg.norm(normal) > MIN_SINE * lengths:
        raise InputError(
            "the points origin, x and xy lie on one line (within 3 degrees)",
            "choose the third point well beside the line from origin to x",
        )
    z = normal / np.linalg.norm(normal)
    x = along / np.linalg.norm(along)
    axes = np.stack([x, np.cross(z, x), z])
    notes: tuple[str, ...] = ()
    if np.median((rig.centres_world - xyz[0]) @ z) < 0:
        notes = (
            "z points away from most cameras: if it should be up, take the third point on the "
            "other side of the line from origin to x",
        )
    world = (
        "origin at the first of three clicked points; x towards the second, y to the side of the "
        "third, z = x cross y"
    )
    return WorldFrame(new_from_old=Pose(R=axes, t=-axes @ xyz[0]), world=world, notes=notes)


def gravity_frame(rig: Rig, down_world: F64, *, camera: str | None = None) -> WorldFrame:
    """Level the world: z up, y the way a camera looks, origin at that camera.

    Parameters
    ----------
    rig
        Cameras.
    down_world
        Direction of gravity in the present world, shape (3,), any length.
    camera
        Gives origin and heading; the first one by default.

    Raises
    ------
    InputError
        If the direction has no length or the rig has no such camera.
    """
    name = camera or rig.names[0]
    chosen = rig.select([name]).cameras[0]
    down_world = as_f64(down_world, "down_world")
    length = float(np.linalg.norm(down_world))
    if not (np.isfinite(length) and length > 0):
        raise InputError(f"gravity {down_world.tolist()} is no direction", "give x, y, z")
    z = -down_world / length
    R = chosen.cam_from_world.R
    heading = "y horizontally the way it looks"
    forward = R[2] - (R[2] @ z) * z
    if np.linalg.norm(forward) < MIN_HORIZONTAL:
        heading = "y towards the top of its picture"
        forward = -R[1] + (R[1] @ z) * z
    y = forward / np.linalg.norm(forward)
    axes = np.stack([np.cross(y, z), y, z])
    world = (
        f"origin at the optical centre of camera {name}; z up (gravity), {heading}, x = y cross z"
    )
    return WorldFrame(new_from_old=Pose(R=axes, t=-axes @ chosen.centre_world), world=world)
