from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from calib_scenes import CHARUCO, CHESS

from multiview.calib import Board, load_board
from multiview.errors import ConfigError

BOARDS = Path(__file__).parents[2] / "calib" / "boards"


@pytest.mark.parametrize("path", sorted(BOARDS.glob("*.yaml")), ids=lambda p: p.stem)
def test_boards_of_the_repository_load(path: Path) -> None:
    board = load_board(path)
    across, down = board.grid
    assert board.object_points.shape == (across * down, 3)
    assert f"{board.columns}x{board.rows}" in path.stem


def test_charuco_points_are_opencvs() -> None:
    expected = np.asarray(CHARUCO.charuco().getChessboardCorners())
    np.testing.assert_allclose(CHARUCO.object_points, expected, atol=1e-8)
    assert len(CHARUCO.object_points) == 6 * 4  # a ChArUco board counts squares


def test_chessboard_counts_inner_corners() -> None:
    assert CHESS.object_points.shape == (54, 3)
    np.testing.assert_allclose(CHESS.object_points.max(0), [8 * 0.03, 5 * 0.03, 0])


@pytest.mark.parametrize(("columns", "rows", "turns"), [(9, 6, 2), (7, 7, 4)])
def test_symmetries_renumber_a_chessboard_as_its_turns(columns: int, rows: int, turns: int) -> None:
    board = Board(kind="chessboard", columns=columns, rows=rows, square_m=0.02)
    xyz = board.object_points - board.object_points.mean(0)
    assert len(board.symmetries) == turns
    np.testing.assert_array_equal(board.symmetries[0][0], np.arange(len(xyz)))
    for order, R in board.symmetries:
        np.testing.assert_allclose(xyz[order], xyz @ R.T, atol=1e-12)


def test_a_charuco_board_has_no_symmetry() -> None:
    assert len(CHARUCO.symmetries) == 1


GOOD = """kind: charuco
columns: 7
rows: 5
square_m: 0.03
marker_m: 0.02
dictionary: DICT_4X4_50
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("marker_m: 0.02", "marker_m: 0.03", ["marker_m", "inside a square"]),
        ("marker_m: 0.02\n", "", ["marker_m", "side of its markers"]),
        ("DICT_4X4_50", "DICT_4x4_5O", ["dictionary", "did you mean DICT_4X4_50"]),
        ("square_m: 0.03", "square_m: -1", ["square_m"]),
        ("square_m: 0.03", "square_mm: 30", ["square_m"]),
        ("columns: 7", "columns: 2", ["columns"]),
        ("columns: 7", "columns: 70", ["needs 175 markers, DICT_4X4_50 has 50"]),
        ("kind: charuco", "kind: chessboard", ["no markers"]),
        ("kind: charuco", "kind: checkers", ["kind", "charuco"]),
    ],
)
def test_nonsense_is_refused_by_name(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    path = tmp_path / "board.yaml"
    path.write_text(GOOD)
    load_board(path)
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_board(path)
    assert all(w in str(caught.value) for w in ["board.yaml", *words])
