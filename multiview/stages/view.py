"""`multiview view`: a run in a browser page, in rerun, or in a window."""

from __future__ import annotations

from pathlib import Path

from multiview.capture import Capture
from multiview.formats.atomic import write_text
from multiview.progress import progress_bar, say
from multiview.stages.run_folder import RunFolder, open_scene
from multiview.viz.scene import Scene

__all__ = ["run_page", "scene_of"]


def scene_of(run: RunFolder, capture: Capture | None) -> Scene:
    """Describe a run, and say what cannot be shown of it."""
    if run.detections is None:
        say("  its detections are not where they were: --detections DETECT_DIR shows them too")
    if capture is None:
        say("  without pictures: --capture TAKE shows them too")
    return open_scene(run, capture)


def run_page(run: RunFolder, out: Path, capture: Capture | None = None) -> Path:
    """Write a run as one HTML page.

    Parameters
    ----------
    run
        The run.
    out
        The page.
    capture
        The take, for pictures.

    Raises
    ------
    InputError
        If parts do not belong together or the page cannot be written.
    """
    from multiview.viz.web_page import web_page

    with progress_bar() as progress:
        text = web_page(scene_of(run, capture), progress)
    write_text(out, text)
    say(f"view: {out} ({out.stat().st_size / 1e6:.1f} MB): open it in any browser, or send it")
    return out
