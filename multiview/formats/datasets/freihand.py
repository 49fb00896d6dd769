"""FreiHAND: ``training_K.json``, ``training_xyz.json``, ``training/rgb/00000000.jpg``, ...

3D keypoints in the frame of the camera, metres, wrist first and base to tip as here; ``K`` 3x3.
2D labels are ``K xyz``: lenses have no distortion, so pictures of lenses that have are written anew
without it. Hands are right ones and complete. ``test`` is called ``evaluation`` there.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from multiview.core import Camera, HandSamples, Intrinsics, Pose
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.datasets.pictures import Pictures, size_of
from multiview.formats.datasets.rows import (
    Loaded,
    Rows,
    only_hands,
    only_sides,
    points_of,
    safe_name,
    split_of,
    splits_of,
)
from multiview.formats.datasets.space import label_3d, needs_3d, xyz_cam
from multiview.formats.foreign import parsing, read_json

__all__ = ["read_freihand", "write_freihand"]

THEIRS = {"train": "training", "test": "evaluation"}
OURS = {there: here for here, there in THEIRS.items()}


def write_freihand(samples: HandSamples, folder: Path, pictures: Pictures) -> None:
    """Write two lists a split; a picture of two hands is there twice, as one file (a link)."""
    only_hands(samples, "freihand")
    only_sides(samples, "freihand", "right")
    needs_3d(samples, "freihand", complete=True)
    xyz = xyz_cam(samples)
    for split in splits_of(samples):
        name = THEIRS.get(split, safe_name(split))
        numbers = np.flatnonzero(samples.split == split_of(split)).tolist()
        cameras = [samples.cameras[samples.lens[n]] for n in numbers]
        matrices = [c.intrinsics.K.tolist() for c in cameras]
        write_text(folder / f"{name}_K.json", json.dumps(matrices))
        write_text(folder / f"{name}_xyz.json", json.dumps(xyz[numbers].tolist()))
        for row, (n, camera) in enumerate(zip(numbers, cameras, strict=True)):
            target = folder / name / "rgb" / f"{row:08d}.jpg"
            pictures.place(str(samples.image[n]), target, camera)


def read_freihand(folder: Path) -> Loaded:
    """Read every split of a folder; of pictures with several backgrounds, the first.

    Raises
    ------
    InputError
        If the two lists differ in length, an entry has a wrong count, or a picture is missing.
    """
    rows = Rows(folder)
    cameras: dict[bytes, int] = {}
    for path in sorted(folder.glob("*_xyz.json")):
        name = path.name.removesuffix("_xyz.json")
        lens_path = folder / f"{name}_K.json"
        points, matrices = read_json(path), read_json(lens_path)
        if len(points) != len(matrices):
            raise InputError(
                f"{path}: has {len(points)} hands, {lens_path.name} {len(matrices)}",
                "copy both files of one release",
            )
        with parsing(path, "FreiHAND"):
            for n, (xyz, K) in enumerate(zip(points, matrices, strict=True)):
                where = f"{path}: [{n}]"
                picture = folder / name / "rgb" / f"{n:08d}.jpg"
                size = size_of(picture)
                K_px = points_of(K, 1, 9, f"{lens_path}: [{n}]").reshape(3, 3)
                key = K_px.tobytes() + repr(size).encode()
                if key not in cameras:
                    cameras[key] = len(rows.cameras)
                    rows.cameras.append(_camera(K_px, size))
                xyz_m = points_of(xyz, 21, 3, where)
                xy, seen = label_3d(rows.cameras[cameras[key]], xyz_m)
                rows.add(
                    where,
                    picture.relative_to(folder).as_posix(),
                    size,
                    xy,
                    visibility=seen,
                    right=1.0,
                    xyz_world=xyz_m,
                    lens=cameras[key],
                    split=OURS.get(name, split_of(name)),
                )
    return rows.loaded()


def _camera(K: np.ndarray, size_wh: tuple[int, int]) -> Camera:
    """Place a camera at the origin: the points are in its frame."""
    lens = Intrinsics(K=K, dist=np.zeros(0), size_wh=size_wh)
    return Camera(name="camera", intrinsics=lens, cam_from_world=Pose.identity())
