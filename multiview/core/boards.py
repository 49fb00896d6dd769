"""Where boards were, beside the rig that they carried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, as_f64, check_shapes, freeze
from multiview.errors import ShapeError

__all__ = ["BoardTrack", "Origin"]

# Corner of the grid of corners, named as one reads the print.
Origin = Literal["bottom-left", "bottom-right", "top-left", "top-right", "centre"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardTrack:
    """Poses of one board in the world of a rig, in the frames in which they are known.

    Parameters
    ----------
    name
        Tells the boards of one capture apart.
    about
        The board in words.
    xyz_board
        Its corners in its own frame, shape (C, 3), in the rig's unit.
    frame_ids
        Shape (F,).
    R, t
        ``world_from_board``, shapes (F, 3, 3) and (F, 3).
    still
        First and last frame number of the longest run in which it did not move, if there is one.
    rig_digest
        Of the rig in whose world the poses are.
    """

    name: str
    about: str
    xyz_board: F64
    frame_ids: NDArray[np.int64]
    R: F64
    t: F64
    still: tuple[int, int] | None = None
    rig_digest: str = ""

    def __post_init__(self) -> None:
        """Check and freeze the arrays."""
        arrays = {n: as_f64(getattr(self, n), f"BoardTrack.{n}") for n in ("xyz_board", "R", "t")}
        ids = np.asarray(self.frame_ids, np.int64)
        check_shapes(
            "BoardTrack",
            {
                "xyz_board": (arrays["xyz_board"], "C 3"),
                "frame_ids": (ids, "F"),
                "R": (arrays["R"], "F 3 3"),
                "t": (arrays["t"], "F 3"),
            },
        )
        if not all(np.isfinite(a).all() for a in arrays.values()):
            raise ShapeError("BoardTrack holds values that are not finite", "leave such frames out")
        for name, array in (*arrays.items(), ("frame_ids", ids)):
            object.__setattr__(self, name, freeze(array.copy()))
