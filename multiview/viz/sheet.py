"""Contact sheet of a take: what each camera saw, and what the others made of it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.capture import Capture
from multiview.core import Detections, Points3D, Rig
from multiview.viz.overlay import Layer, caption, contact_sheet, crop_square, draw_hand
from multiview.viz.skeleton3d import draw_hand_3d

__all__ = ["draw_take", "take_sheet"]

Image = NDArray[np.uint8]
TILE = 240
LEGEND = "solid: detected, agrees   cross: detected, outvoted   ring: reprojected 3D"


def take_sheet(
    capture: Capture, dets: Detections, points: Points3D, rig: Rig, frames: int = 4
) -> Image:
    """Draw a row of crops for some frames, one a camera, and the 3D hand below.

    Parameters
    ----------
    capture, dets, points, rig
        The take and what was made of it; the detections have the hands of the points.
    frames
        Number of frame sets, spread over those with 3D points.

    Returns
    -------
    NDArray[np.uint8]
        BGR picture.
    """
    with_points = np.flatnonzero(points.valid.any((1, 2)))
    pool = with_points if with_points.size else np.arange(len(points.frame_ids))
    spread = np.linspace(0, len(pool) - 1, min(frames + 2, len(pool)))
    # the first and last frames of a take are its least typical
    chosen = pool[np.unique(spread[1:-1] if len(spread) > 2 else spread).astype(int)]
    xy = rig.select(points.camera_names).project(points.xyz_world)
    shown = min(len(points.camera_names), 8)
    rows = []
    for f in chosen.tolist():
        rows.append([_tile(capture, dets, points, xy, (v, f)) for v in range(shown)])
        hands = np.flatnonzero(points.valid[f].any(-1))
        rows.append([_hand_tile(points, f, int(h)) for h in hands])
        rows[-1] = [part for tile in rows[-1] for part in np.split(tile, 3, axis=1)]
    sheet = contact_sheet([r for r in rows if r] or [[np.full((TILE, TILE, 3), 90, np.uint8)]])
    title = np.full((26, sheet.shape[1], 3), 32, np.uint8)
    caption(title, LEGEND)
    return np.concatenate([title, sheet])


def _hand_tile(points: Points3D, f: int, h: int) -> Image:
    unit_mm = 1000.0 if points.unit == "m" else None
    tile = draw_hand_3d(points.xyz_world[f, h], points.skeleton, TILE, unit_mm)
    name = points.hands[h] if points.hands else str(h)
    cv2.putText(tile, name, (6, TILE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (60, 60, 60), 1)
    return tile


def _tile(
    capture: Capture, dets: Detections, points: Points3D, xy: F64, at: tuple[int, int]
) -> Image:
    v, f = at
    if capture.index[v, f] < 0:
        tile = np.full((TILE, TILE, 3), 60, np.uint8)
        caption(tile, f"{capture.names[v]}: no picture", 0.4)
        return tile
    image = capture.image(v, f)
    focus = xy[v, f] if np.isfinite(xy[v, f]).any() else dets.xy_px[v, f]
    tile, affine = crop_square(image, focus, TILE)
    draw_take(tile, dets, points, xy[v, f], at, affine)
    caption(tile, f"{capture.names[v]} #{points.frame_ids[f]}", 0.4)
    return tile


def draw_take(
    picture: Image, dets: Detections, points: Points3D, xy: F64, at: tuple[int, int], affine: F64
) -> None:
    """Draw one view of one frame in place: detections by their verdict, and the 3D points.

    Parameters
    ----------
    picture
        BGR, changed.
    dets, points
        Of the take, with the same hands.
    xy
        Reprojected points of this view and frame, shape (H, K, 2), recorded pixels.
    at
        View and frame.
    affine
        2 x 3, ``picture_from_image``.
    """
    v, f = at
    for h in range(dets.xy_px.shape[2]):
        seen = _moved(dets.xy_px[v, f, h], affine)
        good = points.inlier[v, f, h][:, None]
        draw_hand(picture, np.where(good, seen, np.nan), dets.skeleton, Layer.SOLID, 0.7)
        draw_hand(picture, np.where(good, np.nan, seen), dets.skeleton, Layer.CROSS, 0.7)
        draw_hand(picture, _moved(xy[h], affine), dets.skeleton, Layer.HOLLOW, 0.7)


def _moved(xy: F64, affine: F64) -> F64:
    return np.asarray(xy @ affine[:, :2].T + affine[:, 2])
