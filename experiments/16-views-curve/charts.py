"""The curve as a picture: error over views on two logarithmic axes."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 470, 380, 50, 46, 30
INK, PALE, FONT = (40, 40, 40), (225, 225, 225), cv2.FONT_HERSHEY_SIMPLEX
LINES = {  # legend: pass, figure, colour (BGR), dashed
    "rms, one pass": ("one pass", "rms", (40, 40, 220), False),
    "rms, guided": ("guided", "rms", (200, 110, 0), False),
    "covariance (guided)": ("guided", "predicted", (60, 150, 40), True),
    "bound, isotropic views (guided)": ("guided", "isotropic", (150, 150, 150), True),
}
LOW, HIGH = 0.3, 20.0
TICKS = (0.5, 1, 2, 5, 10)
VIEWS = (2, 3, 4, 6, 8, 16, 31)


def curves(numbers: dict, name: str) -> None:
    """Draw a panel a capture."""
    panels = [_panel(title, rows) for title, rows in numbers.items()]
    cv2.imwrite(str(HERE / name), np.concatenate(panels, axis=1))


def _panel(title: str, rows: dict) -> np.ndarray:
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    right, low = WIDTH - 16, HEIGHT - BOTTOM

    def at(views: float, mm: float) -> tuple[int, int]:
        x = LEFT + (right - LEFT) * np.log(views / 2) / np.log(31 / 2)
        y = low - (low - TOP) * np.log(np.clip(mm, LOW, HIGH) / LOW) / np.log(HIGH / LOW)
        return round(float(x)), round(float(y))

    for mm in TICKS:
        cv2.line(picture, at(2, mm), at(31, mm), PALE, 1)
        _write(picture, f"{mm:g}", (LEFT - 28, at(2, mm)[1] + 4))
    for views in VIEWS:
        cv2.line(picture, at(views, LOW), at(views, HIGH), PALE, 1)
        _write(picture, str(views), (at(views, LOW)[0] - 6, low + 16))
    _write(picture, "views", (WIDTH // 2 - 16, HEIGHT - 8))
    _write(picture, f"{title}: error, mm", (LEFT, 18))
    for n, (label, (kind, figure, color, dashed)) in enumerate(LINES.items()):
        points = [at(v, r[figure]) for v, r in rows[kind].items() if np.isfinite(r[figure])]
        _stroke(picture, points, color, dashed)
        y = TOP + 16 + 15 * n
        _stroke(picture, [(right - 240, y - 4), (right - 212, y - 4)], color, dashed)
        _write(picture, label, (right - 206, y))
    return picture


def _stroke(picture: np.ndarray, points: list, color: tuple, dashed: bool) -> None:
    for a, b in itertools.pairwise(points):
        steps = max(2, int(np.hypot(b[0] - a[0], b[1] - a[1]) / 6))
        ends = np.linspace(a, b, steps + 1).round().astype(int)
        for n in range(0, steps, 2 if dashed else 1):
            cv2.line(picture, tuple(ends[n]), tuple(ends[n + 1]), color, 2, cv2.LINE_AA)
    for p in points if not dashed else ():
        cv2.circle(picture, p, 3, color, -1, cv2.LINE_AA)


def _write(picture: np.ndarray, text: str, place: tuple[int, int]) -> None:
    cv2.putText(picture, text, place, FONT, 0.38, INK, 1, cv2.LINE_AA)
