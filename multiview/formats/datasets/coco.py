"""COCO keypoints: ``annotations/<split>.json`` beside ``images/``; or any COCO file of hands.

The standard keys are all there. Extra keys of an annotation carry what COCO has no place for:
``hand`` (left, right or unknown), ``weight`` and ``sigma_px`` per keypoint, ``source``, ``round``;
of an image ``session``, ``camera``, ``frame``, ``time_s``, ``subject``, ``rig_digest``.

COCO keypoints are pixel indices (the centre of the top-left pixel is (0, 0), as here); its boxes
are measured from the picture's corner, half a pixel further.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multiview.core import HandSamples, side_sign
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.coco import VERSION as LABELS
from multiview.formats.datasets.pictures import Pictures, picture_names
from multiview.formats.datasets.rows import Loaded, Rows, flags_of, points_of, split_of, splits_of
from multiview.formats.foreign import parsing, read_json
from multiview.formats.keypoint_names import skeleton_of
from multiview.formats.tables import skeleton_from_dict, skeleton_to_dict

__all__ = ["DIGITS_PX", "HALF", "image_entries", "read_coco_files", "sides", "write_coco_files"]

VERSION = "multiview-coco-samples/1"
# Of a pixel, far below any label's deviation; of a weight one more.
DIGITS_PX, DIGITS_WEIGHT = 3, 4
HALF = 0.5
SIDES = {"left": 0.0, "right": 1.0}


def write_coco_files(samples: HandSamples, folder: Path, pictures: Pictures) -> None:
    """Write a file a split and link the pictures."""
    names = picture_names(samples)
    for split in splits_of(samples):
        numbers = np.flatnonzero(samples.split == split_of(split)).tolist()
        images, image_ids = image_entries(samples, numbers, names)
        data = {
            "info": _info(samples),
            "images": images,
            "annotations": _annotations(samples, numbers, image_ids),
            "categories": [_category(samples)],
        }
        write_text(folder / "annotations" / f"{split}.json", json.dumps(data))
        for n in numbers:
            pictures.place(str(samples.image[n]), folder / "images" / names[n])


def _info(samples: HandSamples) -> dict[str, Any]:
    about = {
        "format": VERSION,
        "skeleton": skeleton_to_dict(samples.skeleton),
        "visibility": "2 seen in this picture, 1 labelled from other views, 0 not labelled",
    }
    return {"description": "hand keypoints", "multiview": about}


def _category(samples: HandSamples) -> dict[str, Any]:
    return {
        "id": 1,
        "name": "hand",
        "supercategory": "person",
        "keypoints": list(samples.skeleton.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in samples.skeleton.edges],
    }


def image_entries(
    samples: HandSamples, numbers: Sequence[int], names: Sequence[str]
) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """List each picture once, with its provenance.

    Returns
    -------
    images, ids
        COCO's ``images``, and the image's id by the sample's number.
    """
    found: dict[str, dict[str, Any]] = {}
    ids = {}
    for n in numbers:
        if names[n] not in found:
            time = float(samples.time_s[n])
            found[names[n]] = {
                "id": len(found) + 1,
                "file_name": names[n],
                "width": int(samples.size_wh[n, 0]),
                "height": int(samples.size_wh[n, 1]),
                "session": str(samples.session[n]),
                "camera": str(samples.camera[n]),
                "frame": int(samples.frame_id[n]),
                "time_s": time if math.isfinite(time) else None,
                "subject": str(samples.subject[n]),
                "rig_digest": str(samples.rig_digest[n]),
            }
        ids[n] = found[names[n]]["id"]
    return list(found.values()), ids


def sides(samples: HandSamples) -> list[str]:
    """Name the side of every hand: left, right or unknown."""
    return ["unknown" if r != r else "right" if r > HALF else "left" for r in samples.right]


def _annotations(
    samples: HandSamples, numbers: list[int], image_ids: dict[int, int]
) -> list[dict[str, Any]]:
    flat = np.concatenate(
        [np.nan_to_num(samples.xy_px).round(DIGITS_PX), samples.visibility[..., None]], -1
    ).reshape(len(samples), -1)
    box = samples.box_xywh + np.array([HALF, HALF, 0, 0])
    weight, sigma = samples.weight.round(DIGITS_WEIGHT), samples.sigma_px.round(DIGITS_PX)
    counts, hands = samples.labelled.sum(-1), sides(samples)
    return [
        {
            "id": number,
            "image_id": image_ids[n],
            "category_id": 1,
            "iscrowd": 0,
            "bbox": box[n].round(DIGITS_PX).tolist(),
            "area": float(box[n, 2] * box[n, 3]),
            "num_keypoints": int(counts[n]),
            "keypoints": flat[n].tolist(),
            "hand": hands[n],
            "weight": weight[n].tolist(),
            "sigma_px": [None if s != s else s for s in sigma[n].tolist()],
            "source": str(samples.source[n]),
            "round": int(samples.round[n]),
        }
        for number, n in enumerate(numbers, 1)
    ]


def read_coco_files(folder: Path) -> Loaded:
    """Read the files of a dataset, of `multiview label`, or one COCO file of another program.

    Raises
    ------
    InputError
        If an annotation names an unknown image, has a wrong count or flag, or the file another
        layout; with the file and the annotation.
    """
    if folder.is_file():
        paths = [folder]
    else:
        labels = folder / "coco.json"
        paths = [labels] if labels.exists() else sorted((folder / "annotations").glob("*.json"))
    rows: Rows | None = None
    for path in paths:
        data = read_json(path)
        with parsing(path, "COCO"):
            rows = _read(path, data, rows)
    if rows is None:
        raise InputError(f"{folder}: holds no annotations/*.json", "give a COCO dataset")
    return rows.loaded()


def _read(path: Path, data: dict[str, Any], rows: Rows | None) -> Rows:
    about = data.get("info", {}).get("multiview", {})
    used = {a["category_id"] for a in data["annotations"]}
    category = next((c for c in data["categories"] if c["id"] in used), data["categories"][0])
    if len(used) > 1:
        raise InputError(f"{path}: has {len(used)} categories", "give one kind of object a file")
    names = tuple(category.get("keypoints", ()))
    edges = tuple((a - 1, b - 1) for a, b in category.get("skeleton", ()))
    skeleton, order = skeleton_of(path, len(names) or 21, names, edges)
    if "skeleton" in about:
        skeleton = skeleton_from_dict(about["skeleton"])
        order = list(range(len(skeleton.keypoints)))
    rows = rows or Rows(path, skeleton)
    if rows.skeleton != skeleton:
        raise InputError(f"{path}: has other keypoints than the files before it", "read it alone")
    images = {i["id"]: i for i in data["images"]}
    if len(images) < len(data["images"]):
        raise InputError(f"{path}: two images have one id", "number them")
    for number, a in enumerate(data["annotations"]):
        _add(rows, path, about, images, a, number, order)
    return rows


def _add(
    rows: Rows,
    path: Path,
    about: dict[str, Any],
    images: dict[Any, dict[str, Any]],
    a: dict[str, Any],
    number: int,
    order: list[int],
) -> None:
    where = f"{path}: annotations[{number}] (id {a.get('id')})"
    if a["image_id"] not in images:
        raise InputError(f"{where}: there is no image {a['image_id']!r}", "correct image_id")
    image, k = images[a["image_id"]], len(order)
    points = points_of(a["keypoints"], k, 3, where)[order]
    seen = flags_of(points[:, 2], (0, 1, 2), where)
    if not seen.any():  # other programs list people whose points nobody labelled
        return
    labels = about.get("format") == LABELS  # the files of `multiview label` have no prefix
    prefix = "" if labels or path.parent.name != "annotations" else "images/"
    sigma = a.get("sigma_px", [None] * k)
    time = image.get("time_s")
    rows.add(
        where,
        prefix + str(image["file_name"]),
        (image["width"], image["height"]),
        points[:, :2],
        visibility=seen,
        weight=np.where(seen > 0, a.get("weight", np.ones(k)), 0),
        sigma_px=[np.nan if s is None else s for s in sigma],
        box_xywh=np.full(4, np.nan) if labels or "bbox" not in a else _box(a["bbox"], where),
        right=_right(a),
        session=image.get("session", ""),
        camera=image.get("camera", ""),
        frame_id=image.get("frame", len(rows.where)),
        time_s=np.nan if time is None else time,
        subject=image.get("subject", ""),
        source=a.get("source", about.get("source", "")),
        round=a.get("round", about.get("iteration", 0)),
        rig_digest=image.get("rig_digest", about.get("rig_digest", "")),
        split="" if labels else split_of(path.stem),
    )


def _right(a: dict[str, Any]) -> float:
    """Side of a hand, which `multiview label` may call ``right-2``."""
    sign = side_sign(str(a.get("handedness") or a.get("hand", "")))
    return (sign + 1) / 2 if sign else np.nan


def _box(values: Any, where: str) -> list[float]:
    left, top, width, height = points_of(values, 1, 4, f"{where}: bbox")[0].tolist()
    return [left - HALF, top - HALF, width, height]
