from __future__ import annotations

import cv2
import numpy as np
import pytest
from calib_scenes import CHARUCO, CHESS, Pictures, picture, warped

from multiview.calib import Board, detect_board, detect_corners
from multiview.errors import ShapeError

# Sub-pixel detection of clean, blurred 8-bit edges errs by about 0.05 px; 0.25 px holds off
# mistakes of half a pixel in the pixel convention.
CORNER_PX = 0.25

INVERTED = CHARUCO.model_copy(update={"inverted": True})
LEGACY = Board(
    kind="charuco",
    columns=5,
    rows=6,
    square_m=0.04,
    marker_m=0.03,
    dictionary="DICT_5X5_50",
    legacy=True,
)
EVEN = Board(kind="chessboard", columns=8, rows=6, square_m=0.03)


@pytest.mark.parametrize(
    "board",
    [CHARUCO, INVERTED, LEGACY, CHESS, EVEN],
    ids=["charuco", "inverted", "legacy", "chess", "even"],
)
def test_corners_are_found_to_a_fraction_of_a_pixel(board: Board) -> None:
    image, xy = warped(*picture(board))
    found = detect_corners(image, board)
    assert not np.isnan(found).any()
    if board is EVEN:  # its colours do not tell it from itself turned
        found = min(found, found[::-1], key=lambda x: np.abs(x - xy).max())
    assert np.abs(found - xy).max() < CORNER_PX


def test_colour_and_grey_agree() -> None:
    image, _ = warped(*picture(CHARUCO))
    colour = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    np.testing.assert_array_equal(detect_corners(image, CHARUCO), detect_corners(colour, CHARUCO))


@pytest.mark.parametrize("board", [CHARUCO, INVERTED], ids=["black", "white"])
def test_the_mirrored_back_keeps_its_numbers(board: Board) -> None:
    image, xy = warped(*picture(board))
    found = detect_corners(np.ascontiguousarray(image[:, ::-1]), board)
    mirrored = np.column_stack([image.shape[1] - 1 - xy[:, 0], xy[:, 1]])
    assert np.abs(found - mirrored).max() < CORNER_PX


def test_part_of_a_charuco_board_suffices_and_keeps_its_numbers() -> None:
    image, xy = warped(*picture(CHARUCO))
    cut = int(xy[:, 0].mean())
    found = detect_corners(np.ascontiguousarray(image[:, cut:]), CHARUCO)
    seen = ~np.isnan(found[:, 0])
    assert 6 <= seen.sum() < len(xy)
    assert np.abs(found[seen] + [cut, 0] - xy[seen]).max() < CORNER_PX


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_colours_tell_which_way_round_a_9x6_chessboard_is(turns: int) -> None:
    image, xy = picture(CHESS)
    height, width = image.shape
    image = np.ascontiguousarray(np.rot90(image, turns))
    x, y = xy.T
    for _ in range(turns):  # np.rot90 takes (x, y) to (y, w - 1 - x)
        x, y, width, height = y, width - 1 - x, height, width
    assert np.abs(detect_corners(image, CHESS) - np.column_stack([x, y])).max() < CORNER_PX


@pytest.mark.parametrize("board", [CHARUCO, CHESS], ids=["charuco", "chess"])
def test_no_board_gives_nan(board: Board) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (240, 320), dtype=np.uint8)
    for image in (noise, np.zeros((48, 64), np.uint8), np.full((1, 1, 3), 9, np.uint8)):
        assert np.isnan(detect_corners(image, board)).all()


def test_anything_but_8_bits_is_refused() -> None:
    with pytest.raises(ShapeError, match="float64"):
        detect_corners(np.zeros((10, 10)), CHARUCO)  # type: ignore[arg-type]


def test_a_take_keeps_views_and_frames_apart() -> None:
    blank = np.full((720, 960), 128, np.uint8)
    shown = [warped(*picture(CHARUCO), seed=s) for s in range(3)]
    back = np.ascontiguousarray(shown[0][0][:, ::-1])
    take = Pictures(("a", "b"), [[shown[0][0], blank, shown[1][0]], [blank, back, shown[2][0]]])
    calls: list[tuple[str, int, int]] = []
    corners = detect_board(take, CHARUCO, lambda *call: calls.append(call))
    assert corners.xy_px.shape == (2, 3, 24, 2)
    assert corners.valid.any(-1).tolist() == [[True, False, True], [False, True, True]]
    assert np.abs(corners.xy_px[0, 2] - shown[1][1]).max() < CORNER_PX
    assert np.abs(corners.xy_px[1, 2] - shown[2][1]).max() < CORNER_PX
    assert corners.sizes_wh == ((960, 720), (960, 720))
    assert ("a", 3, 3) in calls
    assert ("b", 3, 3) in calls
    assert corners.hints == ("", "")


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"inverted": True}, "inverted: false"),
        ({"columns": 5, "rows": 7}, "swapped"),
        ({"columns": 6, "rows": 4}, "SQUARES"),
        ({"dictionary": "DICT_6X6_50"}, "no marker of DICT_6X6_50"),
    ],
)
def test_a_wrong_board_file_is_explained(change: dict[str, object], hint: str) -> None:
    wrong = Board(**{**CHARUCO.model_dump(), **change})
    image, _ = warped(*picture(CHARUCO))
    assert hint in detect_board(Pictures(("a",), [[image, image]]), wrong).hints[0]
