"""Calibration boards: what was printed, and where its corners lie.

Two counts are in use and are easily mixed up: a ChArUco board is counted in SQUARES (a 7 x 5 board
has 6 x 4 corners), a chessboard in INNER CORNERS (a "9x6" chessboard has 10 x 7 squares). Both are
what OpenCV's and most other tools ask for.
"""

from __future__ import annotations

import difflib
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from multiview._shapes import F64
from multiview.config import Config, read_yaml

__all__ = ["Board", "dictionary_names", "load_board"]

# Fewer leave no 2 x 2 block of corners (ChArUco) or are refused by OpenCV (chessboard).
MIN_COUNT = 3


def dictionary_names() -> list[str]:
    """Names of OpenCV's predefined marker dictionaries, e.g. ``"DICT_4X4_50"``."""
    return sorted(n for n in dir(cv2.aruco) if n.startswith("DICT_"))


class Board(Config):
    """A printed board.

    Parameters
    ----------
    kind
        ``"charuco"`` or ``"chessboard"``.
    columns, rows
        ChArUco: number of SQUARES across and down. Chessboard: number of INNER CORNERS.
    square_m
        Side of a square, metres; measure the print with a ruler, over many squares.
    marker_m, dictionary
        ChArUco only: side of a marker, metres, and OpenCV's dictionary name.
    legacy
        ChArUco only: layout of OpenCV before 4.6 (differs for an even number of rows).
    inverted
        White on black print.
    static
        It lies still while it is filmed, as a board on the floor: one pose for all frames.
    """

    kind: Literal["charuco", "chessboard"]
    columns: int = Field(ge=MIN_COUNT, le=200)
    rows: int = Field(ge=MIN_COUNT, le=200)
    square_m: float = Field(gt=0, lt=10, allow_inf_nan=False)
    marker_m: float | None = Field(default=None, validate_default=True)
    dictionary: str | None = Field(default=None, validate_default=True)
    legacy: bool = Field(default=False, validate_default=True)
    inverted: bool = False
    static: bool = False

    @field_validator("marker_m")
    @classmethod
    def _marker_fits(cls, value: float | None, info: ValidationInfo) -> float | None:
        kind, square = info.data.get("kind"), info.data.get("square_m")
        if kind == "chessboard" and value is not None:
            raise ValueError("a chessboard has no markers; remove it or set kind: charuco")
        if kind == "charuco" and (value is None or not value > 0):
            raise ValueError("a ChArUco board needs the side of its markers, in metres")
        if value is not None and square is not None and value >= square:
            raise ValueError(f"a marker lies inside a square, whose side is {square} m")
        return value

    @field_validator("dictionary")
    @classmethod
    def _dictionary_known(cls, value: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("kind")
        if kind == "chessboard" and value is not None:
            raise ValueError("a chessboard has no markers; remove it or set kind: charuco")
        if kind == "charuco" and value is None:
            raise ValueError("a ChArUco board needs the dictionary of its markers")
        if value is not None and value not in dictionary_names():
            near = difflib.get_close_matches(value, dictionary_names(), n=1, cutoff=0.3)
            raise ValueError(f"no such dictionary{f'; did you mean {near[0]}?' if near else ''}")
        return value

    @field_validator("legacy")
    @classmethod
    def _markers_suffice(cls, value: bool, info: ValidationInfo) -> bool:
        name, data = info.data.get("dictionary"), info.data
        if name and {"columns", "rows"} <= data.keys():
            needed = data["columns"] * data["rows"] // 2
            held = len(cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name)).bytesList)
            if needed > held:
                raise ValueError(f"the board needs {needed} markers, {name} has {held}")
        return value

    @property
    def grid(self) -> tuple[int, int]:
        """Number of corners across and down."""
        less = 1 if self.kind == "charuco" else 0
        return self.columns - less, self.rows - less

    @cached_property
    def object_points(self) -> F64:
        """Corners, shape (C, 3), metres, z = 0; x to the right, y down, row by row."""
        across, down = self.grid
        first = 1 if self.kind == "charuco" else 0
        x, y = np.meshgrid(np.arange(across) + first, np.arange(down) + first)
        xyz = np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(np.float64)
        return np.asarray(xyz * self.square_m, np.float64)

    @cached_property
    def symmetries(self) -> tuple[tuple[NDArray[np.int64], F64], ...]:
        """Renumberings that the corners alone cannot tell apart; the identity comes first.

        Each is ``(order, R)``: corner ``i`` of the renumbered board is corner ``order[i]``, which
        is the turn ``R`` (3, 3) of the board about its centre. A ChArUco board has none.
        """
        across, down = self.grid
        index = np.arange(across * down).reshape(down, across)
        if self.kind == "charuco":
            turns: list[int] = [0]
        else:
            turns = [0, 1, 2, 3] if across == down else [0, 2]
        return tuple((np.rot90(index, k).ravel().astype(np.int64), _turn(k)) for k in turns)

    def describe(self) -> str:
        """One line for messages and reports."""
        count = "squares" if self.kind == "charuco" else "inner corners"
        marker = f", {self.dictionary}" if self.dictionary else ""
        extra = "".join(f", {n}" for n in ("legacy", "inverted") if getattr(self, n))
        size = f"{self.columns}x{self.rows} {count} of {self.square_m * 1000:g} mm"
        return f"{self.kind} {size}{marker}{extra}"

    def charuco(self) -> Any:
        """Return OpenCV's board object; a new one, for it is not safe to share among threads."""
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, str(self.dictionary)))
        marker = float(self.marker_m or 0)
        board = cv2.aruco.CharucoBoard((self.columns, self.rows), self.square_m, marker, dictionary)
        board.setLegacyPattern(self.legacy)
        return board


def _turn(quarters: int) -> F64:
    # np.rot90 turns the index grid so that corner i lands where Rz(+90 deg) in x right, y down
    # takes it; exact integers keep the identity exact.
    c, s = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters]
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=np.float64)


def load_board(path: str | Path) -> Board:
    """Read a board from YAML (see ``calib/boards``).

    Raises
    ------
    ConfigError
        Naming the file and the key: misspelt, missing, or a value that no board can have (marker
        not smaller than its square, unknown dictionary, too few squares).
    """
    return read_yaml(path, Board)
