"""Pseudo-labels as COCO keypoints, with score, visibility and provenance kept.

The standard keys are all there (``bbox`` xywh, ``keypoints`` x y v, ``num_keypoints``, ``area``,
``iscrowd``), so any COCO reader works. Extra keys carry what COCO has no place for: ``hand``,
``handedness``, ``weight``, ``sigma_px`` and ``risk`` (to be false) per keypoint, and
``info.multiview`` with rig and source. Pixels are as everywhere here: the centre of the top-left
pixel is (0, 0).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from multiview.core import PseudoLabels
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.tables import reading, skeleton_from_dict, skeleton_to_dict

__all__ = ["image_name", "read_coco", "write_coco"]

VERSION = "multiview-coco/1"


def image_name(camera: str, frame_id: int) -> str:
    """Path of a picture inside the label folder."""
    return f"images/{camera}/{frame_id:06d}.jpg"


def write_coco(labels: PseudoLabels, path: str | Path) -> Path:
    """Write the kept pictures' labels as COCO keypoints JSON."""
    kept = [(int(v), int(f)) for f, v in np.argwhere(labels.keep.any(-1).T)]
    images = [_image(labels, v, f, n) for n, (v, f) in enumerate(kept, start=1)]
    annotations: list[dict[str, Any]] = []
    for number, (v, f) in enumerate(kept, start=1):
        for h in np.flatnonzero(labels.keep[v, f]):
            annotations.append(_annotation(labels, (v, f, int(h)), number, len(annotations) + 1))
    skeleton = labels.skeleton
    data = {
        "info": {
            "description": "reprojected 3D keypoints (multiview bootstrapping)",
            "multiview": {
                "format": VERSION,
                "rig_digest": labels.rig_digest,
                "source": labels.source,
                "iteration": labels.iteration,
                "cameras": list(labels.camera_names),
                "size_wh": [list(s) for s in labels.size_wh],
                "frames": labels.frame_ids.tolist(),
                "hands": list(labels.hands),
                "skeleton": skeleton_to_dict(skeleton),
                "visibility": "2 carried by this view, 1 only reprojected into it, 0 missing",
            },
        },
        "images": images,
        "annotations": annotations,
        "categories": [
            {
                "id": 1,
                "name": "hand",
                "supercategory": "person",
                "keypoints": list(skeleton.keypoints),
                "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges],
            }
        ],
    }
    return write_text(Path(path), json.dumps(data))


def _image(labels: PseudoLabels, v: int, f: int, number: int) -> dict[str, Any]:
    camera, frame = labels.camera_names[v], int(labels.frame_ids[f])
    width, height = labels.size_wh[v]
    return {
        "id": number,
        "file_name": image_name(camera, frame),
        "width": width,
        "height": height,
        "camera": camera,
        "frame": frame,
    }


def _annotation(
    labels: PseudoLabels, at: tuple[int, int, int], image_id: int, number: int
) -> dict[str, Any]:
    xy, seen = labels.xy_px[at], labels.visibility[at]
    shown = xy[seen > 0]
    (left, top), (right, bottom) = shown.min(0), shown.max(0)
    flat = np.concatenate([np.where(seen[:, None] > 0, xy, 0.0), seen[:, None]], axis=1)
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [float(left), float(top), float(right - left), float(bottom - top)],
        "area": float((right - left) * (bottom - top)),
        "num_keypoints": int((seen > 0).sum()),
        "keypoints": [round(x, 3) for x in flat.ravel().tolist()],
        "hand": labels.hands[at[2]] if labels.hands else str(at[2]),
        "weight": [round(w, 4) for w in labels.weight[at].tolist()],
        "sigma_px": [None if np.isnan(s) else round(s, 3) for s in labels.sigma_px[at].tolist()],
        "risk": [None if np.isnan(r) else round(r, 6) for r in labels.risk[at[1:]].tolist()],
        "handedness": {0.0: "left", 1.0: "right"}.get(float(labels.right[at[1:]])),
    }


def read_coco(path: str | Path) -> PseudoLabels:
    """Read labels that `write_coco` wrote (to a thousandth of a pixel).

    Raises
    ------
    InputError
        If the file is missing, not JSON, or was written by another program.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        about = data["info"]["multiview"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a label file of multiview ({error!r})",
            "give the coco.json that `multiview label` wrote",
        ) from None
    if not isinstance(about, dict) or about.get("format") != VERSION:
        raise InputError(f"{path}: not of format {VERSION}", "run `multiview label` again")
    with reading(Path(path)):
        return _labels(data, about)


def _labels(data: dict[str, Any], about: dict[str, Any]) -> PseudoLabels:
    skeleton = skeleton_from_dict(about["skeleton"])
    cameras, hands = about["cameras"], about["hands"]
    shape = (len(cameras), len(about["frames"]), max(1, len(hands)), len(skeleton.keypoints))
    xy, sigma = np.full((*shape, 2), np.nan), np.full(shape, np.nan)
    weight, seen, keep = np.zeros(shape), np.zeros(shape, np.int8), np.zeros(shape[:3], np.bool_)
    risk, right = np.full(shape[1:], np.nan), np.full(shape[1:3], np.nan)
    row = {frame: f for f, frame in enumerate(about["frames"])}
    place = {i["id"]: (cameras.index(i["camera"]), row[i["frame"]]) for i in data["images"]}
    for a in data["annotations"]:
        at = (*place[a["image_id"]], hands.index(a["hand"]) if hands else int(a["hand"]))
        points = np.array(a["keypoints"]).reshape(-1, 3)
        seen[at], keep[at] = points[:, 2].astype(np.int8), True
        xy[at] = np.where(points[:, 2:] > 0, points[:, :2], np.nan)
        weight[at] = a["weight"]
        sigma[at] = [np.nan if s is None else s for s in a["sigma_px"]]
        risk[at[1:]] = [np.nan if r is None else r for r in a.get("risk", [None])]
        right[at[1:]] = {"left": 0.0, "right": 1.0}.get(a.get("handedness"), np.nan)
    return PseudoLabels(
        xy_px=xy,
        visibility=seen,
        weight=weight,
        sigma_px=sigma,
        keep=keep,
        iteration=about["iteration"],
        source=about["source"],
        rig_digest=about["rig_digest"],
        camera_names=tuple(cameras),
        frame_ids=np.array(about["frames"], np.int64),
        hands=tuple(hands),
        skeleton=skeleton,
        size_wh=tuple((int(w), int(h)) for w, h in about["size_wh"]),
        risk=risk,
        right=right,
    )
