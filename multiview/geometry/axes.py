"""Which way is up for a rig, and cameras that look somewhere."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, as_f64
from multiview.core import Pose, Rig
from multiview.errors import InputError

__all__ = ["look_at", "up_axes"]

UP_IN_WORDS = " z up"  # in `Rig.world`, where the world's own z is known to be up


def up_axes(rig: Rig) -> F64:
    """Axes (3, 3) of a drawing in which up is z: the world's own z, or where the cameras' up is."""
    z = np.array([0.0, 0.0, 1.0])
    if UP_IN_WORDS not in rig.world:
        z = -rig.cam_from_world[0][:, 1].mean(0)
        length = np.linalg.norm(z)
        z = z / length if length > 1e-6 else np.array([0.0, -1.0, 0.0])
    x = np.eye(3)[np.abs(z).argmin()]
    if UP_IN_WORDS not in rig.world:
        x = rig.cam_from_world[0][0, 0]
        x = x if np.linalg.norm(np.cross(x, z)) > 1e-3 else np.eye(3)[np.abs(z).argmin()]
    x = x - (x @ z) * z
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def look_at(
    centre_world: F64, target_world: F64, roll: float = 0.0, up_world: F64 | None = None
) -> Pose:
    """Pose of an upright camera that looks at a point.

    Parameters
    ----------
    centre_world, target_world
        Optical centre and the point on the optical axis, shape (3,), metres.
    roll
        Turn about the optical axis, radians.
    up_world
        Unit vector that is up in the picture; z by default.

    Returns
    -------
    Pose
        ``cam_from_world``.

    Raises
    ------
    InputError
        If both points are the same.
    """
    up = np.array([0.0, 0.0, 1.0]) if up_world is None else np.asarray(up_world, np.float64)
    centre = as_f64(centre_world, "centre_world")
    forward = as_f64(target_world, "target_world") - centre
    distance = float(np.linalg.norm(forward))
    if not distance > 0:
        raise InputError(f"camera at {centre} looks at itself", "give two different points")
    z = forward / distance
    # straight up or down has no upright picture: any "right" will do
    x = np.cross(z, up) if abs(z @ up) < 1 - 1e-9 else np.eye(3)[np.abs(up).argmin()]
    x = x - (x @ z) * z
    x = x / np.linalg.norm(x)
    upright = np.stack([x, np.cross(z, x), z])
    c, s = np.cos(roll), np.sin(roll)
    R = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ upright
    return Pose(R=R, t=-R @ centre)
