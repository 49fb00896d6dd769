"""The verbs that show a run."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from multiview.config import Config
from multiview.errors import InputError
from multiview.verbs.options import CaptureOptions

__all__ = ["View"]


class View(Config):
    """Show a run: 3D hands, cameras, pictures, residuals over time."""

    run_folder: Positional[Path]
    """Folder of `demo`, `triangulate`, `smooth`, or of a take in a round of `bootstrap`."""
    html: Path | None = None
    """Write one page for any browser, which needs no network and no Python."""
    capture: Path | None = None
    """The take, for its pictures; that of the demo is found by itself."""
    detections: Path | None = None
    """Folder of `detect`, if it is not where the run says."""
    rig: Path | None = None
    """Rig file, if there is none beside the points."""
    input: CaptureOptions = CaptureOptions()

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.run_folder import find_run, open_take
        from multiview.stages.view import run_page

        run = find_run(self.run_folder, self.detections, self.rig)
        capture = self.input.open(self.capture) if self.capture else open_take(run)
        if self.html is None:
            raise InputError("nothing to do", "--html out.html")
        run_page(run, self.html, capture)
