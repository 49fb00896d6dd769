"""Keypoints from probability maps and from SimCC vectors, to a fraction of a pixel.

Everything here is in *map pixels*: the centre of a map's first pixel is (0, 0). What a map pixel is
in the crop depends on how the network was trained, see `crop_from_map`. All results are finite: a
map without a peak gives its first pixel with the peak value that it has, and it is for the caller
to discard it by that.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, check_shapes
from multiview.errors import InputError, ShapeError

__all__ = [
    "Grid",
    "crop_from_map",
    "decode_heatmaps",
    "decode_simcc",
    "mass",
    "mass_of_lines",
]

Grid = Literal["half_pixel", "index", "corners"]
Method = Literal["dark", "argmax"]

# A Taylor expansion holds near the maximum; the true one is never further than half a pixel along
# each axis from the largest sample, one with noise.
MAX_STEP_PX = 1.0
# Of the peak: stands in for values that have no logarithm. A Gaussian falls to it at 3.7 sigma.
LOG_FLOOR = 1e-3


def decode_heatmaps(
    maps: NDArray[np.floating], *, method: Method = "dark", blur_px: int = 11
) -> tuple[F64, F64]:
    """Find the peak of every map.

    ``"dark"`` follows Zhang et al., Distribution-aware coordinate representation for human pose
    estimation, CVPR 2020: the map is smoothed by a Gaussian, and one Newton step is taken on its
    logarithm, from the largest value of the raw map. That is exact for a Gaussian blob. There is no
    step along an axis on whose border the maximum lies, on a map that is flat or nowhere positive,
    or where the Hessian is not negative definite; and it is bounded to 1 px.

    Parameters
    ----------
    maps
        Shape (N, K, h, w). Only the shape of the peak matters, not its scale.
    method
        ``"dark"``, or ``"argmax"`` for whole pixels.
    blur_px
        Width of the smoothing kernel [map px], odd; 1 does not smooth. Best at about 5.5 times the
        standard deviation of the blobs that the network was trained on (11 for 2 px), where the
        filter matches the blob.

    Returns
    -------
    tuple
        Peaks, x before y, shape (N, K, 2) [map px], and the value of the raw map there, (N, K).

    Raises
    ------
    ShapeError
        If the maps have another shape, no pixels, or values that are not finite.
    InputError
        If the kernel's width is even, or the method unknown.
    """
    check_shapes("decode_heatmaps", {"maps": (maps, "N K h w")})
    _check_values(maps, "maps")
    _check_blur(blur_px)
    if method not in get_args(Method):
        valid = ", ".join(get_args(Method))
        raise InputError(f"unknown method {method!r}", f"choose one of {valid}")
    n, k, height, width = maps.shape
    flat = maps.reshape(n * k, height, width)
    largest = flat.reshape(n * k, height * width).argmax(axis=1)
    y, x = np.divmod(largest, width)
    peak = flat[np.arange(n * k), y, x].astype(np.float64)
    xy = np.stack([x, y], axis=-1).astype(np.float64)
    if method == "dark":
        xy += _dark_steps(flat, x, y, peak, blur_px)
    return xy.reshape(n, k, 2), peak.reshape(n, k)


def _dark_steps(
    maps: NDArray[np.floating], x: NDArray[np.int64], y: NDArray[np.int64], peak: F64, blur_px: int
) -> F64:
    """Newton steps (M, 2) on the logarithm of the smoothed maps (M, h, w), from (x, y)."""
    around = _smoothed_around(maps, x, y, blur_px)
    floor = LOG_FLOOR * np.where(peak > 0, peak, 1.0)[:, None, None]
    log = np.log(np.maximum(around, floor))
    centre, left, right = log[:, 1, 1], log[:, 1, 0], log[:, 1, 2]
    up, down = log[:, 0, 1], log[:, 2, 1]
    height, width = maps.shape[1:]
    # an axis on whose border the maximum lies keeps its pixel; the other one has its own parabola
    free_x = (x > 0) & (x < width - 1) & (peak > 0)
    free_y = (y > 0) & (y < height - 1) & (peak > 0)
    gx, gy = np.where(free_x, (right - left) / 2, 0), np.where(free_y, (down - up) / 2, 0)
    hxx = np.where(free_x, right - 2 * centre + left, -1)
    hyy = np.where(free_y, down - 2 * centre + up, -1)
    hxy = (log[:, 2, 2] - log[:, 0, 2] - log[:, 2, 0] + log[:, 0, 0]) / 4
    return _newton(gx, gy, hxx, hyy, np.where(free_x & free_y, hxy, 0))


def _newton(gx: F64, gy: F64, hxx: F64, hyy: F64, hxy: F64) -> F64:
    """Solve ``H step = -g`` where H is negative definite, else 0; at most `MAX_STEP_PX` long."""
    det = hxx * hyy - hxy**2
    maximum = (hxx < 0) & (det > 0)
    safe = np.where(maximum, det, 1.0)
    step = np.stack([hxy * gy - hyy * gx, hxy * gx - hxx * gy], axis=-1) / safe[:, None]
    step *= maximum[:, None]
    length = np.hypot(step[:, 0], step[:, 1])
    shorten: F64 = step * np.minimum(1, MAX_STEP_PX / np.maximum(length, MAX_STEP_PX))[:, None]
    return shorten


def _smoothed_around(
    maps: NDArray[np.floating], x: NDArray[np.int64], y: NDArray[np.int64], blur_px: int
) -> F64:
    """Gaussian-smoothed values of the 3 x 3 pixels around (x, y), shape (M, 3, 3).

    Near a border the kernel is as narrow as the room there: a one-sided one would drag the peak
    inwards, by over a pixel.
    """
    rows, by_y = _near(y, maps.shape[1], blur_px)
    columns, by_x = _near(x, maps.shape[2], blur_px)
    patch = maps[np.arange(len(maps))[:, None, None], rows[:, :, None], columns[:, None, :]]
    smoothed: F64 = by_y @ patch.astype(np.float64) @ by_x.transpose(0, 2, 1)
    return smoothed


def _near(at: NDArray[np.int64], size: int, blur_px: int) -> tuple[NDArray[np.int64], F64]:
    """Pixels (M, blur_px + 2) around positions of a line, and weights (M, 3, blur_px + 2).

    The weights smooth and keep the three middle values.
    """
    half = blur_px // 2
    pixels = np.clip(at[:, None] + np.arange(-half - 1, half + 2), 0, size - 1)
    room = np.clip(np.minimum(at, size - 1 - at) - 1, 0, half)
    return pixels, np.stack([_band(reach, blur_px) for reach in range(half + 1)])[room]


def _band(reach: int, blur_px: int) -> F64:
    """Matrix (3, blur_px + 2) that smooths a line and keeps its three middle values.

    A Gaussian of unit sum, zero beyond `reach`; its standard deviation is OpenCV's for the width.
    """
    sigma = 0.3 * ((blur_px - 1) * 0.5 - 1) + 0.8
    offsets = np.arange(blur_px) - blur_px // 2
    weights = np.exp(-(offsets**2) / (2 * sigma**2)) * (np.abs(offsets) <= reach)
    band = np.zeros((3, blur_px + 2))
    for row in range(3):
        band[row, row : row + blur_px] = weights / weights.sum()
    return band


def decode_simcc(
    x: NDArray[np.floating], y: NDArray[np.floating], split: float, *, blur_px: int = 1
) -> tuple[F64, F64]:
    """Find the peaks of SimCC vectors (Li et al., ECCV 2022; RTMPose: Jiang et al., 2023).

    The largest bin, moved by the parabola through it and its neighbours: along each axis at most
    half a bin, and not at all at the ends. Only differences count, so logits and probabilities do.

    Parameters
    ----------
    x, y
        Values along the axes, shapes (N, K, W * split) and (N, K, H * split).
    split
        Bins a crop pixel.
    blur_px
        Width of a Gaussian that smooths the vectors first [bins], odd; 1 does not smooth.

    Returns
    -------
    tuple
        Peaks (N, K, 2) in **crop** pixels: bin b is crop pixel ``b / split``, as in training. And
        the smaller of the two largest values, (N, K): a keypoint is no surer than its worse axis.

    Raises
    ------
    ShapeError
        If the shapes do not fit each other, or values are not finite.
    InputError
        If split is not positive or the kernel's width is even.
    """
    check_shapes("decode_simcc", {"x": (x, "N K w"), "y": (y, "N K h")})
    _check_values(x, "x")
    _check_values(y, "y")
    _check_blur(blur_px)
    if not (split > 0 and np.isfinite(split)):
        raise InputError(f"split is {split} bins a pixel", "give a positive number, such as 2")
    (at_x, peak_x), (at_y, peak_y) = _peak_of_lines(x, blur_px), _peak_of_lines(y, blur_px)
    return np.stack([at_x, at_y], axis=-1) / split, np.minimum(peak_x, peak_y)


def _peak_of_lines(lines: NDArray[np.floating], blur_px: int) -> tuple[F64, F64]:
    """Position and value of the maximum along the last axis, each of shape (N, K)."""
    values = lines.reshape(-1, lines.shape[-1]).astype(np.float64)
    each, largest = np.arange(len(values)), values.argmax(axis=-1)
    near, by = _near(largest, values.shape[-1], blur_px)
    before, here, after = (by @ values[each[:, None], near][..., None])[..., 0].T
    curvature = before - 2 * here + after
    free = (largest > 0) & (largest < values.shape[-1] - 1) & (curvature < 0)
    step = np.where(free, (before - after) / np.where(free, 2 * curvature, 1.0), 0.0)
    at: F64 = largest + np.clip(step, -0.5, 0.5)
    return at.reshape(lines.shape[:2]), values[each, largest].reshape(lines.shape[:2])


def mass(maps: NDArray[np.floating], xy: F64, radius_px: float) -> F64:
    """Share of a map's positive values that lies near a point: 1 for one sharp peak.

    With several peaks, or none, much of the mass is elsewhere, which the peak's height alone does
    not show. A confidence cue, not a probability.

    Parameters
    ----------
    maps
        Shape (N, K, h, w).
    xy
        Points [map px], shape (N, K, 2).
    radius_px
        What is near [map px].

    Returns
    -------
    ndarray
        Shape (N, K), 0 to 1; 0 where nothing is positive.
    """
    check_shapes("mass", {"maps": (maps, "N K h w"), "xy": (xy, "N K 2")})
    _check_values(maps, "maps")
    height, width = maps.shape[2:]
    positive = np.maximum(maps, 0)
    dx2 = (np.arange(width) - xy[..., :1]) ** 2
    dy2 = (np.arange(height) - xy[..., 1:]) ** 2
    near = dy2[..., :, None] + dx2[..., None, :] <= radius_px**2
    total = positive.sum(axis=(2, 3), dtype=np.float64)
    inner = np.where(near, positive, 0).sum(axis=(2, 3), dtype=np.float64)
    share: F64 = np.divide(inner, total, out=np.zeros_like(total), where=total > 0)
    return share


def mass_of_lines(lines: NDArray[np.floating], at: F64, radius: float) -> F64:
    """Share of a SimCC vector's positive values that lies near a bin; see `mass`.

    Parameters
    ----------
    lines
        Shape (N, K, bins).
    at
        Bins, to a fraction, shape (N, K).
    radius
        What is near [bins].

    Returns
    -------
    ndarray
        Shape (N, K), 0 to 1; 0 where nothing is positive.
    """
    check_shapes("mass_of_lines", {"lines": (lines, "N K b"), "at": (at, "N K")})
    _check_values(lines, "lines")
    positive = np.maximum(lines, 0)
    near = np.abs(np.arange(lines.shape[2]) - at[..., None]) <= radius
    total = positive.sum(axis=2, dtype=np.float64)
    inner = np.where(near, positive, 0).sum(axis=2, dtype=np.float64)
    share: F64 = np.divide(inner, total, out=np.zeros_like(total), where=total > 0)
    return share


def crop_from_map(
    xy: F64, map_hw: tuple[int, int], crop_hw: tuple[int, int], grid: Grid = "half_pixel"
) -> F64:
    """Take map pixels to crop pixels.

    Parameters
    ----------
    xy
        Points [map px], shape (..., 2), x first.
    map_hw, crop_hw
        Height and width of the map and of the network's input.
    grid
        How the pixels of the two lie on each other. With s = crop / map: ``"half_pixel"`` edge to
        edge, ``(x + 0.5) s - 0.5`` (poolings of 2 px, OpenPose); ``"index"`` ``x s`` (symmetric
        convolutions of stride 2, MMPose without UDP); ``"corners"`` centre to centre,
        ``x (crop - 1) / (map - 1)`` (MMPose with UDP). The wrong one moves every keypoint by up to
        half a map pixel.

    Returns
    -------
    ndarray
        Crop pixels, same shape.
    """
    if grid not in get_args(Grid):
        raise InputError(f"unknown grid {grid!r}", f"choose one of {', '.join(get_args(Grid))}")
    small = np.array(map_hw[::-1], np.float64)
    large = np.array(crop_hw[::-1], np.float64)
    if grid == "corners":
        return np.asarray(xy * (large - 1) / np.maximum(small - 1, 1), np.float64)
    scale = large / small
    if grid == "index":
        return np.asarray(xy * scale, np.float64)
    return np.asarray((xy + 0.5) * scale - 0.5, np.float64)


def _check_values(values: NDArray[np.floating], name: str) -> None:
    if 0 in values.shape[2:]:
        raise ShapeError(f"{name} have shape {values.shape}: no pixels", "give maps with pixels")
    if not np.isfinite(values).all():
        raise ShapeError(f"{name} hold values that are not finite", "check the network's weights")


def _check_blur(blur_px: int) -> None:
    if blur_px < 1 or blur_px % 2 == 0:
        raise InputError(f"a smoothing kernel of {blur_px} px", "its width is odd: 1, 3, 5, ...")
