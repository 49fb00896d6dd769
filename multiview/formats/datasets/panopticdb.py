"""CMU ``hand143_panopticdb``: ``hands_v143_<count>.json`` beside ``imgs/``.

``{"root": [...]}`` of ``img_paths, img_width, img_height, objpos`` (middle of the box),
``joint_self`` 21 x (x, y, 1 if labelled) and ``isValidation``. Every hand is a right one there;
pixels are taken as they are.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.datasets.pictures import Pictures, picture_names
from multiview.formats.datasets.rows import (
    Loaded,
    Rows,
    flags_of,
    only_hands,
    only_sides,
    points_of,
)
from multiview.formats.foreign import parsing, read_json

__all__ = ["PATTERN", "read_panopticdb", "write_panopticdb"]

PATTERN = "hands_v143_*.json"
DIGITS_PX = 3


def write_panopticdb(samples: HandSamples, folder: Path, pictures: Pictures) -> None:
    """Write the list and link the pictures."""
    only_hands(samples, "panopticdb")
    only_sides(samples, "panopticdb", "right")
    names = [f"imgs/{name}" for name in picture_names(samples)]
    points = np.concatenate(
        [np.nan_to_num(samples.xy_px).round(DIGITS_PX), samples.labelled[..., None]], -1
    ).tolist()
    centre = (samples.box_xywh[:, :2] + samples.box_xywh[:, 2:] / 2).round(DIGITS_PX).tolist()
    root = []
    for n, name in enumerate(names):
        pictures.place(str(samples.image[n]), folder / name)
        root.append(
            {
                "dataset": "multiview",
                "img_paths": name,
                "img_width": int(samples.size_wh[n, 0]),
                "img_height": int(samples.size_wh[n, 1]),
                "objpos": centre[n],
                "joint_self": points[n],
                "isValidation": float(str(samples.split[n]) in {"val", "test"}),
            }
        )
    write_text(folder / f"hands_v143_{len(samples)}.json", json.dumps({"root": root}))


def read_panopticdb(folder: Path) -> Loaded:
    """Read the list.

    Raises
    ------
    InputError
        If there is none, or an entry has another layout; names it.
    """
    path = folder if folder.is_file() else next(iter(sorted(folder.glob(PATTERN))), None)
    if path is None:
        raise InputError(f"{folder}: holds no {PATTERN}", "give the folder of that file")
    data, rows = read_json(path), Rows(path)
    with parsing(path, "hand143_panopticdb"):
        for n, entry in enumerate(data["root"]):
            where = f"{path}: root[{n}]"
            points = points_of(entry["joint_self"], 21, 3, where)
            rows.add(
                where,
                entry["img_paths"],
                (int(entry["img_width"]), int(entry["img_height"])),
                points[:, :2],
                visibility=np.where(flags_of(points[:, 2], (0, 1, 2), where) == 1, 2, 0),
                right=1.0,
                split="val" if entry.get("isValidation") else "train",
            )
    return rows.loaded()
