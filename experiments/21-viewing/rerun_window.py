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

LAVAPIPE = Path("/usr/share/vulkan/icd.d/lvp_icd.x86_64.json")
PORT, PATIENCE_S = 9897, 60.0
# Share of the panel of hands, at the top left, that coloured points take at least.
PANEL, COLOURED = (0.04, 0.4, 0.0, 0.4), 2e-4


@contextlib.contextmanager
def viewer() -> Iterator[Any]:
    """Start a viewer whose analytics are off; needs a graphics driver, if only Mesa's lavapipe."""
    from rerun.experimental import ViewerClient

    with tempfile.TemporaryDirectory() as home:
        given = {"HOME": home, "XDG_RUNTIME_DIR": home}
        if LAVAPIPE.exists():
            given["VK_ICD_FILENAMES"] = str(LAVAPIPE)
        os.environ.update(given)
        command = Path(sys.executable).with_name("rerun")
        subprocess.run([command, "analytics", "disable"], check=True, capture_output=True)
        with ViewerClient.spawn(
            headless=True, port=PORT, hide_welcome_screen=True, executable_path=str(command)
        ) as client:
            yield client


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


def open_recording(client: Any, recording: Path, frame: int | None = None) -> float:
    """Open a recording and wait until a hand is drawn; return the seconds that took."""
    start = time.monotonic()
    client.open([str(recording.resolve())])
    if frame is not None:
        client.set_time(timeline="frame", sequence=frame, play_state="paused")
    while not shows_a_hand(picture(client)):
        if time.monotonic() > start + PATIENCE_S:
            raise SystemExit(f"{recording}: no hand is drawn after {PATIENCE_S:.0f} s")
    return time.monotonic() - start


def complaints(client: Any) -> list[str]:
    """What views say of what they could not show."""
    return [f"{v.name}: {r}" for v in client.get_state().views for r in v.reports]
