"""`load` and `save`: the right format by suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multiview.core import Detections, HandSamples, Points3D, PseudoLabels, Rig
from multiview.errors import InputError

__all__ = ["load", "save"]

Savable = Rig | Detections | Points3D | PseudoLabels | HandSamples
SUFFIXES = "rigs to .yaml, detections, 3D points and samples to .parquet, labels to .json"


def save(value: Savable, path: str | Path) -> Path:
    """Write a rig (.yaml), detections, points or samples (.parquet), or labels (COCO .json).

    Raises
    ------
    InputError
        If the suffix does not fit the value, or the disk is full.
    """
    from multiview.formats.coco import write_coco
    from multiview.formats.detections_parquet import write_detections
    from multiview.formats.points_parquet import write_points
    from multiview.formats.rig_yaml import write_rig
    from multiview.formats.samples_parquet import write_samples

    writers: list[tuple[type, tuple[str, ...], Any]] = [
        (Rig, (".yaml", ".yml"), write_rig),
        (Detections, (".parquet",), write_detections),
        (Points3D, (".parquet",), write_points),
        (PseudoLabels, (".json",), write_coco),
        (HandSamples, (".parquet",), write_samples),
    ]
    path = Path(path)
    for kind, suffixes, write in writers:
        if isinstance(value, kind) and path.suffix.lower() in suffixes:
            return Path(write(value, path))
    raise InputError(
        f"{path}: a {type(value).__name__} cannot be saved with suffix {path.suffix!r}", SUFFIXES
    )


def load(path: str | Path) -> Savable:
    """Read what `save` wrote.

    Raises
    ------
    InputError
        If the file is missing or not one of the project's.
    """
    from multiview.formats import samples_parquet
    from multiview.formats.coco import read_coco
    from multiview.formats.detections_parquet import KIND, read_detections
    from multiview.formats.points_parquet import read_points
    from multiview.formats.rig_yaml import read_rig
    from multiview.formats.tables import table_kind

    path = Path(path)
    if path.suffix.lower() in {".yaml", ".yml"}:
        return read_rig(path)
    if path.suffix.lower() == ".json":
        return read_coco(path)
    if path.suffix.lower() == ".parquet":
        readers: dict[str, Any] = {
            KIND: read_detections,
            samples_parquet.KIND: samples_parquet.read_samples,
        }
        value: Savable = readers.get(table_kind(path), read_points)(path)
        return value
    raise InputError(f"{path}: no format for suffix {path.suffix!r}", SUFFIXES)
