"""`multiview calibrate`: a rig from footage of a board."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from multiview.calib import (
    Board,
    BoardCorners,
    CalibrationResult,
    calibrate_corners,
    detect_boards,
    parse_board,
    report_data,
    report_markdown,
)
from multiview.calib.finders import check_boards_differ
from multiview.capture import Capture
from multiview.core import Intrinsics
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.progress import progress_bar, say
from multiview.stage import Stage, file_digest
from multiview.stages.board_store import open_store
from multiview.stages.sync_text import sync_text

__all__ = ["run_calibrate"]


def run_calibrate(
    capture: Capture,
    boards: Sequence[str | Path],
    out: Path,
    *,
    intrinsics: Path | None = None,
    force: bool = False,
) -> Path:
    """Calibrate and write ``rig.yaml``, ``report.md`` and ``report.json`` into ``out``.

    Parameters
    ----------
    capture
        Footage of the board, synchronised.
    boards
        Board YAML files or specs, for `multiview.calib.parse_board`.
    out
        Output folder.
    intrinsics
        A rig file whose lenses are kept; only the poses are estimated.
    force
        Replace an older, different result.
    """
    filmed = tuple(parse_board(str(text)) for text in boards)
    check_boards_differ(filmed)
    inputs = {"capture": capture.digest}
    lenses = None
    if intrinsics is not None:
        inputs["intrinsics"] = file_digest(intrinsics)
        lenses = {c.name: c.intrinsics for c in read_rig(intrinsics).select(capture.names).cameras}
    stage = Stage("calibrate", {"boards": [b.model_dump() for b in filmed]}, inputs, out, force)
    if stage.done:
        say(f"calibrate: {out} is up to date")
        return out
    say(sync_text(capture))
    _check_some_frames(capture)
    with progress_bar() as progress:
        store = open_store(out, inputs["capture"], filmed)
        corners = detect_boards(capture, filmed, progress, store=store)
    result = _solve(filmed, corners, lenses)
    write_rig(result.rig, stage.work / "rig.yaml")
    write_text(stage.work / "report.md", report_markdown(result))
    data = report_data(result)
    write_text(stage.work / "report.json", json.dumps(data, indent=1) + "\n")
    stage.finish({"rms_px": result.rms_px, "heldout_px": result.heldout.predicted_px})
    held = result.heldout
    say(
        f"calibrate: {len(result.rig.cameras)} cameras, rms {result.rms_px:.3f} px, held out "
        f"{held.predicted_px:.3f} px and {held.triangulated_mm:.2f} mm -> {out / 'rig.yaml'}"
    )
    for warning in result.warnings:
        say(f"  look at: {warning}")
    return out


def _solve(
    boards: Sequence[Board],
    corners: Sequence[BoardCorners],
    lenses: Mapping[str, Intrinsics] | None,
) -> CalibrationResult:
    """Calibrate from what was detected."""
    if len(boards) > 1:
        say(f"calibrate: solved from the first board only, {boards[0].describe()}")
    return calibrate_corners(corners[0], boards[0], intrinsics=lenses)


def _check_some_frames(capture: Capture) -> None:
    if not len(capture.frame_ids):
        raise InputError("the capture has no frames", "check the videos with a player")
