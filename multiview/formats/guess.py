"""Which program wrote 2D keypoints, and which of its files is which camera's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from multiview._files import visible
from multiview.errors import InputError
from multiview.formats.coco_results import is_coco
from multiview.formats.foreign import hdf5, read_json
from multiview.formats.keypoint_table import KeypointFormat
from multiview.formats.keypoints_csv import csv_header, known_columns, wide_columns
from multiview.formats.mediapipe_json import is_result
from multiview.formats.openpose_json import SUFFIX

__all__ = ["FORMATS", "Source", "camera_of", "find_sources", "guess_format"]

FORMATS: tuple[str, ...] = get_args(KeypointFormat)
SUFFIXES = {
    "mediapipe": (".json", ".jsonl", ".csv"),
    "deeplabcut": (".csv", ".h5", ".hdf5"),
    "sleap": (".slp", ".h5", ".hdf5"),
    "coco": (".json",),
    "csv": (".csv",),
    "caliscope": (".csv",),
    "multiview": (".parquet",),
}
# What programs append to the name of the video.
ENDINGS = re.compile(
    r"(DLC_.*|(\.(predictions|analysis|pkg|mp4|avi|mov|mkv|cleaned|proofread|tracked))+"
    r"|[_.-](keypoints|landmarks|detections|results|mediapipe|openpose|sleap|hands?))$",
    re.IGNORECASE,
)
GUESSED_BYTES = 1 << 28  # larger JSON is not opened to guess
DEPTH = 2  # PATH/camera/json


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder of one camera, or of all, with the names it may be known by."""

    path: Path
    names: tuple[str, ...]

    def label(self, level: int = 0) -> str:
        """Name the camera if nothing else does: after the file (0) or a folder above it."""
        name = self.names[min(level, len(self.names) - 1)]
        return ENDINGS.sub("", name) or name


def guess_format(path: Path) -> KeypointFormat:
    """Find out by content: of a folder, by the first file of each kind.

    Raises
    ------
    InputError
        If nothing fits, or files of several programs lie together.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", "check the path")
    if path.is_file():
        found = _of_file(path)
        if found is None:
            raise InputError(
                f"{path}: not recognised as 2D keypoints of a known program",
                f"name its --format: {', '.join(FORMATS)}",
            )
        return found
    files = list(_files(path, DEPTH))
    if any(f.name.endswith(SUFFIX) for f in files):
        return "openpose"
    first = {f.suffix.lower(): f for f in reversed(files)}
    known: dict[KeypointFormat, Path] = {}
    for file in first.values():
        found = _of_file(file)
        if found is not None:
            known.setdefault(found, file)
    if len(known) != 1:
        listed = ", ".join(f"{n} ({p.name})" for n, p in known.items()) or "no 2D keypoints"
        raise InputError(
            f"{path}: holds {listed}", f"name the --format to read: {', '.join(FORMATS)}"
        )
    return next(iter(known))


def _files(folder: Path, depth: int) -> Iterable[Path]:
    for entry in visible(folder):
        if entry.is_file():
            yield entry
        elif depth:
            yield from _files(entry, depth - 1)


def _of_file(path: Path) -> KeypointFormat | None:
    suffix = path.suffix.lower()
    if suffix == ".slp":
        return "sleap"
    if suffix == ".parquet":
        return "multiview"
    if suffix == ".csv":
        return _of_header(csv_header(path))
    if suffix in {".h5", ".hdf5"}:
        with hdf5(path) as file:
            return "sleap" if "node_names" in file else "deeplabcut"
    if suffix in {".json", ".jsonl"}:
        return _of_json(read_json(path, GUESSED_BYTES))
    return None


def _of_header(header: Sequence[str]) -> KeypointFormat | None:
    if header and header[0] == "scorer":
        return "deeplabcut"
    if {"sync_index", "port", "point_id"} <= set(header):
        return "caliscope"
    if wide_columns(header):
        return "mediapipe"
    known = known_columns(header)
    if not {"frame", "keypoint", "x", "y"} <= set(known):
        return None
    # MediaPipe's word; the project's own columns say keypoint
    return "mediapipe" if known["keypoint"].casefold().startswith("landmark") else "csv"


def _of_json(data: Any) -> KeypointFormat | None:
    if isinstance(data, dict) and "people" in data:
        return "openpose"
    if is_coco(data):
        return "coco"
    for _ in range(4):  # frames: {12: [{hand_landmarks}]} at most
        if is_result(data):
            return "mediapipe"
        if isinstance(data, dict):
            data = list(data.values())
        if not isinstance(data, list):
            return None
        inner = [d for d in data if isinstance(d, dict | list) and d]
        data = next((d for d in inner if is_result(d)), inner[0] if inner else None)
    return None


def find_sources(path: Path, format: KeypointFormat) -> list[Source]:
    """List what is read: the file; or the files or folders under a folder, by their format.

    Raises
    ------
    InputError
        If a folder holds nothing of the format.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", "check the path")
    if path.is_file():
        if format == "openpose":
            raise InputError(f"{path}: is a file", "give OpenPose's --write_json folder")
        return [Source(path, (path.stem, path.parent.name))]
    if format == "openpose":
        folders = dict.fromkeys(f.parent for f in _files(path, DEPTH) if f.name.endswith(SUFFIX))
        found = [Source(f, _names_below(path, f)) for f in folders]
    else:
        found = _data_files(path, format)
    if not found:
        wanted = f"*{SUFFIX}" if format == "openpose" else ", ".join(SUFFIXES[format])
        raise InputError(f"{path}: holds no {format} file ({wanted})", "check folder and --format")
    return found


