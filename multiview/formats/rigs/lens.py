"""What a lens of another program's format can hold, and names that become files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from multiview._shapes import F64
from multiview.core import Camera
from multiview.errors import InputError

__all__ = ["brown_coefficients", "file_name", "new_target", "one_file_name"]

# The name of the first coefficient that a list of so many leaves out.
NEXT = {4: "k3", 5: "k4", 8: "s1"}
LARGER = "calibrate with fewer coefficients (--lens of multiview calibrate), or choose --to colmap"


def brown_coefficients(camera: Camera, count: int, format: str) -> F64:
    """Coefficients of OpenCV's order, as many as a format has; zeros where the lens has fewer.

    Raises
    ------
    InputError
        If the lens is a fisheye, or has a coefficient beyond these that is not 0.
    """
    lens = camera.intrinsics
    if lens.model != "brown":
        raise InputError(
            f"camera {camera.name}: {format} cannot hold a fisheye lens",
            "choose a format that can: --to opencv, anipose, caliscope, colmap or kalibr",
        )
    if lens.dist[count:].any():
        raise InputError(
            f"camera {camera.name}: {format} holds {count} distortion coefficients, this lens has "
            f"{lens.dist.size} (from {NEXT[count]} on they would be lost)",
            LARGER,
        )
    return np.concatenate([lens.dist, np.zeros(12)])[:count]


def file_name(camera: Camera) -> str:
    """Return the camera's name where it can name a file; see `one_file_name`."""
    return one_file_name(camera.name)


def one_file_name(name: str) -> str:
    """Return a camera's name where it can name a file.

    Raises
    ------
    InputError
        If it holds a separator.
    """
    if not name or Path(name).name != name or name in {".", ".."} or set(name) & set('\\/:"'):
        raise InputError(
            f"camera {name!r}: a name with a separator cannot name a file", "rename the camera"
        )
    return name


def new_target(path: Path) -> Path:
    """Check that a folder of files may be written at a path: nothing is there, or an empty one.

    Raises
    ------
    InputError
        If something is.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{path} exists", "choose another --out; a folder is written")
    return path
