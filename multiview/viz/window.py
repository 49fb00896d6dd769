"""A live window, where there is a screen and an OpenCV that can draw on it."""

from __future__ import annotations

import os
import sys

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Window", "no_window_because"]

ESCAPE, QUIT = 27, ord("q")


def no_window_because() -> str:
    """Say why no window can be shown; empty if one can."""
    info = cv2.getBuildInformation().splitlines()
    gui = next((line for line in info if line.strip().startswith("GUI:")), "GUI: NONE")
    if gui.split()[-1] == "NONE":
        return (
            f"this OpenCV {cv2.__version__} has no windows "
            "(replace opencv-python-headless by opencv-python)"
        )
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not screen:
        return "there is no display (DISPLAY is not set)"
    return ""


class Window:
    """A window with one picture; use as a context."""

    def __init__(self, title: str) -> None:
        self.title = title

    def __enter__(self) -> Window:
        return self

    def show(self, image: NDArray[np.uint8], wait_ms: int = 1) -> bool:
        """Show a picture; False once the user has pressed q or Escape."""
        cv2.imshow(self.title, image)
        return cv2.waitKey(wait_ms) & 0xFF not in (ESCAPE, QUIT)

    def __exit__(self, *_: object) -> None:
        cv2.destroyAllWindows()
