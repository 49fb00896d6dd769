"""`multiview calibrate`: a rig from footage of a board."""

from __future__ import annotations

import json
from pathlib import Path

from multiview.calib import calibrate, load_board, report_data, report_markdown
from multiview.capture import Capture
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.progress import progress_bar, say
from multiview.stage import Stage, file_digest
from multiview.stages.sync_text import sync_text

__all__ = ["run_calibrate"]


def run_calibrate(
    capture: Capture,
    board_path: Path,
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
    board_path
        Board YAML.
    out
        Output folder.
    intrinsics
        A rig file whose lenses are kept; only the poses are estimated.
    force
        Replace an older, different result.
    """
    board = load_board(board_path)
    inputs = {"capture": capture.digest}
    lenses = None
    if intrinsics is not None:
        inputs["intrinsics"] = file_digest(intrinsics)
        lenses = {c.name: c.intrinsics for c in read_rig(intrinsics).select(capture.names).cameras}
    stage = Stage("calibrate", {"board": board.model_dump()}, inputs, out, force)
    if stage.done:
        say(f"calibrate: {out} is up to date")
        return out
    say(sync_text(capture))
    _check_some_frames(capture)
    with progress_bar() as progress:
        result = calibrate(capture, board, intrinsics=lenses, progress=progress)
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


def _check_some_frames(capture: Capture) -> None:
    if not len(capture.frame_ids):
        raise InputError("the capture has no frames", "check the videos with a player")
