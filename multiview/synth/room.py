"""An invented room around a rig, ray-cast per pixel: the background of rendered pictures.

Planks, painted walls and a few boxes; no squares, so that no detector takes the floor for a board.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.core import Camera, Rig
from multiview.geometry.project import unproject

__all__ = ["render_room"]

Image = NDArray[np.float32]

WALL_BEHIND_M = 1.3
FLOOR_BELOW_M = 0.55
CEILING_ABOVE_M = 1.2
PLANK_M = (0.14, 1.1)
N_BOXES = 8
SUPERSAMPLING = 2
# Light on the six faces -x -y -z +x +y +z of whatever it falls on, seen from outside.
FACE_LIGHT = np.array([0.72, 0.85, 0.45, 0.80, 0.62, 1.0])


@dataclass(frozen=True, slots=True)
class _Room:
    """Axis-parallel boxes; number 0 is the room itself, seen from inside."""

    low: F64
    high: F64
    colour: F64
    noise: NDArray[np.float32]
    planks: NDArray[np.float32]


def render_room(rng: np.random.Generator, rig: Rig) -> tuple[Image, ...]:
    """Render what every camera of a rig sees of one invented room.

    Parameters
    ----------
    rng
        Source of randomness.
    rig
        Cameras; world z is up.

    Returns
    -------
    tuple of float32 arrays
        One picture a camera, shape (height, width, 3), BGR reflectance in [0, 1].
    """
    room = _furnish(rng, rig)
    return tuple(_cast(room, camera) for camera in rig.cameras)


def _furnish(rng: np.random.Generator, rig: Rig) -> _Room:
    centres = rig.centres_world
    around = np.array([WALL_BEHIND_M, WALL_BEHIND_M, 0.0])
    low = centres.min(0) - around - [0.0, 0.0, FLOOR_BELOW_M]
    high = centres.max(0) + around + [0.0, 0.0, CEILING_ABOVE_M]
    # boxes stand between cameras and walls, so that none hides the working volume
    middle = (low + high) / 2
    angle = 2 * np.pi * (np.arange(N_BOXES) + rng.uniform(0, 0.7, N_BOXES)) / N_BOXES
    out = np.stack([np.cos(angle), np.sin(angle)], -1)
    place = middle[:2] + out * ((high - low)[:2] / 2 - 0.35)
    half = rng.uniform(0.15, 0.4, (N_BOXES, 2))
    top = low[2] + rng.uniform(0.35, 1.5, N_BOXES)
    box_low = np.column_stack([place - half, np.full(N_BOXES, low[2])])
    box_high = np.column_stack([place + half, top])
    pastel = rng.uniform(0.25, 0.6, (N_BOXES + 1, 1)) * rng.uniform(0.75, 1.15, (N_BOXES + 1, 3))
    pastel[0] = [0.66, 0.70, 0.72]
    return _Room(
        low=np.vstack([low, box_low]),
        high=np.vstack([high, box_high]),
        colour=pastel,
        noise=rng.uniform(-1, 1, (64, 64)).astype(np.float32),
        planks=rng.uniform(0.7, 1.0, (64, 64)).astype(np.float32),
    )


def _cast(room: _Room, camera: Camera) -> Image:
    width, height = camera.intrinsics.size_wh
    n = SUPERSAMPLING
    x, y = np.meshgrid((np.arange(width * n) + 0.5) / n - 0.5, (np.arange(height * n) + 0.5) / n)
    xy_px = np.stack([x, y - 0.5], -1)
    i = camera.intrinsics
    xy_norm = np.nan_to_num(unproject(xy_px, i.K, i.dist, i.model))
    direction = np.concatenate([xy_norm, np.ones((*x.shape, 1))], -1) @ camera.cam_from_world.R
    # a few rows at a time: the table of all rays against all boxes would not fit the cache
    rows = [
        _shade(room, camera.centre_world, part.reshape(-1, 3)).reshape(part.shape)
        for part in np.array_split(direction, max(height // 8, 1))
    ]
    image = np.concatenate(rows)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _shade(room: _Room, origin: F64, direction: F64) -> Image:
    """Colour along rays, shape (N, 3)."""
    which, face, distance = _hit(room, origin, direction)
    points = origin + distance[:, None] * direction
    axis = face % 3
    u = np.where(axis == 0, points[:, 1], points[:, 0])
    v = np.where(axis == 2, points[:, 1], points[:, 2])
    # walls are seen from inside: their visible face is the opposite one
    lit = FACE_LIGHT[np.where(which == 0, (face + 3) % 6, face)]
    grain = (
        1 + 0.05 * _value_noise(room.noise, u, v, 0.6) + 0.03 * _value_noise(room.noise, v, u, 0.04)
    )
    colour = room.colour[which] * (lit * grain)[:, None]
    floor = (which == 0) & (face == 2)
    colour[floor] = _floor(room, u[floor], v[floor])
    # corners of a room are darker than the middle of its walls
    size = room.high[0] - room.low[0]
    relative = np.abs((points - room.low[0]) / size - 0.5) * 2
    corner = np.sort(relative, axis=-1)[:, 1]
    return np.asarray(colour * (1 - 0.35 * corner[:, None] ** 6), np.float32)


def _hit(
    room: _Room, origin: F64, direction: F64
) -> tuple[NDArray[np.intp], NDArray[np.intp], F64]:
    """First box on each ray, its face (axis, +3 for the upper one) and distance."""
    safe = np.where(np.abs(direction) < 1e-12, 1e-12, direction)
    to_low = (room.low[:, None] - origin) / safe
    to_high = (room.high[:, None] - origin) / safe
    near, far = np.minimum(to_low, to_high), np.maximum(to_low, to_high)
    enter, leave = near.max(-1), far.min(-1)
    distance = np.where((enter < leave) & (enter > 0), enter, np.inf)
    distance[0] = leave[0]
    which = distance.argmin(0)
    rays = np.arange(len(direction))
    axis = np.where(which == 0, far[which, rays].argmin(-1), near[which, rays].argmax(-1))
    forward = direction[rays, axis] > 0
    upper = np.where(which == 0, forward, ~forward)
    return which, axis + 3 * upper, distance[which, rays]


def _floor(room: _Room, u: F64, v: F64) -> F64:
    row = np.floor(v / PLANK_M[0])
    board = np.floor(u / PLANK_M[1] + 0.37 * row)
    tone = room.planks[row.astype(int) % 64, board.astype(int) % 64]
    grain = _value_noise(room.noise, 0.08 * u + 0.31 * row, v, 0.012)
    gap = np.abs(v / PLANK_M[0] - row - 0.5) > 0.485
    tone = tone * (1 + 0.12 * grain) * np.where(gap, 0.55, 1.0)
    return np.asarray(tone[:, None] * [0.30, 0.43, 0.55])


def _value_noise(table: NDArray[np.float32], u: F64, v: F64, cell_m: float) -> F64:
    """Smooth noise in [-1, 1] with features of about ``cell_m``."""
    n = len(table)
    maps = [np.ascontiguousarray((w / cell_m) % n, np.float32).reshape(1, -1) for w in (u, v)]
    out = np.empty(u.size)
    # cv2.remap takes at most 32767 columns
    for start in range(0, u.size, 32000):
        a, b = (m[:, start : start + 32000] for m in maps)
        part = cv2.remap(table, a, b, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
        out[start : start + 32000] = part[0]
    return out
