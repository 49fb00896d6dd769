"""InterHand2.6M: ``annotations/<split>/InterHand2.6M_<split>_{data,camera,joint_3d}.json``.

Millimetres; ``X_cam = camrot (X - campos)``; 42 joints, the right hand's 21 first, each finger from
TIP to BASE and the wrist last. Lenses have no distortion: pictures of lenses that have are written
anew without it. A capture is a session with one rig, and ``seq_name`` the session's name; a frame
has one right and one left hand at most.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from multiview._shapes import F64, present
from multiview.core import Camera, HandSamples, Intrinsics, Pose
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.datasets.pictures import Pictures
from multiview.formats.datasets.rows import (
    Loaded,
    Rows,
    flags_of,
    only_hands,
    only_sides,
    points_of,
    safe_name,
    split_of,
    splits_of,
)
from multiview.formats.datasets.space import label_3d, needs_3d
from multiview.formats.foreign import parsing, read_json

__all__ = ["ORDER", "read_interhand", "write_interhand"]

# Which of our keypoints stands at each place of a hand there: tip to base, wrist last.
ORDER = [k for finger in range(5) for k in range(4 * finger + 4, 4 * finger, -1)] + [0]
MM = 1000.0
TYPES = ("right", "left")


def write_interhand(samples: HandSamples, folder: Path, pictures: Pictures) -> None:
    """Write three files a split and the pictures."""
    only_hands(samples, "interhand")
    only_sides(samples, "interhand")
    needs_3d(samples, "interhand")
    pairs = list(zip(samples.session.tolist(), samples.rig_digest.tolist(), strict=True))
    captures = {pair: str(n) for n, pair in enumerate(sorted(set(pairs)))}
    capture = [captures[pair] for pair in pairs]
    for split in splits_of(samples):
        numbers = np.flatnonzero(samples.split == split_of(split)).tolist()
        head = folder / "annotations" / safe_name(split)
        for part, data in _files(samples, numbers, capture).items():
            path = head / f"InterHand2.6M_{safe_name(split)}_{part}.json"
            write_text(path, json.dumps(data))
        for n in numbers:
            target = folder / "images" / safe_name(split) / _file_name(samples, n, capture[n])
            pictures.place(str(samples.image[n]), target, samples.cameras[samples.lens[n]])


def _file_name(samples: HandSamples, n: int, capture: str) -> str:
    sequence, camera = safe_name(str(samples.session[n])), safe_name(str(samples.camera[n]))
    return f"Capture{capture}/{sequence}/cam{camera}/image{samples.frame_id[n]}.jpg"


def _files(samples: HandSamples, numbers: list[int], capture: list[str]) -> dict[str, Any]:
    images: dict[str, dict[str, Any]] = {}
    annotations: dict[str, dict[str, Any]] = {}
    joints: dict[str, dict[str, Any]] = {}
    lenses: dict[str, dict[str, Any]] = {}
    for n in numbers:
        name, side = _file_name(samples, n, capture[n]), int(samples.right[n] < 0.5)
        if name not in images:
            images[name] = _image(samples, n, capture[n], name, len(images))
            annotations[name] = _blank_annotation(images[name]["id"])
        _fill_annotation(samples, n, side, annotations[name])
        frames = joints.setdefault(capture[n], {})
        _fill_joints(samples, n, side, frames.setdefault(str(samples.frame_id[n]), _blank_joints()))
        camera = samples.cameras[samples.lens[n]]
        _fill_camera(camera, str(samples.camera[n]), lenses.setdefault(capture[n], _blank_lens()))
    data = {"images": list(images.values()), "annotations": list(annotations.values())}
    return {"data": data, "camera": lenses, "joint_3d": joints}


def _image(samples: HandSamples, n: int, capture: str, name: str, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": name,
        "width": int(samples.size_wh[n, 0]),
        "height": int(samples.size_wh[n, 1]),
        "capture": int(capture),
        "subject": str(samples.subject[n]),
        "seq_name": str(samples.session[n]),
        "camera": str(samples.camera[n]),
        "frame_idx": int(samples.frame_id[n]),
    }


def _blank_annotation(number: int) -> dict[str, Any]:
    return {"id": number, "image_id": number, "joint_valid": [0] * 42, "hand_type_valid": 1}


def _blank_joints() -> dict[str, Any]:
    return {"world_coord": [[0.0] * 3] * 42, "joint_valid": [[0]] * 42, "hand_type_valid": 1}


def _blank_lens() -> dict[str, Any]:
    return {"campos": {}, "camrot": {}, "focal": {}, "princpt": {}}


def _type(entry: dict[str, Any], side: int) -> str:
    """Type of the frame once this hand (0 right, 1 left) is in it."""
    old = entry.get("hand_type", TYPES[side])
    return TYPES[side] if old == TYPES[side] else "interacting"


def _fill_annotation(samples: HandSamples, n: int, side: int, entry: dict[str, Any]) -> None:
    if any(entry["joint_valid"][21 * side : 21 * side + 21]):
        raise InputError(
            f"interhand holds one {TYPES[side]} hand a picture, {samples.image[n]} has more",
            "write panoptic, coco or parquet",
        )
    valid = samples.labelled[n] & present(samples.xyz_world[n])
    entry["joint_valid"][21 * side : 21 * side + 21] = valid[ORDER].astype(int).tolist()
    entry["hand_type"] = _type(entry, side)
    box = samples.box_xywh[n]
    low, high = box[:2], box[:2] + box[2:]
    if "bbox" in entry:  # of both hands
        old = np.array(entry["bbox"])
        low, high = np.minimum(low, old[:2]), np.maximum(high, old[:2] + old[2:])
    entry["bbox"] = [*low.tolist(), *(high - low).tolist()]


def _fill_joints(samples: HandSamples, n: int, side: int, entry: dict[str, Any]) -> None:
    xyz, part = samples.xyz_world[n][ORDER] * MM, slice(21 * side, 21 * side + 21)
    entry["world_coord"] = [*entry["world_coord"]]
    entry["world_coord"][part] = np.nan_to_num(xyz).tolist()
    entry["joint_valid"] = [*entry["joint_valid"]]
    entry["joint_valid"][part] = present(xyz)[:, None].astype(int).tolist()
    entry["hand_type"] = _type(entry, side)
    entry["seq"] = str(samples.session[n])


def _fill_camera(camera: Camera, name: str, entry: dict[str, Any]) -> None:
    if name in entry["campos"]:
        return
    K = camera.intrinsics.K
    entry["campos"][name] = (camera.centre_world * MM).tolist()
    entry["camrot"][name] = camera.cam_from_world.R.tolist()
    entry["focal"][name] = [K[0, 0], K[1, 1]]
    entry["princpt"][name] = [K[0, 2], K[1, 2]]


def read_interhand(folder: Path) -> Loaded:
    """Read every split of a folder.

    Raises
    ------
    InputError
        If a count is wrong, or a camera or frame is in one file only; with file and annotation.
    """
    rows = Rows(folder)
    for path in sorted((folder / "annotations").glob("*/InterHand2.6M_*_data.json")):
        stem = path.name.removesuffix("_data.json")
        data = read_json(path)
        lenses = read_json(path.with_name(f"{stem}_camera.json"))
        joints = read_json(path.with_name(f"{stem}_joint_3d.json"))
        known: dict[Any, int] = {}
        with parsing(path, "InterHand2.6M"):
            images = {i["id"]: i for i in data["images"]}
            for number, a in enumerate(data["annotations"]):
                where = f"{path}: annotations[{number}] (id {a['id']})"
                image = images[a["image_id"]]
                capture = str(image["capture"])
                lens = _lens(rows, known, lenses[capture], capture, image)
                frame = joints[capture][str(image["frame_idx"])]
                for side in range(2):
                    _add(rows, where, path, (a, image, frame), (side, lens))
    return rows.loaded()


def _lens(
    rows: Rows, known: dict[Any, int], lenses: dict[str, Any], capture: str, image: dict[str, Any]
) -> int:
    name, size = str(image["camera"]), (int(image["width"]), int(image["height"]))
    key = (capture, name, size)
    if key not in known:
        (fx, fy), (cx, cy) = lenses["focal"][name], lenses["princpt"][name]
        R = np.array(lenses["camrot"][name], np.float64)
        pose = Pose(R=R, t=-R @ np.array(lenses["campos"][name], np.float64) / MM)
        K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
        known[key] = len(rows.cameras)
        lens = Intrinsics(K=K, dist=np.zeros(0), size_wh=size)
        rows.cameras.append(Camera(name=name, intrinsics=lens, cam_from_world=pose))
    return known[key]


def _add(
    rows: Rows,
    where: str,
    path: Path,
    entries: tuple[dict[str, Any], dict[str, Any], dict[str, Any]],
    hand: tuple[int, int],
) -> None:
    (a, image, frame), (side, lens) = entries, hand
    part = slice(21 * side, 21 * side + 21)
    valid = points_of(a["joint_valid"], 42, 1, f"{where}: joint_valid")[part, 0]
    flags_of(valid, (0, 1), f"{where}: joint_valid")
    at = f"{path.name}: frame {image['frame_idx']} of capture {image['capture']}"
    mm = points_of(frame["world_coord"], 42, 3, at)[part]
    known = points_of(frame["joint_valid"], 42, 1, at)[part, 0]
    xyz: F64 = np.full((21, 3), np.nan)
    xyz[ORDER] = np.where(known[:, None] > 0, mm / MM, np.nan)
    labelled = np.zeros(21, np.bool_)
    labelled[ORDER] = valid > 0
    xy, seen = label_3d(rows.cameras[lens], xyz)
    seen = np.where(labelled, seen, 0)
    if not seen.any():
        return
    split = path.parent.name
    rows.add(
        f"{where}, {TYPES[side]} hand",
        f"images/{split}/{image['file_name']}",
        rows.cameras[lens].intrinsics.size_wh,
        xy,
        visibility=seen,
        right=1.0 - side,
        session=image["seq_name"],
        camera=str(image["camera"]),
        frame_id=int(image["frame_idx"]),
        subject=str(image["subject"]),
        xyz_world=xyz,
        lens=lens,
        split=split_of(split),
    )
