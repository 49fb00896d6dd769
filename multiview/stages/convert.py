"""`multiview convert`: rigs and detections of other programs into the project's files."""

from __future__ import annotations

from pathlib import Path

from multiview.errors import InputError
from multiview.formats.caliscope import read_caliscope_rig, read_holistic_csv
from multiview.formats.files import save
from multiview.formats.handpose3d import read_handpose3d_rig
from multiview.progress import say

__all__ = ["run_convert"]


def run_convert(source: Path, out: Path, size_wh: tuple[int, int] | None = None) -> Path:
    """Convert by what the source is.

    Parameters
    ----------
    source
        A ``config.toml`` (caliscope, pyxy3d), an ``xy_*.csv`` of theirs, or a folder with
        ``camera_parameters`` (handpose3d).
    out
        ``.yaml`` for a rig, ``.parquet`` for detections.
    size_wh
        Image size for sources that do not state it (handpose3d).

    Raises
    ------
    InputError
        If the source is none of these.
    """
    if not source.exists():
        raise InputError(f"{source}: no such file or folder", "check the path")
    if source.suffix == ".toml":
        save(read_caliscope_rig(source), out)
    elif source.suffix == ".csv":
        save(read_holistic_csv(source), out)
    elif source.is_dir():
        if size_wh is None:
            raise InputError(
                f"{source}: its files do not state the image size", "add --size-wh WIDTH HEIGHT"
            )
        save(read_handpose3d_rig(source, size_wh), out)
    else:
        raise InputError(
            f"{source}: no converter for {source.suffix!r}",
            "convert knows config.toml and xy_*.csv (caliscope, pyxy3d) and handpose3d folders",
        )
    say(f"convert: {source} -> {out}")
    return out
