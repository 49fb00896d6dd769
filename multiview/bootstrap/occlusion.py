"""Which keypoints a camera cannot see: rays that meet the flesh of hands and bodies."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.bootstrap.anatomy import HAND_BONES, hand_scale
from multiview.core import Rig

__all__ = ["FLESH", "flesh_of_hands", "hidden_by", "hidden_by_itself", "segment_distance"]

# Half the thickness of a finger (16 mm of a hand of 185 mm) as a share of the hand's length.
FLESH = 0.045
# Lines of the palm beyond the bones: knuckle to knuckle.
_WEB = np.array([[5, 9], [9, 13], [13, 17], [0, 5], [0, 17]])
# A ray that ends at a keypoint in a finger runs through that finger's own flesh at its end.
_OWN = 2.0
# Points worked on at once.
_BLOCK = 2000


def segment_distance(a: F64, b: F64, c: F64, d: F64) -> F64:
    """Least distance of segments a-b and c-d, shapes (..., 3) that broadcast.

    Ericson, Real-Time Collision Detection, 2005, section 5.1.9.
    """
    u, w, r = b - a, d - c, a - c
    uu, ww, uw = (u * u).sum(-1), (w * w).sum(-1), (u * w).sum(-1)
    ur, wr = (u * r).sum(-1), (w * r).sum(-1)
    den = uu * ww - uw * uw
    with np.errstate(invalid="ignore", divide="ignore"):
        s = np.clip(np.where(den > 1e-12 * uu * ww, (uw * wr - ur * ww) / den, 0.0), 0, 1)
        t = np.where(ww > 0, (uw * s + wr) / ww, 0.0)
        over = np.clip(t, 0, 1)
        s = np.where(t == over, s, np.clip((uw * over - ur) / uu, 0, 1))
    gap = r + s[..., None] * u - over[..., None] * w
    return np.asarray(np.linalg.norm(gap, axis=-1))


def flesh_of_hands(xyz: F64) -> tuple[F64, F64]:
    """Capsules of hands (..., 21, 3): ends (..., C, 2, 3) and radii (..., C); NaN where unknown."""
    lines = np.concatenate([HAND_BONES, _WEB])
    radius = np.repeat(FLESH * hand_scale(xyz)[..., None], len(lines), axis=-1)
    return xyz[..., lines, :], radius


def hidden_by(rig: Rig, xyz: F64, ends: F64, radius: F64) -> BoolArray:
    """Whether something stands between each camera and each point.

    Parameters
    ----------
    rig
        V cameras.
    xyz
        Points, shape (N, 3); NaN is not hidden.
    ends, radius
        Capsules that may hide each point, shapes (N, C, 2, 3) and (N, C); NaN hides nothing.

    Returns
    -------
    BoolArray
        Shape (V, N).
    """
    out = np.zeros((len(rig.cameras), len(xyz)), np.bool_)
    for start in range(0, len(xyz), _BLOCK):
        part = slice(start, start + _BLOCK)
        a, b = ends[part, :, 0], ends[part, :, 1]
        for v, centre in enumerate(rig.centres_world):
            gap = segment_distance(centre, xyz[part, None], a, b)
            out[v, part] = (gap < radius[part]).any(-1)
    return out


def hidden_by_itself(rig: Rig, xyz: F64) -> BoolArray:
    """Whether a hand's own flesh stands before its keypoints.

    Parameters
    ----------
    rig
        V cameras.
    xyz
        Hands, shape (N, 21, 3).

    Returns
    -------
    BoolArray
        Shape (V, N, 21).
    """
    ends, radius = flesh_of_hands(xyz)
    lines = np.concatenate([HAND_BONES, _WEB])
    out = np.zeros((len(rig.cameras), *xyz.shape[:2]), np.bool_)
    for k in range(xyz.shape[1]):
        other = ~(lines == k).any(1)
        clear = np.full(len(xyz), _OWN) * radius[:, 0]
        for v, centre in enumerate(rig.centres_world):
            ray = xyz[:, k] - centre
            away = np.linalg.norm(ray, axis=-1, keepdims=True)
            end = xyz[:, k] - ray / away * clear[:, None]
            gap = segment_distance(centre, end[:, None], ends[:, other, 0], ends[:, other, 1])
            out[v, :, k] = (gap < radius[:, other]).any(-1)
    return out
