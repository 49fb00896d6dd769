"""`multiview evaluate`: a take against its truth, against itself, and against another run."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from multiview._shapes import F64
from multiview.core import Detections
from multiview.errors import InputError
from multiview.evaluation.compare import Comparison, compare
from multiview.evaluation.findings import Findings, Spatial, groups_2d, keypoint_rows
from multiview.evaluation.keypoints_2d import match_detections, select_detections
from multiview.evaluation.keypoints_3d import coverage, errors_3d
from multiview.evaluation.report import evaluation_cards, evaluation_sections
from multiview.evaluation.without_truth import (
    MIN_VIEWS,
    bone_figures,
    halves_figures,
    held_out_errors,
    jerk_figures,
    triangulate_halves,
    view_figures,
)
from multiview.formats.atomic import write_text
from multiview.geometry.median import median_of
from multiview.page.document import Section, standalone_svg, to_html, to_markdown
from multiview.progress import say, say_table
from multiview.stage import Stage, file_digest, package_version
from multiview.stages.evaluate import evaluate
from multiview.stages.evaluate_inputs import PER_UNIT_M, Run, Truth, read_run, read_truth_of

__all__ = ["findings_of", "run_evaluate"]


def run_evaluate(
    path: Path,
    *,
    truth: Path | None = None,
    truth_rig: Path | None = None,
    detections: Path | None = None,
    against: Path | None = None,
    out: Path | None = None,
    halves: bool = True,
    force: bool = False,
) -> None:
    """Print the numbers of a run; with `out` write ``report.html`` and what is in it.

    Parameters
    ----------
    path
        Folder of `triangulate` or `detect`, or a detections table.
    truth, truth_rig
        As `read_truth_of` takes them.
    detections
        What the points were made from, if it moved.
    against
        Another run on the same take, to compare with.
    out
        Folder for ``report.html``, ``report.md``, ``plots/``, ``metrics.json``, ``keypoints.csv``.
    halves
        Triangulate two halves of the cameras too.
    force
        Replace an older, different result.

    Raises
    ------
    InputError
        If truth, detections or the other run are of another take.
    """
    runs = [read_run(path, detections)]
    if against is not None:
        runs = _named(runs[0], read_run(against), path, against)
    true = None if truth is None else read_truth_of(truth, truth_rig)
    stage = None
    if out is not None:
        stage = Stage("evaluate", {"halves": halves}, _inputs(runs, truth, truth_rig), out, force)
        if stage.done:
            say(f"evaluate: {out} is up to date")
            return
    if true is not None and runs[0].points is not None and true.xyz is not None and out is None:
        _say_accuracy(runs[0], true)
    if stage is None:
        _say(*_judge(runs, true, halves and against is None and true is None))
        return
    with stage.cleared():
        found, compared = _judge(runs, true, halves)
        unit = next((r.rig.unit for r in runs if r.rig is not None), "m")
        sections = evaluation_sections(found, compared, unit)
        figures = _metrics(found, compared)
    _write(stage.work, sections, found, figures, _subtitle(runs, true), unit)
    stage.finish({n: p for n, p in found[0].figures().items()})
    _say(found, compared)
    say(f"evaluate: -> {out}/report.html")


def _named(first: Run, second: Run, a: Path, b: Path) -> list[Run]:
    """Give two runs different names: as much of their paths as tells them apart."""
    one, other = [list(p.resolve().parts) for p in (a, b)]
    if one == other:
        raise InputError(f"{b} is compared with itself", "give another run to --against")
    names = [one[-1:], other[-1:]]
    while names[0] == names[1]:
        n = len(names[0]) + 1
        names = [one[-n:], other[-n:]]
    while len(names[0]) > 1 and names[0][-1] == names[1][-1]:
        names = [p[:-1] for p in names]
    return [
        replace(run, name="/".join(parts))
        for run, parts in zip((first, second), names, strict=True)
    ]


def _inputs(runs: list[Run], truth: Path | None, truth_rig: Path | None) -> dict[str, str]:
    out = {f"{n} {what}": d for n, run in enumerate(runs) for what, d in run.files.items()}
    for what, path in (("truth", truth), ("truth_rig", truth_rig)):
        if path is not None and path.is_file():
            out[what] = file_digest(path)
        elif path is not None:
            out[what] = str(path.resolve())
    return out


def _judge(
    runs: list[Run], truth: Truth | None, halves: bool
) -> tuple[list[Findings], tuple[Comparison, ...]]:
    if len(runs) == 2 and _same_detections(*runs):
        # what is equal in the pictures is told once
        judged = (runs[0].dets, None)
        found = [
            findings_of(r, truth, halves=halves, judged=d)
            for r, d in zip(runs, judged, strict=True)
        ]
    elif len(runs) == 2 and runs[0].dets is not None and runs[1].dets is not None:
        shared = _shared(runs[0].dets, runs[1].dets)
        found = [
            findings_of(r, truth, halves=halves, judged=d)
            for r, d in zip(runs, shared, strict=True)
        ]
    else:
        found = [findings_of(r, truth, halves=halves, judged=r.dets) for r in runs]
    if not any(f.figures() for f in found):
        raise InputError(
            f"{runs[0].name} holds detections only, and there is no truth that fits",
            "give --truth (labels, or an npz with --truth-rig), or a folder of `triangulate`",
        )
    compared = compare(found[0], found[1]) if len(found) == 2 else ()
    if len(found) == 2 and not compared:
        raise InputError(
            f"{found[0].name} and {found[1].name} have nothing in common to be compared by",
            "give two runs on the same take, and --truth if they are detections",
        )
    return found, compared


def _same_detections(a: Run, b: Run) -> bool:
    return "detections" in a.files and a.files["detections"] == b.files.get("detections")


def _shared(a: Detections, b: Detections) -> tuple[Detections, Detections]:
    """Cut two runs' detections to the cameras and frames that both have."""
    names = [n for n in a.camera_names if n in b.camera_names]
    ids, here, there = np.intersect1d(a.frame_ids, b.frame_ids, return_indices=True)
    if not names or not len(ids):
        raise InputError(
            f"the runs are of cameras {', '.join(a.camera_names)} and {', '.join(b.camera_names)}, "
            f"{len(a.frame_ids)} and {len(b.frame_ids)} frames: nothing is common",
            "compare runs on the same take",
        )
    return (
        select_detections(a, [a.camera_names.index(n) for n in names], here),
        select_detections(b, [b.camera_names.index(n) for n in names], there),
    )


