"""`multiview detect --guide`: look again where the 3D says that a hand must be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multiview.association import assign_hands
from multiview.capture import Capture
from multiview.config import parse_config
from multiview.core import Detections, Points3D, Rig
from multiview.detection import concatenate
from multiview.errors import InputError
from multiview.formats.atomic import replacing, write_text
from multiview.formats.detections_parquet import read_detections, write_detections
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import read_rig
from multiview.formats.tables import write_table
from multiview.geometry.leave_one_out import leave_one_out_errors
from multiview.guided import VERDICTS, GuideConfig, GuidedReport, guide
from multiview.models.base import Detector
from multiview.models.card import load_card
from multiview.models.confidence import confidence_digest
from multiview.models.load import load_detector
from multiview.progress import Progress, progress_bar, say
from multiview.stage import MANIFEST, Stage, file_digest, provenance, read_manifest
from multiview.stages.network import load_for
from multiview.stages.triangulate import point_figures
from multiview.triangulation import TriangulationConfig, triangulate

__all__ = ["run_guide"]

# Frame sets a shard: what a kill can lose at most, a second or two of work.
SHARD_SETS = 60
KIND = "multiview-guided/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """The first pass: what was detected, and what became of it."""

    table: Path
    folder: Path
    dets: Detections
    points: Points3D
    rig: Rig
    ransac: TriangulationConfig

    @classmethod
    def read(cls, folder: Path, detections: Path | None) -> _Given:
        manifest = read_manifest(folder)
        if manifest.get("stage") != "triangulate":
            raise InputError(
                f"{folder} is the output of {manifest.get('stage')!r}, not of triangulate",
                "guide by the folder of `multiview triangulate`",
            )
        table = _table_of(folder, manifest, detections)
        rig = read_rig(folder / "rig.yaml")
        dets = read_detections(table)
        ransac = parse_config(manifest["config"], TriangulationConfig, str(folder))
        if not dets.hands:
            dets, _ = assign_hands(dets, rig.select(dets.camera_names), ransac.max_hands)
        return cls(
            table=table,
            folder=folder,
            dets=dets,
            points=read_points(folder / "points.parquet"),
            rig=rig,
            ransac=ransac,
        )


def _table_of(folder: Path, manifest: dict[str, Any], detections: Path | None) -> Path:
    """Find the detections that the points were made from, and make sure they are the same."""
    said = manifest.get("figures", {}).get("detections")
    if detections is None and not said:
        raise InputError(
            f"{folder} does not say which detections it was made from",
            "name them by --guide-detections, or run triangulate again",
        )
    found = folder / str(said) if detections is None else detections
    table = found / "detections.parquet" if found.is_dir() else found
    if not table.exists():
        raise InputError(
            f"{table}: the detections that {folder} was made from are not there",
            "say where they are by --guide-detections, or run triangulate again",
        )
    if file_digest(table) != manifest.get("inputs", {}).get("detections"):
        raise InputError(
            f"{table} is not what {folder} was made from, or has changed since",
            "give the detections that triangulate used, or run triangulate again",
        )
    return table


def _check_take(capture: Capture, table: Path) -> None:
    """Refuse another take with as many pictures, or one matched in another way."""
    if not (table.parent / MANIFEST).exists():  # a table of another program
        return
    made = read_manifest(table.parent).get("inputs", {}).get("capture")
    if made not in {None, capture.digest}:
        raise InputError(
            f"{table} was made from another take, or from other files or times of this one",
            "give the take of the first pass, with the same --input options",
        )


def run_guide(
    capture: Capture,
    triangulation: Path,
    out: Path,
    *,
    detections: Path | None = None,
    detector: str = "hand",
    config: GuideConfig | None = None,
    force: bool = False,
    **options: Any,
) -> Path:
    """Detect again, guided by 3D; write ``detections.parquet`` of both passes into ``out``.

    Finished shards are not redone. ``guided.parquet`` says what became of every second look.

    Parameters
    ----------
    capture
        The take.
    triangulation
        Folder of `multiview triangulate`.
    out
        Output folder; triangulate it like that of a first pass.
    detections
        What ``triangulation`` was made from, if it is no longer where it was.
    detector
        Name for `multiview.load_detector`.
    config
        Where to look again, and what to believe.
    force
        Replace an older, different result.
    options
        More for `multiview.load_detector`.

    Raises
    ------
    InputError
        If capture, 3D points, detections and detector do not belong together.
    """
    config = config or GuideConfig()
    given = _Given.read(triangulation, detections)
    _check_take(capture, given.table)
    plan = {
        "detector": detector,
        **options,
        "guide": config.model_dump(),
        **_network(detector, options),
    }
    inputs = {
        "capture": capture.digest,
        "detections": file_digest(given.table),
        "points": file_digest(triangulation / "points.parquet"),
    }
    stage = Stage("guide", plan, inputs, out, force)
    if stage.done:
        say(f"guide: {out} is up to date")
        return out
    network = load_for(stage, lambda: load_detector(detector, **options))
    with progress_bar() as progress:
        dets, report = _shards(capture, network, given, config, stage.work, progress)
    about = {"config": plan, "inputs": inputs, "versions": provenance()}
    write_detections(dets, stage.work / "detections.parquet", about)
    _write_verdicts(report, dets, stage.work / "guided.parquet", about)
    for path in stage.work.glob("shard-*"):
        path.unlink()
    figures = _figures(given, dets, report)
    lines = _markdown(figures, report)
    write_text(stage.work / "report.md", "\n".join(["# Guided pass", "", *lines, ""]))
    stage.finish(figures)
    for line in lines:
        say(line)
    say(f"guide: {figures['added']} observations added -> {out / 'detections.parquet'}")
    return out


def _network(detector: str, options: dict[str, Any]) -> dict[str, str | None]:
    """Say what a result depends on beside the detector's name."""
    card = load_card(detector)
    calibration = confidence_digest(card, int(options.get("passes", 0)))
    return {"card": card.digest, "confidence": calibration}