def _data_files(path: Path, format: KeypointFormat) -> list[Source]:
    files = [f for f in _files(path, DEPTH) if f.suffix.lower() in SUFFIXES[format]]
    if format == "deeplabcut":  # both are written side by side: the csv needs no unpickling
        tables = {f.with_suffix("") for f in files if f.suffix.lower() == ".csv"}
        files = [f for f in files if f.suffix.lower() == ".csv" or f.with_suffix("") not in tables]
    if format == "mediapipe":  # a folder of pictures' results
        folders = [f.parent for f in files if f.suffix.lower() == ".json"]
        many = [f for f in dict.fromkeys(folders) if folders.count(f) > 1 and _per_picture(f)]
        single = [f for f in files if f.parent not in many]
        return [Source(f, _names_below(path, f)) for f in many] + [
            Source(f, (f.stem, *_names_below(path, f.parent))) for f in single
        ]
    return [Source(f, (f.stem, *_names_below(path, f.parent))) for f in files]


def _per_picture(folder: Path) -> bool:
    first = next(f for f in visible(folder) if f.suffix.lower() == ".json")
    return is_result(read_json(first, GUESSED_BYTES))


def _names_below(root: Path, folder: Path) -> tuple[str, ...]:
    """Names of a folder and those above it up to the root; ``cam0/json`` is known as both."""
    parts = folder.relative_to(root).parts
    return tuple(reversed(parts)) or (root.name,)


def camera_of(names: Sequence[str], cameras: Sequence[str]) -> str | None:
    """Find the one camera a source is named after.

    A name that equals the camera's wins over one that holds it; of several held, the longest
    wins. ``cam1`` is not held by ``cam10``: digits and letters are not cut apart from their like.

    Raises
    ------
    InputError
        If two cameras fit equally well.
    """
    for name in names:
        if name in cameras:
            return name
    for name in names:
        held = [c for c in cameras if _holds(name, c)]
        longest = [c for c in held if len(c) == max(map(len, held))]
        if len(longest) > 1:
            raise InputError(
                f"{name}: may be of camera {' or '.join(longest)}", "name it after one camera"
            )
        if longest:
            return longest[0]
    return None


def _holds(name: str, camera: str) -> bool:
    # "leftDLC_..." holds "left": DeepLabCut appends its capitals directly
    start = r"(?<![0-9])" if camera[0].isdigit() else r"(?<![A-Za-z])"
    end = r"(?![0-9])" if camera[-1].isdigit() else r"(?![A-Za-z])"
    return re.search(f"{start}{re.escape(camera)}(?:{end}|(?=DLC))", name) is not None
