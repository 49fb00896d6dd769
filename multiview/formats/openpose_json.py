"""OpenPose's ``--write_json`` with ``--hand``: a folder of ``*_keypoints.json``, one a picture.

Read are ``hand_left_keypoints_2d`` and ``hand_right_keypoints_2d`` (version 1.0 and later) and
``hand_left_keypoints``, ``hand_right_keypoints`` (before), flat ``x, y, c`` of 21 keypoints in the
order of `HAND_21`; ``0, 0, 0`` is missing. Coordinates are those of the input picture
(``--keypoint_scale 0``, the default) as OpenPose's peaks count: pixel indices, so the centre of the
top-left pixel is (0, 0). Videos give ``<video>_<12 digits>_keypoints.json``, counted from 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from multiview._files import visible
from multiview.core import Detections
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.foreign import parsing, read_json, triples
from multiview.formats.keypoint_table import Hand, KeypointTable, frames_of_pictures, table_of

__all__ = ["SUFFIX", "read_openpose", "write_openpose_json"]

SUFFIX = "_keypoints.json"
VIDEO_FRAME = re.compile(r"(.*?)_?(\d{12})")
SIDES = ("left", "right")
MAX_PICTURE_BYTES = 1 << 24  # a person has about 10 kB


def read_openpose(folder: Path) -> list[KeypointTable]:
    """Read one folder: a table for each video whose name the files carry.

    Raises
    ------
    InputError
        If the folder holds no such file, or one is damaged or without hands (``--hand`` was not
        given); names the file and person.
    """
    stems = [p.name.removesuffix(SUFFIX) for p in visible(folder) if p.name.endswith(SUFFIX)]
    if not stems:
        raise InputError(f"{folder}: holds no *{SUFFIX}", "give OpenPose's --write_json folder")
    groups: dict[str, list[tuple[str, int]]] = {}
    for stem in stems:
        if not (match := VIDEO_FRAME.fullmatch(stem)):  # pictures: OpenPose keeps their names
            return [_table(folder, "", stems, frames_of_pictures(stems))]
        groups.setdefault(match[1], []).append((stem, int(match[2])))
    return [
        _table(folder, video, [s for s, _ in rows], [n for _, n in rows])
        for video, rows in groups.items()
    ]


def _table(folder: Path, video: str, stems: list[str], frames: list[int]) -> KeypointTable:
    hands: list[Hand] = []
    asked = people = False
    for stem, frame in zip(stems, frames, strict=True):
        path = folder / (stem + SUFFIX)
        data = read_json(path, MAX_PICTURE_BYTES)
        with parsing(path, "OpenPose"):
            for person, entry in enumerate(data["people"]):
                people = True
                for slot, values in _hand_lists(entry):
                    asked = True
                    hands += _hand(path, frame, 2 * person + slot, values)
    if people and not asked:
        raise InputError(f"{folder}: nobody has hand keypoints", "run OpenPose with --hand")
    return table_of(folder, hands, 21, frames, pictures=tuple(stems), camera=video)


def _hand_lists(person: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    for slot, side in enumerate(SIDES):
        for key in (f"hand_{side}_keypoints_2d", f"hand_{side}_keypoints"):
            if person.get(key):  # an empty list: not asked for
                yield slot, person[key]
                break


def _hand(path: Path, frame: int, slot: int, values: Any) -> list[Hand]:
    where = f"{path.name}, person {slot // 2}, {SIDES[slot % 2]} hand"
    xyc = triples(values, 21, f"{path}: person {slot // 2}, {SIDES[slot % 2]} hand")
    found = (xyc != 0).any(-1)
    if not found.any():
        return []
    xy = np.where(found[:, None], xyc[:, :2], np.nan)
    return [Hand(frame, slot, xy, xyc[:, 2], float(slot % 2), where)]


def write_openpose_json(dets: Detections, folder: Path) -> Path:
    """Write ``<camera>/<camera>_<frame>_keypoints.json`` of every picture; one person a hand.

    A hand is written as right where ``right`` is at least one half (unknown: right).
    """
    valid = dets.valid
    for v, camera in enumerate(dets.camera_names):
        for f, frame in enumerate(dets.frame_ids.tolist()):
            people = [
                _person(dets.xy_px[v, f, h], dets.conf[v, f, h], dets.right[v, f, h])
                for h in np.flatnonzero(valid[v, f].any(-1))
            ]
            text = json.dumps({"version": 1.3, "people": people}, separators=(",", ":"))
            write_text(folder / camera / f"{camera}_{frame:012d}{SUFFIX}", text)
    return folder


def _person(xy: Any, conf: Any, right: float) -> dict[str, Any]:
    xyc = np.nan_to_num(np.concatenate([xy, conf[:, None]], axis=1)).ravel()
    lists = ([], xyc.round(6).tolist()) if not right < 0.5 else (xyc.round(6).tolist(), [])
    zeros = [0] * len(xyc)
    return {
        "person_id": [-1],
        "pose_keypoints_2d": [],
        "hand_left_keypoints_2d": lists[0] or zeros,
        "hand_right_keypoints_2d": lists[1] or zeros,
    }
