"""Detected corners, kept so that `calibrate` with other options does not detect again."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.corners import DETECTOR_VERSION
from multiview.formats.atomic import replacing

__all__ = ["FOLDER", "CornerStore", "open_store"]

# Beside the output folder, so that runs into other folders there find it too.
FOLDER = ".multiview-corners"


class CornerStore:
    """One file a finished block; a kill loses what was not yet written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: str) -> dict[str, F64] | None:
        """Return a block, or None if there is none that can be read."""
        try:
            with np.load(self.folder / f"{key}.npz") as data:
                return {name: np.asarray(data[name], np.float64) for name in data.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None

    def save(self, key: str, arrays: dict[str, F64]) -> None:
        """Write a block, complete or not at all."""
        with replacing(self.folder / f"{key}.npz") as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def open_store(out: Path, capture_digest: str, boards: Sequence[Board]) -> CornerStore:
    """Open the store of one take and set of boards, by content: another version has another."""
    plain = [b.model_dump(mode="json") for b in boards]
    key = json.dumps([capture_digest, plain, DETECTOR_VERSION, cv2.__version__])
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    return CornerStore(out.parent / FOLDER / name)
