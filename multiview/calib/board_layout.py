"""Where the markers of a board lie, and which keys a kind of board has.

Marker corners are in OpenCV's order of detection: top left, top right, bottom right, bottom left of
the marker as its dictionary draws it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from multiview._shapes import F64
from multiview.config import Config

__all__ = ["Tag", "aprilgrid_markers", "check_key", "dictionary_names", "open_dictionary"]

# Kalibr turns every tag by 180 degrees against its family's own drawing.
KALIBR_TURN = 2

Ints = NDArray[np.int64]
_MARKED = {"charuco", "aprilgrid", "tags"}
# Key -> kinds that need it, kinds that may have it, and what is said where it is missing.
KEYS: dict[str, tuple[set[str], set[str], str]] = {
    "columns": ({"charuco", "chessboard", "aprilgrid"}, set(), "is the count across"),
    "rows": ({"charuco", "chessboard", "aprilgrid"}, set(), "is the count down"),
    "square_m": ({"charuco", "chessboard"}, set(), "is the side of a square, in metres"),
    "marker_m": ({"charuco", "aprilgrid"}, {"tags"}, "is the side of its markers, in metres"),
    "dictionary": (_MARKED, set(), "is the dictionary of its markers"),
    "legacy": (set(), {"charuco"}, ""),
    "spacing": ({"aprilgrid"}, set(), "is the gap between tags as a share of a tag's side"),
    "first_marker": (set(), {"charuco", "aprilgrid"}, ""),
    "border_bits": (set(), _MARKED, ""),
    "tags": ({"tags"}, set(), "lists its markers"),
}
NAMES = {
    "charuco": "a ChArUco board",
    "chessboard": "a chessboard",
    "aprilgrid": "an AprilGrid",
    "tags": "a set of tags",
}


def dictionary_names() -> list[str]:
    """Names of OpenCV's predefined marker dictionaries, e.g. ``"DICT_4X4_50"``."""
    return sorted(n for n in dir(cv2.aruco) if n.startswith("DICT_"))


def open_dictionary(name: str | None) -> Any:
    """Return OpenCV's dictionary of this name."""
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, str(name)))


def check_key(key: str, kind: str | None, given: bool) -> None:
    """Refuse a key that the kind of board does not have, or lacks.

    Raises
    ------
    ValueError
        In words for the author of the board file.
    """
    if kind is None:  # the kind itself was refused already
        return
    needs, may, what = KEYS[key]
    if not given and kind in needs:
        raise ValueError(f"{NAMES[kind]} needs {key}: it {what}")
    if given and kind not in needs | may:
        if kind == "chessboard" and "charuco" in needs | may:
            raise ValueError("a chessboard has no markers; remove it or set kind: charuco")
        others = " or ".join(sorted(needs | may))
        raise ValueError(f"{NAMES[kind]} has no {key}; remove it or set kind: {others}")


def aprilgrid_markers(
    columns: int, rows: int, marker_m: float, spacing: float, first: int
) -> tuple[Ints, F64]:
    """Lay out Kalibr's AprilGrid.

    Parameters
    ----------
    columns, rows
        Number of tags.
    marker_m, spacing
        Side of a tag, metres, and the gap between two as a share of it.
    first
        Number of the tag at the lower left; they count up to the right, then row by row upwards.

    Returns
    -------
    tuple
        Numbers, shape (M,), and corners, shape (M, 4, 3), metres: origin in the upper left corner
        of the upper left tag, x to the right, y down.
    """
    index = np.arange(columns * rows)
    pitch = marker_m * (1 + spacing)
    corner = np.stack([index % columns, rows - 1 - index // columns], -1) * pitch
    upright = marker_m * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    xy = corner[:, None] + np.roll(upright, -KALIBR_TURN, axis=0)
    return index + first, np.concatenate([xy, np.zeros((*xy.shape[:2], 1))], -1)


class Tag(Config):
    """One ArUco or AprilTag marker of a set, by its corners or by centre, axes and side.

    Parameters
    ----------
    id
        Its number in the dictionary.
    corners_m
        Shape (4, 3), metres: top left, top right, bottom right, bottom left as its dictionary
        draws it.
    centre_m, right, down, size_m
        Instead: middle, directions of its rows and columns (any length), and side, metres.
    """

    id: int = Field(ge=0)
    centre_m: tuple[float, float, float] | None = None
    right: tuple[float, float, float] = (1.0, 0.0, 0.0)
    down: tuple[float, float, float] = (0.0, 1.0, 0.0)
    size_m: float | None = Field(default=None, gt=0, lt=10)
    corners_m: tuple[tuple[float, float, float], ...] | None = Field(None, validate_default=True)

    @field_validator("down")
    @classmethod
    def _square_axes(
        cls, value: tuple[float, float, float], info: ValidationInfo
    ) -> tuple[float, float, float]:
        right, down = np.array(info.data.get("right", (1, 0, 0))), np.array(value)
        length = np.linalg.norm(right) * np.linalg.norm(down)
        # 0.5 degrees: better than anybody glues, and an exchanged axis is far beyond
        if not length > 0 or abs(right @ down) > 0.01 * length:
            raise ValueError("right and down must be perpendicular")
        return value

    @field_validator("corners_m")
    @classmethod
    def _four_corners(
        cls, value: tuple[tuple[float, float, float], ...] | None, info: ValidationInfo
    ) -> tuple[tuple[float, float, float], ...] | None:
        if (value is None) == (info.data.get("centre_m") is None):
            raise ValueError("give either corners_m or centre_m (with right, down, size_m)")
        if value is not None:
            xyz = np.array(value)
            if xyz.shape != (4, 3) or not np.isfinite(xyz).all():
                raise ValueError("a tag has 4 corners of 3 numbers, in metres")
            side = np.linalg.norm(xyz - np.roll(xyz, 1, axis=0), axis=1)
            if side.min() < 0.9 * side.max() or not side.min() > 0:
                raise ValueError("the sides of the tag differ: list the corners clockwise")
        return value

    def corners(self, default_m: float | None) -> F64:
        """Corners, shape (4, 3), metres.

        Raises
        ------
        ValueError
            If neither the tag nor the set states its side.
        """
        if self.corners_m is not None:
            return np.array(self.corners_m, np.float64)
        side = self.size_m or default_m
        if not side:
            raise ValueError(f"tag {self.id} has no size_m, nor has the set a marker_m")
        right, down = (np.array(a) / np.linalg.norm(a) for a in (self.right, self.down))
        across = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * side / 2
        return np.asarray(self.centre_m + across @ np.stack([right, down]), np.float64)
