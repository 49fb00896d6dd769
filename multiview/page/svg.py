"""Pieces of SVG and HTML as text."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from multiview._shapes import F64

__all__ = ["HEAT", "MUTED", "heat", "legend", "number", "picture", "tag", "text"]

INK, MUTED, LINE, ACCENT, REJECT = "#1b2733", "#5d6d7e", "#d5dde4", "#1f6fb2", "#d9480f"
# Light to dark in even steps of lightness, readable in print and by the colour-blind.
HEAT = ("#f7fbff", "#d6e6f4", "#abd0e6", "#6aaed6", "#3787c0", "#105ba4", "#08306b")


def number(value: float) -> str:
    """Write a coordinate to a tenth, without a needless zero."""
    return f"{value:.1f}".removesuffix(".0")


def tag(name: str, body: str = "", **attributes: Any) -> str:
    """Write an element; underscores in attribute names become dashes, ``class_`` is ``class``."""
    parts = []
    for key, value in attributes.items():
        shown = number(value) if isinstance(value, float) else str(value)
        parts.append(f' {key.rstrip("_").replace("_", "-")}="{escape(shown, quote=True)}"')
    return f"<{name}{''.join(parts)}>{body}</{name}>"


def text(x: float, y: float, body: str, **attributes: Any) -> str:
    """Write a label in a picture."""
    return tag("text", escape(body), x=float(x), y=float(y), **attributes)


def picture(
    width: float, height: float, body: str, label: str, class_: str = "", *, grow: bool = True
) -> str:
    """Write an SVG picture that scales with the page; ``label`` is read to those who cannot see.

    Without `grow` it is never larger than its own coordinates: few cells do not fill a page.
    """
    style = "" if grow else f' style="max-width:{width:.0f}px"'
    return (
        f'<svg class="{class_}"{style} viewBox="0 0 {number(width)} {number(height)}" role="img" '
        f'aria-label="{escape(label, quote=True)}">{body}</svg>'
    )


def heat(share: float) -> str:
    """Colour of a value from 0 to 1."""
    place = float(np.clip(share, 0, 1)) * (len(HEAT) - 1)
    low = min(int(place), len(HEAT) - 2)
    a, b = (np.array([int(HEAT[low + k][i : i + 2], 16) for i in (1, 3, 5)]) for k in (0, 1))
    mixed = np.rint(a + (place - low) * (b - a)).astype(int)
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def dots(xy: F64, colour: str, size: float, opacity: float = 1.0) -> str:
    """Draw many dots, shape (N, 2), as one short path; equal places are drawn once."""
    places = np.unique(np.rint(xy).astype(int), axis=0)
    path = "".join(f"M{x} {y}h0" for x, y in places.tolist())
    return tag(
        "path",
        d=path,
        fill="none",
        stroke=colour,
        stroke_width=float(size),
        stroke_linecap="round",
        stroke_opacity=f"{opacity:g}",
    )


def polyline(xy: F64, **attributes: Any) -> str:
    """Draw a line through points of shape (N, 2)."""
    path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in xy.tolist())
    return tag("path", d=path, fill="none", **attributes)


def legend(low: str, high: str) -> str:
    """Draw the colour scale with its two ends."""
    steps = "".join(f'<i style="background:{c}"></i>' for c in HEAT)
    return f'<span class="scale">{escape(low)} <b>{steps}</b> {escape(high)}</span>'
