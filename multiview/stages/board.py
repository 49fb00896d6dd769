"""`multiview calib board`: a printable board, and the board file that goes with it."""

from __future__ import annotations

from pathlib import Path

import yaml

from multiview.calib.board import Board
from multiview.calib.board_spec import parse_board
from multiview.calib.printing import board_sheet, sheet_pdf, sheet_png, sheet_svg
from multiview.errors import InputError
from multiview.formats.atomic import replacing, write_text
from multiview.progress import say

__all__ = ["run_board"]

SUFFIXES = (".pdf", ".svg", ".png")


def run_board(text: str, out: Path, *, paper: str = "a4", force: bool = False) -> Path:
    """Write a board as PDF, SVG or PNG, and its YAML beside it.

    Parameters
    ----------
    text
        Board YAML or spec, for `multiview.calib.parse_board`.
    out
        File to write; its suffix decides.
    paper
        Name or size, for `multiview.calib.printing.paper_size`.
    force
        Replace files that are there and differ.

    Raises
    ------
    InputError
        If the suffix is another, the board does not fit the paper, or a file would be replaced.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"--out {out}: cannot write {out.suffix or 'a file without suffix'}",
            f"give a file that ends in {', '.join(SUFFIXES)}",
        )
    board = parse_board(text)
    sheet = board_sheet(board, paper)
    if out.suffix.lower() == ".svg":
        data = sheet_svg(sheet).encode()
    else:
        data = sheet_pdf(sheet) if out.suffix.lower() == ".pdf" else sheet_png(sheet)
    beside = out.with_suffix(".yaml")
    same_file = Path(text).exists() and beside.exists() and Path(text).samefile(beside)
    words = _yaml(board)
    if not force:
        _check_free(out, data)
        if not same_file:
            _check_free(beside, words.encode())
    with replacing(out) as temporary:
        temporary.write_bytes(data)
    if not same_file:
        write_text(beside, words)
    say(f"board: {board.describe()} on {sheet.width_mm:g} x {sheet.height_mm:g} mm -> {out}")
    say(f"  print at 100 %, measure the ruler and many squares, correct {beside} if they differ")
    return out


def _check_free(path: Path, data: bytes) -> None:
    if path.exists() and path.read_bytes() != data:
        raise InputError(f"{path} exists and differs", "add --force to replace it")


def _yaml(board: Board) -> str:
    counted = {
        "charuco": "columns and rows count SQUARES",
        "chessboard": "columns and rows count INNER CORNERS",
        "aprilgrid": "columns and rows count TAGS",
        "tags": "each tag's place is in metres",
    }[board.kind]
    data = board.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    return f"# {board.describe()}: {counted}.\n" + yaml.safe_dump(data, sort_keys=False)
