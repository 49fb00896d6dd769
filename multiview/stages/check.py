"""`multiview calib check`: whether a rig is still true, by footage of a board or of hands."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from multiview._shapes import F64
from multiview.calib import Board, BoardCorners, detect_board, parse_board
from multiview.calib.health import check_corners, check_detections
from multiview.calib.health_result import HealthReport, health_data, health_markdown
from multiview.calib.sharpness import edge_width_px
from multiview.capture import Capture
from multiview.core import Detections, Rig
from multiview.detection import detect
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.detections_parquet import read_detections
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.models.load import load_detector
from multiview.progress import progress_bar, say
from multiview.stage import Stage, file_digest
from multiview.stages.sync_text import sync_text

__all__ = ["run_check"]

# Pictures of a camera whose edges are measured; blur does not come and go with the frame.
SHARPNESS_PICTURES = 12


def run_check(
    rig_path: Path,
    footage: Capture | Path,
    out: Path,
    *,
    board_spec: str | None = None,
    floor_mm: float | None = None,
    force: bool = False,
) -> bool:
    """Check a rig, and write ``report.md``, ``report.json`` and perhaps ``rig_corrected.yaml``.

    Parameters
    ----------
    rig_path
        Rig file.
    footage
        A take; or a folder of `multiview detect` or its table.
    out
        Output folder.
    board_spec
        Board YAML or spec, if a board was filmed; else hands are looked for.
    floor_mm
        Displacements below this are no fault.
    force
        Replace an older, different result.

    Returns
    -------
    bool
        Whether the rig is healthy.
    """
    rig = read_rig(rig_path)
    board = parse_board(board_spec) if board_spec else None
    table = _table(footage, board)
    inputs = {"rig": rig.digest}
    inputs["footage"] = file_digest(table) if table else footage.digest  # type: ignore[union-attr]
    config = {"board": board.model_dump() if board else None, "floor_mm": floor_mm}
    stage = Stage("calib check", config, inputs, out, force)
    if stage.done:
        data = json.loads((out / "report.json").read_text(encoding="utf-8"))
        say(f"calib check: {out} is up to date")
        say((out / "report.md").read_text(encoding="utf-8"))
        return bool(data["healthy"])
    with stage.cleared():
        report = _report(footage, table, rig, board, floor_mm)
    write_text(stage.work / "report.md", health_markdown(report))
    write_text(stage.work / "report.json", json.dumps(health_data(report), indent=1) + "\n")
    if report.corrected is not None:
        write_rig(report.corrected, stage.work / "rig_corrected.yaml")
    stage.finish({"findings": [f.kind for f in report.findings]})
    say(health_markdown(report))
    say(f"calib check: {'healthy' if report.healthy else 'NOT healthy'} -> {out / 'report.md'}")
    return report.healthy


def _table(footage: Capture | Path, board: Board | None) -> Path | None:
    """Path of the detections table, if detections were given."""
    if not isinstance(footage, Path):
        return None
    if board is not None:
        raise InputError(
            f"{footage} holds detections of hands, and --board names a board",
            "give the take that shows the board, or leave --board out",
        )
    return footage / "detections.parquet" if footage.is_dir() else footage


def _report(
    footage: Capture | Path,
    table: Path | None,
    rig: Rig,
    board: Board | None,
    floor_mm: float | None,
) -> HealthReport:
    if table is not None:
        return check_detections(read_detections(table), rig, floor_mm=floor_mm)
    capture: Capture = footage  # type: ignore[assignment]
    say(sync_text(capture))
    if board is None:
        return check_detections(_hands(capture), rig, floor_mm=floor_mm)
    with progress_bar() as progress:
        corners = detect_board(capture, board, progress)
    floor = {} if floor_mm is None else {"floor_mm": floor_mm}
    sharpness = _sharpness(capture, corners)
    return check_corners(corners, board, rig, times=capture.times, sharpness_px=sharpness, **floor)


def _hands(capture: Capture) -> Detections:
    with progress_bar() as progress:
        return detect(
            capture, load_detector("hand"), workers=os.cpu_count() or 1, progress=progress
        )


def _sharpness(capture: Capture, corners: BoardCorners) -> F64:
    """Median width of the edges at the corners of each camera, shape (V,); NaN where unseen."""
    out = np.full(len(capture.names), np.nan)
    for v in range(len(capture.names)):
        seen = np.flatnonzero(corners.valid[v].any(-1) & (capture.index[v] >= 0))
        some = seen[np.linspace(0, len(seen) - 1, min(len(seen), SHARPNESS_PICTURES)).astype(int)]
        widths = [edge_width_px(capture.image(v, int(f)), corners.xy_px[v, f]) for f in some]
        widths = [w for w in widths if np.isfinite(w)]
        if widths:
            out[v] = float(np.median(widths))
    return out