def findings_of(
    run: Run, truth: Truth | None, *, halves: bool = True, judged: Detections | None = None
) -> Findings:
    """Find out everything about a run.

    Parameters
    ----------
    run, truth
        As read.
    halves
        Triangulate two halves of the cameras too.
    judged
        The part of its detections that is compared with the truth.
    """
    planar = None if truth is None or judged is None else truth.planar(run)
    matched = None if planar is None or judged is None else match_detections(judged, planar)
    both = None if truth is None else truth.spatial(run)
    spatial = None
    if both is not None and run.points is not None:
        moved, wanted, cov = both
        errors = {n: 1000 * e for n, e in errors_3d(moved, wanted).items()}
        exists = np.asarray(np.isfinite(wanted).all(-1), np.bool_)
        if not np.isfinite(errors["absolute"]).any():
            raise InputError("no triangulated keypoint has a truth", "check frames and hand sides")
        inside = coverage(moved - wanted, cov)
        ids = run.points.frame_ids
        spatial = Spatial(errors_mm=errors, exists=exists, frame_ids=ids, coverage=inside)
    skeleton = run.points.skeleton if run.points is not None else None
    if skeleton is None and run.dets is not None:
        skeleton = run.dets.skeleton
    assert skeleton is not None  # a run has points or detections
    found = Findings(name=run.name, skeleton=skeleton, planar=matched, spatial=spatial)
    return found if run.points is None else _without_truth(found, run, halves)


def _without_truth(found: Findings, run: Run, halves: bool) -> Findings:
    points, rig, dets = run.points, run.rig, run.ordered
    assert points is not None
    assert rig is not None
    figures = bone_figures(points)
    held: F64 | None = None
    if dets is not None:
        held = held_out_errors(points, rig, dets)
        figures = view_figures(points, held) | figures
        figures |= jerk_figures(points, median_of(dets.times, 0))
        if halves and len(rig.cameras) >= MIN_VIEWS:
            scale = 1000 * PER_UNIT_M.get(points.unit, 1e-3)
            agreed = halves_figures(triangulate_halves(dets, rig, run.config))
            lengths = ("halves_median", "halves_p95", "halves_implied_rms")
            figures |= {n: v * (scale if n in lengths else 1) for n, v in agreed.items()}
    return replace(
        found,
        without=figures,
        held_out_px=held,
        carried=points.inlier,
        valid=points.valid,
        camera_names=points.camera_names,
        frame_ids=points.frame_ids,
    )


def _metrics(found: list[Findings], compared: tuple[Comparison, ...]) -> dict[str, Any]:
    runs = {
        f.name: f.figures() | ({} if f.planar is None else {"2d_groups": groups_2d(f.planar)})
        for f in found
    }
    rows = [
        {"measure": c.name, "unit": c.unit, "verdict": c.verdict} | asdict(c.difference)
        for c in compared
    ]
    return {"runs": runs, "comparisons": rows}


def _plain(value: Any) -> Any:
    """Replace what JSON has no word for: NaN becomes null."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _subtitle(runs: list[Run], truth: Truth | None) -> str:
    said = " against ".join(r.name for r in runs)
    return f"{said}; truth: {truth.path.name}" if truth is not None else f"{said}; without a truth"


def _write(
    folder: Path,
    sections: list[Section],
    found: list[Findings],
    figures: dict[str, Any],
    subtitle: str,
    unit: str,
) -> None:
    end = f"Made by multiview {package_version()}."
    cards = evaluation_cards(found[0], unit)
    page = to_html("Evaluation", subtitle, cards, sections, end)
    write_text(folder / "report.html", page)
    write_text(folder / "report.md", to_markdown("Evaluation", subtitle, sections, "plots", end))
    (folder / "plots").mkdir(exist_ok=True)
    for chart in (c for s in sections for c in s.charts):
        write_text(folder / "plots" / f"{chart.name}.svg", standalone_svg(chart.svg))
    write_text(folder / "metrics.json", json.dumps(_plain(figures), indent=1) + "\n")
    rows: list[dict[str, Any]] = [{"run": f.name, **row} for f in found for row in keypoint_rows(f)]
    names = list(dict.fromkeys(n for row in rows for n in row))
    text = io.StringIO()
    table = csv.DictWriter(text, names, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(folder / "keypoints.csv", text.getvalue())


def _say_accuracy(run: Run, truth: Truth) -> None:
    """Print what this verb always printed, one measure a line."""
    assert run.points is not None
    assert run.rig is not None
    assert truth.xyz is not None
    result = evaluate(run.points, run.rig, truth.xyz, truth.rig)
    for name, value in asdict(result).items():
        say(f"{name:<18} {value if isinstance(value, str) else format(value, '.3f')}")
    say("")


def _say(found: list[Findings], compared: tuple[Comparison, ...]) -> None:
    for section in evaluation_sections(found, compared, "m"):
        for table in section.tables[:1]:
            say(section.title)
            say_table(table.header, table.rows)
            say("")
