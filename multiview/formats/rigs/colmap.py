"""COLMAP's text model: a folder with ``cameras.txt``, ``images.txt`` and ``points3D.txt``.

COLMAP counts pixels from the corner: the centre of the top-left pixel is (0.5, 0.5), so principal
points there are larger by a half. ``images.txt`` has ``IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID
NAME`` with ``x_cam = R x_world + t``, then a line of 2D points (empty here). A reconstruction has
no scale unless its user gave one: the unit is a comment of ours.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
from scipy.spatial.transform import Rotation

from multiview._shapes import F64
from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.errors import InputError
from multiview.formats.atomic import new_folder, write_text
from multiview.formats.foreign import check_bytes, parsing
from multiview.formats.rigs.lens import brown_coefficients, file_name, new_target

__all__ = ["read_colmap_rig", "write_colmap_rig"]

HALF_PIXEL = 0.5
UNIT, UNSTATED = "# unit: ", "colmap unit"
# Where each parameter goes: f (both), fx fy cx cy, then coefficients in OpenCV's order.
ORDER = {
    "SIMPLE_PINHOLE": "f cx cy",
    "PINHOLE": "fx fy cx cy",
    "SIMPLE_RADIAL": "f cx cy k1",
    "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6",
    "OPENCV_FISHEYE": "fx fy cx cy k1 k2 k3 k4",
    "SIMPLE_RADIAL_FISHEYE": "f cx cy k1",
    "RADIAL_FISHEYE": "f cx cy k1 k2",
}
BROWN = ["k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"]
FISHEYE = ["k1", "k2", "k3", "k4"]
OPENCV_SIZE, FULL_SIZE = 4, 8


def write_colmap_rig(rig: Rig, folder: Path) -> Path:
    """Write a model of one image a camera, ``<camera>.png``, and no points.

    Raises
    ------
    InputError
        If a lens has coefficients that no model of COLMAP has (a thin prism).
    """
    names = [file_name(c) for c in rig.cameras]
    head = f"# one camera and image a view of the rig\n{UNIT}{rig.unit}\n"
    cameras = "".join(f"{n} {_model(c)}\n" for n, c in enumerate(rig.cameras, 1))
    images = "".join(
        f"{n} {_pose(c)} {n} {name}.png\n\n"
        for n, (name, c) in enumerate(zip(names, rig.cameras, strict=True), 1)
    )
    with new_folder(new_target(folder)) as work:
        write_text(work / "cameras.txt", head + cameras)
        write_text(work / "images.txt", head + images)
        write_text(work / "points3D.txt", head)
    return folder


def _model(camera: Camera) -> str:
    lens = camera.intrinsics
    focal = np.diag(lens.K)[:2]
    if lens.model == "fisheye":
        model, dist = "OPENCV_FISHEYE", lens.dist
    else:
        full = brown_coefficients(camera, FULL_SIZE, "COLMAP")
        large = bool(full[OPENCV_SIZE:].any())
        model = "FULL_OPENCV" if large else "OPENCV" if full.any() else "PINHOLE"
        dist = full[: {"PINHOLE": 0, "OPENCV": OPENCV_SIZE}.get(model, FULL_SIZE)]
    values = [*focal.tolist(), *(lens.K[:2, 2] + HALF_PIXEL).tolist(), *dist.tolist()]
    return " ".join([model, *map(str, lens.size_wh), *map(repr, values)])


def _pose(camera: Camera) -> str:
    x, y, z, w = Rotation.from_matrix(camera.cam_from_world.R).as_quat().tolist()
    return " ".join(map(repr, [w, x, y, z, *camera.cam_from_world.t.tolist()]))


def read_colmap_rig(folder: Path) -> Rig:
    """Read the images of a model as the cameras of a rig.

    A camera is named as its image's folder, or as the image where it lies in none.

    Raises
    ------
    InputError
        If a file is missing or damaged, a lens model is none of OpenCV's, or a camera took several
        images from different places: a rig does not move.
    """
    lines = {n: _lines(folder / n) for n in ("cameras.txt", "images.txt")}
    with parsing(folder / "cameras.txt", "COLMAP"):
        rows = [line.split() for line in lines["cameras.txt"] if line[:1] not in ("", "#")]
        lenses = {r[0]: _lens(folder / "cameras.txt", r) for r in rows}
    cameras: dict[str, Camera] = {}
    with parsing(folder / "images.txt", "COLMAP"):
        # two lines an image; the second one, of points, may be empty
        body = [line for line in lines["images.txt"] if not line.startswith("#")]
        for line in body[::2]:
            if line:
                _add(folder / "images.txt", line, lenses, cameras)
    if not cameras:
        raise InputError(f"{folder}: images.txt lists no image", "give a model with its poses")
    unit = next(
        (x.removeprefix(UNIT) for x in lines["cameras.txt"] if x.startswith(UNIT)), UNSTATED
    )
    about = f"converted from {folder.name} (COLMAP)"
    return Rig(cameras=tuple(cameras.values()), unit=unit.strip(), about=about)


def _lines(path: Path) -> list[str]:
    check_bytes(path)
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "export the model as text") from None


def _lens(path: Path, row: list[str]) -> Intrinsics:
    number, model, width, height, *text = row
    if model not in ORDER:
        raise InputError(
            f"{path}: camera {number} has the model {model}, which OpenCV has not",
            f"reconstruct with one of {', '.join(ORDER)}",
        )
    names = ORDER[model].split()
    if len(names) != len(text):
        raise ValueError(f"camera {number}: {len(text)} parameters of {model}")
    p = dict(zip(names, map(float, text), strict=True))
    fx, fy = p.get("f", p.get("fx", 0.0)), p.get("f", p.get("fy", 0.0))
    cx, cy = p["cx"] - HALF_PIXEL, p["cy"] - HALF_PIXEL
    fisheye = "FISHEYE" in model
    order = FISHEYE if fisheye else BROWN if "k3" in p else BROWN[:4] if "k1" in p else []
    return Intrinsics(
        K=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
        dist=np.array([p.get(n, 0.0) for n in order], np.float64),
        size_wh=(int(width), int(height)),
        model="fisheye" if fisheye else "brown",
    )


def _add(path: Path, line: str, lenses: dict[str, Intrinsics], cameras: dict[str, Camera]) -> None:
    words = line.split(maxsplit=9)
    numbers: F64 = np.array([float(w) for w in words[1:8]])
    w, x, y, z = numbers[:4]
    pose = Pose(R=Rotation.from_quat([x, y, z, w]).as_matrix(), t=numbers[4:])
    image = PurePosixPath(words[9])
    name = image.parts[0] if len(image.parts) > 1 else image.stem
    if name in cameras:
        raise InputError(
            f"{path}: camera {name} has several images, {image} among them",
            "a rig stands still: keep one image a camera",
        )
    cameras[name] = Camera(name=name, intrinsics=lenses[words[8]], cam_from_world=pose)
