"""`multiview calibrate`: a rig from footage of boards."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from multiview.calib import (
    CalibrationResult,
    calibrate_corners,
    detect_boards,
    expected_error,
    parse_board,
    report_data,
    report_html,
    report_markdown,
)
from multiview.calib.assess import Assessment, assess
from multiview.calib.finders import check_boards_differ
from multiview.calib.provenance import board_tracks, reframe_result, rig_record, with_record
from multiview.calib.report import figures_table
from multiview.capture import Capture
from multiview.core import Intrinsics
from multiview.core.boards import Origin
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.boards_json import boards_path, write_boards
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.progress import progress_bar, say, say_table
from multiview.stage import Stage, file_digest, package_version
from multiview.stages.board_store import open_store
from multiview.stages.frame import check_world, frame_text, world_frame, world_inputs
from multiview.stages.solve_options import SolveOptions
from multiview.stages.sync_text import sync_text
from multiview.stages.thumbnails import thumbnails

__all__ = ["run_calibrate"]


def run_calibrate(
    capture: Capture,
    boards: Sequence[str | Path],
    out: Path,
    *,
    intrinsics: Path | None = None,
    solve: SolveOptions | None = None,
    world: str | None = None,
    origin: Origin = "bottom-left",
    force: bool = False,
) -> Path:
    """Calibrate and write the rig, its boards' poses and its reports into ``out``.

    Parameters
    ----------
    capture
        Footage of the boards, synchronised.
    boards
        Board YAML files or specs, for `multiview.calib.parse_board`.
    out
        Output folder.
    intrinsics
        A rig file whose lenses are kept; only the poses are estimated.
    solve
        What is estimated.
    world, origin
        The world of the rig, as in `multiview.stages.frame.world_frame`; the first camera if left
        out.
    force
        Replace an older, different result.
    """
    filmed = tuple(parse_board(str(text)) for text in boards)
    check_boards_differ(filmed)
    if world:
        check_world(world, capture.names)
    solve = solve or SolveOptions()
    inputs = {"capture": capture.digest} | world_inputs(world)
    lenses = _lenses(intrinsics, capture) if intrinsics else None
    if intrinsics:
        inputs["intrinsics"] = file_digest(intrinsics)
    config = {"boards": [b.model_dump() for b in filmed], "solve": solve.model_dump()}
    config |= {"world": [world, origin]} if world else {}
    stage = Stage("calibrate", config, inputs, out, force)
    if stage.done:
        say(f"calibrate: {out} is up to date")
        return out
    say(sync_text(capture))
    with stage.cleared():
        _check_some_frames(capture)
        with progress_bar() as progress:
            store = open_store(out, capture.digest, filmed)
            corners = detect_boards(capture, filmed, progress, store=store)
            result = calibrate_corners(
                corners,
                filmed,
                intrinsics=lenses,
                progress=progress,
                **solve.arguments(capture.names),
            )
        result = _finished(result, capture, world, origin)
    judged = assess(result)
    _write(result, judged, capture, stage.work)
    stage.finish({"rms_px": result.rms_px, "heldout_px": result.heldout.predicted_px})
    _tell(result, judged, out)
    return out


def _lenses(path: Path, capture: Capture) -> dict[str, Intrinsics]:
    return {c.name: c.intrinsics for c in read_rig(path).select(capture.names).cameras}


def _write(result: CalibrationResult, judged: Assessment, capture: Capture, folder: Path) -> None:
    """Write the rig, its boards' poses and its reports."""
    write_rig(result.rig, folder / "rig.yaml")
    write_boards(board_tracks(result), boards_path(folder / "rig.yaml"))
    write_text(folder / "report.md", report_markdown(result))
    write_text(folder / "report.json", json.dumps(report_data(result), indent=1) + "\n")
    page = report_html(
        result,
        assessment=judged,
        thumbnails=thumbnails(capture, result),
        expected_error=lambda xyz: 1000 * expected_error(result.rig, result.covariance, xyz),
    )
    write_text(folder / "report.html", page)


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
