"""The desktop window as a process of its own: where graphics end it, only the window is lost."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from multiview.errors import InputError, MultiviewError
from multiview.formats.atomic import write_text
from multiview.progress import say
from multiview.stages.run_folder import RunFolder, open_scene
from multiview.stages.view import has_display
from multiview.viz.open3d_window import Colour

__all__ = ["check_window", "run_window"]

INSTALL = "pip install 'multiview-bootstrapping[open3d]', or write a page: --html out.html"
DRIVER = (
    "install a driver for the graphics card, or one that needs no card (Debian: apt-get install "
    "libgl1 libgl1-mesa-dri), or write a page: --html out.html"
)
SCREEN = "start it on the desktop, or write a page: --html out.html"


def check_window() -> None:
    """Check what can be known before the window is started.

    Raises
    ------
    InputError
        If Open3D is not installed or there is no screen.
    """
    if find_spec("open3d") is None:
        raise InputError("this window needs Open3D, which is not installed", INSTALL)
    if not has_display():
        raise InputError("there is no display here (DISPLAY is not set)", SCREEN)


def run_window(run: RunFolder, colour: Colour = "finger", frame: int | None = None) -> None:
    """Show a run in a window until it is closed.

    Parameters
    ----------
    run
        The run; its detections give the take's clock.
    colour
        Of the hands at first.
    frame
        Position to begin at, paused; None plays.

    Raises
    ------
    InputError
        If Open3D, a screen or a graphics driver is missing, or the run cannot be read.
    """
    check_window()
    frames = len(open_scene(run).frame_ids)
    if frame is not None and not 0 <= frame < frames:
        raise InputError(f"there is no frame {frame}: the take has {frames}", "count from 0")
    with TemporaryDirectory(prefix="multiview-window-") as name:
        note, log = Path(name) / "note.json", Path(name) / "log"
        given = [str(run.folder), str(run.rig), str(run.detections or ""), colour]
        given += ["" if frame is None else str(frame), str(note)]
        with log.open("wb") as stream:
            command = [sys.executable, "-m", "multiview.stages.window", *given]
            done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False)
        _tell(done.returncode, note, log)


def _tell(code: int, note: Path, log: Path) -> None:
    """Say how it ended; how Open3D leaves a window that was closed says nothing."""
    said = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
    if "refused" in said:
        raise InputError(*said["refused"])
    if "closed" in said:
        say(f"view: closed at frame {said['closed']}; first picture after {said['seconds']:.1f} s")
        return
    when = "" if "seconds" not in said else " after it was on the screen"
    if code < 0:
        how = f"was ended by {_signal(-code)}{when}: its graphics driver does not work"
        raise InputError(f"Open3D's window {how}", DRIVER)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else "it said nothing"
    raise InputError(f"Open3D's window ended with {code}{when}: {last}", DRIVER)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _show(arguments: Sequence[str], started: float) -> dict[str, object]:
    """Show the window; in the process of its own."""
    from multiview.viz.open3d_window import HandWindow
    from multiview.viz.scene import frame_rate

    folder, rig, table, colour, frame, note = arguments
    run = RunFolder(folder=Path(folder), rig=Path(rig), detections=Path(table) if table else None)
    first = next(open_scene(run).blocks(), None)
    rate = frame_rate(first.times) if first is not None else 30.0
    # only the clock is in the detections: the points alone are read on
    scene = open_scene(replace(run, detections=None))
    where = int(frame) if frame else None
    window = HandWindow(scene, rate, "finger" if colour == "finger" else "confidence", where)
    if not _x_answers():
        raise InputError(f"the display {os.environ['DISPLAY']} does not answer", SCREEN)
    if not window.open():
        raise InputError("Open3D finds no OpenGL 3.3 on this display", DRIVER)
    seconds = time.time() - started
    _note(note, seconds=seconds)
    parent = os.getppid()
    window.run(lambda: os.getppid() == parent)  # who opened it may be killed
    return {"closed": int(scene.frame_ids[window.player.frame]), "seconds": seconds}


def _x_answers() -> bool:
    """Whether the X server can be reached; Open3D would draw into nothing and say nothing.

    The connection stays open: a server that loses its only client may be away for a moment.
    """
    if not sys.platform.startswith("linux") or not os.environ.get("DISPLAY"):
        return True
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:
        return False
    x11.XOpenDisplay.restype, x11.XOpenDisplay.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    return bool(x11.XOpenDisplay(None))


def _note(path: str, **said: object) -> None:
    write_text(Path(path), json.dumps(said))


def _main(arguments: Sequence[str]) -> int:
    started, note = time.time(), arguments[-1]
    try:
        _note(note, **_show(arguments, started))
    except MultiviewError as error:
        _note(note, refused=[error.what, error.next_step])
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
