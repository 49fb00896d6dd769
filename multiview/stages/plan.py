"""`multiview plan`: how many cameras, what they will do over a volume, and where one more helps."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from multiview._shapes import F64
from multiview.bootstrap.plan_cameras import (
    Aim,
    Move,
    Score,
    Step,
    Survey,
    TwinViews,
    best_move,
    candidate_cameras,
    grow_rig,
    twin_views,
)
from multiview.bootstrap.plan_volume import Box, ErrorMap, error_map, seen_box
from multiview.bootstrap.planner import Detector, Plan, Targets, plan_views, smallest_rig
from multiview.core import Rig
from multiview.errors import InputError
from multiview.formats.atomic import replacing, write_text
from multiview.formats.rig_yaml import read_rig
from multiview.progress import say, say_table
from multiview.stage import Stage
from multiview.viz.plan import draw_error_map

__all__ = ["run_plan_rig", "run_plan_views"]

PER_UNIT_MM = {"m": 1000.0, "cm": 10.0, "mm": 1.0}
AXES = "xyz"


def run_plan_views(
    detector: Detector,
    targets: Targets,
    views: int | None = None,
    *,
    distance_m: float | None = None,
    focal_px: float | None = None,
) -> Plan | None:
    """Print what numbers of views do, and say the answer in a sentence.

    Parameters
    ----------
    detector, targets
        What is given and what shall be reached.
    views
        Number of cameras; None looks for the smallest.
    distance_m, focal_px
        To state errors in millimetres.
    """
    chosen = smallest_rig(detector, targets)
    shown = views or (chosen.views if chosen else 31)
    per_px = None if distance_m is None or focal_px is None else 1000 * distance_m / focal_px
    unit = "px" if per_px is None else "mm"
    rows = []
    for v in sorted({shown, *range(max(2, shown - 3), shown + 4), 2, 2 * shown}):
        plan = plan_views(detector, v, targets.spurious)
        good = plan.found >= targets.found and plan.spurious <= targets.spurious and v > 2
        rows.append([*_cells(plan, per_px), "reaches both" if good else ""])
    header = ["views", "must agree", "found", "chance sets", "agreeing", f"error {unit}", "targets"]
    say_table(header, rows)
    say("")
    say(_sentence(plan_views(detector, shown, targets.spurious), detector, per_px))
    if chosen is None:
        say("no rig of up to 200 views reaches both targets: a better detector is needed first")
    else:
        say(
            f"the smallest rig that finds {targets.found:.0%} with at most {targets.spurious:g} "
            f"chance sets a keypoint and frame has {chosen.views} views, of which "
            f"{chosen.agree} must agree"
        )
    return plan_views(detector, views, targets.spurious) if views else chosen


def _cells(plan: Plan, per_px: float | None) -> list[str]:
    error = plan.error_px * (per_px or 1.0)
    return [
        str(plan.views),
        str(plan.agree),
        f"{plan.found:.1%}",
        f"{plan.spurious:.2g}",
        f"{plan.inliers:.1f}",
        f"{error:.2f}",
    ]


def _sentence(plan: Plan, detector: Detector, per_px: float | None) -> str:
    error = plan.error_px * (per_px or 1.0)
    unit = "px at its distance" if per_px is None else "mm"
    vote = (
        f"{plan.agree} must agree, so {plan.found:.1%} of the keypoints are found and chance makes "
        f"{plan.spurious:.2g} false ones a keypoint and frame"
        if plan.agree >= 3
        else f"no vote is possible: both must be right ({plan.found:.1%}), and nothing outvotes "
        "a wrong one"
    )
    return (
        f"with {plan.views} views, p {detector.rate:g}: {vote}; one that is found is off by "
        f"{error:.2f} {unit} (root mean square, at best: cameras all around it)"
    )


def run_plan_rig(
    rig_path: Path,
    out: Path,
    detector: Detector,
    *,
    box: Box | None = None,
    allowed: float = 0.01,
    add: int = 3,
    aim: Aim = "p95",
    below: bool = False,
    force: bool = False,
) -> Path:
    """Map the expected error of a rig; write ``map.npz``, ``map.csv``, ``map.png``, ``report.md``.

    Parameters
    ----------
    rig_path
        Rig YAML.
    out
        Output folder.
    detector, allowed
        As in `multiview.bootstrap.planner.plan_views`.
    box
        Capture volume; None takes what the cameras see in common.
    add
        Cameras to propose.
    aim
        Which error of all keypoints in the volume the proposals lower.
    below
        Also propose places below the lowest camera.
    force
        Replace an older, different result.
    """
    rig = read_rig(rig_path)
    volume = seen_box(rig) if box is None else box
    config = asdict(detector) | {"allowed": allowed, "add": add, "aim": aim, "below": below}
    config["volume"] = [volume.low.tolist(), volume.high.tolist()]
    known = 0.0 if rig.covariance is None else float(np.trace(rig.covariance.matrix))
    stage = Stage("plan", config, {"rig": rig.digest, "covariance": f"{known:g}"}, out, force)
    if stage.done:
        say(f"plan: {out} is up to date")
        return out
    with stage.cleared():
        expected = error_map(rig, volume, detector, allowed)
        if not expected.views.any():
            raise InputError(
                f"no camera sees any of the volume from {_place(volume.low)} to "
                f"{_place(volume.high)}",
                f"the rig's unit is {rig.unit}; its cameras stand around "
                f"{_place(rig.centres_world.mean(0))}",
            )
        survey = Survey(rig, volume, detector, allowed, extra=add)
        candidates = candidate_cameras(rig, volume, below=below)
        start, steps = grow_rig(survey, candidates, add, aim)
        move, twins = best_move(survey, candidates, aim), twin_views(rig, volume)
    scale, unit = PER_UNIT_MM.get(rig.unit, 1.0), "mm" if rig.unit in PER_UNIT_MM else rig.unit
    advice = _advice(rig, (start, steps), move, twins, (scale, unit, aim))
    figures = _figures(expected, scale)
    lines = _report(rig, volume, detector, figures, (unit, aim)) + [f"- {a}" for a in advice]
    image = draw_error_map(rig, expected, [s.camera for s in steps], scale, unit)
    _write(stage.work, expected, image, lines)
    stage.finish(figures | {"unit": unit, "advice": advice})
    for line in [*_spoken(figures, unit), *advice]:
        say(line)
    say(f"plan: -> {out / 'report.md'}, {out / 'map.png'}")
    return out


def _figures(expected: ErrorMap, scale: float) -> dict[str, Any]:
    known = expected.rms[np.isfinite(expected.rms)] * scale
    low, middle, high = np.quantile(known, [0.05, 0.5, 0.95]) if known.size else (np.nan,) * 3
    longest = expected.worst_direction[np.isfinite(expected.rms)]
    mean = np.abs(longest).mean(0) if len(longest) else np.full(3, np.nan)
    stretch = expected.elongation[np.isfinite(expected.rms)]
    return {
        "rms_p5": low,
        "rms_median": middle,
        "rms_p95": high,
        "rig_part_median": float(np.median(expected.rms_rig) * scale),
        "found": float(expected.found.mean()),
        "two_cameras": expected.covered(2),
        "three_cameras": expected.covered(3),
        "worst_axis": AXES[int(mean.argmax())] if np.isfinite(mean).all() else "",
        "elongation": float(np.median(stretch)) if stretch.size else float("nan"),
    }


def _spoken(f: dict[str, Any], unit: str) -> list[str]:
    if not f["found"]:
        return ["nowhere in the volume do enough cameras see a point to find it"]
    return [
        f"expected error of found keypoints: {f['rms_median']:.2f} {unit} in the median of the "
        f"volume, {f['rms_p5']:.2f} to {f['rms_p95']:.2f} over nine tenths of it",
        f"{f['found']:.1%} of the keypoints are found; three cameras see "
        f"{f['three_cameras']:.1%} of the volume",
    ]


def _report(
    rig: Rig, box: Box, detector: Detector, f: dict[str, Any], words: tuple[str, str]
) -> list[str]:
    unit, aim = words
    low, high = (", ".join(f"{x:.3f}" for x in p) for p in (box.low, box.high))
    part = "not known" if rig.covariance is None else f"{f['rig_part_median']:.2f} {unit}"
    return [
        "# Plan",
        "",
        f"{len(rig.cameras)} cameras; volume from ({low}) to ({high}) {rig.unit}; detector right "
        f"within {detector.sigma_px:g} px in {detector.rate:.0%} of the views, noise "
        f"{detector.noise:.2f} px a coordinate, crop {detector.crop_px:g} px. Hands are points, "
        "and views miss independently: where a hand hides itself from all cameras of one side, "
        "fewer are found than this says.",
        "",
        "| measure | value |",
        "| --- | ---: |",
        f"| expected 3D error (rms) of found keypoints, median over the volume | "
        f"{f['rms_median']:.2f} {unit} |",
        f"| 5 % and 95 % of the volume | {f['rms_p5']:.2f} and {f['rms_p95']:.2f} {unit} |",
        f"| of it the rig's own doubt, with its place in the world | {part} |",
        f"| keypoints found | {f['found']:.1%} |",
        f"| volume that 2 cameras see, and 3 (a vote) | {f['two_cameras']:.1%}, "
        f"{f['three_cameras']:.1%} |",
        f"| largest over smallest standard deviation, median | {f['elongation']:.2f} |",
        f"| world axis nearest to the direction of the largest error | {f['worst_axis']} |",
        "",
        f"Proposals look at the middle of the volume with a lens the rig has. They lower the "
        f"{'median' if aim == 'median' else '95 %'} error of all keypoints in the volume, missing "
        "ones counted as infinite; while that is infinite, they raise the share found. They leave "
        "the rig's own doubt out.",
        "",
    ]


def _advice(
    rig: Rig,
    grown: tuple[Score, tuple[Step, ...]],
    move: Move | None,
    twins: tuple[TwinViews, ...],
    words: tuple[float, str, Aim],
) -> list[str]:
    scale, unit, aim = words

    def said(score: Score) -> str:
        error, name = getattr(score, aim) * scale, "median" if aim == "median" else "95 %"
        shown = f", {name} error {error:.2f} {unit}" if np.isfinite(error) else ""
        return f"{score.found:.1%} found{shown}"

    before, steps = grown
    lines = [f"as it is: {said(before)}"]
    for k, step in enumerate(steps):
        where = _place(step.camera.centre_world)
        what = "then another" if k else "add a camera"
        lines.append(f"{what} at {where}: {said(step.score)}")
    if not steps:
        lines.append("no further camera helps")
    for t in twins[:5]:
        lines.append(
            f"{t.first} and {t.second} see the volume from nearly the same side "
            f"({np.degrees(t.angle):.0f} degrees apart): nearly redundant"
        )
    if move is not None:
        lines.append(
            f"{move.name} is missed least (without it: {said(move.without)}); moved to "
            f"{_place(move.camera.centre_world)}: {said(move.score)}"
        )
    elif len(rig.cameras) > 2:
        lines.append("no camera would do better elsewhere")
    return lines


def _place(xyz: F64) -> str:
    return "(" + ", ".join(f"{x:.2f}" for x in xyz) + ")"


def _write(folder: Path, expected: ErrorMap, image: np.ndarray, lines: list[str]) -> None:
    _write_map(folder, expected)
    with replacing(folder / "map.png") as temporary:
        temporary.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    write_text(folder / "report.md", "\n".join([*lines, "", "![map](map.png)"]) + "\n")


def _write_map(folder: Path, expected: ErrorMap) -> None:
    arrays = {
        "xyz_world": expected.xyz,
        "shape": np.array(expected.shape),
        "views": expected.views,
        "agree": expected.agree,
        "found": expected.found,
        "rms": expected.rms,
        "rms_rig": expected.rms_rig,
        "cov": expected.cov,
        "worst_direction": expected.worst_direction,
        "elongation": expected.elongation,
    }
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    with replacing(folder / "map.npz") as temporary:
        temporary.write_bytes(stream.getvalue())
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["x", "y", "z", "views", "agree", "found", "rms", "worst_x", "worst_y", "worst_z"]
    )
    columns = (expected.views, expected.agree, expected.found, expected.rms)
    for xyz, row, worst in zip(
        expected.xyz, zip(*columns, strict=True), expected.worst_direction, strict=True
    ):
        table.writerow([f"{x:.6g}" for x in (*xyz, *row, *worst)])
    write_text(folder / "map.csv", text.getvalue())
