"""`multiview view`: a run in a browser page, in rerun, or in a window."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from multiview.capture import Capture
from multiview.errors import InputError
from multiview.formats.atomic import replacing, write_text
from multiview.progress import progress_bar, say
from multiview.stages.run_folder import RunFolder, open_scene
from multiview.viz.rerun_log import Colour, Images, require_rerun, write_recording
from multiview.viz.scene import Scene

__all__ = [
    "check_viewer",
    "has_display",
    "run_page",
    "run_recording",
    "scene_of",
    "show_recording",
]

# Viewers listen on this machine alone.
HOST = "127.0.0.1"


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


def run_recording(
    run: RunFolder,
    capture: Capture | None = None,
    *,
    images: Images = "video",
    colour: Colour = "finger",
    port: int | None = None,
    show: bool = True,
) -> Path:
    """Write ``<run>.rrd`` beside the run, and show it in rerun's own window.

    Parameters
    ----------
    run
        The run.
    capture
        The take, for pictures.
    images
        Pictures as video, single JPEGs, or none.
    colour
        Of the 3D points.
    port
        Of the viewer, which listens on this machine alone.
    show
        Open the viewer.

    Raises
    ------
    InputError
        If rerun is missing, the port is taken, or parts do not belong together.
    """
    check_viewer(port if show else None)
    out = run.folder.with_name(f"{run.folder.name}.rrd")
    with progress_bar() as progress, replacing(out) as temporary:
        write_recording(scene_of(run, capture), temporary, images, colour, progress)
    say(f"view: {out} ({out.stat().st_size / 1e6:.1f} MB)")
    return show_recording(out, port) if show else out


def check_viewer(port: int | None) -> None:
    """Raise `InputError` if rerun is missing or the port, where one is given, is taken."""
    require_rerun()
    if port is not None:
        _check_port(port)


def show_recording(out: Path, port: int | None) -> Path:
    """Show a recording in rerun's window, where there is a display, until it is closed.

    Raises
    ------
    InputError
        If the viewer ends with an error.
    """
    if not has_display():
        say("  there is no display here (DISPLAY is not set); where there is one: rerun FILE.rrd")
        return out
    where = ["--bind", HOST, *([] if port is None else ["--port", str(port)])]
    done = subprocess.run([sys.executable, "-m", "rerun", *where, str(out)], check=False)
    if done.returncode:
        raise InputError(
            f"rerun's viewer ended with an error ({done.returncode}); {out} is complete",
            "it needs a graphics driver: open the file on another machine, or use --html",
        )
    return out


def has_display() -> bool:
    """Whether a window can be opened here, as far as can be told without trying."""
    screens = os.environ.get("DISPLAY"), os.environ.get("WAYLAND_DISPLAY")
    return not sys.platform.startswith("linux") or any(screens)


def _check_port(port: int) -> None:
    """Raise if another program listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"port {port} cannot be used ({error})", "give another --port"
            ) from None
