"""`multiview calibrate`: a rig from footage of a board."""

from __future__ import annotations

import json
import time
from pathlib import Path

from multiview.calib import (
    CalibrationResult,
    calibrate,
    expected_error,
    load_board,
    report_data,
    report_html,
    report_markdown,
)
from multiview.calib.assess import Assessment, assess
from multiview.calib.provenance import board_tracks, reframe_result, rig_record, with_record
from multiview.calib.report import figures_table
from multiview.capture import Capture
from multiview.core.boards import Origin
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.boards_json import boards_path, write_boards
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.progress import progress_bar, say, say_table
from multiview.stage import Stage, file_digest, package_version
from multiview.stages.frame import check_world, frame_text, world_frame, world_inputs
from multiview.stages.sync_text import sync_text
from multiview.stages.thumbnails import thumbnails

__all__ = ["run_calibrate"]


def run_calibrate(
    capture: Capture,
    board_path: Path,
    out: Path,
    *,
    intrinsics: Path | None = None,
    world: str | None = None,
    origin: Origin = "bottom-left",
    force: bool = False,
) -> Path:
    """Calibrate and write the rig, its boards' poses and its reports into ``out``.

    Parameters
    ----------
    capture
        Footage of the board, synchronised.
    board_path
        Board YAML.
    out
        Output folder.
    intrinsics
        A rig file whose lenses are kept; only the poses are estimated.
    world, origin
        The world of the rig, as in `multiview.stages.frame.world_frame`; the first camera if left
        out.
    force
        Replace an older, different result.
    """
    board = load_board(board_path)
    if world:
        check_world(world, capture.names)
    inputs = {"capture": capture.digest}
    lenses = None
    if intrinsics is not None:
        inputs["intrinsics"] = file_digest(intrinsics)
        lenses = {c.name: c.intrinsics for c in read_rig(intrinsics).select(capture.names).cameras}
    config = {"board": board.model_dump(), **({"world": [world, origin]} if world else {})}
    inputs |= world_inputs(world)
    stage = Stage("calibrate", config, inputs, out, force)
    if stage.done:
        say(f"calibrate: {out} is up to date")
        return out
    say(sync_text(capture))
    _check_some_frames(capture)
    with progress_bar() as progress:
        result = calibrate(capture, board, intrinsics=lenses, progress=progress)
    result = _finished(result, capture, world, origin)
    judged = assess(result)
    write_rig(result.rig, stage.work / "rig.yaml")
    write_boards(board_tracks(result), boards_path(stage.work / "rig.yaml"))
    write_text(stage.work / "report.md", report_markdown(result))
    data = report_data(result)
    write_text(stage.work / "report.json", json.dumps(data, indent=1) + "\n")
    page = report_html(
        result,
        assessment=judged,
        thumbnails=thumbnails(capture, result),
        expected_error=lambda xyz: 1000 * expected_error(result.rig, result.covariance, xyz),
    )
    write_text(stage.work / "report.html", page)
    stage.finish({"rms_px": result.rms_px, "heldout_px": result.heldout.predicted_px})
    _tell(result, judged, out)
    return out


def _finished(
    result: CalibrationResult, capture: Capture, world: str | None, origin: Origin
) -> CalibrationResult:
    """Give the rig its record and its world."""
    record = rig_record(
        result,
        program=f"multiview {package_version()}",
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        capture=capture.digest,
    )
    result = with_record(result, record)
    if not world:
        return result
    frame = world_frame(result.rig, world, lambda: board_tracks(result), origin)
    moved = reframe_result(result, frame)
    for line in frame_text(moved.rig, frame):
        say(f"  {line}")
    return moved


def _tell(result: CalibrationResult, judged: Assessment, out: Path) -> None:
    say_table(*figures_table(result, judged), left=2)
    held = result.heldout
    say(
        f"calibrate: {len(result.rig.cameras)} cameras, rms {result.rms_px:.3f} px, held out "
        f"{held.predicted_px:.3f} px and {held.triangulated_mm:.2f} mm -> {out / 'rig.yaml'}"
    )
    for warning in result.warnings:
        say(f"  look at: {warning}")
    for wish in judged.film[:3] if judged.level != "good" else ():
        say(f"  film: {wish}")
    say(f"  verdict: {judged.level}; open {out / 'report.html'}")


def _check_some_frames(capture: Capture) -> None:
    if not len(capture.frame_ids):
        raise InputError("the capture has no frames", "check the videos with a player")
