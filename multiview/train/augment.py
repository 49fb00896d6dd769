"""Vary crops: every change drawn from one explicit generator, so that a crop can be made again."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from multiview._shapes import F64
from multiview.models.base import U8
from multiview.train.config import AugmentConfig

__all__ = ["augment", "centre_crop", "cover", "disturb", "take_view", "view_matrix"]

BLUR = (0.5, 2.0)  # standard deviation [px]: out of focus, or moving
NOISE = (2.0, 15.0)  # standard deviation of 8-bit values: a sensor by day, and by night
QUALITY = (20, 80)
PATCHES, PATCH = 2, (0.1, 0.4)  # most, and side in crops


def centre_crop(image: U8, uv: F64, size: int) -> tuple[U8, F64]:
    """Take the network's part of a stored crop, as detection would.

    Parameters
    ----------
    image
        Stored crop (n, n, 3).
    uv
        Points in it, shape (K, 2).
    size
        Side of the network's input [px].

    Returns
    -------
    tuple
        Crop (size, size, 3), and the points in it.
    """
    return take_view(image, uv, size, view_matrix(image.shape[0], size, 0.0, 1.0, np.zeros(2)))


def augment(
    image: U8, uv: F64, size: int, config: AugmentConfig, rng: np.random.Generator
) -> tuple[U8, F64, float]:
    """Turn, scale, shift, cover, blur and discolour a stored crop.

    Parameters
    ----------
    image, uv, size
        As in `centre_crop`.
    config
        How much.
    rng
        Decides all of it.

    Returns
    -------
    tuple
        Crop, points in it, and pixels of the crop a stored pixel.
    """
    angle = np.deg2rad(rng.uniform(-config.rotate_deg, config.rotate_deg))
    scale = float(np.exp(rng.uniform(-1, 1) * np.log1p(config.scale)))
    shift = rng.uniform(-config.shift, config.shift, 2) * size
    matrix = view_matrix(image.shape[0], size, angle, scale, shift)
    crop, moved = take_view(image, uv, size, matrix)
    return disturb(crop, config, rng, _occlude), moved, 1 / scale


def disturb(
    crop: U8,
    config: AugmentConfig,
    rng: np.random.Generator,
    occlude: Callable[[U8, np.random.Generator], U8],
) -> U8:
    """Cover, blur and discolour; nothing moves."""
    changes = (
        (config.occlude_share, occlude),
        (config.grey_share, _grey),
        (config.blur_share, _blur),
        (config.noise_share, _noise),
        (config.jpeg_share, _jpeg),
    )
    crop = _discolour(crop, config.colour, rng)
    for share, change in changes:
        if rng.random() < share:
            crop = change(crop, rng)
    return crop


def view_matrix(side: int, size: int, angle: float, scale: float, shift: F64) -> F64:
    """Make stored pixels from the network's, shape (2, 3); a larger scale shows more."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    origin = side / 2 + shift - turn @ np.full(2, size / 2)
    return np.column_stack([turn, origin])


def take_view(
    image: U8, uv: F64, size: int, matrix: F64, border: int = cv2.BORDER_REPLICATE
) -> tuple[U8, F64]:
    """Show what `view_matrix` says, (size, size, 3), and take points (..., 2) along."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=border)
    moved = (uv - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    return np.asarray(crop, np.uint8), np.asarray(moved, np.float64)


def _discolour(crop: U8, most: float, rng: np.random.Generator) -> U8:
    """Brightness, contrast and white balance, in one table a channel."""
    contrast, light = 1 + most * rng.uniform(-1, 1), 128 * most * rng.uniform(-1, 1)
    channels = 1 + most / 2 * rng.uniform(-1, 1, 3)
    ramp = (np.arange(256) - 128) * contrast + 128 + light
    table = np.clip(ramp[:, None] * channels, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(crop, table[None]), np.uint8)


def _occlude(crop: U8, rng: np.random.Generator) -> U8:
    """Cover parts by plain patches with some texture: labels stay, they are what is learnt."""
    size = crop.shape[0]
    for _ in range(int(rng.integers(1, PATCHES + 1))):
        centre = rng.uniform(0, size, 2)
        crop = cover(crop, centre, rng.uniform(*PATCH, 2) * size, rng)
    return crop


def cover(crop: U8, centre: F64, sides: F64, rng: np.random.Generator) -> U8:
    """Put one patch, an ellipse or a box turned anyhow, over a copy of the crop."""
    crop, size = crop.copy(), crop.shape[0]
    mask = np.zeros((size, size), np.uint8)
    box = (tuple(centre.tolist()), tuple(sides.tolist()), float(rng.uniform(0, 180)))
    if rng.random() < 0.5:
        cv2.ellipse(mask, box, 255, -1)
    else:
        cv2.fillPoly(mask, [cv2.boxPoints(box).astype(np.int32)], 255)
    texture = rng.normal(0, rng.uniform(0, 30), (8, 8, 3)) + rng.uniform(0, 255, 3)
    patch = cv2.resize(texture, (size, size), interpolation=cv2.INTER_CUBIC)
    crop[mask > 0] = np.clip(patch, 0, 255).astype(np.uint8)[mask > 0]
    return crop


def _grey(crop: U8, rng: np.random.Generator) -> U8:
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)


def _blur(crop: U8, rng: np.random.Generator) -> U8:
    sigma = rng.uniform(*BLUR, 2)
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), float(sigma[0]), sigmaY=float(sigma[1])))


def _noise(crop: U8, rng: np.random.Generator) -> U8:
    noise = rng.standard_normal(crop.shape, np.float32) * np.float32(rng.uniform(*NOISE))
    return np.clip(crop + noise, 0, 255).astype(np.uint8)


def _jpeg(crop: U8, rng: np.random.Generator) -> U8:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*QUALITY))]
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", crop, quality)[1], cv2.IMREAD_COLOR))
