"""The verbs that show a run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from tyro.conf import Positional

from multiview.config import Config
from multiview.verbs.options import CaptureOptions, refuse_options

__all__ = ["Render", "View"]

# Options that mean something for a page.
PAGE = {"html", "capture", "detections", "rig", "input"}


class View(Config):
    """Show a run: 3D hands, cameras, pictures, residuals over time.

    Without --html a recording is written beside the run (FOLDER.rrd) and shown by rerun.
    """

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
    images: Literal["video", "jpeg", "none"] = "video"
    """Pictures in rerun: compressed as video, exact single pictures, none."""
    color: Literal["finger", "confidence"] = "finger"
    """Of 3D points in rerun; a page has a switch."""
    port: int | None = None
    """Port of rerun's viewer, which listens on this machine alone; any free one if left out."""
    show: bool = True
    """Open the viewer; --no-show only writes the recording."""
    input: CaptureOptions = CaptureOptions()

    def run(self) -> None:
        """Run the verb."""
        if self.html is not None:
            refuse_options(self, PAGE, "a page")
        from multiview.stages.run_folder import find_run, open_take
        from multiview.stages.view import run_page, run_recording

        run = find_run(self.run_folder, self.detections, self.rig)
        capture = self.input.open(self.capture) if self.capture else open_take(run)
        if self.html is not None:
            run_page(run, self.html, capture)
            return
        run_recording(
            run,
            capture,
            images=self.images,
            colour=self.color,
            port=self.port,
            show=self.show,
        )


class Render(Config):
    """Films and pictures of a run, without a display: around the hands, all views, two runs."""

    run_folder: Positional[Path]
    """Folder of `demo`, `triangulate`, `smooth`, or of a take in a round of `bootstrap`."""
    out: Path
    """Output folder: an MP4 and a PNG each."""
    film: tuple[Literal["turntable", "close", "mosaic"], ...] = ("turntable", "mosaic")
    """turntable: around hands and cameras; close: around the hands; mosaic: every view."""
    against: Path | None = None
    """Another run on the same take, to be shown to the right of this one."""
    capture: Path | None = None
    """The take, for its pictures; that of the demo is found by itself."""
    detections: Path | None = None
    """Folder of `detect`, if it is not where the run says."""
    rig: Path | None = None
    """Rig file, if there is none beside the points."""
    frames: tuple[int, int] | None = None
    """First frame and the one after the last, counted from 0."""
    fps: float = Field(30.0, gt=0)
    """Pictures per second of the films."""
    input: CaptureOptions = CaptureOptions()
    force: bool = False
    """Replace an older result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.render import run_render
        from multiview.stages.run_folder import find_run, open_take

        runs = [find_run(self.run_folder, self.detections, self.rig)]
        runs += [find_run(self.against, rig=self.rig)] if self.against else []
        capture = self.input.open(self.capture) if self.capture else open_take(runs[0])
        run_render(
            runs,
            self.out,
            self.film,
            capture=capture,
            frames=self.frames,
            fps=self.fps,
            force=self.force,
        )
