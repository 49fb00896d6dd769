"""Which of two hands is which in every view, before there is a rig.

A detector's left and right are often turned in single views. Two views with a known relative pose
tell whether a frame's hands correspond straight or crossed; the pairs' answers of a frame form a
matrix of signs whose leading eigenvector gives every view's side, up to one turn of all that does
not matter here (Singer, Applied and Computational Harmonic Analysis 2011).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from multiview._shapes import F64
from multiview.calib.scene_pairs import Pair
from multiview.calib.scene_problem import Bools, Tracks
from multiview.calib.scene_sampson import sampson_px
from multiview.core import Detections

__all__ = ["order_by_opinion", "turned_views", "with_turned"]

# One keypoint's evidence is bounded at this many squared sigmas, however gross its error.
BOUND = 9.0


def order_by_opinion(dets: Detections) -> Detections:
    """Put each picture's two best candidates into (left, right) as the detector believes.

    Candidates of one slot only, or hands that are in order already, are returned as they are.
    """
    if dets.hands or dets.conf.shape[2] < 2:
        return dets
    right = np.nan_to_num(dets.right[:, :, :2], nan=0.5)
    found = np.asarray(dets.valid[:, :, :2].any(-1))
    both = np.asarray(found.all(-1))
    turn = np.where(both, right[..., 0] > right[..., 1], False)
    # a lone candidate goes to the side it is believed to be
    turn |= ~both & found[..., 0] & (right[..., 0] > 0.5)
    turn |= ~both & found[..., 1] & (right[..., 1] <= 0.5)
    xy, conf = dets.xy_px[:, :, :2], dets.conf[:, :, :2]
    at = np.where(turn[..., None], [1, 0], [0, 1])
    return replace(
        dets,
        xy_px=np.take_along_axis(xy, at[..., None, None], axis=2),
        conf=np.take_along_axis(conf, at[..., None], axis=2),
        right=np.take_along_axis(dets.right[:, :, :2], at, axis=2),
    )


def turned_views(
    tracks: Tracks, pairs: Mapping[tuple[int, int], Pair], shape: tuple[int, int], px: F64
) -> Bools:
    """Find views whose two hands are exchanged, frame by frame.

    Parameters
    ----------
    tracks
        Points in the order (frame, two hands, keypoint).
    pairs
        Relative poses.
    shape
        Frames and keypoints.
    px
        Focal lengths, shape (V,).

    Returns
    -------
    Bools
        Shape (V, F).
    """
    V, (F, K) = len(tracks.names), shape
    xy = tracks.xy_norm.reshape(V, F, 2, K, 2)
    sign = np.zeros((F, V, V))
    for (i, j), pair in pairs.items():
        E = np.cross(np.eye(3), pair.t) @ pair.R
        straight, crossed = np.zeros(F), np.zeros(F)
        for h in (0, 1):
            straight += _disagreement(E, xy[i, :, h], xy[j, :, h], px[[i, j]], pair.sigma_px)
            crossed += _disagreement(E, xy[i, :, h], xy[j, :, 1 - h], px[[i, j]], pair.sigma_px)
        sign[:, i, j] = sign[:, j, i] = crossed - straight
    size = np.abs(sign).max((1, 2), keepdims=True)
    vector = np.linalg.eigh(sign / np.where(size > 0, size, 1))[1][..., -1]
    # of the two solutions, the one that turns fewer views
    turned = np.asarray(vector < 0)
    turned = np.where(turned.sum(1, keepdims=True) * 2 > V, ~turned & (vector != 0), turned)
    return np.asarray((turned & (size[:, 0] > 0)).T)


def _disagreement(E: F64, first: F64, second: F64, px: F64, sigma: float) -> F64:
    """Bounded squared errors of hands (F, K, 2), less the bound: 0 where a hand is missing."""
    error = sampson_px(E, first.reshape(-1, 2), second.reshape(-1, 2), (px[0], px[1]))
    square = np.minimum((error.reshape(first.shape[:2]) / sigma) ** 2, BOUND)
    return np.asarray(np.where(np.isfinite(square), square - BOUND, 0.0).sum(-1))


def with_turned(dets: Detections, turned: Bools) -> Detections:
    """Exchange both hands in these views and frames (V, F)."""
    at = np.where(turned[..., None], [1, 0], [0, 1])
    return replace(
        dets,
        xy_px=np.take_along_axis(dets.xy_px, at[..., None, None], axis=2),
        conf=np.take_along_axis(dets.conf, at[..., None], axis=2),
        right=np.take_along_axis(dets.right, at, axis=2),
    )
