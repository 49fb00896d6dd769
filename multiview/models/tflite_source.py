"""The original networks of MediaPipe: found in its wheel, and known by their digests."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from multiview.errors import InputError, ModelError
from multiview.models.card import WeightFile

__all__ = ["read_tflite"]


def read_tflite(source: Path, weights: WeightFile) -> bytes:
    """Find a network's TFLite file in a wheel or folder and check its sha256.

    Raises
    ------
    InputError
        If it is not there.
    ModelError
        If it is another file of that name (another MediaPipe version, a broken download).
    """
    path = weights.source
    if source.is_dir():
        found = sorted(source.rglob(Path(path).name))
        data = found[0].read_bytes() if found else None
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as wheel:
            data = wheel.read(path) if path in wheel.namelist() else None
    else:
        raise InputError(f"{source} is neither a folder nor a wheel; pass mediapipe-0.10.21-*.whl")
    if data is None:
        raise InputError(f"{source} holds no {path}; pass mediapipe-0.10.21-*.whl")
    if hashlib.sha256(data).hexdigest() != weights.source_sha256:
        raise ModelError(f"{path} in {source} is not the one of mediapipe 0.10.21")
    return data
