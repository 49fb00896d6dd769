"""One page that shows a rig in any browser: no server, no network, no other file."""

from __future__ import annotations

from typing import Any

import numpy as np

from multiview._shapes import F64
from multiview.core import Rig
from multiview.core.record import CameraRecord
from multiview.geometry.axes import up_axes
from multiview.viz.page_template import fill_page
from multiview.viz.rig_scene import RigScene, Volume, board_outlines, corners_in_picture
from multiview.viz.scene import frustum, frustum_depth

__all__ = ["rig_page"]

# Boards drawn in 3D, and corners a camera: more are a blot, and a large page.
MANY_BOARDS, MANY_CORNERS = 240, 1500
# Corners are written in steps of this share of the picture's width.
DOTS = 200


def rig_page(scene: RigScene) -> str:
    """Write a rig as one HTML page."""
    return fill_page("rig.html", _data(scene))


def _data(scene: RigScene) -> dict[str, Any]:
    rig = scene.rig
    outlines = np.concatenate([np.zeros((0, 4, 3)), *map(board_outlines, scene.boards)])
    middle = outlines.mean(1) if len(outlines) else np.zeros((0, 3))
    if scene.volume is not None:
        middle = np.concatenate([middle, scene.volume.box.centre[None]])
    depth = frustum_depth(rig, middle)
    target = np.median(middle, 0) if len(middle) else rig.centres_world.mean(0)
    away = np.linalg.norm(rig.centres_world - target, axis=-1)
    made = rig.made
    return {
        "title": scene.title,
        "about": rig.about,
        "world": rig.world,
        "unit": "mm" if rig.unit == "m" else rig.unit,
        "scale": 1000 if rig.unit == "m" else 1,
        "length": rig.unit,
        "poses": len(outlines),
        "boards": outlines[:: max(1, -(-len(outlines) // MANY_BOARDS))].round(5).tolist(),
        "frusta": np.stack([frustum(c, depth) for c in rig.cameras]).round(5).tolist(),
        "cameras": [_camera(scene, v) for v in range(len(rig.cameras))],
        "rms": _number(made.rms_px if made else np.nan, 3),
        "heldout": _number(made.heldout_px if made else np.nan, 3),
        "heldout_mm": _number(made.heldout_mm if made else np.nan, 3),
        "warnings": list(made.warnings) if made else [],
        "axes": up_axes(rig).round(9).tolist(),
        "target": target.tolist(),
        "distance": 1.9 * float(np.median(away)) or 1.0,
        "depth": depth,
        "volume": None if scene.volume is None else _volume(scene.volume),
    }


def _camera(scene: RigScene, v: int) -> dict[str, Any]:
    camera = scene.rig.cameras[v]
    xy, filled = corners_in_picture(camera, scene.boards)
    step = camera.intrinsics.size_wh[0] / DOTS
    dots = np.unique(np.rint((xy + 0.5) / step).astype(np.int64), axis=0)
    dots = dots[:: max(1, -(-len(dots) // MANY_CORNERS))]
    known = _record(scene.rig, camera.name)
    return {
        "name": camera.name,
        "size": camera.intrinsics.size_wh,
        "focal": round(float(camera.intrinsics.K[0, 0]), 1),
        "lens": camera.intrinsics.model,
        "place": camera.centre_world.round(4).tolist(),
        "dots": dots.ravel().tolist(),
        "filled": filled,
        "views": known.views,
        "corners": known.corners,
        "rejected": known.rejected,
        "rms": _number(known.rms_px, 3),
        "noise": _number(known.noise_px, 3),
        "turn": _number(known.rotation_std_deg, 3),
        "shift": _number(known.position_std_m * 1000, 2),
    }


def _record(rig: Rig, name: str) -> CameraRecord:
    """Return what the rig's file says of a camera, or a record that knows nothing."""
    records = rig.made.cameras if rig.made else ()
    return next((r for r in records if r.name == name), CameraRecord(name=name))


def _volume(volume: Volume) -> dict[str, Any]:
    return {
        "low": volume.box.low.tolist(),
        "high": volume.box.high.tolist(),
        "shape": volume.shape,
        "views": volume.views.tolist(),
        "boards": volume.boards.tolist(),
        "by_pixel": _numbers(volume.by_pixel),
        "by_rig": _numbers(volume.by_rig),
    }


def _numbers(values: F64) -> list[float | None]:
    """Four digits are enough for a colour and a label."""
    return [float(f"{x:.4g}") if np.isfinite(x) else None for x in values.tolist()]


def _number(value: float, digits: int) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None
