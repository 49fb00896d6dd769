"""Pictures of one camera: where corners lay, where errors point, how boards tilted."""

from __future__ import annotations

from base64 import b64encode

import numpy as np

from multiview._shapes import F64
from multiview.calib.evidence import Evidence
from multiview.calib.structure import ResidualMap
from multiview.page.svg import (
    ACCENT,
    INK,
    LINE,
    MUTED,
    REJECT,
    dots,
    heat,
    number,
    picture,
    polyline,
    tag,
    text,
)

__all__ = ["coverage", "histogram", "over_frames", "residual_picture", "tilt_picture"]

# Width of the pictures' own coordinates: dots are rounded to these, which bounds the page's size.
WIDTH = 320.0
# Dots drawn of each kind; a random choice beyond.
MANY_DOTS = 2200
# Standard deviations up to which errors are drawn.
SPREADS = 5.0
BINS = 20
TILT_RINGS, TILT_MAX = (30, 60), 75.0
# Root mean squares over a board view are drawn up to so many times what noise gives: of 5 corners
# already, three times is beyond chance (chi-square of 10, below 1e-12).
TIMES_NOISE = 3.0


def _some(xy: F64) -> F64:
    places = np.unique(np.rint(xy).astype(int), axis=0).astype(np.float64)
    if len(places) <= MANY_DOTS:
        return places
    return np.asarray(np.random.default_rng(0).choice(places, MANY_DOTS, replace=False))


def _scaled(evidence: Evidence, view: int) -> tuple[float, float]:
    width, height = evidence.rig.cameras[view].intrinsics.size_wh
    return WIDTH / width, WIDTH * height / width


def coverage(evidence: Evidence, view: int, thumbnail: bytes | None = None) -> str:
    """Draw kept and dropped corners over a picture of the camera (JPEG), if there is one."""
    scale, height = _scaled(evidence, view)
    at = evidence.of_view(view)
    xy = (evidence.xy_px[at] + 0.5) * scale
    kept = evidence.inlier[at]
    body = tag("rect", width=WIDTH, height=height, fill="#eef2f5")
    if thumbnail:
        data = b64encode(thumbnail).decode()
        body += (
            f'<image href="data:image/jpeg;base64,{data}" width="{number(WIDTH)}" '
            f'height="{number(height)}" preserveAspectRatio="none" opacity="0.62"/>'
        )
    for k in (1, 2):
        thirds = f"M{number(WIDTH * k / 3)} 0v{number(height)}M0 {number(height * k / 3)}h{WIDTH:g}"
        body += tag("path", d=thirds, stroke="#fff", stroke_opacity="0.55", stroke_width="0.8")
    body += dots(_some(xy[kept]), ACCENT, 2.4, 0.75) + dots(_some(xy[~kept]), REJECT, 3.4, 0.9)
    name = evidence.rig.names[view]
    return picture(WIDTH, height, body, f"Corners in the picture of {name}")


def residual_picture(
    evidence: Evidence, view: int, residuals: ResidualMap, top_px: float, magnified: float
) -> str:
    """Shade cells by error and draw their mean residual.

    Parameters
    ----------
    evidence, view, residuals
        The camera and its map.
    top_px
        Error of the darkest shade.
    magnified
        Length of an arrow for one pixel of mean residual, in cells.
    """
    _, height = _scaled(evidence, view)
    rows, columns = residuals.count.shape
    cell = max(WIDTH, height) / max(rows, columns)
    body = [tag("rect", width=WIDTH, height=height, fill="#fff")]
    for r, c in np.argwhere(residuals.count > 0).tolist():
        body.append(
            tag(
                "rect",
                x=c * cell,
                y=r * cell,
                width=cell,
                height=cell,
                fill=heat(0.08 + 0.72 * residuals.rms_px[r, c] / top_px),
            )
        )
    body += [_arrow(residuals, r, c, cell, magnified) for r, c in _told(residuals)]
    for r, c in np.argwhere(residuals.significant).tolist():
        where = {"x": c * cell + 0.8, "y": r * cell + 0.8, "width": cell - 1.6}
        body.append(
            tag("rect", **where, height=cell - 1.6, fill="none", stroke=REJECT, stroke_width="1.8")
        )
    body.append(tag("rect", width=WIDTH, height=height, fill="none", stroke=LINE, stroke_width="2"))
    name = evidence.rig.names[view]
    return picture(WIDTH, height, "".join(body), f"Mean residuals of {name} by place")


def _told(residuals: ResidualMap) -> list[list[int]]:
    """Cells with enough corners for a mean: 4 halve the noise."""
    chosen: list[list[int]] = np.argwhere(residuals.count >= 4).tolist()
    return chosen


def _arrow(residuals: ResidualMap, r: int, c: int, cell: float, magnified: float) -> str:
    start = np.array([c + 0.5, r + 0.5]) * cell
    step = residuals.mean_px[r, c] * magnified * cell
    length = float(np.linalg.norm(step))
    if length > 1.4 * cell:
        step *= 1.4 * cell / length
    dot = f"M{number(start[0])} {number(start[1])}h0"
    line = f"M{number(start[0])} {number(start[1])}l{number(step[0])} {number(step[1])}"
    colour = REJECT if residuals.significant[r, c] else "#44586b"
    width = {"fill": "none", "stroke": colour, "stroke_linecap": "round"}
    return tag("path", d=line, stroke_width="1.5", **width) + tag(
        "path", d=dot, stroke_width="3.4", **width
    )


