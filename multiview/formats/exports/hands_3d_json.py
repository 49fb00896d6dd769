"""3D hands as JSON, a file a frame: CMU Panoptic's and OpenPose's layouts.

Panoptic: ``hdHand3d/handRecon3D_hd00000012.json`` (``landmarks`` in cm, ``validity``,
``visibility``: numbers of the cameras that carry the point, ``averageScore``: 1, or 0 where
missing, ``averageReproError`` in px) beside ``calibration_<name>.json``. OpenPose:
``<name>_000000000012_keypoints.json`` with ``hand_left_keypoints_3d`` and
``hand_right_keypoints_3d``, 21 times ``x, y, z, 1``; a missing point is four zeros, as there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from multiview.core import HAND_21, Points3D, Rig
from multiview.errors import InputError
from multiview.formats.atomic import new_folder
from multiview.formats.rigs.lens import new_target
from multiview.formats.rigs.panoptic_json import write_panoptic_rig

__all__ = ["write_openpose_3d", "write_panoptic_3d"]

SLOT = re.compile(r"(left|right)(?:-(\d+))?")
SIDES = ("left", "right")
DIGITS = 6  # a micrometre in metres, less in other units


def write_panoptic_3d(points: Points3D, rig: Rig, folder: Path) -> Path:
    """Write hands and calibration, both centimetres already.

    Raises
    ------
    InputError
        If a hand has no side, or the rig a lens of other than five coefficients.
    """
    slots = _slots(points, "panoptic")
    with new_folder(new_target(folder)) as work:
        write_panoptic_rig(rig, work / f"calibration_{folder.name}.json")
        (work / "hdHand3d").mkdir()
        for f, frame in enumerate(points.frame_ids.tolist()):
            people: list[dict[str, Any]] = []
            for person, hands in _people(points, slots, f):
                entry = {f"{s}_hand": _panoptic_hand(points, f, h) for s, h in hands.items()}
                people.append({"id": person, **entry})
            path = work / "hdHand3d" / f"handRecon3D_hd{frame:08d}.json"
            path.write_text(json.dumps({"version": 0.4, "people": people}), encoding="utf-8")
    return folder


def write_openpose_3d(points: Points3D, folder: Path) -> Path:
    """Write a file a frame; two hands a person.

    Raises
    ------
    InputError
        If a hand has no side.
    """
    slots = _slots(points, "openpose")
    with new_folder(new_target(folder)) as work:
        for f, frame in enumerate(points.frame_ids.tolist()):
            people = [_openpose(points, f, person, h) for person, h in _people(points, slots, f)]
            path = work / f"{folder.name}_{frame:012d}_keypoints.json"
            path.write_text(json.dumps({"version": 1.3, "people": people}), encoding="utf-8")
    return folder


def _slots(points: Points3D, format: str) -> list[tuple[int, str]]:
    """Person and side of every hand."""
    if points.skeleton.keypoints != HAND_21.keypoints:
        raise InputError(
            f"{format} holds hands, the skeleton is {points.skeleton.name!r}",
            "export csv, parquet, trc or c3d",
        )
    slots = []
    for name in points.hands:
        match = SLOT.fullmatch(name)
        if match is None:
            raise InputError(
                f"{format} holds left and right hands, one is named {name!r}",
                "export csv, parquet, trc or c3d",
            )
        slots.append((int(match[2] or 1) - 1, match[1]))
    return slots


Hands = dict[str, int]


def _people(points: Points3D, slots: list[tuple[int, str]], f: int) -> list[tuple[int, Hands]]:
    people: dict[int, Hands] = {}
    for h, (person, side) in enumerate(slots):
        if points.valid[f, h].any():
            people.setdefault(person, {})[side] = h
    return sorted(people.items())


def _panoptic_hand(points: Points3D, f: int, h: int) -> dict[str, Any]:
    valid, carried = points.valid[f, h], points.inlier[:, f, h]
    error = np.where(carried & np.isfinite(points.err_px[:, f, h]), points.err_px[:, f, h], 0.0)
    mean = error.sum(0) / np.maximum(carried.sum(0), 1)
    return {
        "landmarks": _flat(points.xyz_world[f, h]),
        "averageScore": valid.astype(float).tolist(),
        "averageReproError": [round(x, DIGITS) for x in mean.tolist()],
        "validity": valid.astype(int).tolist(),
        "visibility": [np.flatnonzero(column).tolist() for column in (carried & valid).T],
    }


def _openpose(points: Points3D, f: int, person: int, hands: Hands) -> dict[str, Any]:
    out: dict[str, Any] = {"person_id": [person], "pose_keypoints_2d": [], "pose_keypoints_3d": []}
    for side in SIDES:
        rows = np.zeros((21, 4))
        if side in hands:
            xyz, valid = points.xyz_world[f, hands[side]], points.valid[f, hands[side]]
            rows[valid] = np.concatenate([xyz[valid], np.ones((valid.sum(), 1))], axis=1)
        out[f"hand_{side}_keypoints_3d"] = _flat(rows)
    return out


def _flat(values: Any) -> list[float]:
    rounded: Callable[[float], float] = lambda x: round(x, DIGITS)  # noqa: E731
    return list(map(rounded, np.nan_to_num(values).ravel().tolist()))
