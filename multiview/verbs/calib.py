"""The verbs of the group `calib`: what is done about a rig beside calibrating it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from tyro.conf import Positional

from multiview.config import Config
from multiview.verbs.options import CaptureOptions

__all__ = ["CalibCheck"]


class CalibCheck(Config):
    """Check whether a rig is still true, with footage of a board or of hands.

    Exit code 0: healthy; 1: checked, and something is wrong; 2: could not be checked.
    """

    rig: Positional[Path]
    """Rig file."""
    footage: Positional[Path]
    """Take (of the board, or of hands), or a folder of `detect`."""
    board: Path | None = None
    """Board YAML, if a board was filmed."""
    out: Path = Path("out/calib-check")
    """Output folder: report.md, report.json, and rig_corrected.yaml where the rig is at fault."""
    floor_mm: float | None = Field(None, gt=0)
    """Displacements that do not matter, in mm where things were filmed: 1 with a board, 3.6 (2 %
    of a hand) with hands."""
    input: CaptureOptions = CaptureOptions()
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> int:
        """Run the verb; return the exit code."""
        from multiview.stages.check import run_check

        table = self.footage.suffix == ".parquet" or (self.footage / "detections.parquet").exists()
        healthy = run_check(
            self.rig,
            self.footage if table else self.input.open(self.footage),
            self.out,
            board_path=self.board,
            floor_mm=self.floor_mm,
            force=self.force,
        )
        return 0 if healthy else 1
