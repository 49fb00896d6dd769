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
    "free_port",
    "has_display",
    "run_page",
    "run_recording",
    "scene_of",
    "show_recording",
]

# Viewers listen on this machine alone.
HOST = "127.0.0.1"
PORT = 9876  # rerun's own choice


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
        Of the viewer, which listens on this machine alone; any free one if left out.
    show
        Open the viewer.

    Raises
    ------
    InputError
        If rerun is missing, the port is taken, parts do not belong together, or (the file being
        complete) there is no screen for the viewer.
    """
    require_rerun()
    found = free_port(port) if show else None
    out = run.folder.with_name(f"{run.folder.name}.rrd")
    with progress_bar() as progress, replacing(out) as temporary:
        write_recording(scene_of(run, capture), temporary, images, colour, progress)
    say(f"view: {out} ({out.stat().st_size / 1e6:.1f} MB)")
    return out if found is None else show_recording(out, found)


def show_recording(recording: Path, port: int) -> Path:
    """Show a recording in rerun's window until it is closed.

    Raises
    ------
    InputError
        If there is no display, or the viewer ends with an error.
    """
    if not has_display():
        raise InputError(
            f"there is no display here (DISPLAY is not set); {recording} is complete",
            "open it where there is one: rerun FILE.rrd; --no-show only writes it, --html a page",
        )
    where = ["--bind", HOST, "--port", str(port)]
    done = subprocess.run(
        [sys.executable, "-m", "rerun", *where, str(recording)],
        env={"RUST_LOG": "error", **os.environ},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        why = last[0].removeprefix("Error: ")[-200:] if last else str(done.returncode)
        raise InputError(
            f"rerun's viewer ended with an error ({why}); {recording} is complete",
            "it needs a screen and a graphics driver: open the file where both are, or use --html",
        )
    return recording


def has_display() -> bool:
    """Whether a window can be opened here, as far as can be told without trying."""
    screens = os.environ.get("DISPLAY"), os.environ.get("WAYLAND_DISPLAY")
    return not sys.platform.startswith("linux") or any(screens)


def free_port(wanted: int | None) -> int:
    """Find a port for the viewer; one that is asked for must be free.

    Without one rerun hands the recording to whatever program listens on its usual port.

    Raises
    ------
    InputError
        If the port that is asked for is taken.
    """
    port = PORT if wanted is None else wanted
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            if wanted is not None:
                raise InputError(
                    f"port {port} cannot be used ({error})", "give another --port"
                ) from None
            probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
