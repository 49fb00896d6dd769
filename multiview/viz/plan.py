"""Expected error over the capture volume, drawn from three sides with the cameras around it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, IntArray
from multiview.bootstrap.plan_volume import ErrorMap
from multiview.core import Camera, Rig
from multiview.geometry.median import median_of

__all__ = ["draw_error_map"]

Image = NDArray[np.uint8]
PANEL, PAD, BAR, HEAD = 520, 46, 64, 34
INK, MUTED, NEW, PALE = (51, 39, 27), (126, 109, 93), (60, 140, 20), (225, 225, 225)
PLANES = ((0, 1, "from z: x right, y up"), (0, 2, "from y: x right, z up"), (1, 2, "from x: y, z"))
# Length of a drawn camera as a share of the drawing.
LENGTH = 0.035


def draw_error_map(
    rig: Rig, expected: ErrorMap, new: Sequence[Camera], scale: float, unit: str
) -> Image:
    """Draw the median of the expected error along each axis of the world.

    Grey cells: fewer than half of the keypoints there are found.

    Parameters
    ----------
    rig, new
        Cameras there are, and proposed ones (green).
    expected
        The map.
    scale, unit
        From the rig's unit to the one written in the legend.

    Returns
    -------
    NDArray[np.uint8]
        BGR picture.
    """
    value = np.where(expected.found >= 0.5, expected.rms * scale, np.nan)
    known = value[np.isfinite(value)]
    low, high = np.quantile(known, [0.05, 0.95]) if known.size else (0.0, 1.0)
    panels = [
        _panel(rig, expected, new, (a, b), (value, (low, high)), said) for a, b, said in PLANES
    ]
    return np.concatenate([np.concatenate(panels, axis=1), _legend(low, high, unit)])


def _paint(value: F64, limits: tuple[float, float]) -> IntArray:
    """Colour of values (N,), BGR (N, 3): bright is small."""
    share = 1 - (value - limits[0]) / max(limits[1] - limits[0], 1e-12)
    level = np.rint(255 * np.clip(np.nan_to_num(share), 0, 1)).astype(np.uint8)
    colour = cv2.applyColorMap(level[:, None], cv2.COLORMAP_VIRIDIS)[:, 0].astype(np.int64)
    return np.asarray(np.where(np.isfinite(value)[:, None], colour, PALE))


class _Frame:
    """From two world axes to pixels of a panel that holds the volume and all cameras."""

    def __init__(self, points: F64, axes: tuple[int, int]) -> None:
        flat = points[:, list(axes)]
        self.axes, self.low = axes, flat.min(0)
        self.size = float(max((flat.max(0) - self.low).max(), 1e-9))
        self.shift = (self.size - (flat.max(0) - self.low)) / 2

    def at(self, xyz: F64) -> IntArray:
        share = (xyz[..., list(self.axes)] - self.low + self.shift) / self.size
        xy = PAD + share * (PANEL - 2 * PAD)
        xy[..., 1] = PANEL - xy[..., 1]
        return np.asarray(np.rint(xy).astype(np.int64))


def _panel(
    rig: Rig,
    expected: ErrorMap,
    new: Sequence[Camera],
    axes: tuple[int, int],
    coloured: tuple[F64, tuple[float, float]],
    said: str,
) -> Image:
    value, limits = coloured
    canvas = np.full((PANEL, PANEL, 3), 255, np.uint8)
    half = _cell(expected) / 2
    centres = np.stack([c.centre_world for c in (*rig.cameras, *new)])
    frame = _Frame(np.concatenate([centres, expected.xyz - half, expected.xyz + half]), axes)
    depth = ({0, 1, 2} - set(axes)).pop()
    places = np.take(expected.xyz.reshape(*expected.shape, 3), 0, axis=depth).reshape(-1, 3)
    colours = _paint(_middle(value.reshape(expected.shape), depth).ravel(), limits)
    for place, colour in zip(places, colours.tolist(), strict=True):
        (x0, y1), (x1, y0) = frame.at(place - half).tolist(), frame.at(place + half).tolist()
        cv2.rectangle(canvas, (x0, y0), (max(x1 - 1, x0), max(y1 - 1, y0)), colour, -1)
    everything = [*((c, INK) for c in rig.cameras), *((c, NEW) for c in new)]
    for camera, colour in everything:
        _draw_camera(canvas, frame, camera, colour)
    for camera, colour in everything:
        _write_name(canvas, frame, camera, colour)
    _write(canvas, f"{said}; {frame.size:.2f} {rig.unit} across", (10, 20), 0.45, MUTED)
    return canvas


def _cell(expected: ErrorMap) -> F64:
    """Size of a cell of the map along each axis, shape (3,); a tenth where there is one only."""
    span = np.ptp(expected.xyz, axis=0)
    count = np.array(expected.shape)
    step = np.where(count > 1, span / np.maximum(count - 1, 1), 0.0)
    return np.asarray(np.where(count > 1, step, step.max() / 10))


def _middle(value: F64, axis: int) -> F64:
    """Median along an axis of the values that are known; NaN where none is, or half are not."""
    return median_of(value, axis, least=(value.shape[axis] + 1) // 2)


def _draw_camera(canvas: Image, frame: _Frame, camera: Camera, colour: Sequence[int]) -> None:
    centre, R = camera.centre_world, camera.cam_from_world.R
    length = LENGTH * frame.size
    edges = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [1.0, 0.6]
    tips = centre + length * (1.6 * R[2] + edges @ R[:2])
    corners = frame.at(np.concatenate([centre[None], tips])).astype(np.int32)
    cv2.fillConvexPoly(canvas, cv2.convexHull(corners), colour, cv2.LINE_AA)


def _write_name(canvas: Image, frame: _Frame, camera: Camera, colour: Sequence[int]) -> None:
    """Write it behind the camera, on white."""
    back = camera.centre_world - 1.2 * LENGTH * frame.size * camera.cam_from_world.R[2]
    x, y = frame.at(back[None])[0].tolist()
    where = (min(max(x - 16, 2), PANEL - 44), min(max(y + 4, 34), PANEL - 4))
    _write(canvas, camera.name, where, 0.36, (255, 255, 255), 3)
    _write(canvas, camera.name, where, 0.36, colour)


def _write(
    canvas: Image,
    words: str,
    at: tuple[int, int],
    size: float,
    colour: Sequence[int],
    thick: int = 1,
) -> None:
    cv2.putText(canvas, words, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)


def _legend(low: float, high: float, unit: str) -> Image:
    width = 3 * PANEL
    strip = np.full((BAR, width, 3), 255, np.uint8)
    steps = np.linspace(low, high, 300)
    bar = np.repeat(_paint(steps, (low, high)).astype(np.uint8)[None], 18, axis=0)
    strip[10:28, PAD : PAD + 300] = bar
    said = (
        f"expected error of found keypoints: {low:.2f} to {high:.2f} {unit} (median along the view)"
    )
    more = "grey: fewer than half are found   green: proposed cameras"
    for row, line in ((20, said), (40, more)):
        cv2.putText(
            strip, line, (PAD + 320, row), cv2.FONT_HERSHEY_SIMPLEX, 0.45, MUTED, 1, cv2.LINE_AA
        )
    return strip
