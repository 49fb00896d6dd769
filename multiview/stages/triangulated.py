"""What a folder of 3D points says of how its points were made."""

from __future__ import annotations

from pathlib import Path

from multiview.stage import MANIFEST, read_manifest

__all__ = ["hands_at_a_time"]


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
