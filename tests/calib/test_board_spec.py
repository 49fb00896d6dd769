from __future__ import annotations

from pathlib import Path

import pytest

from multiview.calib import board_spec, parse_board
from multiview.errors import ConfigError

BOARDS = Path(__file__).parents[2] / "calib" / "boards"


@pytest.mark.parametrize(
    "text",
    [
        "charuco:7x5:30mm:22mm:DICT_4X4_50",
        "charuco:5x6:40mm:30mm:DICT_5X5_50:legacy:inverted",
        "charuco:7x5:30mm:22mm:DICT_4X4_100:first=20:bits=2",
        "chessboard:9x6:25mm",
        "aprilgrid:6x6:88mm:0.3",
        "aprilgrid:3x2:50mm:0.25:DICT_APRILTAG_36h10:bits=1",
    ],
)
def test_a_spec_is_read_and_written(text: str) -> None:
    assert board_spec(parse_board(text)) == text


def test_a_file_and_its_spec_are_one_board() -> None:
    board = parse_board(str(BOARDS / "charuco_7x5_30mm.yaml"))
    assert (
        board == parse_board(board_spec(board)) == parse_board("charuco:7x5:3cm:0.022m:DICT_4X4_50")
    )


def test_a_single_tag() -> None:
    board = parse_board("tag:5:100mm:DICT_4X4_50")
    assert board.object_points[:, :2].tolist() == [
        [-0.05, -0.05],
        [0.05, -0.05],
        [0.05, 0.05],
        [-0.05, 0.05],
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chessboard:9x6", ["1 parts", "INNER CORNERS"]),
        ("chessboard:9:25mm", ["'9' is not COLUMNSxROWS", "INNER CORNERS"]),
        ("charuco:7-5:30mm:22mm:DICT_4X4_50", ["SQUARES"]),
        ("charuco:7x5:30:22mm:DICT_4X4_50", ["'30' is no length of a square", "mm"]),
        ("charuco:7x5:30mm:22mm", ["3 parts", "DICTIONARY"]),
        ("charuco:7x5:30mm:32mm:DICT_4X4_50", ["marker_m", "inside a square"]),
        ("charuco:7x5:30mm:22mm:DICT_4X4_5O", ["did you mean DICT_4X4_50"]),
        ("charuco:2x5:30mm:22mm:DICT_4X4_50", ["columns", "at least 3"]),
        ("charuco:7x5:30mm:22mm:DICT_4X4_50:first=x", ["first is 'x'"]),
        ("aprilgrid:6x6:88mm:26mm", ["spacing", "0.3"]),
        ("tag:a:88mm:DICT_4X4_50", ["number is 'a'"]),
        ("charucoo:7x5", ["neither a file nor a known kind", "charuco:"]),
        ("nowhere.yaml", ["nowhere.yaml", "no such file"]),
    ],
)
def test_a_wrong_spec_is_explained(text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_board(text)
    assert all(w in str(caught.value) for w in words), str(caught.value)