def _shards(
    capture: Capture,
    network: Detector,
    given: _Given,
    config: GuideConfig,
    work: Path,
    progress: Progress,
) -> tuple[Detections, GuidedReport]:
    """Look again shard by shard; those that are there are read instead."""
    parts, verdicts, sets = [], [], len(given.dets.frame_ids)
    for number, start in enumerate(range(0, sets, SHARD_SETS)):
        # the verdicts come first: where the table is, they are
        verdict = work / f"shard-{number:05d}.npy"
        table = verdict.with_suffix(".parquet")
        if not table.exists():
            part, report = guide(
                capture,
                network,
                given.dets,
                given.points,
                given.rig,
                config,
                start=start,
                stop=start + SHARD_SETS,
            )
            with replacing(verdict) as temporary:
                np.save(temporary, report.verdict, allow_pickle=False)
            write_detections(part, table)
        parts.append(read_detections(table))
        verdicts.append(np.load(verdict, allow_pickle=False))
        progress("guide", min(start + SHARD_SETS, sets), sets)
    whole = GuidedReport(
        before=np.asarray(given.dets.valid.any(-1).sum((1, 2)), np.int64),
        verdict=np.concatenate(verdicts, axis=1),
        camera_names=given.dets.camera_names,
    )
    return concatenate(parts), whole


def _write_verdicts(
    report: GuidedReport, dets: Detections, path: Path, about: dict[str, Any]
) -> None:
    """One row a hand that was looked for: ``frame``, ``camera``, ``hand``, ``verdict``."""
    v, f, h = np.nonzero(report.verdict)
    columns = {
        "frame": dets.frame_ids[f],
        "camera": np.array(dets.camera_names, dtype=object)[v],
        "hand": np.array(dets.hands, dtype=object)[h],
        "verdict": np.array(VERDICTS, dtype=object)[report.verdict[v, f, h]],
    }
    write_table(path, columns, {"kind": KIND, "about": about})


