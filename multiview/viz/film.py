"""Films and pictures of a run without a display or a graphics card: drawn by OpenCV.

A film is an iterator of BGR pictures of one size: `turntable` goes around the hands, `mosaic` shows
every view with detections and reprojections, `beside` puts two films next to each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.core import Detections, Rig, Skeleton
from multiview.viz.overlay import Layer, caption, contact_sheet, draw_hand
from multiview.viz.scene import Scene, frustum, frustum_depth, matched, typical_bone, upwards

__all__ = ["Eye", "beside", "draw_scene", "eye_around", "mosaic", "turntable"]

Image = NDArray[np.uint8]
PAPER, CAMERA, ARROW = (250, 250, 250), (150, 140, 130), (0, 140, 255)
ELEVATION = np.deg2rad(20.0)
# Focal length over the height of the picture: 53 degrees, about what a person takes in.
FOCAL = 1.0
# Distance in bones, so that a hand fills about half of the picture; and in distances of cameras, so
# that all of these are in it.
CLOSE, FAR = 16.0, 1.9
NEAR = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Eye:
    """From where a picture is drawn: rows right, down, ahead, and the position, all in the world.

    Parameters
    ----------
    R
        ``eye_from_world``, shape (3, 3).
    at
        Position, shape (3,).
    size_wh
        Of the picture, pixels.
    """

    R: F64
    at: F64
    size_wh: tuple[int, int]

    def project(self, xyz: F64) -> tuple[F64, F64]:
        """Return pixels (..., 2), NaN behind the eye, and pixels per unit of length there."""
        p = (xyz - self.at) @ self.R.T
        depth = np.where(p[..., 2] > NEAR * np.linalg.norm(self.at), p[..., 2], np.nan)
        scale = FOCAL * self.size_wh[1] / depth
        middle = (np.array(self.size_wh) - 1) / 2
        return p[..., :2] * scale[..., None] + middle, scale


def eye_around(target: F64, up: F64, away: float, turn: float, size_wh: tuple[int, int]) -> Eye:
    """Look at a target from a distance, ``turn`` radians around the axis that is up."""
    aside = np.cross(up, np.eye(3)[int(np.argmin(np.abs(up)))])
    aside /= np.linalg.norm(aside)
    level = np.cos(turn) * aside + np.sin(turn) * np.cross(up, aside)
    back = np.cos(ELEVATION) * level + np.sin(ELEVATION) * up
    right = np.cross(up, back)
    right /= np.linalg.norm(right)
    R = np.stack([right, -np.cross(back, right), -back])
    return Eye(R=R, at=target + away * back, size_wh=size_wh)


def draw_scene(hands: F64, rig: Rig, skeleton: Skeleton, eye: Eye, depth: float) -> Image:
    """Draw hands (H, K, 3) and cameras as seen by an eye; far things first."""
    width, height = eye.size_wh
    picture = np.full((height, width, 3), PAPER, np.uint8)
    for camera in rig.cameras:
        corners = eye.project(frustum(camera, depth))[0]
        if np.isfinite(corners).all() and np.abs(corners).max() < 1e4:
            _draw_frustum(picture, corners, camera.name)
    bone = typical_bone(hands, skeleton)
    order = np.argsort([-np.nan_to_num(np.nanmean(_depths(h, eye)), nan=0.0) for h in hands])
    for h in order:
        xy, scale = eye.project(hands[h])
        if np.isfinite(xy).any():
            # a disc's radius is 3.5 px at 1: an eighth of a bone
            size = bone * float(np.nanmedian(scale)) / 8 / 3.5
            draw_hand(picture, xy, skeleton, Layer.SOLID, max(size, 0.4))
    return picture


def _depths(hand: F64, eye: Eye) -> F64:
    depth = ((hand - eye.at) @ eye.R.T)[:, 2]
    return depth if np.isfinite(depth).any() else np.zeros(1)


def _draw_frustum(picture: Image, corners: F64, name: str) -> None:
    centre, *rest = (tuple(int(c) for c in p) for p in corners.round())
    for a, b in zip(rest, [*rest[1:], rest[0]], strict=True):
        cv2.line(picture, centre, a, CAMERA, 1, cv2.LINE_AA)
        cv2.line(picture, a, b, CAMERA, 1, cv2.LINE_AA)
    at = (centre[0] + 5, centre[1] - 5)
    cv2.putText(picture, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, CAMERA, 1, cv2.LINE_AA)


def turntable(
    scene: Scene,
    frames: range,
    size_wh: tuple[int, int] = (960, 720),
    turns: float = 1.0,
    close: bool = False,
) -> Iterator[Image]:
    """Go around the hands while they move.

    Parameters
    ----------
    scene
        The run.
    frames
        Positions to show.
    size_wh
        Of the pictures, pixels.
    turns
        How often around.
    close
        The hands fill the picture and the eye follows them; else the cameras are all in it.
    """
    up, away, depth = upwards(scene.rig), 1.0, 0.0
    target: F64 = scene.rig.centres_world.mean(0)
    step = 2 * np.pi * turns / max(len(frames), 1)
    for n, (f, hands, _, _) in enumerate(_frames(scene, frames)):
        known = hands[np.isfinite(hands).all(-1)]
        if len(known) and depth == 0.0:
            depth, target = frustum_depth(scene.rig, hands), np.median(known, 0)
            around = float(np.median(np.linalg.norm(scene.rig.centres_world - target, axis=-1)))
            away = CLOSE * typical_bone(hands, scene.skeleton) if close else FAR * around
        elif len(known) and close:
            # with a delay of some ten frames, so that the picture stays calm
            target = target + 0.1 * (np.median(known, 0) - target)
        eye = eye_around(target, up, away, n * step, size_wh)
        picture = draw_scene(hands, scene.rig, scene.skeleton, eye, depth)
        caption(picture, f"{scene.title} #{scene.frame_ids[f]}")
        yield picture


def mosaic(scene: Scene, frames: range, tile: int = 400, columns: int = 0) -> Iterator[Image]:
    """Show all views: detections solid, the 3D hollow, arrows from the 3D to what was detected.

    Parameters
    ----------
    scene
        The run; views are grey without its pictures.
    frames
        Positions to show.
    tile
        Width of a view, pixels.
    columns
        Views in a row; 0 is about as many as rows.
    """
    rig = scene.rig
    columns = columns or int(np.ceil(np.sqrt(len(rig.names))))
    height = max(round(tile * h / w) for w, h in (c.intrinsics.size_wh for c in rig.cameras))
    wanted = np.array(frames, np.int64)
    films = [
        scene.pictures(v, wanted) if scene.pictures else iter(()) for v in range(len(rig.names))
    ]
    ready = [next(film, None) for film in films]
    for f, hands, dets, start in _frames(scene, frames):
        tiles = []
        for v, camera in enumerate(rig.cameras):
            image, held = None, ready[v]
            if held is not None and held[0] == f:
                image, ready[v] = held[1], next(films[v], None)
            s = tile / camera.intrinsics.size_wh[0]
            picture = _shrunk(image, (tile, height), s)
            seen = None if dets is None else dets.xy_px[v, f - start]
            _draw_view(picture, camera.project(hands), seen, scene.skeleton, s)
            caption(picture, f"{camera.name} #{scene.frame_ids[f]}", 0.4)
            tiles.append(picture)
        yield contact_sheet([tiles[r : r + columns] for r in range(0, len(tiles), columns)])


def _shrunk(image: Image | None, size_wh: tuple[int, int], s: float) -> Image:
    out = np.full((size_wh[1], size_wh[0], 3), 60, np.uint8)
    if image is not None:
        height = min(max(round(image.shape[0] * s), 1), size_wh[1])
        out[:height] = cv2.resize(image, (size_wh[0], height), interpolation=cv2.INTER_AREA)
    return out


def _draw_view(picture: Image, xy: F64, seen: F64 | None, skeleton: Skeleton, s: float) -> None:
    xy = (xy + 0.5) * s - 0.5
    if seen is not None:
        seen = (seen + 0.5) * s - 0.5
        for hand in seen:
            draw_hand(picture, hand, skeleton, Layer.SOLID, 0.5)
        for a, b in zip(xy.reshape(-1, 2), matched(xy, seen).reshape(-1, 2), strict=True):
            if np.isfinite([*a, *b]).all() and np.abs([*a, *b]).max() < 1e4:
                ends = tuple(a.round().astype(int).tolist()), tuple(b.round().astype(int).tolist())
                cv2.line(picture, *ends, ARROW, 1, cv2.LINE_AA)
    for hand in xy:
        draw_hand(picture, hand, skeleton, Layer.HOLLOW, 0.5)


def _frames(scene: Scene, frames: range) -> Iterator[tuple[int, F64, Detections | None, int]]:
    """Give position, hands (H, K, 3), the detections of its block and where that starts."""
    wanted = set(frames)
    for block in scene.blocks():
        if block.start >= frames.stop:
            return
        for n, hands in enumerate(block.points.xyz_world):
            if block.start + n in wanted:
                yield block.start + n, hands, block.dets, block.start


def beside(films: Sequence[Iterator[Image]], titles: Sequence[str]) -> Iterator[Image]:
    """Put films of the same frames next to each other, a title over each."""
    for pictures in zip_longest(*films):
        shown = [p for p in pictures if p is not None]
        height = max(p.shape[0] for p in shown)
        panels = []
        for picture, title in zip(shown, titles, strict=False):
            head = np.full((28, picture.shape[1], 3), 32, np.uint8)
            caption(head, title)
            foot = np.full((height - picture.shape[0], picture.shape[1], 3), 32, np.uint8)
            panels.append(np.concatenate([head, picture, foot]))
        yield np.concatenate(panels, axis=1)
