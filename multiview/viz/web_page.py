"""One page that shows a take in any browser: no server, no network, no other file.

Coordinates are 16-bit numbers on a grid of the take's extent (0.05 mm for 3 m), written as steps
over time and compressed; ten minutes of two hands are a few megabytes.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, IntArray
from multiview.core import Points3D, Rig, Skeleton
from multiview.progress import Progress
from multiview.viz.colours import CERTAINTY, certainty_limits, uncertainty_grade
from multiview.viz.overlay import Layer, draw_hand
from multiview.viz.page_template import fill_page
from multiview.viz.scene import (
    Scene,
    frame_rate,
    frustum,
    frustum_depth,
    standard_deviation,
    typical_bone,
    upwards,
)

__all__ = ["encode_coordinates", "thumbnail_times", "web_page"]

# Pictures of a page in all: at 7 kB each two megabytes.
PICTURES = 280
WIDTH, QUALITY = 320, 60
GRID = 65_534  # steps of a coordinate; 0 is missing


@dataclass(slots=True)
class _Series:
    """What the page keeps of all frames: 4-byte coordinates, one byte of certainty, two plots."""

    xyz: list[NDArray[np.float32]]
    sigma: list[NDArray[np.float32]]
    residual: list[F64]
    inliers: list[F64]
    times: list[F64]


def web_page(scene: Scene, progress: Progress | None = None) -> str:
    """Write a run as one HTML page.

    Parameters
    ----------
    scene
        The run; with pictures, some are embedded with the reprojected hands drawn on them.
    progress
        Called with ("page", frames done, frames in all).
    """
    series, chosen = _Series([], [], [], [], []), thumbnail_times(scene)
    wanted: dict[int, F64] = {}
    for block in scene.blocks():
        _collect(series, block.points, block.residual_px)
        series.times.append(block.times)
        for f in chosen[(chosen >= block.start) & (chosen < block.start + len(block.times))]:
            wanted[int(f)] = block.points.xyz_world[f - block.start]
        if progress:
            progress("page", block.start + len(block.times), len(scene.frame_ids))
    data = _data(scene, series)
    if scene.pictures is not None:
        data["thumbs"] = [_thumbs(scene, v, wanted) for v in range(len(scene.rig.names))]
    return fill_page("viewer.html", data)


def thumbnail_times(scene: Scene) -> IntArray:
    """Positions of the frames whose pictures a page shows, from the first to the last."""
    frames = len(scene.frame_ids)
    count = min(frames, max(1, PICTURES // len(scene.rig.names)))
    return np.unique(np.linspace(0, frames - 1, count).round().astype(np.int64))


def _collect(series: _Series, points: Points3D, residual: F64) -> None:
    series.xyz.append(points.xyz_world.astype(np.float32))
    series.sigma.append(standard_deviation(points).astype(np.float32))
    series.residual.append(_mean(residual, np.nanmedian))
    views = np.where(points.valid, points.inlier.sum(0), np.nan).reshape(len(residual.T), -1)
    series.inliers.append(_mean(views.T, np.nanmean))


def _mean(values: F64, of: Any) -> F64:
    """Summarise axis 0, shape (N, F) -> (F,); NaN where all is NaN."""
    out = np.full(values.shape[1], np.nan)
    some = np.isfinite(values).any(0)
    out[some] = of(values[:, some], axis=0)
    return out


def _data(scene: Scene, series: _Series) -> dict[str, Any]:
    xyz, sigma = np.concatenate(series.xyz), np.concatenate(series.sigma)
    some = xyz[:: max(1, len(xyz) // 500)].astype(np.float64)
    times = np.concatenate(series.times)
    low, step, coded = encode_coordinates(xyz)
    certain, limits = _certainty(sigma)
    depth = frustum_depth(scene.rig, some)
    metres = scene.rig.unit == "m"
    residual, inliers = np.concatenate(series.residual), np.concatenate(series.inliers)
    return {
        "title": scene.title,
        "note": scene.note,
        "shape": xyz.shape[:3],
        "names": scene.rig.names,
        "hands": scene.hands,
        "frames": scene.frame_ids.tolist(),
        "times": _plain(times - np.nanmin(times) if np.isfinite(times).any() else times, 3),
        "fps": frame_rate(times),
        "low": low.tolist(),
        "step": step,
        "xyz": _packed(coded),
        "certain": _packed(certain),
        "sigma": limits,
        "ramp": CERTAINTY,
        "scale": 1000 if metres else 1,
        "unit": "mm" if metres else scene.rig.unit,
        "residual": _plain(residual, 2),
        "inliers": _plain(inliers, 2),
        "tops": {"residual": _top(residual), "inliers": len(scene.rig.names)},
        **_skeleton(scene.skeleton),
        **_placed(scene.rig, xyz, depth),
        "bone": typical_bone(some, scene.skeleton),
    }


def _skeleton(skeleton: Skeleton) -> dict[str, Any]:
    groups = [(name, skeleton.colors[members[-1]]) for name, members in skeleton.groups.items()]
    return {"edges": skeleton.edges, "colors": skeleton.colors, "groups": groups}


def _placed(rig: Rig, xyz: NDArray[np.float32], depth: float) -> dict[str, Any]:
    """Cameras, and where to look from at first: all cameras are in the picture."""
    corners = np.stack([frustum(c, depth) for c in rig.cameras])
    ok = np.isfinite(xyz).all(-1)
    middle = np.median(xyz[ok], 0) if ok.any() else rig.centres_world.mean(0)
    away = np.linalg.norm(rig.centres_world - middle, axis=-1)
    return {
        "frusta": corners.round(5).tolist(),
        "up": upwards(rig).tolist(),
        "target": np.asarray(middle, np.float64).tolist(),
        "distance": 1.7 * float(np.median(away)) or 1.0,
        "axis": depth,
    }


def encode_coordinates(
    xyz: NDArray[np.float32],
) -> tuple[F64, float, NDArray[np.uint8]]:
    """Put coordinates on a grid and write steps over time.

    Parameters
    ----------
    xyz
        Shape (F, ..., 3); NaN is kept.

    Returns
    -------
    low, step, data
        ``xyz = low + (code - 1) step``, where the codes are running sums modulo 65536 of the 16-bit
        steps over axis F whose low bytes come first in ``data``, then the high bytes; 0 is missing.
    """
    flat = xyz.reshape(-1, 3)
    ok = np.isfinite(flat).all(-1)
    low = flat[ok].min(0).astype(np.float64) if ok.any() else np.zeros(3)
    extent = float((flat[ok].max(0) - low).max()) if ok.any() else 0.0
    step = extent / GRID or 1.0
    with np.errstate(invalid="ignore"):
        grid = np.where(np.isfinite(xyz), np.round((xyz - low) / step) + 1, 0)
    code = grid.astype(np.uint16)
    steps = np.diff(code, axis=0, prepend=np.zeros_like(code[:1])).ravel()
    return low, step, np.concatenate([steps & 255, steps >> 8]).astype(np.uint8)


def _certainty(sigma: NDArray[np.float32]) -> tuple[NDArray[np.uint8], list[float] | None]:
    """Code standard deviations from 1 (the 1 % surest) to 255 (the 1 % least sure), log scale."""
    limits = certainty_limits(sigma)
    if limits is None:
        return np.zeros(sigma.shape, np.uint8), None
    code = 1 + np.round(254 * uncertainty_grade(sigma, limits))
    return np.where(np.isfinite(sigma), code, 0).astype(np.uint8), list(limits)


def _packed(data: NDArray[np.uint8]) -> str:
    return base64.b64encode(zlib.compress(data.tobytes(), 9)).decode()


def _plain(values: F64, digits: int) -> list[float | None]:
    return [round(x, digits) if np.isfinite(x) else None for x in values.tolist()]


def _top(values: F64) -> float:
    known = values[np.isfinite(values)]
    return float(np.percentile(known, 99)) * 1.1 if known.size else 1.0


def _thumbs(scene: Scene, v: int, wanted: dict[int, F64]) -> list[tuple[int, str]]:
    """Small pictures of one camera with the reprojected hands."""
    assert scene.pictures is not None
    camera, out = scene.rig.cameras[v], []
    for f, image in scene.pictures(v, np.array(sorted(wanted), np.int64)):
        height, width = image.shape[:2]
        s = WIDTH / width
        size = (WIDTH, max(round(height * s), 1))
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        for xy in camera.project(wanted[f]):
            draw_hand(small, (xy + 0.5) * s - 0.5, scene.skeleton, Layer.SOLID, 0.4)
        done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if done:
            out.append((f, base64.b64encode(data.tobytes()).decode()))
    return out
