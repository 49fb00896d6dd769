"""A camera recorded as a folder of still pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from multiview._files import is_image, update_with_ends, visible
from multiview._shapes import F64
from multiview.errors import CaptureError, InputError
from multiview.images import read_image

__all__ = ["FolderSource", "open_folder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSource:
    """One camera's pictures in natural order of their names.

    Parameters
    ----------
    name
        Camera name.
    path
        The folder.
    files
        N picture files.
    size_wh
        Width and height of the first picture, which all others share, pixels.
    times
        Shape (N,), seconds; NaN for a folder without a clock.
    """

    name: str
    path: Path
    files: tuple[Path, ...]
    size_wh: tuple[int, int]
    times: F64

    @property
    def has_clock(self) -> bool:
        """Whether the pictures have times."""
        return bool(np.isfinite(self.times).all())

    def frames(
        self, wanted: NDArray[np.int64]
    ) -> Generator[tuple[int, NDArray[np.uint8]], None, None]:
        """Read the pictures of these numbers, shape (M,).

        Raises
        ------
        CaptureError
            If a picture is unreadable or of another size than the first; names the file.
        """
        for n in wanted.tolist():
            image = _read(self.name, self.files[n])
            size = (image.shape[1], image.shape[0])
            if size != self.size_wh:
                raise CaptureError(
                    f"camera {self.name}: {self.files[n]} (frame {n}) has size {size}, the first "
                    f"image of the folder has {self.size_wh}",
                    "a camera has one size: move the pictures of another size elsewhere",
                )
            yield n, image

    def fingerprint(self, sha: hashlib._Hash) -> None:
        """Feed names and sizes of all files, and the ends of the first and last, to a hash."""
        sha.update(repr([(p.name, p.stat().st_size) for p in self.files]).encode())
        for path in (self.files[0], self.files[-1]):
            update_with_ends(sha, path)


def open_folder(name: str, path: Path, fps: float | None = None) -> FolderSource:
    """Open a folder of pictures; only the first is decoded.

    Parameters
    ----------
    name
        Camera name.
    path
        Folder with jpg, png, tif, bmp or webp files; others are ignored.
    fps
        Pictures per second; without it the folder has no clock.

    Raises
    ------
    CaptureError
        If the folder holds no pictures, an empty file, or an unreadable first picture.
    """
    files = tuple(p for p in visible(path) if is_image(p))
    if not files:
        raise CaptureError(
            f"camera {name}: folder {path} holds no images",
            "put jpg, png, tif, bmp or webp pictures there, or remove the folder",
        )
    empty = next((p for p in files if not p.stat().st_size), None)
    if empty is not None:
        raise CaptureError(f"camera {name}: image {empty} is empty (0 bytes)", "delete the file")
    height, width = _read(name, files[0]).shape[:2]
    times = np.arange(len(files)) / fps if fps else np.full(len(files), np.nan)
    return FolderSource(name=name, path=path, files=files, size_wh=(width, height), times=times)


def _read(name: str, path: Path) -> NDArray[np.uint8]:
    try:
        return read_image(path)
    except InputError as error:
        raise CaptureError(f"camera {name}: image {error.what}", error.next_step) from None
