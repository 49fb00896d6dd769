"""The candidates of a take, as association compares them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, BoolArray, IntArray, present
from multiview.core import Detections, Rig

__all__ = ["AGREE_BOX", "CAP", "COMMON", "Candidates", "candidates_of", "palm_keypoints"]

# A view agrees when the hand is off by less than this share of the detection's own box: another
# hand is at least a palm away, the same hand's worst keypoint errors are a few per cent.
AGREE_BOX = 0.25
# A keypoint counts at most this many tolerances: gross errors and swapped fingers say no more than
# that they are off, and a third of them leaves a hand its views.
CAP = 2.0
# Keypoints that two things must have in common to be compared: fewer meet by chance.
COMMON = 3

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Every picture's candidates, undistorted.

    Parameters
    ----------
    R, t
        ``cam_from_world``, shapes (V, 3, 3) and (V, 3).
    xy
        Normalised coordinates, shape (F, V, S, K, 2); NaN where missing.
    tol
        Tolerance of each candidate, a share of its box, shape (F, V, S); 0 for no candidate.
    """

    R: F64
    t: F64
    xy: F64
    tol: F64

    @property
    def there(self) -> BoolArray:
        """Where a slot holds a candidate that can be compared, shape (F, V, S)."""
        return np.asarray((present(self.xy).sum(-1) >= COMMON) & (self.tol > 0), np.bool_)

    def take(self, frames: IntArray | slice) -> Candidates:
        """Return the candidates of some frames."""
        return Candidates(self.R, self.t, self.xy[frames], self.tol[frames])


def palm_keypoints(skeleton_groups: dict[str, tuple[int, ...]]) -> list[int]:
    """Return the first keypoint of every group: wrist and finger bases, a rigid part."""
    return [members[0] for members in skeleton_groups.values()]


def candidates_of(dets: Detections, rig: Rig) -> Candidates:
    """Undistort the candidates of a take."""
    R, t = rig.cam_from_world
    xy = rig.undistort(dets.xy_px).transpose(1, 0, 2, 3, 4)
    valid = dets.valid[..., None]
    low = np.where(valid, dets.xy_px, np.inf).min(-2)
    high = np.where(valid, dets.xy_px, -np.inf).max(-2)
    focal = np.array([c.intrinsics.K[0, 0] for c in rig.cameras])
    side = np.asarray((high - low).max(-1))
    box = np.where(np.isfinite(side), side, 0.0) / focal[:, None, None]
    return Candidates(R, t, np.ascontiguousarray(xy), AGREE_BOX * box.transpose(1, 0, 2))
