"""A board on a sheet of paper, true to scale: SVG, PDF and PNG written from its rectangles."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from xml.sax.saxutils import escape

import cv2
import numpy as np

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.board_spec import board_spec
from multiview.calib.drawing import board_extent, board_rectangles
from multiview.errors import InputError

__all__ = ["PAPERS_MM", "Sheet", "board_sheet", "paper_size", "sheet_pdf", "sheet_png", "sheet_svg"]

PAPERS_MM = {
    "a5": (148.0, 210.0),
    "a4": (210.0, 297.0),
    "letter": (215.9, 279.4),
    "legal": (215.9, 355.6),
    "a3": (297.0, 420.0),
    "tabloid": (279.4, 431.8),
    "a2": (420.0, 594.0),
    "a1": (594.0, 841.0),
    "a0": (841.0, 1189.0),
}
# White that printers leave anyway, and that detectors want around the pattern.
MARGIN_MM = 5.0
# Strip below the board for the ruler and the text.
FOOT_MM = 15.0
RULER_MM, LINE_MM = 100.0, 0.2
TEXT_MM = 3.0
# An edge lies within 0.02 mm of its place.
PNG_DPI = 600
PT_PER_MM = 72 / 25.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What is printed, millimetres from the upper left corner of the paper.

    Parameters
    ----------
    width_mm, height_mm
        The paper.
    layers
        Painted in this order: grey level (0 black, 255 white) and rectangles (N, 4) of x, y, width
        and height.
    texts
        Left end, base line, and words.
    """

    width_mm: float
    height_mm: float
    layers: tuple[tuple[int, F64], ...]
    texts: tuple[tuple[float, float, str], ...]


def paper_size(name: str) -> tuple[float, float]:
    """Width and height of a paper, mm: a name of `PAPERS_MM`, or ``"WxH"`` or ``"WxHmm"``.

    Raises
    ------
    InputError
        If it is neither.
    """
    if name.lower() in PAPERS_MM:
        return PAPERS_MM[name.lower()]
    try:
        width, height = (float(x) for x in name.lower().removesuffix("mm").split("x"))
    except ValueError:
        width = height = 0.0
    if not (20 <= width <= 5000 and 20 <= height <= 5000):
        known = ", ".join(PAPERS_MM)
        raise InputError(
            f"paper {name!r} is not known", f"one of {known}, or its size such as 500x350mm"
        )
    return width, height


def board_sheet(board: Board, paper: str) -> Sheet:
    """Lay a board out on paper, upright or across, with a ruler and the words that name it.

    Raises
    ------
    InputError
        If the board is not flat, or does not fit; names a paper that would do.
    """
    low, high = 1000 * board_extent(board)
    size = high - low
    across, down = _oriented(paper_size(paper), size)
    need = _needed(size)
    if need[0] > across or need[1] > down:
        raise InputError(
            f"{board.describe()} is {size[0]:g} x {size[1]:g} mm and needs {need[0]:g} x "
            f"{need[1]:g} mm of paper with rim and ruler; {paper} is {across:g} x {down:g} mm",
            _what_fits(size),
        )
    place = np.array([(across - size[0]) / 2, (down - FOOT_MM - size[1]) / 2])
    rectangles = 1000 * board_rectangles(board)
    rectangles[:, :2] += place - low
    layers: list[tuple[int, F64]] = [(0, rectangles)]
    if board.inverted:
        rim = MARGIN_MM / 2
        sheet = np.array([[*(place - rim), *(size + 2 * rim)]])
        layers = [(0, sheet), (255, rectangles)]
    ruler, texts = _foot(board, across, down)
    layers.append((0, ruler))
    return Sheet(width_mm=across, height_mm=down, layers=tuple(layers), texts=texts)


def _needed(size: F64) -> F64:
    return np.asarray(np.round(size + 2 * MARGIN_MM + [0, FOOT_MM], 3))


def _oriented(paper: tuple[float, float], size: F64) -> tuple[float, float]:
    """Turn the paper as the board lies."""
    for option in (paper, paper[::-1]):
        if (np.array(option) >= _needed(size)).all():
            return option
    return paper if (size[0] < size[1]) == (paper[0] < paper[1]) else paper[::-1]


def _what_fits(size: F64) -> str:
    need = _needed(size)
    for name, paper in PAPERS_MM.items():
        if any((np.array(p) >= need).all() for p in (paper, paper[::-1])):
            return f"--paper {name} is large enough; or choose fewer or smaller squares"
    return (
        f"--paper {np.ceil(need[0]):g}x{np.ceil(need[1]):g}mm at a print shop (no tiles: a board "
        "glued together is not flat); or choose fewer or smaller squares"
    )


