"""Rerun's viewer without a screen: open a recording, go to a frame, photograph it."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

LAVAPIPE = Path("/usr/share/vulkan/icd.d/lvp_icd.x86_64.json")
HOST, PORT, PATIENCE_S = "127.0.0.1", 9897, 60.0
# Share of the panel of hands, at the top left, that coloured points take at least.
PANEL, COLOURED = (0.04, 0.4, 0.0, 0.4), 2e-4


@contextlib.contextmanager
def viewer(*more: str) -> Iterator[Any]:
    """Start a viewer that only this machine reaches, with its analytics off.

    Needs a graphics driver, if only Mesa's lavapipe.
    """
    with tempfile.TemporaryDirectory() as home:
        given = os.environ | {"HOME": home, "XDG_RUNTIME_DIR": home, "RUST_LOG": "error"}
        if LAVAPIPE.exists():
            given["VK_ICD_FILENAMES"] = str(LAVAPIPE)
        rerun = [sys.executable, "-m", "rerun"]
        subprocess.run([*rerun, "analytics", "disable"], env=given, check=True, capture_output=True)
        # its own `spawn` listens on every interface
        where = ["--headless", "--hide-welcome-screen", "--bind", HOST, "--port", str(PORT)]
        process = subprocess.Popen([*rerun, *where, *more], env=given)
        try:
            yield _connect(process)
        finally:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.terminate()
            process.terminate()
            process.wait()


def _connect(process: subprocess.Popen) -> Any:
    from rerun.experimental import ViewerClient

    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ViewerClient.connect(f"rerun+http://{HOST}:{PORT}/proxy")
        except Exception:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.2)


def picture(client: Any) -> np.ndarray:
    """Photograph the whole window, BGR."""
    return cv2.imdecode(np.frombuffer(client.take_screenshot(), np.uint8), cv2.IMREAD_COLOR)


def shows_a_hand(image: np.ndarray) -> bool:
    """Tell whether the panel of hands has colours in it."""
    h, w = image.shape[:2]
    top, bottom, left, right = PANEL
    panel = image[int(top * h) : int(bottom * h), int(left * w) : int(right * w)]
    saturated = np.ptp(panel.astype(int), axis=-1) > 60
    return bool(saturated.mean() > COLOURED)


def wait_for_a_hand(client: Any) -> None:
    """Wait until one is drawn."""
    end = time.monotonic() + PATIENCE_S
    while not shows_a_hand(picture(client)):
        if time.monotonic() > end:
            raise SystemExit(f"no hand is drawn after {PATIENCE_S:.0f} s")


def open_recording(client: Any, recording: Path, frame: int | None = None) -> float:
    """Open a recording and wait until a hand is drawn; return the seconds that took."""
    start = time.monotonic()
    client.open([str(recording.resolve())])
    if frame is not None:
        client.set_time(timeline="frame", sequence=frame, play_state="paused")
    wait_for_a_hand(client)
    return time.monotonic() - start


def complaints(client: Any) -> list[str]:
    """What views say of what they could not show."""
    return [f"{v.name}: {r}" for v in client.get_state().views for r in v.reports]
