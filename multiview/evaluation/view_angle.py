"""From where a camera sees a hand: into the palm, onto the back, edge-on, along the forearm."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.core import HAND_SLOTS, Rig, side_sign

__all__ = ["VIEW_BINS", "hand_angles", "view_bins"]

# Keypoints of the hand that span the palm: wrist and the bases of index, middle, little finger.
WRIST, INDEX, MIDDLE, LITTLE = 0, 5, 9, 17
# Nearer than this to the hand's length, a view is along the forearm; nearer than this to the plane
# of the palm, it is edge-on. A third of the right angle each.
NARROW = np.radians(30)
VIEW_BINS = ("palm", "back", "edge-on", "along the forearm")


def hand_angles(rig: Rig, xyz: F64, hands: tuple[str, ...] = HAND_SLOTS) -> tuple[F64, F64]:
    """Angles of the views of hands.

    Parameters
    ----------
    rig
        V cameras.
    xyz
        Keypoints of hands in their order (wrist, thumb, ...), shape (F, H, 21, 3).
    hands
        Names of axis H, which say what is left.

    Returns
    -------
    to_camera
        Between the normal that leaves the palm and the ray to the camera, shape (V, F, H), radians:
        0 looks into the palm, pi onto the back.
    to_forearm
        Between the line from wrist to middle finger and the viewing ray, in [0, pi/2].
    """
    wrist = xyz[..., WRIST, :]
    normal = np.cross(xyz[..., INDEX, :] - wrist, xyz[..., LITTLE, :] - wrist)
    # a left hand is a mirrored right one
    normal *= np.where(np.array([side_sign(name) for name in hands]) < 0, -1.0, 1.0)[:, None]
    along = xyz[..., MIDDLE, :] - wrist
    middle = xyz[..., [WRIST, INDEX, LITTLE], :].mean(-2)
    ray = rig.centres_world[:, None, None] - middle
    return _angle(ray, normal), np.asarray(np.arccos(np.abs(np.cos(_angle(ray, along)))))


def _angle(a: F64, b: F64) -> F64:
    length = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    known = length > 0  # a hand in one point has no sides
    cosine = np.where(known, (a * b).sum(-1), np.nan) / np.where(known, length, 1.0)
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))


def view_bins(to_camera: F64, to_forearm: F64) -> dict[str, BoolArray]:
    """Sort views into four kinds; every view with known angles is in one.

    Parameters
    ----------
    to_camera, to_forearm
        As `hand_angles` gave them.
    """
    known = np.isfinite(to_camera) & np.isfinite(to_forearm)
    along = known & (to_forearm < NARROW)
    edge = known & ~along & (np.abs(to_camera - np.pi / 2) < NARROW)
    rest = known & ~along & ~edge
    palm = rest & (to_camera < np.pi / 2)
    return dict(zip(VIEW_BINS, (palm, rest & ~palm, edge, along), strict=True))