def _foot(
    board: Board, across: float, down: float
) -> tuple[F64, tuple[tuple[float, float, str], ...]]:
    """Ruler and text in the strip below the board."""
    left, base = 2 * MARGIN_MM, down - MARGIN_MM - 3.5
    length = float(min(RULER_MM, 10 * np.floor((across - 2 * left) / 10)))
    marks = [[left, base - LINE_MM / 2, length, LINE_MM]]
    for n in range(int(length / 10) + 1):
        height = 4.0 if n % 5 == 0 else 2.5
        marks.append([left + 10 * n - LINE_MM / 2, base - height, LINE_MM, height])
    text = [
        (left, down - MARGIN_MM, board_spec(board)),
        (left + length + 3, base - 1.5, f"{length:g} mm: print at 100 %, then measure"),
    ]
    if left + length + 3 + 60 > across:  # no room to the right of a narrow sheet's ruler
        text[1] = (left + 3, base - 5, text[1][2])
    return np.array(marks), tuple(text)


def sheet_svg(sheet: Sheet) -> str:
    """Draw as SVG whose unit is the millimetre."""
    w, h = f"{sheet.width_mm:g}", f"{sheet.height_mm:g}"
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}mm" height="{h}mm" '
        f'viewBox="0 0 {w} {h}">',
        f'<rect width="{w}" height="{h}" fill="#ffffff"/>',
    ]
    for grey, rectangles in sheet.layers:
        # one path a layer: rectangles that touch leave no hairline
        parts = (f"M{x:.4f} {y:.4f}h{a:.4f}v{b:.4f}h{-a:.4f}z" for x, y, a, b in rectangles)
        lines.append(f'<path fill="#{grey:02x}{grey:02x}{grey:02x}" d="{"".join(parts)}"/>')
    for x, y, words in sheet.texts:
        lines.append(
            f'<text x="{x:.2f}" y="{y:.2f}" font-family="Helvetica,Arial,sans-serif" '
            f'font-size="{TEXT_MM}">{escape(words)}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


def sheet_pdf(sheet: Sheet) -> bytes:
    """Draw as PDF (1.7, one page), which asks to be printed without scaling."""
    k, height = PT_PER_MM, sheet.height_mm
    page: list[str] = []
    for grey, rectangles in sheet.layers:
        page.append(f"{grey / 255:g} g")
        page += [
            f"{x * k:.4f} {(height - y - b) * k:.4f} {a * k:.4f} {b * k:.4f} re"
            for x, y, a, b in rectangles
        ]
        page.append("f")
    page.append("0 g")
    for x, y, words in sheet.texts:
        safe = words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        where = f"{x * k:.2f} {(height - y) * k:.2f} Td"
        page.append(f"BT /F1 {TEXT_MM * k:.2f} Tf {where} ({safe}) Tj ET")
    content = "\n".join(page).encode("latin-1", "replace")
    box = f"[0 0 {sheet.width_mm * k:.4f} {height * k:.4f}]"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox {box} /Contents 4 0 R "
        "/Resources << /Font << /F1 5 0 R >> >> >>".encode(),
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    return _pdf_file(objects)


def _pdf_file(objects: list[bytes]) -> bytes:
    out, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start, count = len(out), len(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % count
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, start)
    return bytes(out)


def sheet_png(sheet: Sheet, dpi: int = PNG_DPI) -> bytes:
    """Draw as a grey PNG that states its resolution."""
    k = dpi / 25.4
    image = np.full((round(sheet.height_mm * k), round(sheet.width_mm * k)), 255, np.uint8)
    for grey, rectangles in sheet.layers:
        x0, y0 = np.rint(rectangles[:, :2].T * k).astype(int)
        x1, y1 = np.rint((rectangles[:, :2] + rectangles[:, 2:]).T * k).astype(int)
        for a, b, c, d in zip(x0, y0, x1, y1, strict=True):
            image[b : max(d, b + 1), a : max(c, a + 1)] = grey
    for x, y, words in sheet.texts:
        size = TEXT_MM * k / 30  # Hershey letters are about 22 px high, their lines 30
        at, width = (round(x * k), round(y * k)), max(1, round(k / 8))
        cv2.putText(image, words, at, cv2.FONT_HERSHEY_SIMPLEX, size, 0, width, cv2.LINE_AA)
    height, width = image.shape
    per_metre = round(dpi / 0.0254)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image], 1)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
            _chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
