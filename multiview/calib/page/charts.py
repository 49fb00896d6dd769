"""Pictures of the whole rig: errors against noise, who shares boards with whom, error in space."""

from __future__ import annotations

from typing import Any

import numpy as np

from multiview._shapes import F64
from multiview.calib.evidence import Evidence
from multiview.calib.page.camera_panels import histogram
from multiview.calib.structure import BoardShape
from multiview.geometry.axes import up_axes
from multiview.page.svg import INK, LINE, MUTED, heat, picture, tag, text

__all__ = ["all_errors", "board_picture", "error_range", "error_views", "shared_matrix"]


def all_errors(evidence: Evidence) -> str:
    """Draw all cameras' errors, each in units of its camera's noise."""
    length = np.linalg.norm(evidence.residual_px, axis=-1)
    scaled = length / evidence.noise_px[evidence.corner_view]
    use = evidence.inlier & np.isfinite(scaled)
    dropped = int((~evidence.inlier).sum())
    return histogram(
        scaled[use], 1.0, dropped, "all cameras", size=(520.0, 380.0), unit="times the noise"
    )


def shared_matrix(evidence: Evidence) -> str:
    """Draw how many boards each pair of cameras shares (below) and agrees on (above)."""
    names = evidence.rig.names
    agree, shared = evidence.shared(evidence.agrees), evidence.shared()
    V = len(names)
    cell = float(np.clip(560 / V, 17, 44))
    left = 14.0 + 7.4 * max(len(n) for n in names) * min(1.0, cell / 19)
    size = min(cell * 0.42, 12)
    top = max(int(shared.max(initial=0)), 1)
    body = []
    for i, j in np.ndindex(V, V):
        if i == j:
            continue
        count = int(agree[i, j] if j > i else shared[i, j])
        share = np.sqrt(count / top)
        fill = heat(0.06 + 0.74 * share) if count else "#fff"
        x, y = left + j * cell, i * cell
        side: dict[str, Any] = {"width": cell - 1, "height": cell - 1, "fill": fill, "rx": 1.5}
        body.append(tag("rect", x=x, y=y, **side))
        ink = "#fff" if share > 0.62 else (INK if count else "#b8c2cb")
        where = {"text_anchor": "middle", "font_size": size, "fill": ink}
        body.append(text(x + cell / 2 - 0.5, y + cell / 2 + size * 0.36, str(count), **where))
    turned = cell < 44
    for i, name in enumerate(names):
        middle = i * cell + cell / 2
        style = {"font_size": min(11.0, cell * 0.58), "fill": MUTED}
        body.append(text(left - 6, middle + 3.5, name, text_anchor="end", **style))
        x, y = left + middle, V * cell + 10
        turn = {"transform": f"rotate(-60 {x:.1f} {y:.1f})"} if turned else {}
        body.append(text(x, y, name, text_anchor="end" if turned else "middle", **style, **turn))
    width = left + V * cell + 4
    height = V * cell + (left if turned else 18)
    return picture(width, height, "".join(body), "Boards shared by pairs of cameras", grow=False)


def error_views(evidence: Evidence, positions: F64, rms_mm: F64) -> tuple[str, str]:
    """Draw the expected error in the volume from above and from the side, as tiles of its median.

    Parameters
    ----------
    evidence
        For the axes of the drawing.
    positions, rms_mm
        World, shape (N, 3), and the expected error there, shape (N,), millimetres.
    """
    xyz = positions @ up_axes(evidence.rig).T
    low, high = error_range(rms_mm)
    tiles = int(np.clip(round(len(xyz) ** (1 / 3)), 3, 14))
    out = []
    for axes, side in (((0, 1), "from above"), ((0, 2), "from the side")):
        xy = xyz[:, list(axes)] * [1, -1]
        step = max(float(np.ptp(xy, axis=0).max()) / tiles, 1e-9)
        place = np.floor((xy - xy.min(0)) / step * (1 - 1e-9)).astype(int)
        columns, rows = place.max(0) + 1
        cell = min(420 / columns, 300 / rows)
        body = []
        for x, y in np.unique(place, axis=0).tolist():
            median = float(np.median(rms_mm[(place == (x, y)).all(-1)]))
            share = (median - low) / max(high - low, 1e-12)
            where = {"x": 16 + x * cell, "y": 16 + y * cell, "rx": 2}
            size = cell - 1.5
            body.append(tag("rect", **where, width=size, height=size, fill=heat(share)))
        width, height = 32 + columns * cell, 32 + rows * cell
        said = f"{columns * step:.2f} x {rows * step:.2f} {evidence.rig.unit}"
        body.append(text(16, height - 4, said, font_size=10.5, fill=MUTED))
        out.append(picture(width, height, "".join(body), f"Expected error {side}", "frame"))
    return out[0], out[1]


def error_range(rms_mm: F64) -> tuple[float, float]:
    """Errors of the lightest and the darkest colour: 5 and 95 % of the places."""
    low, high = np.quantile(rms_mm, [0.05, 0.95])
    return float(low), float(high)


def board_picture(points: F64, shape: BoardShape) -> str:
    """Draw the corners of a board, shape (C, 3), coloured by their height off the flat board."""
    xy = points[:, :2] - points[:, :2].min(0)
    size = np.maximum(xy.max(0), 1e-9)
    scale = float(min(440 / size[0], 230 / size[1]))
    radius = float(np.clip(0.42 * scale * _spacing(xy), 2.5, 15))
    width, height = size * scale + 2 * radius + 12
    known = np.isfinite(shape.height)
    top = float(np.abs(shape.height[known]).max(initial=0)) or 1.0
    top *= 1 if shape.bent else 4  # noise is drawn pale
    outer = {"width": width - 2, "height": height - 2, "rx": 8}
    body = [tag("rect", x=1, y=1, **outer, fill="#fff", stroke=LINE)]
    for (x, y), h in zip(xy[known] * scale + radius + 6, shape.height[known], strict=True):
        body.append(tag("circle", cx=x, cy=y, r=radius, fill=_two_sided(h / top)))
    return picture(width, height, "".join(body), "Height of the board's corners", grow=False)


def _spacing(xy: F64) -> float:
    """Median distance of a point to its nearest neighbour."""
    gap = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
    np.fill_diagonal(gap, np.inf)
    return float(np.median(gap.min(1))) if len(xy) > 1 else 1.0


def _two_sided(value: float) -> str:
    """Colour of -1 (blue) over 0 (nearly white) to 1 (orange)."""
    white, ends = np.array([243, 245, 247]), {1: (209, 73, 15), -1: (31, 95, 170)}
    end = np.array(ends[1 if value > 0 else -1])
    mixed = np.rint(white + min(abs(float(value)), 1) * (end - white)).astype(int)
    return "#{:02x}{:02x}{:02x}".format(*mixed)