def _figures(given: _Given, dets: Detections, report: GuidedReport) -> dict[str, Any]:
    """Count what the pass added, triangulate again, and compare."""
    again = triangulate(dets, given.rig, given.ransac)
    added = report.added
    kept = ~added[..., None] & given.points.inlier & again.inlier
    before, after = (
        _held_out(given.rig, p, d) for p, d in ((given.points, given.dets), (again, dets))
    )
    kept &= np.isfinite(before) & np.isfinite(after)
    old, new = point_figures(given.points, given.dets), point_figures(again, dets)
    names = ("share_recovered", "share_voted", "reprojection_median_px", "reprojection_p95_px")
    return {
        "before": int(report.before.sum()),
        "added": int(added.sum()),
        "read_again": int((report.verdict == VERDICTS.index("read again")).sum()),
        "added_per_camera": dict(zip(dets.camera_names, added.sum((1, 2)).tolist(), strict=True)),
        "added_agree": _mean(again.inlier[added]),
        "others_agree": _mean(again.inlier[dets.valid & ~added[..., None]]),
        "points": [int(given.points.valid.sum()), int(again.valid.sum())],
        "views_a_point": [_mean(p.inlier.sum(0)[p.valid]) for p in (given.points, again)],
        **{n: [old[n], new[n]] for n in names},
        "held_out_median_px": [_median(before[kept]), _median(after[kept])],
        "held_out_median_px_added": _median(after[added[..., None] & again.inlier]),
    }


def _held_out(rig: Rig, points: Points3D, dets: Detections) -> np.ndarray:
    """Error of every inlier against the point without it, shape (V, F, H, K)."""
    rig, shape = rig.select(points.camera_names), points.inlier.shape
    out = leave_one_out_errors(
        rig,
        points.xyz_world.reshape(-1, 3),
        dets.xy_px.reshape(shape[0], -1, 2),
        points.inlier.reshape(shape[0], -1),
    )
    return out.reshape(shape)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else float("nan")


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"


def _pixels(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _markdown(figures: dict[str, Any], report: GuidedReport) -> list[str]:
    counts = report.counts()
    shown = [n for n in VERDICTS[1:] if n != "read again" or counts[n].any()]
    looked = np.asarray((report.verdict > 0).sum((1, 2)))
    lines = [
        f"| camera | before | looked for | {' | '.join(shown)} |",
        f"| --- | ---: | ---: |{' ---: |' * len(shown)}",
    ]
    for v, name in enumerate(report.camera_names):
        cells = [report.before[v], looked[v], *(counts[n][v] for n in shown)]
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    totals = [report.before.sum(), looked.sum(), *(counts[n].sum() for n in shown)]
    lines.append(f"| all | {' | '.join(map(str, totals))} |")
    return [*lines, "", *_effect(figures)]


def _effect(figures: dict[str, Any]) -> list[str]:
    rows = [
        ("keypoints with 3D", [str(n) for n in figures["points"]]),
        ("of these with a vote", [_share(s) for s in figures["share_voted"]]),
        ("views that carry a point", [f"{n:.2f}" for n in figures["views_a_point"]]),
        (
            "reprojection error, median / 95 %, px",
            [
                f"{_pixels(m)} / {_pixels(p)}"
                for m, p in zip(
                    figures["reprojection_median_px"], figures["reprojection_p95_px"], strict=True
                )
            ],
        ),
        (
            "held-out error of the same observations, px",
            [_pixels(m) for m in figures["held_out_median_px"]],
        ),
    ]
    return [
        "| triangulated | first pass | with the added |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {' | '.join(values)} |" for name, values in rows),
        "",
        f"{_share(figures['added_agree'])} of the added keypoints agree with the new 3D, "
        f"{_share(figures['others_agree'])} of the others; held-out error of the added "
        f"{_pixels(figures['held_out_median_px_added'])} px",
    ]
