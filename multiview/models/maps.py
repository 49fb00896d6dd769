"""Probability maps of a keypoint for display, from any detector that can give one.

Heatmap networks have them. For the others, the readings of a hand in slightly different crops
(`multiview.models.jitter`) are a sample of where the keypoint may be; its density is drawn.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.errors import InputError
from multiview.models._crops import turn
from multiview.models.base import U8, Detector

__all__ = ["keypoint_maps", "keypoint_number"]

SIDE = 128
READINGS = 8
# Of a kernel [map px]: a narrower spot would vanish under the keypoint's own disc.
LEAST_WIDTH = SIDE / 50


def keypoint_number(keypoints: Sequence[str], name: str) -> int:
    """Find the number of a keypoint, by name (``index4``) or by number.

    Raises
    ------
    InputError
        If there is no such keypoint; names the nearest.
    """
    if name in keypoints:
        return list(keypoints).index(name)
    if name.isdecimal() and int(name) < len(keypoints):
        return int(name)
    near = difflib.get_close_matches(name, keypoints, n=3, cutoff=0.4)
    numbers = f"or a number from 0 to {len(keypoints) - 1}"
    raise InputError(
        f"there is no keypoint {name!r}",
        f"did you mean {' or '.join(near)}?"
        if near
        else f"choose one of {', '.join(keypoints)}, {numbers}",
    )


def keypoint_maps(detector: Detector, image: U8, rois: F64, keypoint: int) -> NDArray[np.float32]:
    """Make maps of one keypoint over crops, edge to edge.

    Parameters
    ----------
    detector
        Any; its own ``maps`` are used if it has them.
    image, rois
        Picture and the crops of its hands, shape (N, 4).
    keypoint
        Number of the keypoint.

    Returns
    -------
    ndarray
        Shape (N, h, w); zeros where there is none.
    """
    if not len(rois):
        return np.zeros((0, SIDE, SIDE), np.float32)
    from multiview.models.jitter import Jittered

    detector = detector.detector if isinstance(detector, Jittered) else detector
    own: Any = getattr(detector, "maps", None)
    if own is not None:
        return np.nan_to_num(np.asarray(own(image, rois), np.float32)[:, keypoint])
    readings = Jittered(detector, passes=READINGS).samples(image, rois)[:, :, keypoint]
    return np.stack([_density(xy, roi) for xy, roi in zip(readings, rois, strict=True)])


def _density(xy: F64, roi: F64) -> NDArray[np.float32]:
    """Gaussian kernel density of points (M, 2) over a crop, bandwidth by Scott's rule."""
    points = _map_from_image(roi, xy[np.isfinite(xy).all(axis=1)])
    if not len(points):
        return np.zeros((SIDE, SIDE), np.float32)
    width = max(LEAST_WIDTH, float(points.std(axis=0).mean()) * len(points) ** (-1 / 6))
    ticks = np.arange(SIDE)
    along = [np.exp(-0.5 * ((ticks - p[:, None]) / width) ** 2) for p in points.T]
    density = np.einsum("mx,my->yx", along[0], along[1])
    total = float(density.sum())
    return np.asarray(density / total if total > 0 else density, np.float32)


def _map_from_image(roi: F64, xy: F64) -> F64:
    """Pixels of a map (their centres) that covers the roi edge to edge."""
    return np.asarray(((xy - roi[:2]) @ turn(roi[3]) / roi[2] + 0.5) * SIDE - 0.5)
