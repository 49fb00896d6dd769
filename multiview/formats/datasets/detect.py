"""Which layout a dataset has, by the files that are there."""

from __future__ import annotations

from pathlib import Path

from multiview.errors import InputError
from multiview.formats.foreign import read_json

__all__ = ["detect_layout"]

# The first that matches; broader patterns come later.
FOLDERS = (
    ("parquet", "samples.parquet"),
    ("yolo", "data.yaml"),
    ("deeplabcut", "labeled-data/*/CollectedData_*.csv"),
    ("slp", "*.slp"),
    ("webdataset", "*.tar"),
    ("freihand", "*_xyz.json"),
    ("panopticdb", "hands_v143_*.json"),
    ("interhand", "annotations/*/InterHand2.6M_*_data.json"),
    ("panoptic", "calibration_*.json"),
    ("panoptic", "*/calibration_*.json"),
    ("coco", "coco.json"),
    ("hand_labels", "*_[lr].json"),
    ("hand_labels", "*/*_[lr].json"),
)
FILES = {".parquet": "parquet", ".slp": "slp", ".tar": "webdataset"}


def detect_layout(path: Path) -> str:
    """Name the layout of a folder or file.

    Raises
    ------
    InputError
        If there is no such path, or it is no dataset.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", "check the path")
    if path.is_dir():
        for name, pattern in FOLDERS:
            if next(path.glob(pattern), None) is not None:
                return name
        file = next(iter(sorted((path / "annotations").glob("*.json"))), None)
    else:
        file = path
    if file is not None and file.suffix.lower() in FILES:
        return FILES[file.suffix.lower()]
    if file is not None and file.suffix.lower() == ".json":
        name = _of_json(read_json(file))
        if name:
            return name
    raise InputError(
        f"{path}: no dataset of a known layout", "name it: --format coco, or see docs/formats.md"
    )


def _of_json(data: object) -> str:
    if not isinstance(data, dict):
        return ""
    if "root" in data:
        return "panopticdb"
    labels = data.get("annotations")
    if not isinstance(labels, list) or "images" not in data:
        return ""
    whole = labels and isinstance(labels[0], dict) and "lefthand_kpts" in labels[0]
    return "wholebody" if whole else "coco"
