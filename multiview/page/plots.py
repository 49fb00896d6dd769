"""Curves, bars and intervals as SVG: axes with round numbers, a legend, readable in print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from multiview._shapes import F64
from multiview.page.svg import INK, LINE, MUTED, picture, polyline, tag, text

__all__ = ["COLOURS", "bars", "curves", "intervals", "round_steps"]

# Told apart by the colour-blind (Okabe and Ito 2008), darkest first.
COLOURS = ("#1f6fb2", "#d9480f", "#2f9e77", "#8e5ea2", "#a68a00", "#5d6d7e")
DASHES = ("none", "6 3", "2 3", "8 3 2 3", "none", "6 3")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520.0, 300.0, 46.0, 12.0, 26.0, 40.0


def round_steps(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``, about so many: 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-12)
    raw = span / about
    power = 10.0 ** np.floor(np.log10(raw))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    first = np.ceil(low / step - 1e-9)
    return [float(k * step) + 0.0 for k in np.arange(first, high / step + 1e-9)]  # no -0


def curves(
    lines: Mapping[str, tuple[F64, F64]], x_label: str, title: str, *, top: float = 1.0
) -> str:
    """Draw lines over a common axis; shares (0 to 1) as percents if ``top`` is 1.

    Parameters
    ----------
    lines
        Name to x and y, shape (N,) each; all begin and end at the same x.
    x_label, title
        Text.
    top
        Upper end of the y axis.
    """
    x0, x1 = (float(f(x for x, _ in lines.values())) for f in (_first, _last))

    def at(x: F64, y: F64) -> F64:
        across = LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)
        return np.stack(np.broadcast_arrays(across, down), -1).astype(np.float64)

    body = []
    for value in round_steps(0, top):
        (xa, y), (xb, _) = at(np.array([x0, x1]), np.array(value)).tolist()
        body.append(tag("path", d=f"M{xa:.1f} {y:.1f}H{xb:.1f}", stroke=LINE))
        shown = f"{value:.0%}" if top == 1 else f"{value:g}"
        body.append(_small(xa - 6, y + 3.5, shown, "end"))
    for value in round_steps(x0, x1):
        ((x, y),) = at(np.array([value]), np.array([0.0])).tolist()
        body.append(tag("path", d=f"M{x:.1f} {y:.1f}v4", stroke=MUTED))
        body.append(_small(x, y + 16, f"{value:g}", "middle"))
    body.append(_small((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, x_label, "middle"))
    for n, (x, y) in enumerate(lines.values()):
        style = {"stroke": COLOURS[n % 6], "stroke_width": "2", "stroke_dasharray": DASHES[n % 6]}
        body.append(polyline(at(x, np.minimum(y, top)), **style))
    body.append(_legend(list(lines)))
    return picture(WIDTH, HEIGHT, "".join(body), title)


def _first(values: object) -> float:
    return min(float(x[0]) for x in values)  # type: ignore[attr-defined]


def _last(values: object) -> float:
    return max(float(x[-1]) for x in values)  # type: ignore[attr-defined]


def _small(x: float, y: float, body: str, anchor: str, colour: str = MUTED) -> str:
    return text(x, y, body, font_size=10.5, fill=colour, text_anchor=anchor)


def _legend(names: Sequence[str]) -> str:
    body, x = [], LEFT
    for n, name in enumerate(names if len(names) > 1 else []):
        style = {"stroke": COLOURS[n % 6], "stroke_width": "2.5", "stroke_dasharray": DASHES[n % 6]}
        body.append(tag("path", d=f"M{x:.1f} 11h20", **style))
        body.append(_small(x + 25, 14.5, name, "start", INK))
        x += 40 + 6.1 * len(name)
    return "".join(body)


def bars(
    names: Sequence[str], series: Mapping[str, F64], title: str, *, unit: str = "", top: float = 0
) -> str:
    """Draw a row of bars for every name, one bar a series; missing values leave a gap.

    Parameters
    ----------
    names
        Rows.
    series
        Name to values, shape (N,).
    title, unit
        Text; ``"%"`` shows shares as percents.
    top
        End of the axis; the largest value if 0.
    """
    flat = np.concatenate(list(series.values()))
    end = top or float(np.nanmax(flat, initial=0.0)) or 1.0
    thick, gap = (13.0 if len(series) == 1 else 8.0), 5.0
    row = len(series) * thick + gap
    left = 10 + 6.3 * max(len(n) for n in names)
    height = TOP + len(names) * row + 6
    body = [_legend(list(series))]
    for n, name in enumerate(names):
        y = TOP + n * row
        body.append(_small(left - 6, y + (row - gap) / 2 + 3.5, name, "end", INK))
        for k, values in enumerate(series.values()):
            if not np.isfinite(values[n]):
                continue
            long = float(np.clip(values[n] / end, 0, 1)) * (WIDTH - left - 60)
            at, size = (left, y + k * thick), (max(long, 0.5), thick - 1)
            fill = {"fill": COLOURS[k % 6], "rx": "1.5"}
            body.append(tag("rect", x=at[0], y=at[1], width=size[0], height=size[1], **fill))
            shown = f"{values[n]:.1%}" if unit == "%" else f"{values[n]:.3g} {unit}".strip()
            body.append(_small(left + long + 5, y + (k + 1) * thick - 3, shown, "start"))
    return picture(WIDTH, height, "".join(body), title)


def intervals(rows: Sequence[tuple[str, float, float, float]], title: str, shown: str) -> str:
    """Draw differences with their intervals about zero, each row on its own scale.

    Parameters
    ----------
    rows
        Name, value, low and high; rows with missing ends are drawn as a dot.
    title
        Text.
    shown
        What the right side means, as "the second is larger".
    """
    left, right, step = 210.0, 14.0, 24.0
    middle, half = (left + WIDTH - right) / 2, (WIDTH - right - left) / 2
    height = TOP + len(rows) * step + 22
    body = [tag("path", d=f"M{middle:.1f} {TOP - 8}V{height - 20}", stroke=MUTED)]
    for n, (name, value, low, high) in enumerate(rows):
        y = TOP + n * step + 8
        ends = np.array([v for v in (value, low, high) if np.isfinite(v)])
        scale = 0.9 * half / max(float(np.abs(ends).max(initial=0)), 1e-12)
        sure = low > 0 or high < 0
        colour = COLOURS[1] if sure else MUTED
        body.append(_small(left - 10, y + 3.5, name, "end", INK))
        if np.isfinite([low, high]).all():
            line = f"M{middle + low * scale:.1f} {y:.1f}H{middle + high * scale:.1f}"
            body.append(tag("path", d=line, stroke=colour, stroke_width="3", opacity="0.55"))
        if np.isfinite(value):
            body.append(tag("circle", cx=middle + value * scale, cy=y, r=4.5, fill=colour))
    body.append(_small(middle + 6, height - 6, f"{shown} →", "start"))
    return picture(WIDTH, height, "".join(body), title)
