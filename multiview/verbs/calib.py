"""The verbs of the group `calib`: what goes with a calibration."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from multiview.config import Config

__all__ = ["CalibBoard"]


class CalibBoard(Config):
    """Write a calibration board to print, true to scale, with a ruler to check, and its YAML."""

    board: Positional[str]
    """Board YAML, or charuco:7x5:30mm:22mm:DICT_4X4_50, chessboard:9x6:25mm,
    aprilgrid:6x6:20mm:0.3, tag:0:100mm:DICT_4X4_50."""
    out: Path
    """File that ends in .pdf, .svg or .png; the board's YAML is written beside it."""
    paper: str = "a4"
    """a5 to a0, letter, legal, tabloid, or a size such as 500x350mm."""
    force: bool = False
    """Replace files that are there."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.board import run_board

        run_board(self.board, self.out, paper=self.paper, force=self.force)
