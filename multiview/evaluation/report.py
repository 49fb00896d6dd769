"""The report of an evaluation: sections with plots and tables, from findings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from multiview._shapes import F64
from multiview.evaluation.compare import Comparison
from multiview.evaluation.findings import Findings, groups_2d, keypoint_rows
from multiview.geometry.metrics import pck
from multiview.page.document import Card, Chart, Section, Table
from multiview.page.plots import bars, curves, intervals

__all__ = ["evaluation_cards", "evaluation_sections"]

# Measure -> how it is called, and its unit ("%" for shares).
NAMES = {
    "keypoints": ("true keypoints", ""),
    "hands_found": ("hands found", "%"),
    "keypoints_found": ("keypoints found", "%"),
    "epe_px": ("error (EPE) of found keypoints, mean", "px"),
    "epe_median_px": ("error (EPE) of found keypoints, median", "px"),
    "pck_box_0.05": ("PCK@0.05 of the longer box side", "%"),
    "pck_box_0.1": ("PCK@0.1 of the longer box side", "%"),
    "pck_box_0.2": ("PCK@0.2 of the longer box side", "%"),
    "pck_head": ("PCKh@0.7 (0.7 of the head)", "%"),
    "auc_px_0_30": ("AUC 0-30 px, trapezoid rule", ""),
    "auc_px_mmpose": ("AUC 0-30 px as MMPose (maximum 0.95)", ""),
    "auc_box_0_1": ("AUC 0-1 of the box, trapezoid rule", ""),
    "wrong_side": ("found hands labelled as the other hand", "%"),
    "recovered": ("keypoints with 3D", "%"),
    "mpjpe_mm": ("MPJPE, absolute", "mm"),
    "mpjpe_auc_20_50": ("AUC 20-50 mm, absolute", ""),
    "mpjpe_auc_0_50": ("AUC 0-50 mm, absolute", ""),
    "rr_mpjpe_mm": ("MPJPE, relative to the wrist", "mm"),
    "rr_mpjpe_auc_20_50": ("AUC 20-50 mm, relative to the wrist", ""),
    "rr_mpjpe_auc_0_50": ("AUC 0-50 mm, relative to the wrist", ""),
    "pa_mpjpe_mm": ("PA-MPJPE (each hand aligned)", "mm"),
    "pa_mpjpe_auc_20_50": ("AUC 20-50 mm, aligned", ""),
    "pa_mpjpe_auc_0_50": ("AUC 0-50 mm, aligned", ""),
    "within_68": ("truths inside the 68 % ellipsoid", "%"),
    "within_95": ("truths inside the 95 % ellipsoid", "%"),
    "held_out_median_px": ("held-out view's error, median", "px"),
    "held_out_p95_px": ("held-out view's error, 95 %", "px"),
    "inlier_ratio": ("detections that carry their point", "%"),
    "bone_variation": ("bone length, coefficient of variation, mean", "%"),
    "bone_variation_worst": ("bone length, coefficient of variation, worst bone", "%"),
    "jerk_rms": ("jerk, root mean square", "{unit}/s³"),
    "jerk_median": ("jerk, median", "{unit}/s³"),
    "jerk_dimensionless": ("jerk of a second, dimensionless (smoothest: 720)", ""),
    "halves_points": ("keypoints that both halves of the cameras found", ""),
    "halves_median": ("distance of the two halves, median", "mm"),
    "halves_p95": ("distance of the two halves, 95 %", "mm"),
    "halves_implied_rms": ("error of all cameras implied by the halves (rms)", "mm"),
    "halves_normalised": ("distance of the halves over its prediction (1 ideal)", ""),
}
GROUP_COLUMNS = (
    "keypoints",
    "hands_found",
    "keypoints_found",
    "epe_median_px",
    "pck_box_0.1",
    "auc_px_0_30",
)
HEADINGS = ("true keypoints", "hands found", "found", "median px", "PCK@0.1", "AUC 0-30 px")
GROUPS = {
    "camera": "By camera",
    "view": "By view: into the palm, onto its back, edge-on (within 30° of its plane), along the "
    "forearm (within 30° of the hand's length)",
    "visibility": "By visibility in the picture",
}


def show(value: float, unit: str) -> str:
    """Write a number for people."""
    if not np.isfinite(value):
        return "-"
    if unit == "%":
        return f"{value:.1%}"
    shown = f"{value:,.0f}" if value == round(value) and abs(value) >= 10 else f"{value:.3g}"
    return f"{shown} {unit}".strip()


def evaluation_cards(findings: Findings, unit: str) -> list[Card]:
    """Headline numbers: the few that are asked first."""
    wanted = {
        "pck_box_0.1": "Of all true keypoints, found or not, within a tenth of the hand's box.",
        "epe_median_px": "Median over found keypoints.",
        "mpjpe_mm": "Mean 3D error of found keypoints.",
        "within_95": "Truths inside the 95 % ellipsoids: 95 % if the covariances are right.",
        "held_out_median_px": "Distance of a view from the point that the others make.",
        "halves_normalised": "Distance of two halves of the cameras over its prediction.",
    }
    figures = {n: v for part in findings.figures().values() for n, v in part.items()}
    out = []
    for name, words in wanted.items():
        if np.isfinite(figures.get(name, np.nan)):
            label, of = NAMES[name]
            value = show(figures[name], of.format(unit=unit)).split(" ")
            out.append(Card(label=label, value=value[0], unit=" ".join(value[1:]), text=words))
    return out


def evaluation_sections(
    runs: Sequence[Findings], comparisons: Sequence[Comparison], unit: str
) -> list[Section]:
    """Write one run, or two beside one another.

    Parameters
    ----------
    runs
        One or two.
    comparisons
        Of two runs.
    unit
        Of the rig, for jerk.
    """
    out = []
    if comparisons:
        out.append(_comparison(runs, comparisons))
    if any(r.planar is not None for r in runs):
        out.append(_planar(runs, unit))
    if any(r.spatial is not None for r in runs):
        out.append(_spatial(runs, unit))
    if any(r.without for r in runs):
        out.append(_without(runs, unit))
    out.append(_keypoints(runs))
    return out


def _comparison(runs: Sequence[Findings], comparisons: Sequence[Comparison]) -> Section:
    rows, drawn = [], []
    for c in comparisons:
        d, scale = c.difference, 100.0 if c.unit == "%" else 1.0
        points = " points" if c.unit == "%" else f" {c.unit}"
        span = f"{d.low * scale:+.3g} to {d.high * scale:+.3g}" if np.isfinite(d.low) else "-"
        rows.append(
            (
                c.name,
                show(d.first, c.unit),
                show(d.second, c.unit),
                f"{d.value * scale:+.3g}{points}",
                span,
                f"{d.frames} / {d.block}",
                c.verdict,
            )
        )
        drawn.append((c.name, d.value, d.low, d.high))
    header = ("measure", runs[0].name, runs[1].name, "difference", "95 % interval")
    return Section(
        title="Side by side",
        note=f"{runs[1].name} less {runs[0].name}, on the same frames and keypoints. Intervals: "
        "moving-block bootstrap over frames; a block is as long as neighbouring frames are alike. "
        "They speak of this take, not of other hands or rooms.",
        charts=(
            Chart(
                name="differences",
                svg=intervals(drawn, "Differences with intervals", f"{runs[1].name} has more"),
                caption="Differences with their intervals, each on its own scale; orange: surely "
                "not zero.",
            ),
        ),
        tables=(Table(header=(*header, "frames / block", ""), rows=tuple(rows)),),
    )


def _table(runs: Sequence[Findings], part: str, unit: str) -> Table:
    runs = [r for r in runs if part in r.figures()]
    figures = [r.figures()[part] for r in runs]
    names = [n for n in NAMES if any(n in f for f in figures)]
    rows = []
    for n in names:
        label, of = NAMES[n]
        shown = (show(f.get(n, np.nan), of.format(unit=unit)) for f in figures)
        rows.append((label, *shown))
    return Table(header=("measure", *(r.name for r in runs)), rows=tuple(rows))


def _curve(errors: dict[str, F64], end: float) -> dict[str, tuple[F64, F64]]:
    x = np.linspace(0, end, 301)
    return {name: (x, pck(e, x)) for name, e in errors.items()}


def _planar(runs: Sequence[Findings], unit: str) -> Section:
    told = {r.name: r.planar for r in runs if r.planar is not None}
    box = _curve({n: m.errors("box") for n, m in told.items()}, 0.5)
    px = _curve({n: m.errors("px") for n, m in told.items()}, 30)
    charts = [
        Chart(
            name="pck_box",
            svg=curves(box, "error / longer side of the true box", "PCK by box"),
            caption="Share of all true keypoints within a share of the hand's box.",
        ),
        Chart(
            name="pck_px",
            svg=curves(px, "error, px", "PCK in pixels"),
            caption="Share of all true keypoints within so many pixels.",
        ),
    ]
    tables = [_table(runs, "2d", unit)]
    groups = {name: groups_2d(m) for name, m in told.items()}
    tables += [_group_table(groups, kind, title) for kind, title in GROUPS.items()]
    tables = [t for t in tables if t.rows]
    note = "A keypoint that is not found counts as wrong in PCK and AUC; errors are of found ones."
    return Section(title="In the pictures", note=note, charts=tuple(charts), tables=tuple(tables))


def _group_table(
    groups: dict[str, dict[str, dict[str, dict[str, float]]]], kind: str, title: str
) -> Table:
    """Write a row for every member of a kind of group, and for every run."""
    several = len(groups) > 1
    members = dict.fromkeys(m for g in groups.values() for m in g.get(kind, {}))
    rows = []
    for member in members:
        for name, g in groups.items():
            f = g.get(kind, {}).get(member)
            if f is not None:
                first = (member, name) if several else (member,)
                rows.append((*first, *(show(f[c], NAMES[c][1]) for c in GROUP_COLUMNS)))
    head = (title, "run") if several else (title,)
    return Table(header=(*head, *HEADINGS), rows=tuple(rows), left=len(head))


def _spatial(runs: Sequence[Findings], unit: str) -> Section:
    told = {r.name: r.spatial for r in runs if r.spatial is not None}
    kinds = {"absolute": "absolute", "root_relative": "about the wrist", "aligned": "aligned"}
    charts = []
    for kind, words in kinds.items():
        lines = {name: s.errors_mm[kind][s.exists] for name, s in told.items()}
        svg = curves(
            _curve(lines, 50), f"3D error, mm, {words}", f"Share within a 3D error, {words}"
        )
        said = f"Share of all true keypoints within a 3D error: {words}."
        charts.append(Chart(name=f"pck_mm_{kind}", svg=svg, caption=said))
    return Section(
        title="In space",
        note="Absolute: in the world of the truth. Relative: both hands shifted to have the wrist "
        "at 0, which counts as a keypoint without error. Aligned: each hand moved, turned and "
        "scaled onto its truth. A keypoint without 3D counts as wrong in AUC.",
        charts=tuple(charts),
        tables=(_table(runs, "3d", unit),),
    )


def _without(runs: Sequence[Findings], unit: str) -> Section:
    return Section(
        title="Without a truth",
        note="What the take says of itself. Errors that all views share alike are in none of these "
        "numbers. The implied error is carried by the few largest distances of the halves; with "
        "half the cameras more go wrong than with all.",
        tables=(_table(runs, "without_truth", unit),),
    )


def _keypoints(runs: Sequence[Findings]) -> Section:
    rows = [keypoint_rows(r) for r in runs]
    charts = []
    for column, words, unit in (
        ("pck_box_0.1", "PCK@0.1 of the box", "%"),
        ("mpjpe_mm", "3D error (MPJPE, absolute)", "mm"),
        ("held_out_median_px", "Held-out view's error, median", "px"),
    ):
        series = {
            run.name: np.array([float(r[column]) for r in part])
            for run, part in zip(runs, rows, strict=True)
            if column in part[0]
        }
        if series:
            names = runs[0].skeleton.keypoints
            drawn = bars(names, series, words, unit=unit, top=1.0 if unit == "%" else 0.0)
            charts.append(Chart(name=column.replace(".", ""), svg=drawn, caption=words))
    return Section(title="By keypoint", charts=tuple(charts))
