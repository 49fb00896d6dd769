"""Where the cameras of a capture lie: in a folder, or as `capture.yaml` says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from multiview._files import is_image, is_video, visible
from multiview._shapes import F64
from multiview.config import Config, read_yaml
from multiview.errors import CaptureError

__all__ = ["CameraEntry", "CaptureFile", "find_cameras", "read_times"]

CAPTURE_FILE = "capture.yaml"
# Header of the column to read from a times file with several columns.
TIME_COLUMNS = ("time_s", "time", "times", "seconds", "timestamp")


class CameraEntry(Config):
    """One camera of a `capture.yaml`."""

    path: str = Field(description="video file or image folder, relative to capture.yaml")
    offset_s: float = Field(default=0.0, description="seconds added to this camera's clock")
    times: str | None = Field(default=None, description="csv file with the seconds of each frame")


class CaptureFile(Config):
    """Content of a `capture.yaml`; without `cameras` the folder around it is searched."""

    cameras: dict[str, CameraEntry] = Field(default_factory=dict, description="in order of axis V")
    sync: Literal["time", "index"] | None = Field(
        default=None, description="pair by time or by number"
    )
    tolerance_s: float | None = Field(
        default=None, ge=0, description="largest time difference in a set"
    )
    fps: float | None = Field(
        default=None, gt=0, description="pictures per second of image folders"
    )
    allow_truncated: bool = Field(default=False, description="accept videos whose end is missing")


def find_cameras(path: Path) -> CaptureFile:
    """Read `capture.yaml` or search a folder; paths in the result are absolute.

    Parameters
    ----------
    path
        A capture folder, a `capture.yaml`, or a single video.

    Raises
    ------
    CaptureError
        If the path or a camera in it is missing, nothing is found, or two have the same name.
    ConfigError
        If `capture.yaml` has an unknown key or a bad value.
    """
    path = path.expanduser().resolve()
    if not path.exists():
        raise CaptureError(f"capture {path} does not exist", "check the path")
    if is_video(path):
        return CaptureFile(cameras={path.stem: CameraEntry(path=str(path))})
    file = path / CAPTURE_FILE if path.is_dir() else path
    if not path.is_dir() and path.suffix.lower() not in {".yaml", ".yml"}:
        raise CaptureError(f"{path} is no capture", "give a folder, a capture.yaml or a video")
    layout = read_yaml(file, CaptureFile) if file.exists() else CaptureFile()
    cameras = _resolve(file, layout) if layout.cameras else _search(file.parent)
    return layout.model_copy(update={"cameras": cameras})


def read_times(name: str, path: Path, n_frames: int) -> F64:
    """Read the seconds of each frame, shape (N,), from a csv file.

    One number a line, or a header line with a column ``time_s`` (``time``, ``times``, ``seconds``,
    ``timestamp``).

    Raises
    ------
    CaptureError
        If the file is missing, not numeric, of another length, or times do not increase.
    """
    where = f"camera {name}: times file {path}"
    try:
        rows = [line.split(",") for line in path.read_text("utf-8-sig").splitlines() if line]
    except (OSError, UnicodeDecodeError) as error:
        raise CaptureError(f"{where} cannot be read ({error})", "check 'times'") from None
    header = [cell.strip().strip('"').lower() for cell in rows[0]] if rows else []
    named = [header.index(c) for c in TIME_COLUMNS if c in header]
    column = named[0] if named else 0
    body = rows[1:] if named or (len(header) == 1 and not _is_number(header[0])) else rows
    try:
        times = np.array([float(row[column]) for row in body])
    except (ValueError, IndexError) as error:
        raise CaptureError(
            f"{where} holds a line without a number ({error})",
            f"give one number of seconds a line, or name the column {TIME_COLUMNS[0]}",
        ) from None
    if times.size != n_frames:
        raise CaptureError(
            f"{where} has {times.size} times for {n_frames} frames", "give one line per frame"
        )
    steps = np.diff(times)
    if not (np.isfinite(times).all() and (steps > 0).all()):
        line = int(np.argmax(~(steps > 0))) + 1 if steps.size else 0
        raise CaptureError(f"{where} does not increase at frame {line}", "sort and clean the times")
    return times


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _resolve(file: Path, layout: CaptureFile) -> dict[str, CameraEntry]:
    cameras: dict[str, CameraEntry] = {}
    owner: dict[Path, str] = {}
    for name, entry in layout.cameras.items():
        path = (file.parent / Path(entry.path).expanduser()).resolve()
        if not path.exists():
            raise CaptureError(
                f"camera {name}: {path} does not exist (named in {file})",
                "correct 'path'; it is relative to the yaml file",
            )
        if path in owner:
            raise CaptureError(
                f"cameras {owner[path]} and {name} both name {path} (in {file})",
                "give each camera its own recording",
            )
        owner[path] = name
        times = str((file.parent / entry.times).resolve()) if entry.times else None
        cameras[name] = entry.model_copy(update={"path": str(path), "times": times})
    return cameras


def _search(folder: Path) -> dict[str, CameraEntry]:
    entries = visible(folder)
    found = [(p.stem, p) for p in entries if is_video(p)]
    found += [(p.name, r) for p in entries if p.is_dir() and (r := _recording(p)) is not None]
    if not found and any(is_image(p) for p in entries):
        found = [(folder.name, folder)]
    if not found:
        raise CaptureError(
            f"capture {folder} holds no cameras",
            "put one video or one folder of images per camera there, or write a capture.yaml",
        )
    cameras: dict[str, CameraEntry] = {}
    order = {p.stem if is_video(p) else p.name: i for i, p in enumerate(entries)}
    for name, path in sorted(found, key=lambda item: order.get(item[0], 0)):
        if name in cameras:
            raise CaptureError(
                f"two cameras are named {name}: {cameras[name].path} and {path}",
                "rename one of them, or name them in a capture.yaml",
            )
        cameras[name] = CameraEntry(path=str(path))
    return cameras


def _recording(folder: Path) -> Path | None:
    """Return the images or the one video of a camera folder; None for a folder of other things."""
    entries = visible(folder)
    if not entries:
        raise CaptureError(
            f"camera folder {folder} is empty", "record the camera again, or remove the folder"
        )
    videos = [p for p in entries if is_video(p)]
    if any(is_image(p) for p in entries):
        return folder
    if len(videos) > 1:
        raise CaptureError(
            f"camera folder {folder} holds {len(videos)} videos",
            "keep one a camera, or name one in a capture.yaml",
        )
    if videos:
        return videos[0]
    inner = [p for p in entries if p.is_dir() and any(map(is_image, visible(p)))]
    return inner[0] if len(inner) == 1 else None
