"""The pictures of a take as files: hard links where it is a folder of JPEGs, else extracted."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from multiview._image_folder import FolderSource
from multiview._shapes import BoolArray, IntArray
from multiview.capture import Capture
from multiview.errors import InputError
from multiview.formats.atomic import disk_errors, replacing
from multiview.formats.coco import image_name
from multiview.progress import Progress

__all__ = ["write_image", "write_pictures"]

JPEG_QUALITY = 95


def write_pictures(
    capture: Capture, wanted: BoolArray, frame_ids: IntArray, folder: Path, progress: Progress
) -> None:
    """Write pictures once each; those there from an interrupted run are skipped.

    Parameters
    ----------
    capture
        The take.
    wanted
        Which camera's picture of which frame set, shape (V, F).
    frame_ids
        Numbers that the pictures are named by, shape (F,).
    folder
        Where to, as `image_name` says.
    progress
        Told after each picture.
    """
    done, total = 0, int(wanted.sum())
    for v, camera in enumerate(capture.names):
        places = np.flatnonzero(wanted[v]).tolist()
        paths = {f: folder / image_name(camera, int(frame_ids[f])) for f in places}
        todo = {f: p for f, p in paths.items() if not (p.exists() or _link(capture, v, f, p))}
        done += len(paths) - len(todo)
        if not todo:
            continue
        for f, image in capture.pick(v, np.array(sorted(todo))):
            write_image(image, todo[f])
            done += 1
            progress("pictures", done, total)


def _link(capture: Capture, view: int, f: int, target: Path) -> bool:
    """Hard-link a JPEG of an image folder; False where that cannot be done."""
    source = capture.sources[view]
    if not isinstance(source, FolderSource):
        return False
    path = source.files[int(capture.index[view, f])]
    if path.suffix.lower() not in {".jpg", ".jpeg"}:
        return False
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:  # another file system
        return False
    return True


def write_image(image: np.ndarray, path: Path) -> None:
    """Encode by suffix in memory: cv2.imwrite hides a full disk behind its return value."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    ok, data = cv2.imencode(path.suffix, image, options)
    if not ok:
        raise InputError(f"{path}: the picture could not be encoded", "report this as a bug")
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())
