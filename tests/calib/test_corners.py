from __future__ import annotations

import cv2
import numpy as np
import pytest
from calib_scenes import CHARUCO, CHESS, Pictures, picture, warped

from multiview.calib import Board, detect_board, detect_boards, detect_corners
from multiview.errors import InputError, ShapeError

# The fit of clean, blurred 8-bit edges errs by some 0.1 px where a warp was interpolated (a
# hundredth where it is rendered: test_subpixel.py); 0.2 px holds off mistakes of half a pixel.
CORNER_PX = 0.2

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
# 10 cells a tag and gaps of 3: whole pixels at 80 px a tag
APRIL = Board(kind="aprilgrid", columns=4, rows=3, marker_m=0.06, spacing=0.3)
TAGS = Board(
    kind="tags",
    dictionary="DICT_4X4_50",
    marker_m=0.06,
    tags=[
        {"id": 7, "centre_m": [0.03, 0.03, 0]},
        {"id": 3, "centre_m": [0.15, 0.03, 0], "right": [0, 1, 0], "down": [-1, 0, 0]},
    ],
)


@pytest.mark.parametrize(
    "board",
    [CHARUCO, INVERTED, LEGACY, CHESS, EVEN, APRIL, TAGS],
    ids=["charuco", "inverted", "legacy", "chess", "even", "april", "tags"],
)
def test_corners_are_found_to_a_fraction_of_a_pixel(board: Board) -> None:
    image, xy = warped(*picture(board, 240 if board is TAGS else 120 if board is APRIL else 80))
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
        ({"dictionary": "DICT_6X6_50"}, "of DICT_4X4_50 are"),
        ({"columns": 8}, "columns: 7, not 8"),
        ({"border_bits": 2}, "border_bits: 1"),
    ],
)
def test_a_wrong_board_file_is_explained(change: dict[str, object], hint: str) -> None:
    wrong = Board(**{**CHARUCO.model_dump(), **change})
    image, _ = warped(*picture(CHARUCO))
    assert hint in detect_board(Pictures(("a",), [[image, image]]), wrong).hints[0]


def test_the_size_of_another_chessboard_is_told() -> None:
    wrong = CHESS.model_copy(update={"columns": 7, "rows": 8})
    image, _ = warped(*picture(CHESS))
    assert (
        "9x6 inner corners is visible" in detect_board(Pictures(("a",), [[image]]), wrong).hints[0]
    )


OTHER = CHARUCO.model_copy(update={"first_marker": 20})


def test_boards_in_one_picture_are_told_apart() -> None:
    images = [warped(*picture(b), size=(640, 480)) for b in (CHARUCO, OTHER, CHESS)]
    both = np.concatenate([image for image, _ in images], 1)
    take = Pictures(("a",), [[both, images[1][0].repeat(1, 0)]])
    found = detect_boards(take, [CHARUCO, OTHER, CHESS])
    for n, (corners, (_, xy)) in enumerate(zip(found, images, strict=True)):
        assert np.nanmax(np.abs(corners.xy_px[0, 0] - xy - [640 * n, 0])) < CORNER_PX
        assert corners.valid[0, 0].mean() > 0.9
        assert corners.valid[0, 1].any() == (n == 1)
        assert (corners.std_px[corners.valid] < 0.1).all()


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((CHARUCO, CHARUCO.model_copy(update={"columns": 5})), "share the markers 0, 1"),
        ((CHESS, Board(kind="chessboard", columns=6, rows=9, square_m=0.01)), "look alike"),
    ],
)
def test_boards_that_cannot_be_told_apart_are_refused(
    pair: tuple[Board, Board], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        detect_boards(Pictures(("a",), [[np.zeros((48, 64), np.uint8)]]), pair)


def test_a_covered_corner_is_left_out() -> None:
    image, xy = warped(*picture(CHARUCO))
    x, y = np.rint(xy[8]).astype(int)
    cv2.circle(image, (int(x) + 4, int(y) + 4), 9, 200, -1)
    found = detect_corners(image, CHARUCO)
    assert np.isnan(found[8]).all()
    assert (~np.isnan(found[:, 0])).sum() >= 20


def test_a_turned_or_foreign_tag_is_no_board() -> None:
    """A number of the board that was read elsewhere in the picture does not bend the board."""
    image, xy = warped(*picture(CHARUCO))
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    xs = CHARUCO.markers[0]
    x, y = np.rint(xy.min(0)).astype(int)
    hidden = image.copy()
    hidden[y - 60 : y + 10, x - 40 : x + 20] = 128  # marker of the first corner, whatever it is
    stray = cv2.copyMakeBorder(
        dictionary.generateImageMarker(int(xs[0]), 36), 8, 8, 8, 8, cv2.BORDER_CONSTANT, value=255
    )
    hidden[-52:, -52:] = stray
    found = detect_corners(hidden, CHARUCO)
    seen = ~np.isnan(found[:, 0])
    assert seen.sum() >= 15
    assert np.abs(found[seen] - xy[seen]).max() < CORNER_PX
