"""Calibration boards: what was printed, and where its corners lie.

Three counts are in use and are easily mixed up: a ChArUco board is counted in SQUARES (a 7 x 5
board has 6 x 4 corners), a chessboard in INNER CORNERS (a "9x6" chessboard has 10 x 7 squares), an
AprilGrid in TAGS. All three are what OpenCV, Kalibr and most other tools ask for.
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
from multiview.calib.board_layout import (
    Tag,
    aprilgrid_markers,
    check_key,
    dictionary_names,
    open_dictionary,
)
from multiview.config import Config, read_yaml

__all__ = ["Board", "Tag", "dictionary_names", "load_board"]

Ints = NDArray[np.int64]
Kind = Literal["charuco", "chessboard", "aprilgrid", "tags"]

# Fewer leave no 2 x 2 block of corners (ChArUco) or are refused by OpenCV (chessboard); one tag is
# a board.
MIN_COUNT = {"charuco": 3, "chessboard": 3, "aprilgrid": 1}
# Of the largest extent: flat to what a ruler tells of a tag set.
PLANE_TOLERANCE = 1e-6


class Board(Config):
    """A printed board, or markers that are fixed to each other.

    Parameters
    ----------
    kind
        ``"charuco"``, ``"chessboard"``, ``"aprilgrid"`` (Kalibr's) or ``"tags"`` (plain ArUco or
        AprilTag markers on a box, a wall, a floor).
    columns, rows
        ChArUco: number of SQUARES across and down. Chessboard: number of INNER CORNERS. AprilGrid:
        number of TAGS.
    square_m
        ChArUco and chessboard: side of a square, metres; measure the print with a ruler, over many
        squares.
    marker_m
        Side of a marker (its black border's outer edge), metres; of a set: where a tag says
        nothing.
    dictionary
        OpenCV's name of the markers' dictionary; an AprilGrid's is ``DICT_APRILTAG_36h11`` unless
        stated.
    legacy
        ChArUco only: layout of OpenCV before 4.6 (differs for an even number of rows).
    inverted
        White on black print.
    static
        It lies still while it is filmed, as a board on the floor: one pose for all frames.
    spacing
        AprilGrid: gap between two tags as a share of a tag's side.
    first_marker
        Number of the first marker: several boards at once need different numbers.
    border_bits
        Width of the markers' black border in bits; Kalibr prints 2, everybody else 1.
    tags
        The markers of a set.
    """

    kind: Kind
    columns: int = Field(default=0, ge=0, le=200, validate_default=True)
    rows: int = Field(default=0, ge=0, le=200, validate_default=True)
    square_m: float = Field(default=0.0, ge=0, lt=10, allow_inf_nan=False, validate_default=True)
    marker_m: float | None = Field(default=None, validate_default=True)
    spacing: float | None = Field(default=None, gt=0, le=4, validate_default=True)
    border_bits: int = Field(default=0, ge=0, le=4, validate_default=True)
    tags: tuple[Tag, ...] = Field(default=(), validate_default=True)
    dictionary: str | None = Field(default=None, validate_default=True)
    first_marker: int = Field(default=0, ge=0, validate_default=True)
    legacy: bool = Field(default=False, validate_default=True)
    inverted: bool = False
    static: bool = False

    @field_validator("columns", "rows")
    @classmethod
    def _counts(cls, value: int, info: ValidationInfo) -> int:
        kind = info.data.get("kind")
        check_key(str(info.field_name), kind, bool(value))
        if value < MIN_COUNT.get(str(kind), 0):
            raise ValueError(f"a {kind} has at least {MIN_COUNT[str(kind)]}")
        return value

    @field_validator("square_m", "spacing", "legacy")
    @classmethod
    def _belongs(cls, value: Any, info: ValidationInfo) -> Any:
        check_key(str(info.field_name), info.data.get("kind"), bool(value))
        return value

    @field_validator("marker_m")
    @classmethod
    def _marker_fits(cls, value: float | None, info: ValidationInfo) -> float | None:
        square = info.data.get("square_m")
        check_key("marker_m", info.data.get("kind"), value is not None)
        if value is not None and not 0 < value < 10:
            raise ValueError("the side of a marker is above 0 and below 10 m")
        if value is not None and square and value >= square:
            raise ValueError(f"a marker lies inside a square, whose side is {square} m")
        return value

    @field_validator("border_bits")
    @classmethod
    def _border(cls, value: int, info: ValidationInfo) -> int:
        kind = info.data.get("kind")
        check_key("border_bits", kind, bool(value))
        usual = {"aprilgrid": 2, "chessboard": 0}
        return value or usual.get(str(kind), 1)

    @field_validator("tags")
    @classmethod
    def _tags_differ(cls, value: tuple[Tag, ...], info: ValidationInfo) -> tuple[Tag, ...]:
        check_key("tags", info.data.get("kind"), bool(value))
        ids = [t.id for t in value]
        twice = sorted({i for i in ids if ids.count(i) > 1})
        if twice:
            raise ValueError(f"tag {twice[0]} is listed twice")
        for tag in value:
            tag.corners(info.data.get("marker_m"))
        return value

    @field_validator("dictionary")
    @classmethod
    def _dictionary_known(cls, value: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("kind")
        if kind == "aprilgrid" and value is None:
            value = "DICT_APRILTAG_36h11"
        check_key("dictionary", kind, value is not None)
        if value is not None and value not in dictionary_names():
            near = difflib.get_close_matches(value, dictionary_names(), n=1, cutoff=0.3)
            raise ValueError(f"no such dictionary{f'; did you mean {near[0]}?' if near else ''}")
        return value

    @field_validator("first_marker")
    @classmethod
    def _markers_suffice(cls, value: int, info: ValidationInfo) -> int:
        name, kind, data = info.data.get("dictionary"), info.data.get("kind"), info.data
        check_key("first_marker", kind, bool(value))
        if name and {"columns", "rows", "tags"} <= data.keys():
            cells = data["columns"] * data["rows"]
            needed = cells // 2 if kind == "charuco" else cells
            needed = max([needed, *(t.id + 1 for t in data["tags"])]) + value
            held = len(open_dictionary(name).bytesList)
            if needed > held:
                raise ValueError(f"the board needs {needed} markers, {name} has {held}")
        return value

    @property
    def grid(self) -> tuple[int, int]:
        """Number of corners across and down; of a set of tags: all in one row."""
        if self.kind == "tags":
            return 4 * len(self.tags), 1
        scale, less = {"charuco": (1, 1), "chessboard": (1, 0), "aprilgrid": (2, 0)}[self.kind]
        return scale * self.columns - less, scale * self.rows - less

    @cached_property
    def object_points(self) -> F64:
        """Corners, shape (C, 3), metres.

        ChArUco and chessboard: z = 0, x to the right, y down, row by row. AprilGrid and tags: the
        corners of `markers`, four a tag.
        """
        if self.kind in {"aprilgrid", "tags"}:
            return np.ascontiguousarray(self.markers[1].reshape(-1, 3))
        across, down = self.grid
        first = 1 if self.kind == "charuco" else 0
        x, y = np.meshgrid(np.arange(across) + first, np.arange(down) + first)
        xyz = np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(np.float64)
        return np.asarray(xyz * self.square_m, np.float64)

    @cached_property
    def markers(self) -> tuple[Ints, F64]:
        """Numbers (M,) and corners (M, 4, 3) in metres of the markers; none of a chessboard.

        Corners are ordered as OpenCV finds them: clockwise from the top left of the marker as its
        dictionary draws it.
        """
        if self.kind == "charuco":
            board = self.charuco()
            ids = np.ravel(board.getIds()).astype(np.int64)
            return ids, np.asarray(board.getObjPoints(), np.float64)
        if self.kind == "aprilgrid":
            size, gap = float(self.marker_m or 0), float(self.spacing or 0)
            return aprilgrid_markers(self.columns, self.rows, size, gap, self.first_marker)
        corners = [t.corners(self.marker_m) for t in self.tags]
        ids = np.array([t.id for t in self.tags], np.int64)
        return ids, np.array(corners, np.float64).reshape(-1, 4, 3)

    @cached_property
    def planar(self) -> bool:
        """Whether all corners lie in one plane."""
        xyz = self.object_points - self.object_points.mean(0)
        spread = np.linalg.svd(xyz, compute_uv=False)
        return bool(spread[2] <= PLANE_TOLERANCE * spread[0])

    @cached_property
    def pitch_m(self) -> float:
        """Distance of neighbouring corners (of a tag: its side), metres."""
        if self.square_m:
            return self.square_m
        side = np.linalg.norm(np.diff(self.markers[1], axis=1), axis=-1)
        return float(np.median(side))

    @cached_property
    def symmetries(self) -> tuple[tuple[Ints, F64], ...]:
        """Renumberings that the corners alone cannot tell apart; the identity comes first.

        Each is ``(order, R)``: corner ``i`` of the renumbered board is corner ``order[i]``, which
        is the turn ``R`` (3, 3) of the board about its centre. Numbered markers leave none.
        """
        across, down = self.grid
        index = np.arange(across * down).reshape(down, across)
        if self.kind != "chessboard":
            turns: list[int] = [0]
        else:
            turns = [0, 1, 2, 3] if across == down else [0, 2]
        return tuple((np.rot90(index, k).ravel().astype(np.int64), _turn(k)) for k in turns)

    def describe(self) -> str:
        """One line for messages and reports."""
        marker = f", {self.dictionary}" if self.dictionary else ""
        extra = "".join(f", {n}" for n in ("legacy", "inverted") if getattr(self, n))
        if self.first_marker:
            extra += f", markers from {self.first_marker}"
        if self.kind == "tags":
            ids = ", ".join(str(t.id) for t in self.tags[:6])
            more = ", ..." if len(self.tags) > 6 else ""
            return f"{len(self.tags)} tags ({ids}{more}){marker}{extra}"
        if self.kind == "aprilgrid":
            side = f"tags of {1000 * float(self.marker_m or 0):g} mm, spacing {self.spacing:g}"
            return f"aprilgrid {self.columns}x{self.rows} {side}{marker}{extra}"
        count = "squares" if self.kind == "charuco" else "inner corners"
        size = f"{self.columns}x{self.rows} {count} of {self.square_m * 1000:g} mm"
        return f"{self.kind} {size}{marker}{extra}"

    def charuco(self) -> Any:
        """Return OpenCV's board object; a new one, for it is not safe to share among threads."""
        ids = self.first_marker + np.arange(self.columns * self.rows // 2, dtype=np.int32)
        size, marker = (self.columns, self.rows), float(self.marker_m or 0)
        dictionary = open_dictionary(self.dictionary)
        board = cv2.aruco.CharucoBoard(size, self.square_m, marker, dictionary, ids)
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
