"""What a folder of 3D points says of how its points were made."""

from __future__ import annotations

from pathlib import Path

from multiview.capture import Capture
from multiview.errors import InputError
from multiview.stage import MANIFEST, read_manifest

__all__ = ["check_take", "hands_at_a_time"]


def check_take(capture: Capture, names: tuple[str, ...], frames: int) -> None:
    """Refuse a take that is not the one of the points.

    Parameters
    ----------
    capture
        The take.
    names, frames
        Cameras of the points, and how many frames they have.

    Raises
    ------
    InputError
        Naming cameras and frame sets of both.
    """
    if capture.names != names or len(capture.frame_ids) != frames:
        raise InputError(
            f"the take has cameras {', '.join(capture.names)} and {len(capture.frame_ids)} frame "
            f"sets, the points {', '.join(names)} and {frames}",
            "give the take that was detected and triangulated",
        )


def hands_at_a_time(folder: Path) -> int | None:
    """Most hands at a time that detections were sorted into; None if the folder does not say.

    Parameters
    ----------
    folder
        Of `multiview triangulate`, or of `multiview smooth`, which hands it on.
    """
    if not (folder / MANIFEST).exists():
        return None
    about = read_manifest(folder)
    said = about.get("config", {}).get("max_hands", about.get("figures", {}).get("max_hands"))
    return None if said is None else int(said)
