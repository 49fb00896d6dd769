"""The verbs that show a run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from tyro.conf import Positional

from multiview.config import Config
from multiview.errors import InputError
from multiview.verbs.options import CaptureOptions, refuse_options

__all__ = ["Render", "View"]

# Options that mean something for a page.
PAGE = {"html", "capture", "detections", "rig", "input"}
# ... and for the window of Open3D.
WINDOW = {"backend", "detections", "rig", "color", "frame"}
# ... and for a rig, which has no frames.
RIG_PAGE, RIG_RECORDING = {"html"}, {"port", "show"}


class View(Config):
    """Show a run: 3D hands, cameras, pictures, residuals over time. Or a rig: cameras, boards.

    Without --html a recording is written beside the run (FOLDER.rrd) and shown by rerun;
    --backend open3d shows the 3D alone in a window of its own.
    """

    run_folder: Positional[Path]
    """Folder of `demo`, `triangulate`, `smooth`, or of a take in a round of `bootstrap`; for a
    rig a RIG.yaml or the folder of `calibrate`."""
    html: Path | None = None
    """Write one page for any browser, which needs no network and no Python."""
    backend: Literal["rerun", "open3d"] = "rerun"
    """rerun: timeline, views and plots; open3d: a plain window with 3D hands and cameras."""
    capture: Path | None = None
    """The take, for its pictures; that of the demo is found by itself."""
    detections: Path | None = None
    """Folder of `detect`, if it is not where the run says."""
    rig: Path | None = None
    """Rig file, if there is none beside the points."""
    frame: int | None = None
    """Position at which the window of open3d begins, paused; it plays if left out."""
    images: Literal["video", "jpeg", "none"] = "video"
    """Pictures in rerun: compressed as video, exact single pictures, none."""
    color: Literal["finger", "confidence"] = "finger"
    """Of 3D points in rerun, and at first in the window of open3d; a page has a switch."""
    port: int | None = None
    """Port of rerun's viewer, which listens on this machine alone; any free one if left out."""
    show: bool = True
    """Open the viewer; --no-show only writes the recording."""
    input: CaptureOptions = CaptureOptions()

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.rig_view import rig_file

        rig = rig_file(self.run_folder)
        if rig is not None:
            self._show_rig(rig)
            return
        if self.html is not None:
            refuse_options(self, PAGE, "a page")
        elif self.backend == "open3d":
            refuse_options(self, WINDOW, "the window of open3d")
        elif self.frame is not None:
            raise InputError("--frame means nothing for rerun", "leave it out")
        from multiview.stages.run_folder import find_run, open_take
        from multiview.stages.view import run_page, run_recording
        from multiview.stages.window import run_window

        run = find_run(self.run_folder, self.detections, self.rig)
        if self.html is None and self.backend == "open3d":
            run_window(run, self.color, self.frame)
            return
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

    def _show_rig(self, rig: Path) -> None:
        from multiview.stages.rig_view import run_rig_page, run_rig_recording

        if self.html is not None:
            refuse_options(self, RIG_PAGE, "the page of a rig")
            run_rig_page(rig, self.html)
            return
        if self.backend == "open3d":
            raise InputError(
                f"{rig} is a rig without hands, and the window of open3d shows hands",
                "leave --backend out to see it in rerun, or write a page: --html rig.html",
            )
        refuse_options(self, RIG_RECORDING, "a rig in rerun")
        run_rig_recording(rig, port=self.port, show=self.show)


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
