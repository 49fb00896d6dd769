"""`multiview triangulate`: 3D keypoints from the detections of a take and a rig."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

from multiview._shapes import IntArray
from multiview.bias import Corrected, correct_bias
from multiview.core import HAND_21, Detections, KeypointBias, Points3D
from multiview.formats.atomic import write_text
from multiview.formats.bias_yaml import read_bias
from multiview.formats.detections_parquet import read_detections
from multiview.formats.points_parquet import write_points
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.prediction import missed_hands
from multiview.progress import say
from multiview.stage import Stage, file_digest, provenance
from multiview.triangulation import (
    TriangulationConfig,
    TriangulationReport,
    triangulate_with_report,
)

__all__ = ["point_figures", "run_triangulate", "way_to"]

# Below this, more observations are off than on: no detector that finds hands is that bad by itself.
LOW_AGREEMENT = 0.5
# Share of the hand's length between neighbouring finger bases, about.
TELLS_APART = 0.12


def run_triangulate(
    detections: Path,
    rig_path: Path,
    out: Path,
    config: TriangulationConfig,
    *,
    bias_path: Path | None = None,
    force: bool = False,
) -> Path:
    """Triangulate and write ``points.parquet``, ``rig.yaml`` and ``report.md`` into ``out``.

    Parameters
    ----------
    detections
        Folder of `multiview detect`, or a detections table.
    rig_path
        Rig YAML.
    out
        Output folder.
    config
        Tolerances.
    bias_path
        Lasting error of the detector, to be taken off the points: see `multiview.bias`.
    force
        Replace an older, different result.
    """
    table = detections / "detections.parquet" if detections.is_dir() else detections
    dets, rig = read_detections(table), read_rig(rig_path)
    inputs = {"detections": file_digest(table), "rig": rig.digest}
    bias = None if bias_path is None else read_bias(bias_path)
    if bias_path is not None:
        inputs["bias"] = file_digest(bias_path)
    stage = Stage("triangulate", config.model_dump(), inputs, out, force)
    if stage.done:
        say(f"triangulate: {out} is up to date")
        return out
    with stage.cleared():
        points, report = triangulate_with_report(dets, rig, config)
        corrected = None if bias is None else correct_bias(points, bias)
    missed = missed_hands(points, rig).sum((1, 2))
    figures = point_figures(points, dets) | asdict(report) | {"missed": int(missed.sum())}
    lines = _markdown(points, report, figures, missed)
    if bias is not None and corrected is not None:
        points = corrected.points
        lines += _bias_lines(bias, corrected)
        say(f"  {lines[-1]}")
    about = {"config": config.model_dump(), "inputs": inputs, "versions": provenance()}
    write_points(points, stage.work / "points.parquet", about)
    write_rig(rig.select(dets.camera_names), stage.work / "rig.yaml")
    write_text(stage.work / "report.md", "\n".join(lines) + "\n")
    stage.finish(figures | {"detections": way_to(table, out)})
    say(
        f"triangulate: {figures['share_recovered']:.0%} of the keypoints in frames with a hand, "
        f"reprojection median {figures['reprojection_median_px']:.2f} px "
        f"-> {out / 'points.parquet'}"
    )
    for line in _advice(points, report, figures, out):
        say(f"  {line}")
    return out


def _advice(
    points: Points3D, report: TriangulationReport, figures: dict[str, float], out: Path
) -> list[str]:
    """Say what to look at, and what to do next."""
    lines = []
    if report.repairs:
        lines.append(
            f"put right where one view contradicted three others: {_repairs(report)} "
            "(--ransac.no-repair leaves them out instead)"
        )
    if report.hit_rate < LOW_AGREEMENT and figures["share_voted"] > 0:
        lines.append(
            f"look at: only {report.hit_rate:.0%} of the observations agree with the others; "
            "check that the rig still fits the cameras and that the videos are in step "
            "(`multiview calib check`); --ransac.unit finger --ransac.inlier-hand 0.1 accepts "
            "points of such footage, with their larger errors"
        )
    if report.tolerance > TELLS_APART * report.hand_length > 0:
        lines.append(
            f"look at: views agree only within {report.tolerance / report.hand_length:.0%} of the "
            "hand's length, which tells no finger from the next; see the points' covariances"
        )
    if figures["share_voted"] < 1:
        lines.append(
            f"{1 - figures['share_voted']:.0%} of the points rest on two views only: "
            "no vote was possible, an error of one view stays unseen"
        )
    if figures["missed"]:
        lines.append(
            f"{figures['missed']} hands were not found in pictures where the 3D puts them: "
            f"multiview detect TAKE --guide {out} looks again there"
        )
    return lines


def way_to(table: Path, out: Path) -> str:
    """Path of the detections from the output folder, so that both may move together."""
    try:
        return os.path.relpath(table.resolve(), out.resolve())
    except ValueError:  # on another drive
        return str(table.resolve())


def point_figures(points: Points3D, dets: Detections) -> dict[str, float]:
    """Numbers of a triangulated take that need no truth."""
    seen = dets.valid.any((0, 2, 3))
    hands = points.valid.any(-1)
    used = points.err_px[points.inlier]
    full = points.valid[hands]
    return {
        "frames": len(points.frame_ids),
        "frames_with_detections": int(seen.sum()),
        "frames_with_points": int(hands.any(-1).sum()),
        "share_recovered": float(full.mean()) if full.size else 0.0,
        "share_voted": float(points.voted[points.valid].mean()) if points.valid.any() else 0.0,
        "reprojection_median_px": float(np.median(used)) if used.size else float("nan"),
        "reprojection_p95_px": float(np.percentile(used, 95)) if used.size else float("nan"),
    }


def _what(points: Points3D) -> str:
    """Say what the scale was measured on."""
    hand = points.skeleton.keypoints == HAND_21.keypoints
    return "hand length, wrist to middle tip" if hand else "largest distance of two keypoints"


def _repairs(report: TriangulationReport) -> str:
    """Say what was taken for what, and how often over all cameras."""
    return ", ".join(f"{kind} {sum(n)}" for kind, n in report.repairs.items()) or "nothing"


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"


def _markdown(
    points: Points3D, report: TriangulationReport, figures: dict[str, float], missed: IntArray
) -> list[str]:
    scale = 1000 if points.unit == "m" else 1
    unit = "mm" if points.unit == "m" else points.unit
    lines = [
        "# Triangulation",
        "",
        "| measure | value |",
        "| --- | ---: |",
        f"| frame sets, with a detection, with 3D | {figures['frames']}, "
        f"{figures['frames_with_detections']}, {figures['frames_with_points']} |",
        f"| keypoints recovered in those hands | {figures['share_recovered']:.1%} |",
        f"| of these with a vote of 3 or more views | {figures['share_voted']:.1%} |",
        f"| reprojection error of inliers, median / 95 % | "
        f"{figures['reprojection_median_px']:.2f} / {figures['reprojection_p95_px']:.2f} px |",
        f"| noise of one inlier coordinate | {report.sigma_px:.2f} px |",
        f"| {_what(points)} | {report.hand_length * scale:.1f} {unit} |",
        f"| inlier tolerance | {report.tolerance * scale:.1f} {unit} |",
        f"| observations that agree, where a vote is possible | {_share(report.hit_rate)} |",
        f"| agreeing views demanded of 2, 3, ... candidates | "
        f"{', '.join(map(str, report.min_views))} |",
        f"| points of two views: right, on the average | {_share(report.two_view_trust)} |",
        f"| detections whose left/right the other views overruled | {report.moved} |",
        f"| hands not found where the 3D puts them (`detect --guide`) | {missed.sum()} |",
        f"| candidates that belong to no hand | {report.unassigned} |",
        f"| put right where one view alone was confused | {_repairs(report)} |",
        "",
        "| camera | observations | inliers | median px of inliers | hands not found | sides put "
        "right | fingers put right |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for v, name in enumerate(points.camera_names):
        err, good = points.err_px[v], points.inlier[v]
        median = f"{np.median(err[good]):.2f}" if good.any() else "-"
        changed = f"{missed[v]} | {report.swapped_hands[v]} | {report.repaired_fingers[v]}"
        lines.append(f"| {name} | {np.isfinite(err).sum()} | {good.sum()} | {median} | {changed} |")
    return lines


def _bias_lines(bias: KeypointBias, done: Corrected) -> list[str]:
    """Say that the points are no longer what the views alone say."""
    return [
        "",
        f"corrected for the detector's lasting error: {done.share:.1%} of the points moved by "
        f"{done.mean:.4g} {done.points.unit} (mean), by a table from {bias.poses} poses "
        f"({bias.about}); reprojection errors are of the points before",
    ]
