"""Facts about recorded files that need no decoder: kind, natural order, completeness, identity."""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "is_image",
    "is_video",
    "missing_bytes",
    "natural_key",
    "update_with_ends",
    "visible",
]

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".wmv", ".flv"}
    | {".mpg", ".mpeg", ".ts", ".mts", ".m2ts"}
)
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})

ISO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".3gp"})
EBML_MAGIC = b"\x1a\x45\xdf\xa3"
# Enough to tell two takes apart (headers, first and last pictures) without reading gigabytes.
HASHED_BYTES = 1 << 20


def is_video(path: Path) -> bool:
    """Whether the suffix is that of a video container."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def is_image(path: Path) -> bool:
    """Whether the suffix is that of a still picture."""
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts ``cam2`` before ``cam10``."""
    parts = re.split(r"(\d+)", text.casefold())
    return tuple((0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts if p)


def visible(folder: Path) -> list[Path]:
    """Entries of a folder that are not hidden, in natural order."""
    entries = [p for p in folder.iterdir() if not p.name.startswith(".")]
    return sorted(entries, key=lambda p: (natural_key(p.name), p.name))


def update_with_ends(sha: hashlib._Hash, path: Path) -> None:
    """Feed a file's size and its first and last megabyte to a hash."""
    size = path.stat().st_size
    sha.update(struct.pack("<Q", size))
    with path.open("rb") as file:
        sha.update(file.read(HASHED_BYTES))
        file.seek(max(file.tell(), size - HASHED_BYTES))
        sha.update(file.read(HASHED_BYTES))


def missing_bytes(path: Path) -> int:
    """Bytes that a container's own outermost size fields promise beyond the end of the file.

    Works for ISO media (mp4, mov), RIFF (avi) and EBML (mkv, webm), which all start with
    ``type, size`` elements. 0 for a complete file and for formats without such a field, such as
    MPEG transport streams.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        file.seek(0)
        if head[:4] == EBML_MAGIC:
            ends: Iterator[int] = _ebml_ends(file)
        elif head[:4] == b"RIFF" and head[8:] == b"AVI ":
            ends = _riff_ends(file, size)
        elif path.suffix.lower() in ISO_SUFFIXES or head[4:8] == b"ftyp":
            ends = _iso_ends(file, size)
        else:
            return 0
        return max(0, max(ends, default=0) - size)


def _iso_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """End of each top-level box, ISO/IEC 14496-12 section 4.2."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if not kind.isascii():  # not a box: the decoder will say what the file is
            return
        if length == 1:
            length = int.from_bytes(file.read(8))
        if length < 8:  # 0: the box reaches to the end of the file
            return
        at += length
        yield at


def _riff_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """End of each RIFF chunk; files above 1 GB have several (OpenDML)."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF":
            return
        at += 8 + length + length % 2
        yield at


def _ebml_ends(file: BinaryIO) -> Iterator[int]:
    """End of the EBML header and of the segment, RFC 8794; none if the size was not filled in."""
    for _ in range(2):
        _vint(file)
        width, length = _vint(file)
        if not width or length == (1 << 7 * width) - 1:  # all ones: size unknown (live recording)
            return
        yield file.tell() + length
        file.seek(length, os.SEEK_CUR)


def _vint(file: BinaryIO) -> tuple[int, int]:
    """Width in bytes and value (marker removed) of a variable-length integer; (0, 0) at the end."""
    first = file.read(1)
    if not first or not first[0]:
        return 0, 0
    width = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(width - 1))
    return width, value & ((1 << 7 * width) - 1)
