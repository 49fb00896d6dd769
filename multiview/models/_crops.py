"""Rotated square crops, sampled as MediaPipe samples them, and the way back to the image.

A roi is (centre x, centre y, side, rotation) in pixels of the image, centre of the top-left pixel
(0, 0). Pixel index i of an n-pixel crop shows the point ``(i / n - 0.5) * side`` from the centre,
rotated: corner to corner in *indices*, without the half pixels of ``cv2.resize``. So the identity
crop is the identity, and MediaPipe's normalised ``x`` is ``x * W`` in OpenCV's convention, not
``x * W - 0.5`` (source: mediapipe 0.10.21, ``image_to_tensor_converter_opencv.cc``).
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.models.base import U8

F32 = NDArray[np.float32]

Maps = tuple[NDArray[np.int16], NDArray[np.uint16]]

STEP_BITS = 5
STEPS = 1 << STEP_BITS  # of bilinear weights a pixel, as in cv2.remap
STEPS_LIMITS = (-32768 * STEPS, 32768 * STEPS - 1)  # whole pixels have 16 bits
CACHED_SIZES = 16  # picture sizes of a take; each costs 0.2 MB


def image_from_crop(roi: F64, uv: F64, size: int) -> F64:
    """Take points of a crop to the image.

    Parameters
    ----------
    roi
        The crop, shape (4,).
    uv
        Points in crop pixels, shape (..., 2).
    size
        Side of the crop in its own pixels.

    Returns
    -------
    ndarray
        Image pixels, shape (..., 2).
    """
    centre, side = roi[:2], roi[2]
    xy: F64 = centre + (uv / size - 0.5) * side @ turn(roi[3]).T
    return xy


def sample(image: U8, roi: F64, size: int, border: int) -> U8:
    """Cut a crop of ``(size, size, 3)`` pixels, bilinear.

    The same pixels as MediaPipe's crop, on every OpenCV version: OpenCV 5 samples with exact
    weights, MediaPipe's OpenCV with weights in steps of 1/32 px.

    Parameters
    ----------
    image
        BGR image, shape (H, W, 3).
    roi
        The crop, shape (4,).
    size
        Side of the result [px].
    border
        ``cv2.BORDER_REPLICATE`` (MediaPipe: landmarks) or ``cv2.BORDER_CONSTANT`` (palms).
    """
    maps = _fixed_point_maps(_image_from_crop_matrix(roi, size), size)
    return np.asarray(cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=border), np.uint8)


def sample_letterbox(image: U8, size: int) -> U8:
    """Cut the crop of `letterbox`, zero outside the picture; its maps are kept for the next one."""
    maps = _letterbox_maps(image.shape[1], image.shape[0], size)
    crop = cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(crop, np.uint8)


@functools.lru_cache(CACHED_SIZES)
def _letterbox_maps(width: int, height: int, size: int) -> Maps:
    return _fixed_point_maps(_image_from_crop_matrix(letterbox(width, height), size), size)


def _image_from_crop_matrix(roi: F64, size: int) -> F64:
    """Homography (3, 3) of `image_from_crop`, by the detour through corners that MediaPipe takes.

    Its rounding errors matter: in images whose longer side is an odd multiple of 3, half of the
    letterbox's samples lie exactly between two steps of 1/32 px, and they decide which is taken
    (worth up to 1 px in a keypoint).
    """
    square = ((roi[0], roi[1]), (roi[2], roi[2]), np.rad2deg(roi[3]))
    corners = np.array([[0, size], [0, 0], [size, 0], [size, size]], np.float32)
    crop_from_image = cv2.getPerspectiveTransform(cv2.boxPoints(square), corners)
    return np.asarray(cv2.invert(crop_from_image)[1], np.float64)


def _fixed_point_maps(matrix: F64, size: int) -> Maps:
    """Make maps for ``cv2.remap``: whole pixels (size, size, 2) and index of the weights."""
    index = np.arange(size, dtype=np.float64)
    x, y, w = (np.add.outer(row[1] * index + row[2], row[0] * index) for row in matrix)
    whole, part = np.empty((size, size, 2), np.int16), np.zeros((size, size), np.uint16)
    per_pixel = STEPS / w
    for axis, steps in enumerate((x, y)):
        steps *= per_pixel
        fixed = np.clip(np.rint(steps, out=steps), *STEPS_LIMITS, out=steps).astype(np.int32)
        whole[..., axis] = fixed >> STEP_BITS
        part += ((fixed & (STEPS - 1)) << (STEP_BITS * axis)).astype(np.uint16)
    return whole, part


def blob(crop: U8) -> F32:
    """Network input (1, 3, size, size): RGB, 0 to 1."""
    planes = np.empty((1, 3, *crop.shape[:2]), np.float32)
    for channel, plane in enumerate(cv2.split(crop)):
        np.multiply(plane, np.float32(1 / 255), out=planes[0, 2 - channel], dtype=np.float32)
    return planes


def letterbox(width: int, height: int) -> F64:
    """Roi of the smallest centred square that holds the whole image, shape (4,)."""
    return np.array([width / 2, height / 2, max(width, height), 0.0])


def rotation_up(start: F64, end: F64) -> float:
    """Rotation [rad, -pi to pi] of the crop in which `end` is straight above `start`."""
    dx, dy = end - start
    angle = np.pi / 2 - np.arctan2(-dy, dx)
    return float(angle - 2 * np.pi * np.floor((angle + np.pi) / (2 * np.pi)))


def turn(angle: float) -> F64:
    """Matrix (2, 2) from the axes of a turned crop to those of the image."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def box_of_points(xy: F64, angle: float) -> F64:
    """Tight box around points (N, 2) along turned axes: centre x, y in the image, width, height."""
    along = xy @ turn(angle)
    low, high = along.min(axis=0), along.max(axis=0)
    return np.concatenate([turn(angle) @ ((low + high) / 2), high - low])


def roi_of_box(box: F64, angle: float, shift: float, scale: float) -> F64:
    """Square roi around a box: move along the hand, then enlarge the longer side.

    Parameters
    ----------
    box
        Centre x, centre y, width, height [px]; width and height along the rotated axes.
    angle
        Rotation [rad].
    shift
        Move, in heights of the box, along the rotated y axis.
    scale
        Side of the roi in longer sides of the box.
    """
    x, y, width, height = box
    x -= height * shift * np.sin(angle)
    y += height * shift * np.cos(angle)
    return np.array([x, y, max(width, height) * scale, angle])


def overlap(a: F64, b: F64) -> F64:
    """Intersection over union of boxes (..., 4) given as x0, y0, x1, y1."""
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    areas = np.prod(a[..., 2:] - a[..., :2], axis=-1) + np.prod(b[..., 2:] - b[..., :2], axis=-1)
    union = areas - shared
    iou: F64 = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou
