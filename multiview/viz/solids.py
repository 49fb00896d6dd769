"""Spheres, tubes and words as triangles: arrays that any renderer of meshes can show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, IntArray, present
from multiview.core import Skeleton

__all__ = ["HandSolid", "Solid", "joined", "quads", "tubes", "words"]

# Joints and bones are this thick, as shares of a typical bone; as on the page of `web_page`.
JOINT, BONE = 0.16, 0.10
RINGS, AROUND, SIDES = 9, 14, 10
FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True, kw_only=True)
class Solid:
    """Triangles: vertices, normals and RGB colours from 0 to 1 (N, 3), and indices (T, 3)."""

    xyz: F64
    normal: F64
    colour: F64
    triangles: IntArray


def joined(*parts: Solid) -> Solid:
    """Put several solids into one."""
    starts = np.cumsum([0, *(len(p.xyz) for p in parts)])
    shifted = [p.triangles + s for p, s in zip(parts, starts, strict=False)]
    return Solid(
        xyz=np.concatenate([np.zeros((0, 3)), *(p.xyz for p in parts)]),
        normal=np.concatenate([np.zeros((0, 3)), *(p.normal for p in parts)]),
        colour=np.concatenate([np.zeros((0, 3)), *(p.colour for p in parts)]),
        triangles=np.concatenate([np.zeros((0, 3), np.int64), *shifted]),
    )


@lru_cache
def _sphere() -> tuple[F64, IntArray]:
    """Vertices of a unit sphere, which are its normals too, and triangles."""
    polar, turn = np.linspace(0, np.pi, RINGS), np.arange(AROUND) * 2 * np.pi / AROUND
    p, t = (a.ravel() for a in np.meshgrid(polar, turn, indexing="ij"))
    xyz = np.stack([np.sin(p) * np.cos(t), np.sin(p) * np.sin(t), np.cos(p)], -1)
    return xyz, _grid_triangles(RINGS, AROUND)


def _grid_triangles(rows: int, around: int) -> IntArray:
    """Triangles between rows of vertices that are closed rings, seen from outside."""
    r, c = (a.ravel() for a in np.meshgrid(np.arange(rows - 1), np.arange(around), indexing="ij"))
    a, b = r * around + c, r * around + (c + 1) % around
    below, beside = a + around, b + around
    return np.concatenate([np.stack([a, below, b], -1), np.stack([b, below, beside], -1)])


def _around(start: F64, end: F64) -> F64:
    """Return unit vectors across each segment (N, 3), evenly around it, shape (N, SIDES, 3)."""
    along = end - start
    along = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-12)
    other = np.eye(3)[np.abs(along).argmin(-1)]
    u = np.cross(along, other)
    u = u / np.maximum(np.linalg.norm(u, axis=-1, keepdims=True), 1e-12)
    turn = np.arange(SIDES) * 2 * np.pi / SIDES
    v = np.cross(along, u)
    return np.asarray(np.cos(turn)[:, None] * u[:, None] + np.sin(turn)[:, None] * v[:, None])


def _tube_arrays(start: F64, end: F64, radius: float) -> tuple[F64, F64]:
    """Vertices and normals of N tubes, shape (N, 2 SIDES, 3)."""
    normal = _around(start, end)
    rings = [end[:, None] + radius * normal, start[:, None] + radius * normal]
    return np.concatenate(rings, 1), np.concatenate([normal, normal], 1)


def _many(triangles: IntArray, vertices: int, count: int) -> IntArray:
    """Repeat the triangles of one part for `count` parts of so many vertices each."""
    shift = np.arange(count)[:, None, None] * vertices
    return np.asarray((triangles + shift).reshape(-1, 3))


def tubes(start: F64, end: F64, radius: float, colour: F64) -> Solid:
    """Round rods.

    Parameters
    ----------
    start, end
        Shape (N, 3).
    radius
        Of all.
    colour
        RGB from 0 to 1, shape (3,) or (N, 3).
    """
    xyz, normal = _tube_arrays(start, end, radius)
    colours = np.broadcast_to(np.broadcast_to(colour, start.shape)[:, None], xyz.shape)
    return Solid(
        xyz=xyz.reshape(-1, 3),
        normal=normal.reshape(-1, 3),
        colour=colours.reshape(-1, 3).astype(np.float64),
        triangles=_many(_grid_triangles(2, SIDES), 2 * SIDES, len(start)),
    )


class HandSolid:
    """Hands as spheres and tubes whose triangles are the same in every frame.

    Parameters
    ----------
    skeleton
        Keypoints and bones.
    hands
        Number of hands.
    bone
        Length of a typical bone: all are thick in proportion.
    """

    def __init__(self, skeleton: Skeleton, hands: int, bone: float) -> None:
        self.bone = bone
        self.edges = np.array(skeleton.edges, np.int64).reshape(-1, 2)
        points, unit = hands * len(skeleton.keypoints), _sphere()
        spheres = _many(unit[1], len(unit[0]), points)
        bones = _many(_grid_triangles(2, SIDES), 2 * SIDES, hands * len(self.edges))
        self.triangles = np.concatenate([spheres, bones + points * len(unit[0])])

    def at(self, xyz: F64, colour: F64) -> Solid:
        """Place hands (H, K, 3) with a colour of each keypoint, RGB from 0 to 1, (H, K, 3).

        Parts that are missing (NaN) have no size, so that they are not seen.
        """
        ok = present(xyz)
        home = xyz[ok].mean(0) if ok.any() else np.zeros(3)
        placed = np.where(ok[..., None], xyz, home)
        ball = _sphere()[0]
        size = np.where(ok, JOINT * self.bone, 0.0)[..., None, None]
        spheres = placed[..., None, :] + size * ball
        a, b = self.edges.T
        both = (ok[:, a] & ok[:, b])[..., None]
        start = np.where(both, placed[:, a], home).reshape(-1, 3)
        end = np.where(both, placed[:, b], home).reshape(-1, 3)
        # a rod from a place to itself has no direction, and so no thickness either
        rods, out = _tube_arrays(start, end, BONE * self.bone)
        shades = np.repeat(colour.reshape(-1, 3), len(ball), 0)
        rod_shades = np.repeat(colour[:, b].reshape(-1, 3), 2 * SIDES, 0)
        return Solid(
            xyz=np.concatenate([spheres.reshape(-1, 3), rods.reshape(-1, 3)]),
            normal=np.concatenate([np.tile(ball, (ok.size, 1)), out.reshape(-1, 3)]),
            colour=np.concatenate([shades, rod_shades]),
            triangles=self.triangles,
        )


@lru_cache(maxsize=256)
def words(text: str, size: float, thick: int = 1) -> tuple[F64, F64]:
    """Draw words as small squares, one a pixel.

    Parameters
    ----------
    text
        ASCII is sure to be drawn.
    size
        Height of a capital letter, pixels.
    thick
        Of the strokes, pixels.

    Returns
    -------
    corners, ink
        Squares, shape (N, 4, 2), x right and y down from the left end of the base line, clockwise
        from the top left; and how dark each is, (N,), from 0 to 1.
    """
    scale = size / 21.0  # a capital of this font is 21 pixels high
    (width, height), below = cv2.getTextSize(text, FONT, scale, thick)
    picture: NDArray[np.uint8] = np.zeros((height + below + 6, width + 6), np.uint8)
    cv2.putText(picture, text, (3, height + 3), FONT, scale, 255, thick, cv2.LINE_AA)
    y, x = np.nonzero(picture > 40)
    at = np.stack([x - 3, y - height - 3], -1).astype(np.float64)
    corners = at[:, None] + np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    return corners, picture[y, x] / 255.0


def quads(corners: F64, normal: F64, colour: F64) -> Solid:
    """Flat four-sided faces.

    Parameters
    ----------
    corners
        Shape (N, 4, 3), clockwise as seen from where they are looked at.
    normal
        Towards there, shape (3,).
    colour
        RGB from 0 to 1, shape (3,) or (N, 3).
    """
    count = len(corners)
    shades = np.broadcast_to(colour, (count, 3))
    return Solid(
        xyz=corners.reshape(-1, 3),
        normal=np.tile(normal, (4 * count, 1)).astype(np.float64),
        colour=np.repeat(shades, 4, 0).astype(np.float64),
        triangles=_many(np.array([[0, 3, 2], [0, 2, 1]]), 4, count),
    )
