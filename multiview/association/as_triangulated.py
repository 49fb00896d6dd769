"""Detections in the order in which they were triangulated: sorted into hands, and repaired.

Triangulation puts fingers and hands right that single views confused (`repair`), but detections
stay as the detector gave them. What asks a view about a point of its own must read the row that
carries it, and not the one it was exchanged with.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from multiview._shapes import F64
from multiview.association.assign import assign_hands
from multiview.association.repair import OFF, find_repairs
from multiview.core import HAND_21, Detections, Points3D, Rig
from multiview.errors import InputError
from multiview.geometry.refit import pixel_errors

__all__ = ["as_triangulated"]

# Inliers of a camera from which its noise is told; with fewer, all cameras tell it.
ENOUGH = 20
# Median length of a pair of normal numbers of unit deviation.
MEDIAN = float(np.sqrt(2 * np.log(2)))


def as_triangulated(
    dets: Detections, points: Points3D, rig: Rig, max_hands: int | None = None
) -> Detections:
    """Sort detections into the hands of the points made of them, exchanged rows put right.

    Parameters
    ----------
    dets
        As detected, or sorted.
    points
        Triangulated from ``dets``; smoothed ones too.
    rig
        What they were made with.
    max_hands
        Hands at a time that were asked for; by default as many as the points have.

    Returns
    -------
    Detections
        A row is moved only where a view carries a point that its own row contradicts.

    Raises
    ------
    InputError
        If the detections do not sort into the hands of the points.
    """
    rig = rig.select(points.camera_names)
    if not dets.hands and dets.conf.shape[2] == 1 and dets.skeleton.keypoints != HAND_21.keypoints:
        dets = replace(dets, hands=points.hands)
    if not dets.hands:
        dets, _ = assign_hands(dets, rig, max_hands or max(2, len(points.hands)))
    if dets.conf.shape != points.inlier.shape:
        raise InputError(
            f"the detections sort into hands {', '.join(dets.hands)} in {dets.conf.shape[1]} "
            f"frames, the 3D points have {', '.join(points.hands)} in {len(points.frame_ids)}",
            "give the detections that triangulate used",
        )
    return _repaired(dets, points, rig)


def _repaired(dets: Detections, points: Points3D, rig: Rig) -> Detections:
    shape = points.inlier.shape
    xyz, xy = points.xyz_world.reshape(-1, 3), dets.xy_px.reshape(shape[0], -1, 2)
    err = pixel_errors(rig, xyz, xy).reshape(shape)
    sigma = _noise(points)
    limit = OFF * sigma[:, None, None, None]
    as_it_was = np.asarray(np.abs(err - points.err_px) <= limit, np.bool_)
    told = np.asarray(points.inlier & ~as_it_was, np.bool_)
    if not told.any():
        return dets
    before = replace(points, inlier=points.inlier & as_it_was, err_px=err)
    found = find_repairs(dets, before, rig, sigma)
    there = np.asarray(told.any(-1), np.bool_)
    hand = np.where(there.any(-1, keepdims=True), found.hand, np.arange(shape[2]))
    source = np.where(there[..., None], found.source, np.arange(shape[3]))
    return replace(found, hand=hand, source=source).apply(dets)


def _noise(points: Points3D) -> F64:
    """Return the standard deviation of one coordinate of each camera's inliers, shape (V,)."""
    pooled = np.median(points.err_px[points.inlier]) if points.inlier.any() else 1.0
    each = [e[i] for e, i in zip(points.err_px, points.inlier, strict=True)]
    medians = [np.median(e) if len(e) >= ENOUGH else pooled for e in each]
    return np.asarray(medians, np.float64) / MEDIAN
