"""Skeletons drawn on pictures: detections solid, reprojections hollow."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, present
from multiview.core import Skeleton

__all__ = ["Layer", "caption", "contact_sheet", "crop_square", "draw_hand"]

Image = NDArray[np.uint8]
# Sub-pixel bits of OpenCV's drawing functions: lines start at a sixteenth of a pixel.
SHIFT = 4
FONT = cv2.FONT_HERSHEY_SIMPLEX


class Layer:
    """How a set of keypoints is drawn."""

    SOLID = "solid"
    HOLLOW = "hollow"
    CROSS = "cross"


def _fixed(xy: F64) -> tuple[int, int]:
    x, y = np.round(xy * (1 << SHIFT)).astype(int)
    return int(x), int(y)


def _bgr(rgb: tuple[int, int, int]) -> tuple[int, int, int]:
    return rgb[2], rgb[1], rgb[0]


def draw_hand(
    image: Image,
    xy_px: F64,
    skeleton: Skeleton,
    layer: str = Layer.SOLID,
    scale: float = 1.0,
    unsure: NDArray[np.bool_] | None = None,
) -> None:
    """Draw one hand in place.

    Parameters
    ----------
    image
        BGR, changed.
    xy_px
        Shape (K, 2); NaN is left out.
    skeleton
        Bones and colours.
    layer
        ``"solid"``: bones and discs; ``"hollow"``: thin bones and rings; ``"cross"``: crosses
        only (rejected detections).
    scale
        Line widths are for a hand of about 200 px at 1.
    unsure
        Keypoints of a solid hand that are rings, with thin bones, shape (K,).
    """
    unsure = np.zeros(len(xy_px), np.bool_) if unsure is None else unsure
    ok = present(np.where(np.abs(xy_px) < 1e5, xy_px, np.nan))
    thick = max(1, round((2 if layer == Layer.SOLID else 1) * scale))
    radius = max(2, round(3.5 * scale))
    if layer != Layer.CROSS:
        for a, b in skeleton.edges:
            if ok[a] and ok[b]:
                color = _bgr(skeleton.colors[b])
                ends = _fixed(xy_px[a]), _fixed(xy_px[b])
                width = 1 if unsure[a] or unsure[b] else thick
                cv2.line(image, *ends, color, width, cv2.LINE_AA, SHIFT)
    for k in np.flatnonzero(ok):
        color = _bgr(skeleton.colors[k])
        if layer == Layer.CROSS:
            x, y = np.round(xy_px[k]).astype(int).tolist()
            cv2.drawMarker(image, (x, y), color, cv2.MARKER_TILTED_CROSS, 2 * radius + 3, thick)
            continue
        solid = layer == Layer.SOLID and not unsure[k]
        fill = cv2.FILLED if solid else thick
        grow = radius if solid else radius + 2
        cv2.circle(image, _fixed(xy_px[k]), grow << SHIFT, color, fill, cv2.LINE_AA, SHIFT)


def caption(image: Image, text: str, scale: float = 0.5) -> None:
    """Write a line of text at the top left, readable on any background, in place."""
    at = (6, round(34 * scale))
    # same thickness for the outline: OpenCV 5's letters get wider with it
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        shifted = (at[0] + dx, at[1] + dy)
        cv2.putText(image, text, shifted, FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(image, text, at, FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)


def crop_square(image: Image, xy_px: F64, side: int, margin: float = 1.5) -> tuple[Image, F64]:
    """Cut a square of ``margin`` times the keypoints' box, resized to ``side`` px.

    Parameters
    ----------
    image
        BGR.
    xy_px
        Keypoints of any shape (..., 2) that set the box; the whole image if all are NaN.

    Returns
    -------
    crop, affine
        The crop (side, side, 3) and the 2 x 3 matrix ``crop_from_image``.
    """
    points = xy_px.reshape(-1, 2)
    points = points[np.isfinite(points).all(-1)]
    height, width = image.shape[:2]
    if not len(points):
        points = np.array([[0.0, 0.0], [width - 1.0, height - 1.0]])
        margin = 1.0
    low, high = points.min(0), points.max(0)
    s = side / max(24.0, float((high - low).max()) * margin)
    centre = (low + high) / 2
    affine = np.array([[s, 0, side / 2 - s * centre[0]], [0, s, side / 2 - s * centre[1]]])
    crop = cv2.warpAffine(image, affine, (side, side), flags=cv2.INTER_AREA)
    return np.asarray(crop, np.uint8), affine


def contact_sheet(rows: Sequence[Sequence[Image]], gap: int = 4) -> Image:
    """Put equally sized pictures into a grid."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(r) for r in rows)
    shape = (len(rows) * (height + gap) + gap, columns * (width + gap) + gap, 3)
    sheet = np.full(shape, 32, np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            y, x = gap + r * (height + gap), gap + c * (width + gap)
            sheet[y : y + height, x : x + width] = picture
    return sheet
