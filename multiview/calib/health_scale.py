"""Sizes of what was filmed, as the rig has them."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.calib.health_footage import Footage
from multiview.calib.health_gross import Setup
from multiview.calib.health_start import Start, some_pairs
from multiview.core import Rig
from multiview.geometry.dlt import pair_points

__all__ = ["board_scale", "hand_length"]


def board_scale(setup: Setup) -> tuple[float, float]:
    """Size of the board in the rig over its true one, and its standard deviation."""
    logs = np.sort(np.log(_ratios(setup.rig, setup.footage, setup.use, setup.tolerance_px)))
    if len(logs) < 5:
        return 1.0, float("nan")
    # the shortest half: pairs with a wrong camera scatter, the others agree
    half = len(logs) // 2 + 1
    widths = logs[half - 1 :] - logs[: len(logs) - half + 1]
    at = int(widths.argmin())
    ratio = float(np.exp(logs[at : at + half].mean()))
    return ratio, ratio * float(widths[at]) / np.sqrt(len(logs))


def hand_length(begin: Start, path: tuple[int, ...]) -> tuple[float, float]:
    """Median length along a path of keypoints over all hands, and its standard deviation."""
    xyz = begin.model.xyz
    hands = xyz.reshape(len(xyz), begin.footage.bodies, -1, 3)[:, :, list(path)]
    length = np.linalg.norm(np.diff(hands, axis=2), axis=-1).sum(-1)
    length = length[np.isfinite(length)]
    if not length.size:
        return float("nan"), float("nan")
    middle = float(np.median(length))
    spread = 1.4826 * float(np.median(np.abs(length - middle)))
    return middle, spread / np.sqrt(length.size)


def _ratios(rig: Rig, footage: Footage, use: IntArray, tolerance_px: F64) -> F64:
    """Size of the board as pairs of cameras triangulate it, over its true size, shape (n,)."""
    assert footage.solid is not None
    R, t = rig.cam_from_world
    xy_px = footage.xy_px[:, use]
    first, second = some_pairs(rig)
    xyz = pair_points(R, t, rig.undistort(xy_px), (first, second))
    fits = np.isfinite(xyz[..., 0])
    for views in (first, second):
        for p, v in enumerate(views):
            gap = np.linalg.norm(rig.cameras[v].project(xyz[p]) - xy_px[v], axis=-1)
            fits[p] &= gap < 5 * tolerance_px[v]
    return _size_over(footage.solid, xyz, fits)


def _size_over(solid: F64, xyz: F64, fits: BoolArray) -> F64:
    count = fits.sum(-1)
    ok = count >= 6
    weight = fits[ok][..., None] / count[ok][:, None, None]
    points = np.where(fits[ok][..., None], xyz[ok], 0.0)
    middle = (points * weight).sum(1, keepdims=True)
    spread = (((points - middle) ** 2) * weight).sum((1, 2))
    model = np.broadcast_to(solid, points.shape)
    centre = (model * weight).sum(1, keepdims=True)
    true = (((model - centre) ** 2) * weight).sum((1, 2))
    return np.asarray(np.sqrt(spread / true))
