"""The section that shows one camera after the other."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

from multiview._shapes import F64
from multiview.calib.advice import Level, tilt_vectors
from multiview.calib.assess import Assessment
from multiview.calib.evidence import Evidence
from multiview.calib.page.camera_panels import (
    coverage,
    histogram,
    over_frames,
    residual_picture,
    tilt_picture,
)
from multiview.calib.result import CalibrationResult
from multiview.calib.structure import ResidualMap
from multiview.page.svg import ACCENT, REJECT, legend

__all__ = ["CLASS", "camera_section", "pill", "remarks"]

CLASS: dict[Level, str] = {"good": "good", "look at": "look", "film again": "again", "": ""}


def pill(level: Level) -> str:
    """Mark how good something is."""
    return f'<span class="pill {CLASS[level]}">{level}</span>' if level else ""


def remarks(judged: Assessment, v: int) -> str:
    """Say on one line what is not good about a camera."""
    return escape("; ".join(text for _, text in judged.findings[v]))


def camera_section(
    result: CalibrationResult, judged: Assessment, thumbnails: Mapping[str, bytes]
) -> str:
    """Write a card with five pictures for each camera."""
    evidence, maps = judged.evidence, judged.maps
    shades = np.concatenate([m.rms_px[np.isfinite(m.rms_px)] for m in maps] or [np.ones(1)])
    dark = float(np.quantile(shades, 0.98)) if shades.size else 1.0
    magnified = _magnification(maps)
    tilts = tilt_vectors(evidence)
    cards = []
    for v, c in enumerate(result.cameras):
        mine = evidence.view == v
        panels = (
            coverage(evidence, v, thumbnails.get(c.name)),
            residual_picture(evidence, v, maps[v], dark, magnified),
            tilt_picture(tilts[mine], evidence.agrees[mine], c.name),
            histogram(_lengths(evidence, v), c.noise_px, c.rejected, c.name),
        )
        cards.append(_camera_card(result, judged, v, panels, over_frames(evidence, v)))
    keys = (
        f'<div class="keys"><span><i style="background:{ACCENT}"></i>corner kept</span>'
        f'<span><i style="background:{REJECT}"></i>corner dropped</span>'
        f"{legend('error 0', f'{dark:.2f} px')}"
        f"<span>arrows: mean of found minus predicted, one cell = {1 / magnified:.2g} px</span>"
        '<span><i class="ring"></i>in red: a mean that is not noise (sign-flip test over '
        "board views, 1 % per camera)</span><span>by frame: root mean square of a board view; "
        "dashed: what noise gives; red at the top: beyond three times that, or against the "
        "rig</span></div>"
    )
    return f'<h2 id="pictures">Camera by camera</h2>{keys}{"".join(cards)}'


def _lengths(evidence: Evidence, view: int) -> F64:
    at = evidence.of_view(view)
    length = np.linalg.norm(evidence.residual_px[at[evidence.inlier[at]]], axis=-1)
    return np.asarray(length[np.isfinite(length)])


def _magnification(maps: tuple[ResidualMap, ...]) -> float:
    """Cells per pixel at which the larger mean residuals reach the edge of their cell."""
    sizes = [np.linalg.norm(m.mean_px[m.count >= 4], axis=-1) for m in maps]
    large = np.quantile(np.concatenate(sizes), 0.9) if any(s.size for s in sizes) else 1.0
    wanted = float(large) / 0.6 or 1.0  # no residual at all: any scale will do
    power = 10.0 ** np.floor(np.log10(wanted))
    return 1 / float(power * min(m for m in (1, 2, 5, 10) if m * power >= wanted))


def _camera_card(
    result: CalibrationResult,
    judged: Assessment,
    v: int,
    panels: tuple[str, str, str, str],
    frames: str,
) -> str:
    c, level, m = result.cameras[v], judged.camera_level(v), judged.maps[v]
    width, height = result.rig.cameras[v].intrinsics.size_wh
    if np.isnan(m.p_value):
        said = "too few board views to test for a pattern"
    elif m.structured:
        said = f"a pattern of {m.systematic_px:.3f} px, {m.share:.1%} of the squared error"
    else:
        said = "no pattern beyond noise"
    captions = (
        f"Corners: {c.corners - c.rejected:,} kept, {c.rejected:,} dropped; {c.fill:.0%} filled",
        f"Mean errors: {said}",
        f"Tilts of {c.views} boards",
        f"Errors; curve: noise {c.noise_px:.3f} px",
    )
    figures = "".join(
        f"<figure>{p}<figcaption>{escape(t)}</figcaption></figure>"
        for p, t in zip(panels, captions, strict=True)
    )
    if frames:
        frames = (
            f'<figure style="margin-top:8px">{frames}'
            "<figcaption>Errors of the board views by frame</figcaption></figure>"
        )
    return (
        f'<section class="cam"><header><h3>{escape(c.name)}</h3>{pill(level)}'
        f"<span>{remarks(judged, v)}</span>"
        f'<span class="note">{width} × {height} px · rms {c.rms_px:.3f} px</span></header>'
        f'<div class="panels">{figures}</div>{frames}</section>'
    )
