"""`multiview smooth`: paths over time from triangulated keypoints, as a step of its own.

A verb and not an option of `triangulate`: the measured points stay beside the smoothed ones, so
that anyone can compare them, and nothing downstream gets smoothed points without asking.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from multiview.association import as_triangulated
from multiview.core import Points3D
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.detections_parquet import read_detections
from multiview.formats.points_parquet import read_points, write_points
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.progress import say
from multiview.smoothing.config import HandReport, SmoothingConfig, SmoothingReport
from multiview.smoothing.take import smooth_with_report
from multiview.stage import MANIFEST, Stage, file_digest, provenance, read_manifest
from multiview.stages.triangulate import way_to
from multiview.stages.triangulated import hands_at_a_time

__all__ = ["run_smooth"]

# Correlation of errors from frame to frame from which on the user is told: half of the noise of a
# point then persists beyond three frames.
PERSISTENT = 0.8


def run_smooth(
    points_dir: Path,
    out: Path,
    config: SmoothingConfig,
    *,
    detections: Path | None = None,
    rig_path: Path | None = None,
    force: bool = False,
) -> Path:
    """Smooth and write ``points.parquet``, ``rig.yaml`` and ``report.md`` into ``out``.

    Parameters
    ----------
    points_dir
        Folder of `multiview triangulate`.
    out
        Output folder.
    config
        Options.
    detections
        Folder of `multiview detect` or a table; by default what the points were made of.
    rig_path
        Rig YAML; by default the one beside the points.
    force
        Replace an older, different result.

    Raises
    ------
    InputError
        If the detections are not where they were and none are given, or do not fit; if the points
        were corrected for a bias.
    """
    _refuse_corrected(points_dir)
    source = points_dir / "points.parquet"
    points, table = read_points(source), _table(points_dir, detections)
    dets, rig = read_detections(table), read_rig(rig_path or points_dir / "rig.yaml")
    inputs = {
        "points": file_digest(source),
        "detections": file_digest(table),
        "rig": rig.digest,
    }
    stage = Stage("smooth", config.model_dump(), inputs, out, force)
    if stage.done:
        say(f"smooth: {out} is up to date")
        return out
    most = hands_at_a_time(points_dir)
    with stage.cleared():
        dets = as_triangulated(dets, points, rig, most)
        smoothed, report = smooth_with_report(points, dets, rig, config)
    about = {"config": config.model_dump(), "inputs": inputs, "versions": provenance()}
    write_points(smoothed, stage.work / "points.parquet", about)
    write_rig(rig.select(points.camera_names), stage.work / "rig.yaml")
    write_text(stage.work / "report.md", _markdown(smoothed, report))
    figures = {"smoothing": smoothed.smoothing, "persistence": report.persistence}
    figures |= {} if most is None else {"max_hands": most}
    figures |= {h.hand: asdict(h) for h in report.hands}
    stage.finish(figures | {"detections": way_to(table, out)})
    _tell(smoothed, report, out)
    return out


def _refuse_corrected(points_dir: Path) -> None:
    """Paths are found from the views anew, so a correction of the points would be lost unseen."""
    made = read_manifest(points_dir) if (points_dir / MANIFEST).exists() else {}
    if "bias" in made.get("inputs", {}):
        raise InputError(
            f"{points_dir} was corrected by --bias, which smoothing would undo",
            "smooth points that were triangulated without --bias",
        )


def _table(points_dir: Path, detections: Path | None) -> Path:
    if detections is None:
        way = read_manifest(points_dir).get("figures", {}).get("detections")
        if not way:
            raise InputError(
                f"{points_dir} does not say which detections it was made of",
                "give them: --detections DETECT_DIR",
            )
        detections = (points_dir / str(way)).resolve()
    return detections / "detections.parquet" if detections.is_dir() else detections


def _tell(points: Points3D, report: SmoothingReport, out: Path) -> None:
    scale, unit = _unit(points)
    for hand in report.hands:
        if not hand.points:
            continue
        say(
            f"smooth: {hand.hand} hand: noise {hand.noise * scale:.2f} -> "
            f"{hand.noise_after * scale:.2f} {unit}, points moved by {hand.shift * scale:.2f} "
            f"{unit} (median), {hand.filled} filled"
        )
    if report.persistence > PERSISTENT:
        say(
            f"  look at: a view's errors persist from frame to frame (correlation "
            f"{report.persistence:.2f}); smoothing over time does not repair those"
        )
    say(f"  -> {out / 'points.parquet'}")


def _unit(points: Points3D) -> tuple[float, str]:
    return (1000.0, "mm") if points.unit == "m" else (1.0, points.unit)


def _markdown(points: Points3D, report: SmoothingReport) -> str:
    hands = [h for h in report.hands if h.points]
    scale, unit = _unit(points)
    clock, time = (1000.0, "ms") if report.clock else (1.0, "frames")
    per = "s" if report.clock else "frame"
    rows = [
        ("points; filled; pairs of views rejected; views readmitted", _counts),
        (
            f"noise of a coordinate before / after, {unit}",
            lambda h: f"{h.noise * scale:.3f} / {h.noise_after * scale:.3f}",
        ),
        (f"points moved by, median, {unit}", lambda h: f"{h.shift * scale:.3f}"),
        ("measured points that a smoothed one is worth", lambda h: f"{h.frames_used:.1f}"),
        ("intervals too fast to smooth: points as measured", lambda h: f"{h.free:.1%}"),
        (
            f"95 % of the speeds are below, {unit}/{per}",
            lambda h: f"{h.speed * scale:.0f}",
        ),
        (
            f"lag, all frames / fastest 5 %, {time}",
            lambda h: f"{h.lag_s * clock:.2f} / {h.lag_fast_s * clock:.2f}",
        ),
        (
            "bone lengths vary by, before / after",
            lambda h: f"{h.bone_spread:.2%} / {h.bone_spread_after:.2%}",
        ),
    ]
    lines = [
        "# Smoothing over time",
        "",
        f"These points are **smoothed** ({points.smoothing}).",
        "",
    ]
    lines += ["| measure | " + " | ".join(h.hand for h in hands) + " |"]
    lines += ["| --- |" + " ---: |" * len(hands)]
    lines += [f"| {name} | " + " | ".join(f(h) for h in hands) + " |" for name, f in rows]
    lines += ["", _meaning(report, points)]
    return "\n".join(lines) + "\n"


def _counts(hand: HandReport) -> str:
    return f"{hand.points}; {hand.filled}; {hand.rejected}; {hand.readmitted}"


def _meaning(report: SmoothingReport, points: Points3D) -> str:
    seen = "unknown" if np.isnan(report.persistence) else f"{report.persistence:.2f}"
    text = [
        "Smoothing looks both ways, so it trails nothing; it blunts turns that are quicker than "
        "it looks and smaller than the noise. Where points disagree with their path beyond their "
        "covariances, the path gives way. Lag is that of the smoothed against the measured "
        "path along the direction of motion.",
        f"Correlation of a view's errors from frame to frame: {seen} (white noise: 0). Errors that "
        "persist, such as a detector's bias that all views share, are not smoothed away.",
    ]
    if not report.clock:
        text.append("The detections carry no times: frames count as equally far apart.")
    if points.filled.any():
        text.append(f"{int(points.filled.sum())} places are filled: `filled` marks them.")
    return "\n\n".join(text)
