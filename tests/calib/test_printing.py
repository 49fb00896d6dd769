"""Printed boards: true to scale, and found by our own detector."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from multiview.calib import Board, detect_corners, load_board, parse_board
from multiview.calib.drawing import board_rectangles, rasterise
from multiview.calib.printing import board_sheet, paper_size, sheet_png
from multiview.cli import main
from multiview.errors import InputError

DPI = 200
# Of the issue: distances on paper are right to a thousandth.
SCALE = 1e-3
SPECS = [
    "charuco:7x5:30mm:22mm:DICT_4X4_50",
    "charuco:5x6:30mm:22mm:DICT_5X5_50:legacy:inverted",
    "chessboard:9x6:25mm",
    "aprilgrid:4x3:40mm:0.3",
    "tag:7:100mm:DICT_6X6_50",
]


def from_svg(text: str) -> np.ndarray:
    """Draw the paths of our own SVG, four times finer than DPI."""
    width, height = (float(x) for x in re.search(r'viewBox="0 0 (\S+) (\S+)"', text).groups())
    k = 4 * DPI / 25.4
    image = np.full((round(height * k), round(width * k)), 255, np.uint8)
    for grey, path in re.findall(r'<path fill="#(..).*?" d="(.*?)"', text):
        for part in re.findall(r"M(\S+) (\S+?)h(\S+?)v(\S+?)h", path):
            x, y, w, h = (float(p) * k for p in part)
            x0, x1, y0, y1 = (round(v) for v in (x, x + w, y, y + h))
            image[y0:y1, x0:x1] = int(grey, 16)
    return cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)


def from_pdf(path: Path) -> np.ndarray:
    if not shutil.which("pdftoppm"):
        pytest.skip("pdftoppm (poppler-utils) is not installed")
    subprocess.run(["pdftoppm", "-r", str(DPI), "-png", path, path.with_suffix("")], check=True)
    return cv2.imread(str(next(path.parent.glob(f"{path.stem}-*.png"))), cv2.IMREAD_GRAYSCALE)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("kind", ["svg", "pdf", "png"])
def test_a_printed_board_is_found_and_true_to_scale(tmp_path: Path, spec: str, kind: str) -> None:
    out = tmp_path / f"board.{kind}"
    assert main(["calib", "board", spec, "--out", str(out)]) == 0
    dpi = DPI
    if kind == "svg":
        image = from_svg(out.read_text())
    elif kind == "pdf":
        image = from_pdf(out)
    else:
        image, dpi = cv2.imread(str(out), cv2.IMREAD_GRAYSCALE), 600
        image, dpi = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), 300
    board = load_board(tmp_path / "board.yaml")
    assert board.object_points.shape == parse_board(spec).object_points.shape
    xy = detect_corners(cv2.GaussianBlur(image, (0, 0), 0.8), board)
    assert not np.isnan(xy).any()
    xyz = board.object_points[:, :2]
    if board.kind == "chessboard":
        xy = min(xy, xy[::-1], key=lambda p: p[0].sum())
    found = np.linalg.norm(xy - xy[0], axis=1)[1:] * 25.4 / dpi
    true = 1000 * np.linalg.norm(xyz - xyz[0], axis=1)[1:]
    assert np.abs(found / true - 1).max() < SCALE * max(1, 25 / true.min())


def test_opencv_draws_the_same_charuco_board() -> None:
    for spec in (SPECS[0].replace("22mm", "18mm"), SPECS[1].replace("22mm", "21mm")):
        board = parse_board(spec)
        mine = rasterise(board, 60)
        theirs = board.charuco().generateImage(mine.shape[::-1], marginSize=0)
        assert (np.abs(mine.astype(int) - theirs) > 0).mean() < 0.001


def test_rectangles_of_an_aprilgrid_are_kalibrs() -> None:
    board = parse_board("aprilgrid:2x2:100mm:0.3")
    image = rasterise(board, 100)
    # 3 x 3 little squares of 30, tags of 100; the tags count from the lower left
    assert image.shape == (290, 290)
    assert (image[:30, :30] == 0).all()
    assert (image[130:160, 130:160] == 0).all()
    assert (image[40:120, 0:30] == 255).all()
    assert board.markers[1][0, :, 1].min() > board.markers[1][2, :, 1].max()
    assert len(board_rectangles(board)) > 9
    # Kalibr turns each tag by half a turn and gives it a border of 2 bits: tag 0, lower left
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
    upright = dictionary.generateImageMarker(0, 100, borderBits=2)
    np.testing.assert_array_equal(image[160:260, 30:130], upright[::-1, ::-1])


def test_a_png_states_its_resolution() -> None:
    data = sheet_png(board_sheet(parse_board(SPECS[0]), "a4"))
    at = data.index(b"pHYs") + 4
    assert int.from_bytes(data[at : at + 4], "big") == round(600 / 0.0254)


@pytest.mark.parametrize(
    ("spec", "paper", "words"),
    [
        ("charuco:12x9:40mm:30mm:DICT_5X5_100", "a4", ["480 x 360 mm", "--paper a2"]),
        ("chessboard:9x6:200mm", "a0", ["print shop", "2010x1425mm"]),
    ],
)
def test_a_board_that_does_not_fit_is_refused(spec: str, paper: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        board_sheet(parse_board(spec), paper)
    assert all(w in str(caught.value) for w in words), str(caught.value)


def test_a_box_of_tags_is_not_printed_on_one_sheet() -> None:
    tags = [
        {"id": 1, "centre_m": [0, 0, 0]},
        {"id": 2, "centre_m": [0, 0.05, 0.05], "down": [0, 0, 1]},
    ]
    box = Board(kind="tags", dictionary="DICT_4X4_50", marker_m=0.08, tags=tags)
    assert not box.planar
    with pytest.raises(InputError, match="one by one"):
        board_sheet(box, "a4")


def test_paper_sizes() -> None:
    assert paper_size("A4") == (210, 297)
    assert paper_size("500x350mm") == (500, 350)
    with pytest.raises(InputError, match="a4"):
        paper_size("foolscap")


def test_other_peoples_files_are_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "board.pdf"
    (tmp_path / "board.yaml").write_text("mine")
    assert main(["calib", "board", SPECS[0], "--out", str(out)]) == 2
    assert "--force" in capsys.readouterr().err
    assert not out.exists()
    assert main(["calib", "board", SPECS[0], "--out", str(out), "--force"]) == 0
    assert main(["calib", "board", SPECS[0], "--out", str(tmp_path / "board.doc")]) == 2
    assert ".pdf, .svg, .png" in capsys.readouterr().err
