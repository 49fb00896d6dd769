"""Which unknowns move, and where each lies in the vector of unknowns that cameras share.

A camera's lens may be the lens of others too, and any parameter may be held: both are said by
column numbers, so that the normal equations need to know neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from multiview._shapes import F64
from multiview._shapes import BoolArray as Bools
from multiview._shapes import IntArray as Ints
from multiview.calib.problem import LENS, POSE

__all__ = ["LENS_TERMS", "VIEWS_FOR_BEND", "Layout", "LensModel", "lay_out"]

LensModel = Literal["brown", "brown_k3", "rational", "prism", "fisheye"]

# fx fy cx cy, then the coefficients that each model estimates.
LENS_TERMS: dict[LensModel, tuple[int, ...]] = {
    "brown": (0, 1, 2, 3, 4, 5, 6, 7),
    "brown_k3": (0, 1, 2, 3, 4, 5, 6, 7, 8),
    "rational": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    "prism": tuple(range(LENS)),
    "fisheye": (0, 1, 2, 3, 4, 5, 6, 7),
}
HELD = -1
# Fewer views of a board do not tell how it is bent from how they err.
VIEWS_FOR_BEND = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Columns of the shared unknowns; ``HELD`` (-1) where a parameter stays as it is.

    Parameters
    ----------
    pose, lens, bend
        Shapes (V, 6), (V, 16) and (T, BENDS); (1, 0) where no board bends.
    size
        Number of columns P.
    """

    pose: Ints
    lens: Ints
    bend: Ints
    size: int

    @property
    def terms(self) -> Ints:
        """Lens parameters that move in any camera: the others need no derivatives."""
        return np.flatnonzero((self.lens != HELD).any(0))

    def columns(self, view: int, target: int) -> Ints:
        """Columns of the derivatives of a sighting, with P for those that are held."""
        bend = self.bend[target] if self.bend.size else self.bend[0]
        own = np.concatenate([self.pose[view], self.lens[view, self.terms], bend])
        return np.asarray(np.where(own == HELD, self.size, own))

    def steps(self, shared: F64) -> tuple[F64, F64, F64]:
        """Spread a vector (P,) over poses (V, 6), lenses (V, 16) and bends (T, BENDS)."""
        padded = np.append(shared, 0.0)
        return padded[self.pose], padded[self.lens], padded[self.bend]


def lay_out(
    poses: Bools,
    lenses: Bools,
    *,
    bends: Bools | None = None,
    shared: Ints | None = None,
) -> Layout:
    """Give every unknown that moves its column.

    Parameters
    ----------
    poses
        Cameras whose pose moves, shape (V,).
    lenses
        Lens parameters that move, shape (V, 16).
    bends
        Heights that are estimated, shape (T, BENDS); none by default.
    shared
        Lens of each camera, shape (V,): equal numbers share one; each its own by default.
    """
    V = len(poses)
    pose = np.where(poses[:, None], np.arange(V * POSE).reshape(V, POSE), HELD)
    owner = (
        np.arange(V) if shared is None else np.array([int(np.argmax(shared == s)) for s in shared])
    )
    lens = np.where(lenses[owner], V * POSE + owner[:, None] * LENS + np.arange(LENS), HELD)
    first = V * (POSE + LENS)
    flat = np.zeros((1, 0), np.bool_) if bends is None else bends
    bend = np.where(flat, first + np.arange(flat.size).reshape(flat.shape), HELD)
    used = np.unique(np.concatenate([pose.ravel(), lens.ravel(), bend.ravel()]))
    used = used[used != HELD]
    new = np.full(first + flat.size + 1, HELD)
    new[used] = np.arange(len(used))
    return Layout(pose=new[pose], lens=new[lens], bend=new[bend], size=len(used))
