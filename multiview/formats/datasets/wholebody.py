"""COCO-WholeBody: the hands of persons, ``annotations/<split>.json`` beside ``images/``.

An annotation is a person: ``lefthand_kpts``, ``righthand_kpts`` 21 x (x, y, v), ``lefthand_box``
xywh from the picture's corner, ``lefthand_valid``; body, feet and face are there and invalid (all
zeros). The n-th left and the n-th right hand of a picture are taken for one person's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.datasets.coco import DIGITS_PX, HALF, image_entries
from multiview.formats.datasets.pictures import Pictures, picture_names
from multiview.formats.datasets.rows import (
    Loaded,
    Rows,
    flags_of,
    only_hands,
    only_sides,
    points_of,
    split_of,
    splits_of,
)
from multiview.formats.foreign import parsing, read_json

__all__ = ["read_wholebody", "write_wholebody"]

HANDS = ("lefthand", "righthand")
SIDED = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
BODY = ["nose", *(f"{side}_{part}" for part in SIDED for side in ("left", "right"))]
FEET, FACE = 6, 68


def write_wholebody(samples: HandSamples, folder: Path, pictures: Pictures) -> None:
    """Write a file a split and link the pictures."""
    only_hands(samples, "wholebody")
    only_sides(samples, "wholebody")
    names = picture_names(samples)
    for split in splits_of(samples):
        numbers = np.flatnonzero(samples.split == split_of(split)).tolist()
        images, ids = image_entries(samples, numbers, names)
        persons = _persons(samples, numbers, names)
        data = {
            "info": {"description": "hands in the layout of COCO-WholeBody"},
            "images": images,
            "annotations": [
                _person(samples, pair, ids[next(n for n in pair if n >= 0)], number)
                for number, pair in enumerate(persons, 1)
            ],
            "categories": [
                {"id": 1, "name": "person", "supercategory": "person", "keypoints": BODY}
            ],
        }
        write_text(folder / "annotations" / f"{split}.json", json.dumps(data))
        for n in numbers:
            pictures.place(str(samples.image[n]), folder / "images" / names[n])


def _persons(samples: HandSamples, numbers: Sequence[int], names: Sequence[str]) -> list[list[int]]:
    """Pair the hands of every picture: ``[left, right]``, -1 where there is none."""
    persons: list[list[int]] = []
    by_picture: dict[str, list[list[int]]] = {}
    for n in numbers:
        side = int(samples.right[n] >= 0.5)
        there = by_picture.setdefault(names[n], [])
        free = next((p for p in there if p[side] < 0), None)
        if free is None:
            free = [-1, -1]
            there.append(free)
            persons.append(free)
        free[side] = n
    return persons


def _person(samples: HandSamples, pair: Sequence[int], image: int, number: int) -> dict[str, Any]:
    boxes = samples.box_xywh[[n for n in pair if n >= 0]] + np.array([HALF, HALF, 0, 0])
    low, high = boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)
    whole = np.concatenate([low, high - low]).round(DIGITS_PX).tolist()
    person: dict[str, Any] = {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": whole,
        "area": whole[2] * whole[3],
        "num_keypoints": 0,
        "keypoints": [0] * 3 * len(BODY),
        "foot_kpts": [0] * 3 * FEET,
        "face_kpts": [0] * 3 * FACE,
        "face_box": [0.0] * 4,
        "foot_valid": False,
        "face_valid": False,
    }
    for n, name in zip(pair, HANDS, strict=True):
        person[f"{name}_valid"] = n >= 0
        person[f"{name}_kpts"] = [0] * 63 if n < 0 else _points(samples, n)
        box = samples.box_xywh[n] + np.array([HALF, HALF, 0, 0])
        person[f"{name}_box"] = [0.0] * 4 if n < 0 else box.round(DIGITS_PX).tolist()
    return person


def _points(samples: HandSamples, n: int) -> list[float]:
    xy = np.nan_to_num(samples.xy_px[n]).round(DIGITS_PX)
    return list(np.concatenate([xy, samples.visibility[n][:, None]], -1).ravel().tolist())


def read_wholebody(folder: Path) -> Loaded:
    """Read the valid hands of a dataset, or of one file of COCO-WholeBody itself.

    Raises
    ------
    InputError
        If a count or flag is wrong or an image unknown; with the file and the annotation.
    """
    paths = [folder] if folder.is_file() else sorted((folder / "annotations").glob("*.json"))
    rows = Rows(folder)
    for path in paths:
        data = read_json(path)
        with parsing(path, "COCO-WholeBody"):
            images = {i["id"]: i for i in data["images"]}
            for number, a in enumerate(data["annotations"]):
                where = f"{path}: annotations[{number}] (id {a.get('id')})"
                if a["image_id"] not in images:
                    raise InputError(f"{where}: there is no image {a['image_id']!r}", "correct it")
                for side, name in enumerate(HANDS):
                    if a[f"{name}_valid"]:
                        at = f"{where}, {name}"
                        _add(rows, path, at, images[a["image_id"]], a, (name, side))
    return rows.loaded()


def _add(
    rows: Rows,
    path: Path,
    where: str,
    image: dict[str, Any],
    a: dict[str, Any],
    hand: tuple[str, int],
) -> None:
    points = points_of(a[f"{hand[0]}_kpts"], 21, 3, where)
    seen = flags_of(points[:, 2], (0, 1, 2), where)
    if not seen.any():
        return
    left, top, width, height = points_of(a[f"{hand[0]}_box"], 1, 4, where)[0].tolist()
    time = image.get("time_s")
    prefix = "images/" if path.parent.name == "annotations" else ""
    rows.add(
        where,
        prefix + image["file_name"],
        (image["width"], image["height"]),
        points[:, :2],
        visibility=seen,
        box_xywh=[left - HALF, top - HALF, width, height],
        right=float(hand[1]),
        session=image.get("session", ""),
        camera=image.get("camera", ""),
        frame_id=image.get("frame", int(image["id"])),
        time_s=np.nan if time is None else time,
        subject=image.get("subject", ""),
        rig_digest=image.get("rig_digest", ""),
        split=split_of(path.stem),
    )
