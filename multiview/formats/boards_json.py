"""Board poses as JSON, in a file beside the rig's: ``rig.yaml`` has ``rig.boards.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from multiview.config import Config, parse_config
from multiview.core import BoardTrack
from multiview.errors import InputError
from multiview.formats.atomic import write_text

__all__ = ["boards_path", "read_boards", "write_boards"]

FORMAT = "multiview-boards/1"


class _TrackJson(Config):
    name: str
    about: str = ""
    rig_digest: str = ""
    still: tuple[int, int] | None = None
    xyz_board: list[list[float]]
    frame_ids: list[int]
    R: list[list[list[float]]]
    t: list[list[float]]


class _BoardsJson(Config):
    format: Literal["multiview-boards/1"]
    boards: list[_TrackJson]


def boards_path(rig_path: str | Path) -> Path:
    """Where the board poses of a rig file lie."""
    return Path(rig_path).with_suffix(".boards.json")


def read_boards(path: str | Path) -> tuple[BoardTrack, ...]:
    """Read the board poses of a rig.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    try:
        data: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file, so the board's poses are not known",
            "multiview calibrate writes it beside rig.yaml: give that rig, or calibrate again",
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "calibrate again") from None
    parsed = parse_config(data, _BoardsJson, str(path))
    try:
        return tuple(
            BoardTrack(
                **b.model_dump(exclude={"xyz_board", "frame_ids", "R", "t"}),
                xyz_board=np.array(b.xyz_board, np.float64).reshape(-1, 3),
                frame_ids=np.array(b.frame_ids, np.int64),
                R=np.array(b.R, np.float64).reshape(-1, 3, 3),
                t=np.array(b.t, np.float64).reshape(-1, 3),
            )
            for b in parsed.boards
        )
    except ValueError as error:
        raise InputError(f"{path}: {error}", "calibrate again") from None


def write_boards(tracks: Sequence[BoardTrack], path: str | Path) -> Path:
    """Write board poses with all their digits, replacing an old file in one step."""
    boards = [
        {
            "name": b.name,
            "about": b.about,
            "rig_digest": b.rig_digest,
            "still": b.still,
            "xyz_board": b.xyz_board.tolist(),
            "frame_ids": b.frame_ids.tolist(),
            "R": b.R.tolist(),
            "t": b.t.tolist(),
        }
        for b in tracks
    ]
    return write_text(Path(path), json.dumps({"format": FORMAT, "boards": boards}) + "\n")
