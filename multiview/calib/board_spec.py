"""Boards in one word: ``charuco:7x5:30mm:22mm:DICT_4X4_50``, ``chessboard:9x6:25mm``, and back.

Counts are those of the board file: SQUARES of a ChArUco board, INNER CORNERS of a chessboard, TAGS
of an AprilGrid.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from multiview.calib.board import Board, load_board
from multiview.config import parse_config
from multiview.errors import ConfigError

__all__ = ["SPEC_FORMS", "board_spec", "parse_board"]

SPEC_FORMS = {
    "charuco": "charuco:COLUMNSxROWS:SQUARE:MARKER:DICTIONARY, e.g. "
    "charuco:7x5:30mm:22mm:DICT_4X4_50 (counts of SQUARES)",
    "chessboard": "chessboard:COLUMNSxROWS:SQUARE, e.g. chessboard:9x6:25mm "
    "(counts of INNER CORNERS: one less than squares)",
    "aprilgrid": "aprilgrid:COLUMNSxROWS:TAG:SPACING, e.g. aprilgrid:6x6:88mm:0.3 "
    "(counts of TAGS; the gap as a share of a tag's side)",
    "tag": "tag:NUMBER:SIDE:DICTIONARY, e.g. tag:0:100mm:DICT_4X4_50",
}
# Words without a value, and those with one, that may follow.
FLAGS, VALUES = ("legacy", "inverted"), {"first": "first_marker", "bits": "border_bits"}
UNITS = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "in": 0.0254}
COUNTED = {"charuco": "SQUARES", "chessboard": "INNER CORNERS", "aprilgrid": "TAGS"}


def parse_board(text: str) -> Board:
    """Read a board from a YAML file or a spec.

    Parameters
    ----------
    text
        Path of a board file, or one of `SPEC_FORMS`, to which ``:inverted``, ``:legacy``,
        ``:first=N`` (number of the first marker) and ``:bits=N`` may be added.

    Raises
    ------
    ConfigError
        Naming the part that cannot be used, and the form that can.
    """
    kind, *parts = str(text).split(":")
    if kind in SPEC_FORMS and (parts or not Path(text).exists()):
        return parse_config(_spec_data(kind, parts, text), Board, where=f"board {text}")
    if Path(text).suffix.lower() in {".yaml", ".yml"} or Path(text).exists():
        return load_board(text)
    near = difflib.get_close_matches(kind, SPEC_FORMS, n=1, cutoff=0.4)
    form = SPEC_FORMS[near[0]] if near else "a .yaml file, or " + SPEC_FORMS["charuco"]
    raise ConfigError(f"board {text}: neither a file nor a known kind of board", f"give {form}")


def _spec_data(kind: str, parts: list[str], text: str) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": kind}
    plain = []
    for part in parts:
        name, _, value = part.partition("=")
        if part in FLAGS:
            data[part] = True
        elif value and name in VALUES:
            data[VALUES[name]] = _integer(value, name, text)
        else:
            plain.append(part)
    return data | _READERS[kind](plain, text)


def _fail(text: str, what: str) -> ConfigError:
    kind = text.split(":")[0]
    return ConfigError(f"board {text}: {what}", f"give {SPEC_FORMS[kind]}")


def _expect(plain: list[str], text: str, least: int, most: int) -> None:
    if not least <= len(plain) <= most:
        raise _fail(text, f"has {len(plain)} parts after its kind, not {least}")


def _counts(part: str, text: str) -> dict[str, Any]:
    found = re.fullmatch(r"(\d+)x(\d+)", part.lower())
    if not found:
        counted = COUNTED[text.split(":")[0]]
        raise _fail(text, f"{part!r} is not COLUMNSxROWS, the counts of {counted}")
    return {"columns": int(found[1]), "rows": int(found[2])}


def _length(part: str, what: str, text: str) -> float:
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(mm|cm|m|in)", part.strip().lower())
    if not found:
        raise _fail(text, f"{part!r} is no length of a {what}: a number and mm, cm, m or in")
    return float(f"{float(found[1]) * UNITS[found[2]]:.12g}")


def _integer(part: str, what: str, text: str) -> int:
    if not re.fullmatch(r"\d+", part):
        raise _fail(text, f"{what} is {part!r}, not a whole number")
    return int(part)


def _charuco(plain: list[str], text: str) -> dict[str, Any]:
    _expect(plain, text, 4, 4)
    sides = {
        "square_m": _length(plain[1], "square", text),
        "marker_m": _length(plain[2], "marker", text),
    }
    return _counts(plain[0], text) | sides | {"dictionary": plain[3]}


def _chessboard(plain: list[str], text: str) -> dict[str, Any]:
    _expect(plain, text, 2, 2)
    return _counts(plain[0], text) | {"square_m": _length(plain[1], "square", text)}


def _aprilgrid(plain: list[str], text: str) -> dict[str, Any]:
    _expect(plain, text, 3, 4)
    try:
        spacing = float(plain[2])
    except ValueError:
        raise _fail(text, f"spacing is {plain[2]!r}, not a share such as 0.3") from None
    data = {"marker_m": _length(plain[1], "tag", text), "spacing": spacing}
    return _counts(plain[0], text) | data | ({"dictionary": plain[3]} if plain[3:] else {})


def _tag(plain: list[str], text: str) -> dict[str, Any]:
    _expect(plain, text, 3, 3)
    tag = {"id": _integer(plain[0], "number", text), "centre_m": (0, 0, 0)}
    side = _length(plain[1], "tag", text)
    return {"kind": "tags", "tags": [tag], "marker_m": side, "dictionary": plain[2]}


_READERS = {
    "charuco": _charuco,
    "chessboard": _chessboard,
    "aprilgrid": _aprilgrid,
    "tag": _tag,
}


def board_spec(board: Board) -> str:
    """Return the spec that `parse_board` reads as this board; of a set of tags: its description."""
    if board.kind == "tags":
        return board.describe()
    parts = [board.kind, f"{board.columns}x{board.rows}"]
    parts += [f"{1000 * x:g}mm" for x in (board.square_m, board.marker_m) if x]
    parts += [f"{board.spacing:g}"] if board.spacing else []
    usual = board.kind == "aprilgrid" and board.dictionary == "DICT_APRILTAG_36h11"
    parts += [board.dictionary] if board.dictionary and not usual else []
    parts += [flag for flag in FLAGS if getattr(board, flag)]
    parts += [f"first={board.first_marker}"] if board.first_marker else []
    bits = {"chessboard": 0, "aprilgrid": 2}.get(board.kind, 1)
    parts += [f"bits={board.border_bits}"] if board.border_bits != bits else []
    return ":".join(parts)
