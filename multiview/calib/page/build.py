"""The page put together."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

from multiview.calib.advice import SHARED_LOOK, Headline, Level
from multiview.calib.assess import Assessment, assess
from multiview.calib.evidence import Evidence
from multiview.calib.page.cameras import CLASS, camera_section, pill, remarks
from multiview.calib.page.charts import all_errors, board_picture, shared_matrix
from multiview.calib.page.scene import MANY_BOARDS, scene_data, still_views
from multiview.calib.page.scene_js import JS
from multiview.calib.page.volume import ExpectedError, volume_section
from multiview.calib.provenance import lens_words
from multiview.calib.result import BoardFit, CalibrationResult
from multiview.calib.structure import BoardShape
from multiview.page.style import CSS
from multiview.page.svg import REJECT

__all__ = ["report_html"]

FEW_CAMERAS = 6
WORDS: dict[Level, tuple[str, str]] = {
    "good": ("Good", "Nothing here speaks against using this rig."),
    "look at": ("Look at", "The rig can be used; read what is marked below first."),
    "film again": ("Film again", "The footage does not carry this rig; see what to film below."),
    "": ("", ""),
}


def report_html(
    result: CalibrationResult,
    *,
    assessment: Assessment | None = None,
    thumbnails: Mapping[str, bytes] | None = None,
    expected_error: ExpectedError | None = None,
) -> str:
    """Write a calibration as one HTML page that needs no network and no other file.

    Parameters
    ----------
    result
        The calibration; its rig's `made` is shown if it is there.
    assessment
        As `assess` returned it, if that was done already.
    thumbnails
        A JPEG picture of each camera, by name, to draw the corners over.
    expected_error
        Expected error over the capture volume: ``(positions, rms_mm)`` of shapes (N, 3), metres,
        and (N,), or a function from the former to the latter, which is asked over the box that
        holds the boards. Without it the page has no such section.

    Raises
    ------
    ShapeError
        If expected errors do not belong to their positions.
    """
    judged = assess(result) if assessment is None else assessment
    evidence = judged.evidence
    volume = volume_section(evidence, expected_error)
    sections = [
        _head(result, judged.level, volume),
        f'<div class="cards">{"".join(_card(h) for h in judged.heads)}</div>',
        _todo(result, judged),
        _table(result, judged),
        _space(evidence),
        volume,
        _errors(evidence, judged.shapes),
        camera_section(result, judged, thumbnails or {}),
        _made(result),
    ]
    title = f"Calibration of {len(result.cameras)} cameras"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{CSS}</style></head><body><main>"
        f"{''.join(sections)}</main><script>{JS}</script></body></html>\n"
    )


def _head(result: CalibrationResult, level: Level, volume: str) -> str:
    made = result.rig.made
    boards = " and ".join(part.board.describe() for part in result.boards)
    when = f" · {escape(made.date[:10])}" if made and made.date else ""
    word, meaning = WORDS[level]
    links: tuple[tuple[str, str], ...] = (("next", "What to film next"), ("cameras", "Cameras"))
    links += (("space", "Rig in 3D"),)
    links += (("volume", "Expected error"),) if volume else ()
    more = ("errors", "Errors"), ("pictures", "Camera by camera"), ("made", "How it was made")
    nav = "".join(f'<a href="#{i}">{t}</a>' for i, t in (*links, *more))
    return (
        f"<h1>Calibration of {len(result.cameras)} cameras</h1>"
        f'<p class="sub">{escape(boards)}{when}</p><nav>{nav}</nav>'
        f'<div class="verdict {CLASS[level]}"><strong>{word}</strong><span>{meaning}</span></div>'
    )


def _card(head: Headline) -> str:
    return (
        f'<div class="card"><div class="label"><span>{head.label}</span>{pill(head.level)}</div>'
        f'<div class="value">{head.value} <small>{escape(head.unit)}</small></div>'
        f"<p>{escape(head.text)}</p></div>"
    )


def _todo(result: CalibrationResult, judged: Assessment) -> str:
    items = "".join(f"<li>{escape(w)}</li>" for w in judged.film)
    if not items:
        said = "<p>Nothing: every camera saw tilted boards in every part of its picture.</p>"
    elif judged.level == "good":
        said = f'<p>Nothing is needed. Even better would be:</p><ul class="todo">{items}</ul>'
    else:
        said = f'<ul class="todo">{items}</ul>'
    warned = "".join(f"<li>{escape(w)}</li>" for w in result.warnings)
    warned = f'<h3 style="margin-top:18px">To look at</h3><ul>{warned}</ul>' if warned else ""
    return f'<h2 id="next">What to film next</h2>{said}{warned}'


COLUMNS = (
    ("camera", "l"),
    ("", "l"),
    ("lens", "l"),
    ("focal length<br>px", ""),
    ("board<br>views", ""),
    ("corners", ""),
    ("dropped", ""),
    ("rms<br>px", ""),
    ("noise<br>px", ""),
    ("pattern<br>px", ""),
    ("filled", ""),
    ("position x, y, z<br>{unit}", ""),
)


def _table(result: CalibrationResult, judged: Assessment) -> str:
    head = "".join(
        f'<th class="{c}">{t.format(unit=escape(result.rig.unit))}</th>' for t, c in COLUMNS
    )
    rows = "".join(_row(result, judged, v) for v in range(len(result.cameras)))
    return (
        '<h2 id="cameras">Cameras</h2><p class="note">rms: error of the corners kept. noise: '
        "standard deviation of a corner per coordinate. pattern: size of errors that depend on the "
        "place in the picture, beyond noise; a good lens model leaves none. filled: share of the "
        f'picture with corners.</p><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(result: CalibrationResult, judged: Assessment, v: int) -> str:
    c, camera = result.cameras[v], result.rig.cameras[v]
    level, m = judged.camera_level(v), judged.maps[v]
    spread = f" ± {c.focal_std * camera.intrinsics.K[0, 0]:.1f}" if c.focal_std else ""
    place = ", ".join(f"{x:.3f}" for x in camera.centre_world)
    dropped = f"{c.rejected / c.corners:.1%}" if c.corners else "–"
    cells = [
        ("l", f"<strong>{escape(c.name)}</strong>"),
        ("l", pill(level)),
        ("l", lens_words(camera.intrinsics).replace(" coefficients", "")),
        ("", f"{camera.intrinsics.K[0, 0]:.1f}{spread}"),
        ("", str(c.views)),
        ("", f"{c.corners:,}"),
        ("", dropped),
        ("", f"{c.rms_px:.3f}"),
        ("", f"{c.noise_px:.3f}"),
        ("", f"{m.systematic_px:.3f}" if m.structured else "none"),
        ("", f"{c.fill:.0%}"),
        ("", place),
    ]
    said = remarks(judged, v)
    alarm = ' class="alarm above"' if said else ""
    row = f"<tr{alarm}>" + "".join(f'<td class="{k}">{t}</td>' for k, t in cells) + "</tr>"
    if said:
        row += f'<tr class="alarm remark"><td></td><td colspan="{len(cells) - 1}">{said}</td></tr>'
    return row


def _space(evidence: Evidence) -> str:
    top, side = still_views(evidence)
    keys = (
        '<span><i style="background:#2f9e77"></i>shared boards: the more, the broader</span>'
        f'<span><i style="background:{REJECT}"></i>needed, but fewer than {SHARED_LOOK}</span>'
    )
    drawn = "all drawn" if len(evidence.pose_t) <= MANY_BOARDS else "a part of them drawn"
    world = evidence.rig.world
    said = f"World: {escape(world)}." if world else "The axes are the world's."
    return (
        f'<h2 id="space">Rig in 3D</h2><p class="note">{said}</p><div class="three">'
        '<figure><div class="frame"><canvas id="rig3d" tabindex="0" role="img" '
        'aria-label="The rig in 3D; arrow keys turn it"></canvas></div><figcaption>Drag to turn, '
        "scroll after a click to zoom, double-click to reset. Thick edge: top of a camera's "
        f"picture. Blue: boards ({len(evidence.pose_t)} poses, {drawn}).</figcaption>"
        f'<script type="application/json" id="rig3d-data">{scene_data(evidence)}</script></figure>'
        f'<div class="pair"><figure>{top}<figcaption class="keys"><span>From above.</span>{keys}'
        f"</figcaption></figure><figure>{side}<figcaption>From the side.</figcaption></figure>"
        "</div></div>"
    )


def _errors(evidence: Evidence, shapes: tuple[BoardShape, ...]) -> str:
    boards = "".join(
        f'<figure style="margin-top:22px">{board_picture(points, shape)}<figcaption>'
        f"{escape(_shape_words(shape, evidence.rig.unit))}</figcaption></figure>"
        for points, shape in zip(evidence.points, shapes, strict=True)
    )
    # a small matrix leaves room below it
    left, right = ("", boards) if len(evidence.rig.cameras) <= FEW_CAMERAS else (boards, "")
    return (
        '<h2 id="errors">Errors and shared boards</h2><div class="two"><div><figure>'
        f"{all_errors(evidence)}<figcaption>Lengths of all errors, each in units of its camera's "
        "noise. Curve: what noise alone gives (Rayleigh). A tail to the right of it is blur, a "
        f"bent board or wrong corners; the last bar holds all beyond.</figcaption></figure>{left}"
        "</div><div><figure>"
        f"{shared_matrix(evidence)}<figcaption>Boards that two cameras share. Below the diagonal: "
        "seen by both. Above: of these, the ones on which both agree with the rig.</figcaption>"
        f"</figure>{right}</div></div>"
    )


def _shape_words(shape: BoardShape, unit: str) -> str:
    if not np.isfinite(shape.height).any() or np.isnan(shape.p_value):
        return "Shape of the board: too few views to tell."
    low, high = 1000 * np.nanmin(shape.height), 1000 * np.nanmax(shape.height)
    milli = "mm" if unit == "m" else f"1/1000 {unit}"
    span = f"{low:+.2f} to {high:+.2f} {milli} (orange: towards the reader, blue: away)"
    if shape.bent:
        return f"The board is not as flat as its file says: corners lie {span}, and rather more."
    return f"Shape of the board: {span}; no more than noise."


def _board_words(part: BoardFit) -> str:
    """Say which board, and what was done with its views."""
    bow = ", ".join(f"{h:+.2f}" for h in part.bend_mm)
    return (
        f"{part.board.describe()}; {int(part.turned.sum())} views numbered from another end, "
        f"{int(part.lost.sum())} views dropped; bow along columns, rows and twist {bow} mm"
    )


def _made(result: CalibrationResult) -> str:
    rig, made, held = result.rig, result.rig.made, result.heldout
    rows = [
        ("rig", f"{rig.digest} ({len(rig.cameras)} cameras, unit {rig.unit})"),
        ("world", rig.world),
        *(("board", _board_words(part)) for part in result.boards),
        (
            "boards left out",
            f"{held.boards} with {held.corners:,} corners, {held.rejected} dropped",
        ),
    ]
    if made:
        rows += [("program", made.program), ("date", made.date), ("capture", made.capture)]
        rows += [("step", s) for s in made.steps]
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(t)}</dd>" for k, t in rows if t)
    return (
        f'<h2 id="made">How it was made</h2><dl>{items}</dl><p class="note">Errors are lengths '
        "(root mean square over corners), pixels of the pictures as recorded. Figures of one "
        "calibration say what its own footage shows; a rig that is bumped later is another rig.</p>"
    )
