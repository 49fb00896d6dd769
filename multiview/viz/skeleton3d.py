"""A 3D hand as a picture: orthographic projections on a grid, without a viewer."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.core import Skeleton
from multiview.viz.overlay import Layer, caption, draw_hand

__all__ = ["draw_hand_3d"]


def draw_hand_3d(
    xyz: F64, skeleton: Skeleton, side: int = 240, unit_mm: float | None = 1000.0
) -> NDArray[np.uint8]:
    """Draw one hand seen along its palm normal, from the side, and from the fingertips.

    Parameters
    ----------
    xyz
        Shape (K, 3); NaN is left out.
    skeleton
        Bones and colours.
    side
        Size of each of the three pictures, pixels.
    unit_mm
        Millimetres in one unit, for the grid of 2 cm; None draws no grid.

    Returns
    -------
    NDArray[np.uint8]
        BGR, shape (side, 3 side, 3).
    """
    panels = [np.full((side, side, 3), 250, np.uint8) for _ in range(3)]
    ok = np.isfinite(xyz).all(-1)
    if ok.sum() >= 3:
        centre = xyz[ok].mean(0)
        # principal axes: along the hand, across it, and its normal
        axes = np.linalg.svd(xyz[ok] - centre, full_matrices=False)[2]
        local = (xyz - centre) @ axes.T
        zoom = 0.82 * side / float(np.ptp(local[ok], axis=0).max())
        for panel, (a, b) in zip(panels, ((1, 0), (2, 0), (1, 2)), strict=True):
            if unit_mm:
                _grid(panel, zoom * 20 / unit_mm)
            middle = (local[ok].max(0) + local[ok].min(0)) / 2
            flat = (local - middle)[:, [a, b]] * zoom + side / 2
            draw_hand(panel, flat, skeleton, Layer.SOLID, side / 260)
    for panel, name in zip(panels, ("palm", "side", "end on"), strict=True):
        caption(panel, name, 0.4)
    return np.concatenate(panels, axis=1)


def _grid(panel: NDArray[np.uint8], step: float) -> None:
    if step < 3:
        return
    side = len(panel)
    for offset in np.arange(side / 2 % step, side, step):
        x = round(float(offset))
        cv2.line(panel, (x, 0), (x, side), (228, 228, 228), 1)
        cv2.line(panel, (0, x), (side, x), (228, 228, 228), 1)
