"""Reliability diagrams, drawn with OpenCV."""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from multiview.models.confidence import reliability

SIDE, MARGIN, LEGEND = 360, 60, 150
INK, GRID = (40, 40, 40), (225, 225, 225)
# passes -> label, BGR colour; -1 is the raw presence
SERIES = {
    -1: ("presence, as MediaPipe gives it", (150, 150, 150)),
    0: ("calibrated, no extra pass", (210, 120, 30)),
    2: ("calibrated, 2 extra passes", (60, 160, 60)),
    8: ("calibrated, 8 extra passes", (60, 60, 210)),
}
FEWEST = 50  # points of a bin with fewer are hollow: chance alone moves them


def reliability_diagram(
    curves: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]], names: tuple[str, ...]
) -> np.ndarray:
    """One panel a capture: share right against confidence, a line a method."""
    panels = [_panel(name, {p: curves[name, p] for p in SERIES}) for name in names]
    picture = np.hstack(panels)
    legend = np.full((LEGEND, picture.shape[1], 3), 255, np.uint8)
    for n, (label, colour) in enumerate(SERIES.values()):
        y = 24 + 30 * n
        cv2.line(legend, (MARGIN, y), (MARGIN + 40, y), colour, 3, cv2.LINE_AA)
        _text(legend, label, (MARGIN + 55, y + 5))
    return np.vstack([picture, legend])


def _panel(name: str, curves: dict[int, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    full = SIDE + 2 * MARGIN
    image = np.full((full, full, 3), 255, np.uint8)
    for tick in np.linspace(0, 1, 6):
        cv2.line(image, _at(tick, 0), _at(tick, 1), GRID, 1)
        cv2.line(image, _at(0, tick), _at(1, tick), GRID, 1)
        x, y = _at(tick, 0)
        _text(image, f"{tick:.1f}", (x - 12, y + 20))
        x, y = _at(0, tick)
        _text(image, f"{tick:.1f}", (x - 34, y + 5))
    cv2.line(image, _at(0, 0), _at(1, 1), INK, 1, cv2.LINE_AA)
    for passes, (conf, right) in curves.items():
        _curve(image, SERIES[passes][1], *reliability(conf, right))
    _text(image, f"{name}: share within 10 % of the hand", (MARGIN, MARGIN - 22))
    _text(image, "confidence", (full // 2 - 40, full - 12))
    return image


def _curve(
    image: np.ndarray,
    colour: tuple[int, int, int],
    said: np.ndarray,
    came: np.ndarray,
    n: np.ndarray,
) -> None:
    points = [_at(said[i], came[i]) for i in np.flatnonzero(n)]
    for a, b in itertools.pairwise(points):
        cv2.line(image, a, b, colour, 2, cv2.LINE_AA)
    for point, count in zip(points, n[n > 0], strict=True):
        cv2.circle(image, point, 5, colour, -1, cv2.LINE_AA)
        if count < FEWEST:
            cv2.circle(image, point, 3, (255, 255, 255), -1, cv2.LINE_AA)


def _at(x: float, y: float) -> tuple[int, int]:
    return round(MARGIN + x * SIDE), round(MARGIN + (1 - y) * SIDE)


def _text(image: np.ndarray, text: str, at: tuple[int, int]) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
