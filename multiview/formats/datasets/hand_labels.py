"""CMU ``hand_labels``: one JSON beside each JPEG, ``manual_<split>/<id>_l.json`` or ``_r``.

``hand_pts`` 21 x (x, y, 1 if labelled), ``hand_box_center``, ``is_left``. Pixels are taken as they
are. A picture of two hands is there twice under two names, as one file (a link).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

from multiview.core import HandSamples
from multiview.formats.datasets.pictures import Pictures, picture_names, size_of
from multiview.formats.datasets.rows import (
    Loaded,
    Rows,
    flags_of,
    only_hands,
    only_sides,
    points_of,
    safe_name,
    split_of,
)
from multiview.formats.foreign import parsing, read_json

__all__ = ["read_hand_labels", "write_hand_labels"]

PREFIX = "manual_"
DIGITS_PX = 3


def write_hand_labels(samples: HandSamples, folder: Path, pictures: Pictures) -> None:
    """Write a JSON a hand and link the pictures."""
    only_hands(samples, "hand_labels")
    only_sides(samples, "hand_labels")
    taken: Counter[str] = Counter()
    points = np.concatenate(
        [np.nan_to_num(samples.xy_px).round(DIGITS_PX), samples.labelled[..., None]], -1
    )
    centre = (samples.box_xywh[:, :2] + samples.box_xywh[:, 2:] / 2).round(DIGITS_PX)
    for n, name in enumerate(picture_names(samples)):
        left = bool(samples.right[n] < 0.5)
        split = safe_name(str(samples.split[n]) or "all")
        stem = f"{PREFIX}{split}/{name.rsplit('.', 1)[0].replace('/', '__')}"
        side = "l" if left else "r"
        taken[f"{stem}_{side}"] += 1
        count = taken[f"{stem}_{side}"]
        target = folder / (f"{stem}_{side}" if count == 1 else f"{stem}-{count}_{side}")
        pictures.place(str(samples.image[n]), target.with_name(f"{target.name}.jpg"))
        data = {
            "hand_pts": points[n].tolist(),
            "hand_box_center": centre[n].tolist(),
            "is_left": int(left),
        }
        target.with_name(f"{target.name}.json").write_text(json.dumps(data), encoding="utf-8")


def read_hand_labels(folder: Path) -> Loaded:
    """Read every JSON of the folder and of those below it.

    Raises
    ------
    InputError
        If a JSON has another layout or no picture; names it.
    """
    rows = Rows(folder)
    for path in sorted([*folder.glob("*_[lr].json"), *folder.glob("*/*_[lr].json")]):
        picture = path.with_suffix(".jpg")
        data = read_json(path)
        with parsing(path, "hand_labels"):
            points = points_of(data["hand_pts"], 21, 3, str(path))
            flags = flags_of(data["is_left"] * np.ones(1), (0, 1), f"{path}: is_left")
            valid = flags_of(points[:, 2], (0, 1, 2), str(path)) == 1
        above = path.parent.name if path.parent != folder else ""
        rows.add(
            str(path),
            picture.relative_to(folder).as_posix(),
            size_of(picture),
            points[:, :2],
            visibility=np.where(valid, 2, 0),
            right=1.0 - flags[0],
            split=split_of(above.removeprefix(PREFIX)) if above.startswith(PREFIX) else "",
        )
    return rows.loaded()