def tilt_picture(tilts: F64, agrees: F64, name: str) -> str:
    """Draw the tilts of the boards that a camera saw, degrees (S, 2), seen along its axis."""
    size, middle = 200.0, 100.0
    scale = 88 / TILT_MAX
    body = [tag("circle", cx=middle, cy=middle, r=TILT_MAX * scale, fill="#f5f8fa", stroke=LINE)]
    for ring in TILT_RINGS:
        r = ring * scale
        body.append(tag("circle", cx=middle, cy=middle, r=r, fill="none", stroke=LINE))
        body.append(
            text(middle + r * 0.71 + 2, middle - r * 0.71 - 2, f"{ring}°", font_size=9, fill=MUTED)
        )
    across = f"M{middle - 88} {middle}h176M{middle} {middle - 88}v176"
    body.append(tag("path", d=across, stroke=LINE))
    known = np.isfinite(tilts).all(-1)
    angle = np.linalg.norm(tilts, axis=-1, keepdims=True)
    capped = tilts * np.minimum(1, TILT_MAX / np.maximum(angle, 1e-9))
    xy = 4 * (middle + scale * capped)
    dots_ = dots(xy[known & agrees.astype(bool)], ACCENT, 12, 0.6)
    body.append(f'<g transform="scale(.25)">{dots_}</g>')
    return picture(size, size, "".join(body), f"Tilts of the board seen by {name}")


def histogram(
    length_px: F64,
    noise_px: float,
    dropped: int,
    name: str,
    *,
    size: tuple[float, float] = (230.0, 200.0),
    unit: str = "px",
) -> str:
    """Draw the lengths of errors (N,) against what noise of that size would give (Rayleigh)."""
    width, height = size
    left, base = 6.0, height - 28
    end = SPREADS * noise_px
    span = width - 2 * left
    counts, edges = np.histogram(np.minimum(length_px, end * 0.9999), BINS, (0, end))
    density = counts / max(counts.sum(), 1) * BINS / SPREADS
    x = np.linspace(0, SPREADS, 101)
    expected = x * np.exp(-(x**2) / 2)
    tall = (base - 12) / max(float(density.max(initial=0)), float(expected.max()) * 1.05)
    step = span / BINS
    bars = "".join(
        f"M{number(left + i * step + 0.6)} {base:g}v{number(-d * tall)}h{number(step - 1.2)}"
        f"v{number(d * tall)}"
        for i, d in enumerate(density.tolist())
    )
    curve = np.stack([left + span * x / SPREADS, base - tall * expected], -1)
    body = tag("path", d=bars, fill="#a9cbe6")
    body += polyline(curve, stroke=INK, stroke_width="1.5")
    body += tag("path", d=f"M{left:g} {base:g}h{span:g}", stroke=MUTED, stroke_width="0.8")
    digits = 2 if edges[-1] < 3 else 1
    for k, anchor in ((0, "start"), (0.5, "middle"), (1, "end")):
        shown = "0" if not k else f"{k * end:.{digits}f}" + (f" {unit}" if k == 1 else "")
        body += text(
            left + k * span, base + 14, shown, font_size=10.5, fill=MUTED, text_anchor=anchor
        )
    if dropped:
        body += text(
            width - left, 18, f"{dropped:,} dropped", font_size=11, fill=REJECT, text_anchor="end"
        )
    return picture(width, height, body, f"Errors of {name} and what noise would give")


def over_frames(evidence: Evidence, view: int) -> str:
    """Draw the error of every board view of a camera against its frame.

    A camera that was moved, or a clock that runs away, is a step or a slope. Empty where boards
    were seen in fewer than three frames, as with boards that lie still.
    """
    mine = np.flatnonzero((evidence.view == view) & (evidence.pose >= 0))
    frames = evidence.pose_frame[evidence.pose[mine]].astype(np.float64)
    if len(np.unique(frames)) < 3:
        return ""
    noise = float(evidence.noise_px[view]) * np.sqrt(2)  # of both coordinates
    rms = _view_rms(evidence)[mine]
    width, height, left, base = 1080.0, 66.0, 74.0, 50.0
    first, last = float(evidence.pose_frame.min()), float(evidence.pose_frame.max())
    scale = (base - 8) / TIMES_NOISE
    bad = ~(rms <= TIMES_NOISE * noise) | ~evidence.agrees[mine]
    share = np.clip(np.where(bad, TIMES_NOISE, rms / (noise or 1.0)), 0, TIMES_NOISE)
    x = left + (frames - first) / max(last - first, 1) * (width - left - 12)
    at = np.stack([x, base - scale * share], -1)
    level = base - scale
    body = tag("path", d=f"M{left} {base}H{width - 12}", stroke=MUTED, stroke_width="0.8")
    body += tag("path", d=f"M{left} {level:.1f}H{width - 12}", stroke=INK, stroke_dasharray="4 3")
    style = {"font_size": 10.5, "fill": MUTED}
    body += text(left - 6, level + 3.5, f"{noise:.3f} px", text_anchor="end", **style)
    body += text(left, height - 3, f"frame {first:.0f}", **style)
    body += text(width - 12, height - 3, f"{last:.0f}", text_anchor="end", **style)
    body += _fine_dots(at[~bad], ACCENT) + _fine_dots(at[bad], REJECT)
    return picture(width, height, body, f"Errors of {evidence.rig.names[view]} by frame")


def _fine_dots(xy: F64, colour: str) -> str:
    """Draw dots on a grid of quarters."""
    return f'<g transform="scale(.25)">{dots(4 * xy, colour, 18, 0.75)}</g>'


def _view_rms(evidence: Evidence) -> F64:
    """Root mean square of the error lengths of each sighting's kept corners, (S,); NaN of none."""
    squared = (evidence.residual_px**2).sum(-1)
    use = evidence.inlier & np.isfinite(squared)
    count = np.bincount(evidence.sighting[use], minlength=len(evidence.view))
    total = np.bincount(evidence.sighting[use], squared[use], minlength=len(evidence.view))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sqrt(total / count))
