"""Pictures of the experiment: PCK curves, and the views that are hardest to read."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np

from multiview.core import HAND_21
from multiview.geometry.metrics import pck
from multiview.viz.overlay import Layer, caption, contact_sheet, crop_square, draw_hand

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 470, 400, 54, 42, 30
INK, GRID, FONT = (40, 40, 40), (225, 225, 225), cv2.FONT_HERSHEY_SIMPLEX
# One colour a way to detect (BGR); with jitter the same, dashed.
COLORS = [(150, 150, 150), (40, 40, 220), (200, 110, 0), (60, 150, 40)]
TILE = 200
EXAMPLES = 10


def pck_curves(title: str, rows: list, truth, path: Path) -> None:
    """Draw the share of keypoints within a distance, in hand sizes and in pixels."""
    share = [np.linalg.norm(r.xy - truth.xy, axis=-1) / truth.size_px[..., None] for r in rows]
    px = [np.linalg.norm(r.xy - truth.xy, axis=-1) for r in rows]
    left = panel(share, 0.3, "error / hand size", f"{title}: share of keypoints within")
    right = panel(px, 30, "error, px", f"{title}: share of keypoints within")
    picture = np.concatenate([left, right], axis=1)
    legend(picture, [r.name for r in rows])
    cv2.imwrite(str(path), picture)


def panel(errors: list, end: float, unit: str, title: str) -> np.ndarray:
    """One set of axes with a curve a row."""
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    wide, high = WIDTH - LEFT - 16, HEIGHT - TOP - BOTTOM
    for n in range(6):
        y = TOP + high - round(n * high / 5)
        cv2.line(picture, (LEFT, y), (LEFT + wide, y), GRID, 1)
        write(picture, f"{n / 5:.1f}", (LEFT - 32, y + 4))
        x = LEFT + round(n * wide / 5)
        cv2.line(picture, (x, TOP), (x, TOP + high), GRID, 1)
        write(picture, f"{n * end / 5:.3g}", (x - 10, TOP + high + 16))
    write(picture, unit, (LEFT + wide // 2 - 40, HEIGHT - 8))
    write(picture, title, (LEFT, 18))
    at = np.linspace(0, end, 121)
    for n, error in enumerate(errors):
        curve = np.stack([LEFT + at / end * wide, TOP + high * (1 - pck(error, at))], -1)
        stroke(picture, curve, *style(n))
    cv2.rectangle(picture, (LEFT, TOP), (LEFT + wide, TOP + high), INK, 1)
    return picture


def style(n: int) -> tuple[tuple[int, int, int], bool]:
    """Colour of a row, and whether it is dashed."""
    return COLORS[n % len(COLORS)], n >= len(COLORS)


def stroke(picture: np.ndarray, curve: np.ndarray, color: tuple, dashed: bool) -> None:
    """Draw a polyline; dashed ones leave out every third piece."""
    points = np.round(curve * 16).astype(int)
    for n, (a, b) in enumerate(itertools.pairwise(points)):
        if not (dashed and n % 3 == 2):
            cv2.line(picture, a.tolist(), b.tolist(), color, 2, cv2.LINE_AA, 4)


def legend(picture: np.ndarray, names: list[str]) -> None:
    """Write the names into the empty corner of the right panel."""
    y = HEIGHT - BOTTOM - 14 - 16 * (len(names) - 1)
    for n, name in enumerate(names):
        color, dashed = style(n)
        x, here = WIDTH + 200, y + 16 * n
        stroke(
            picture, np.stack([np.linspace(x, x + 26, 7), np.full(7, here - 4)], -1), color, dashed
        )
        write(picture, name.strip(), (x + 32, here))


def write(picture: np.ndarray, text: str, at: tuple[int, int]) -> None:
    """Write small dark text."""
    cv2.putText(picture, text, at, FONT, 0.38, INK, 1, cv2.LINE_AA)


def hardest(truth, first, guided, path: Path) -> None:
    """Tiles of views that the first pass missed or read worst: truth, first pass, guided pass."""
    rows = [[]]
    for v, f in worst(truth, first).tolist():
        image = truth.capture.image(v, f)
        for name, xy in (
            (f"{truth.capture.names[v]} #{f} truth", truth.xy[v, f]),
            ("first pass", first.xy[v, f]),
            ("guided", guided.xy[v, f]),
        ):
            tile, move = crop_square(image, truth.xy[v, f], TILE, 1.6)
            if np.isfinite(xy).any():
                draw_hand(tile, xy @ move[:, :2].T + move[:, 2], HAND_21, Layer.SOLID, 0.6)
            caption(tile, name if np.isfinite(xy).any() else f"{name}: none", 0.4)
            rows[-1].append(tile)
        if len(rows[-1]) >= 6:
            rows.append([])
    cv2.imwrite(str(path), contact_sheet([r for r in rows if r]), [cv2.IMWRITE_JPEG_QUALITY, 85])


def worst(truth, first) -> np.ndarray:
    """Views (v, f) evenly from those with the largest error; a missed hand counts most."""
    share = np.linalg.norm(first.xy - truth.xy, axis=-1).mean(-1) / truth.size_px
    share = np.where(np.isfinite(share), share, 10 - truth.visible.mean(-1))
    order = np.argsort(-share, axis=None, kind="stable")
    hard = order[: max(EXAMPLES, (share > 0.15).sum())]
    pick = hard[np.linspace(0, len(hard) - 1, EXAMPLES).astype(int)]
    return np.stack(np.unravel_index(pick, share.shape), -1)
