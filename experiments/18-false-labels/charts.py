"""Charts: promised against realised rate, and recall."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 520, 420, 70, 36, 50
INK, GRID, LIMIT, FONT = (40, 40, 40), (225, 225, 225), (60, 60, 200), cv2.FONT_HERSHEY_SIMPLEX
LOW, HIGH = -4.0, -0.5  # decades shown; a rate of 0 is drawn at the bottom


@dataclass
class Line:
    """Promises of one take: realised rate and recall at each."""

    name: str
    points: list[tuple[float, float, float]] = field(default_factory=list)

    def add(self, promise: float, keep: np.ndarray, wrong: np.ndarray, every: int) -> None:
        """Add a promise; nothing kept adds nothing."""
        if keep.any():
            rate = float((keep & wrong).sum() / keep.sum())
            self.points.append((promise, rate, float((keep & ~wrong).sum() / every)))


def promises(lines: list[Line], title: str, path: Path) -> None:
    """Draw both panels of all lines."""
    left = _axes(f"{title}: realised rate", "promised", "realised (0: at the bottom)")
    right = _axes(f"{title}: recall", "promised", "share of all keypoints, right")
    cv2.line(left, _at(LOW, LOW), _at(HIGH, HIGH), LIMIT, 1, cv2.LINE_AA)
    for n, line in enumerate(lines):
        color = _color(n, len(lines))
        rate = [_at(np.log10(p), np.log10(max(r, 10**LOW))) for p, r, _ in line.points]
        recall = [_at(np.log10(p), LOW + (HIGH - LOW) * a) for p, _, a in line.points]
        for picture, marks in ((left, rate), (right, recall)):
            for a, b in itertools.pairwise(marks):
                cv2.line(picture, a, b, color, 1, cv2.LINE_AA)
            for mark in marks:
                cv2.circle(picture, mark, 3, color, -1, cv2.LINE_AA)
    for tick in np.arange(-4, 0):
        for picture in (left, right):
            x, y = _at(float(tick), LOW)
            cv2.putText(picture, f"{10.0**tick:g}", (x - 16, y + 18), FONT, 0.38, INK, 1, 16)
        x, y = _at(LOW, float(tick))
        cv2.putText(left, f"{10.0**tick:g}", (x - 50, y + 4), FONT, 0.38, INK, 1, 16)
    for share in np.linspace(0, 1, 6):
        x, y = _at(LOW, LOW + (HIGH - LOW) * share)
        cv2.putText(right, f"{share:.1f}", (x - 34, y + 4), FONT, 0.38, INK, 1, 16)
    picture = np.concatenate([left, right, _legend(lines)], axis=1)
    cv2.imwrite(str(path), picture)


def _at(x: float, y: float) -> tuple[int, int]:
    wide, high = WIDTH - LEFT - 16, HEIGHT - TOP - BOTTOM
    return (
        LEFT + round(wide * (x - LOW) / (HIGH - LOW)),
        TOP + high - round(high * (min(max(y, LOW), HIGH) - LOW) / (HIGH - LOW)),
    )


def _axes(title: str, x: str, y: str) -> np.ndarray:
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for tick in np.arange(LOW, HIGH + 0.01):
        cv2.line(picture, _at(tick, LOW), _at(tick, HIGH), GRID, 1)
        cv2.line(picture, _at(LOW, tick), _at(HIGH, tick), GRID, 1)
    cv2.putText(picture, title, (LEFT - 30, 20), FONT, 0.46, INK, 1, 16)
    cv2.putText(picture, x, (WIDTH // 2 - 20, HEIGHT - 12), FONT, 0.42, INK, 1, 16)
    cv2.putText(picture, y, (LEFT + 6, TOP + 12), FONT, 0.38, INK, 1, 16)
    return picture


def _legend(lines: list[Line]) -> np.ndarray:
    picture = np.full((HEIGHT, 150, 3), 255, np.uint8)
    step = min(18, (HEIGHT - 40) // max(len(lines), 1))
    for n, line in enumerate(lines):
        y = 30 + n * step
        cv2.line(picture, (4, y), (24, y), _color(n, len(lines)), 2, cv2.LINE_AA)
        cv2.putText(picture, line.name, (30, y + 4), FONT, 0.36, INK, 1, 16)
    return picture


def _color(n: int, of: int) -> tuple[int, int, int]:
    hue = np.uint8([[[round(175 * n / max(of, 1)), 200, 190]]])
    return tuple(int(c) for c in cv2.cvtColor(hue, cv2.COLOR_HSV2BGR)[0, 0])
