"""CMU Panoptic 3D hands: ``<seq>/hdHand3d/handRecon3D_hd00000012.json`` and its calibration.

``<seq>/calibration_<seq>.json`` has a list of cameras with ``K``, ``distCoef`` (5), ``R``, ``t``,
``X_cam = R X + t``, centimetres; ``<seq>/hdImgs/<cam>/<cam>_00000012.jpg`` the pictures. A hand has
``landmarks`` (63 numbers, cm, world), ``validity`` [21], ``visibility`` [21] (numbers of the HD
cameras that see the point), ``averageScore`` [21] (here the labels' mean weight) and
``averageReproError`` [21] (px). Lenses of other models than five coefficients become pictures
without distortion. A session is a sequence with one rig.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from multiview._shapes import F64, present
from multiview.core import Camera, HandSamples, Intrinsics, Pose
from multiview.errors import InputError
from multiview.formats.datasets.pictures import Pictures
from multiview.formats.datasets.rows import (
    Loaded,
    Rows,
    flags_of,
    only_hands,
    only_sides,
    points_of,
    safe_name,
)
from multiview.formats.datasets.space import label_3d, needs_3d
from multiview.formats.foreign import parsing, read_json
from multiview.formats.rigs.panoptic_json import (
    COEFFICIENTS,
    read_camera,
    write_panoptic_cameras,
)

__all__ = ["read_panoptic", "write_panoptic"]

CM = 100.0
SIDES = ("left_hand", "right_hand")


def write_panoptic(samples: HandSamples, folder: Path, pictures: Pictures) -> None:
    """Write a folder a session."""
    only_hands(samples, "panoptic")
    only_sides(samples, "panoptic")
    needs_3d(samples, "panoptic")
    sessions = samples.session.tolist()
    if len({safe_name(session) for session in sessions}) < len(set(sessions)):
        raise InputError(
            f"two sessions would be one folder: {', '.join(sorted(set(sessions)))}",
            "name them by letters, digits, - and _",
        )
    for session in sorted(set(sessions)):
        part = samples.take(np.flatnonzero(samples.session == session))
        rigs = set(part.rig_digest.tolist())
        if len(rigs) > 1:
            raise InputError(
                f"panoptic has one rig a sequence, session {session!r} has {len(rigs)}",
                "give every take a session of its own",
            )
        _write_sequence(part, folder, safe_name(session), pictures)


def _write_sequence(part: HandSamples, folder: Path, name: str, pictures: Pictures) -> None:
    lenses: dict[str, Camera] = {}
    for camera, lens in zip(part.camera.tolist(), part.lens.tolist(), strict=True):
        lenses.setdefault(camera, part.cameras[lens])
    numbers = {camera: n for n, camera in enumerate(sorted(lenses))}
    cameras = [_in_cm(safe_name(c), lenses[c]) for c in sorted(lenses)]
    write_panoptic_cameras(cameras, folder / name / f"calibration_{name}.json")
    frames: dict[int, list[int]] = {}
    for n, (frame, camera) in enumerate(
        zip(part.frame_id.tolist(), part.camera.tolist(), strict=True)
    ):
        frames.setdefault(frame, []).append(n)
        short = safe_name(camera)
        target = folder / name / "hdImgs" / short / f"{short}_{frame:08d}.jpg"
        straighten = None if _fits(lenses[camera]) else lenses[camera]
        pictures.place(str(part.image[n]), target, straighten)
    for frame, members in frames.items():
        people = _people(part, members, numbers)
        path = folder / name / "hdHand3d" / f"handRecon3D_hd{frame:08d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"version": 0.4, "people": people}), encoding="utf-8")


def _fits(camera: Camera) -> bool:
    lens = camera.intrinsics
    return lens.model == "brown" and not lens.dist[COEFFICIENTS:].any()


def _in_cm(name: str, camera: Camera) -> Camera:
    """Camera of the file: of pictures without distortion where the lens does not fit."""
    lens, pose = camera.intrinsics, camera.cam_from_world
    if not _fits(camera):
        lens = Intrinsics(K=lens.K, dist=np.zeros(COEFFICIENTS), size_wh=lens.size_wh)
    return Camera(name=name, intrinsics=lens, cam_from_world=Pose(R=pose.R, t=pose.t * CM))


def _people(part: HandSamples, members: list[int], numbers: dict[str, int]) -> list[dict[str, Any]]:
    """Hands of a frame: the same 3D in several pictures is one hand."""
    hands: dict[tuple[int, bytes], list[int]] = {}
    for n in members:
        key = (int(part.right[n] >= 0.5), part.xyz_world[n].tobytes())
        hands.setdefault(key, []).append(n)
    people: list[dict[str, Any]] = []
    for (side, _), rows in hands.items():
        person = next((p for p in people if SIDES[side] not in p), None)
        if person is None:
            person = {"id": len(people)}
            people.append(person)
        person[SIDES[side]] = _hand(part, rows, numbers)
    return people


def _hand(part: HandSamples, rows: list[int], numbers: dict[str, int]) -> dict[str, Any]:
    xyz, seen = part.xyz_world[rows[0]], part.visibility[rows]
    labelled = seen > 0
    count = np.maximum(labelled.sum(0), 1)
    residual = part.residual_px[rows]
    known = np.isfinite(residual)
    error = np.where(known, residual, 0).sum(0) / np.maximum(known.sum(0), 1)
    at = [numbers[str(part.camera[n])] for n in rows]
    return {
        "landmarks": np.nan_to_num(xyz * CM).ravel().tolist(),
        "averageScore": (part.weight[rows].sum(0) / count).tolist(),
        "averageReproError": error.tolist(),
        "validity": present(xyz).astype(int).tolist(),
        "visibility": [
            [number for number, s in zip(at, column, strict=True) if s == 2] for column in seen.T
        ],
    }


def read_panoptic(folder: Path) -> Loaded:
    """Read every sequence below a folder (or the folder itself), in the pictures that are there.

    Raises
    ------
    InputError
        If a count or flag is wrong, or no picture is there; with the file.
    """
    rows = Rows(folder)
    for path in sorted([*folder.glob("calibration_*.json"), *folder.glob("*/calibration_*.json")]):
        with parsing(path, "CMU Panoptic"):
            # visibility counts the HD cameras, of which alone there are labels
            listed = read_json(path)["cameras"]
            cameras = [_in_metres(read_camera(c)) for c in listed if c.get("type", "hd") == "hd"]
        first = len(rows.cameras)
        rows.cameras += cameras
        shots = {
            (p.parent.name, int(p.stem.rsplit("_", 1)[-1])): p
            for p in sorted((path.parent / "hdImgs").glob("*/*_*.*"))
        }
        for file in sorted((path.parent / "hdHand3d").glob("handRecon3D_hd*.json")):
            frame = int(file.stem.removeprefix("handRecon3D_hd"))
            with parsing(file, "CMU Panoptic"):
                for number, person in enumerate(read_json(file)["people"]):
                    for side in (s for s in SIDES if s in person):
                        where = f"{file}: people[{number}], {side}"
                        hand = _read_hand(person[side], where)
                        _add(rows, where, folder, hand, (frame, side, first), shots)
    return rows.loaded()


def _in_metres(camera: Camera) -> Camera:
    pose = camera.cam_from_world
    return replace(camera, cam_from_world=Pose(R=pose.R, t=pose.t / CM))


def _read_hand(data: dict[str, Any], where: str) -> tuple[F64, F64, list[set[int]]]:
    """3D (21, 3) in metres, score (21,) and the cameras that see each point."""
    cm = points_of(data["landmarks"], 21, 3, f"{where}: landmarks")
    validity = points_of(data.get("validity", [1] * 21), 21, 1, f"{where}: validity")[:, 0]
    flags_of(validity, (0, 1), f"{where}: validity")
    score = points_of(data.get("averageScore", [1.0] * 21), 21, 1, f"{where}: averageScore")[:, 0]
    seen = data.get("visibility", [[]] * 21)
    if len(seen) != 21:
        raise InputError(f"{where}: visibility of {len(seen)} points, expected 21", "correct it")
    return np.where(validity[:, None] > 0, cm / CM, np.nan), score, [set(s) for s in seen]


def _add(
    rows: Rows,
    where: str,
    folder: Path,
    hand: tuple[F64, F64, list[set[int]]],
    at: tuple[int, str, int],
    shots: dict[tuple[str, int], Path],
) -> None:
    (xyz, score, seen_by), (frame, side, first) = hand, at
    for number, camera in enumerate(rows.cameras[first:]):
        picture = shots.get((camera.name, frame))
        if picture is None:
            continue
        xy, there = label_3d(camera, xyz)
        if not there.any():
            continue
        carried = np.array([number in cameras for cameras in seen_by])
        rows.add(
            where,
            picture.relative_to(folder).as_posix(),
            camera.intrinsics.size_wh,
            xy,
            visibility=np.where(there > 0, np.where(carried, 2, 1), 0),
            weight=np.where(there > 0, np.clip(score, 0, 1), 0),
            right=float(side == SIDES[1]),
            session=picture.parents[2].name,
            camera=camera.name,
            frame_id=frame,
            xyz_world=xyz,
            lens=first + number,
        )
