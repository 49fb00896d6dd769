"""A file a camera as OpenCV's calibration samples write it (``cv2.FileStorage`` YAML).

``image_width``, ``image_height``, ``camera_matrix``, ``distortion_coefficients`` and
``fisheye_model`` (1: ``cv2.fisheye``) as in OpenCV's calibration sample, and the pose as its stereo
sample names it, ``R`` and ``T``: ``x_cam = R x_world + T``. ``camera_name`` and ``unit`` are ours:
no sample states them. Other spellings that are read: ``K``, ``D``, ``rvec`` (or an ``R`` of 3
numbers), ``t``, ``tvec``. OpenCV counts pixels as everywhere here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from multiview._shapes import F64
from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.errors import InputError
from multiview.formats.atomic import new_folder, write_text
from multiview.formats.foreign import check_bytes, parsing
from multiview.formats.rigs.lens import file_name, new_target

__all__ = ["HEAD", "read_opencv_rig", "write_opencv_rig"]

# "%YAML:1.0" of OpenCV 4, "%YAML 1.2" of 5; neither our rigs nor Kalibr's begin so.
HEAD = b"%YAML"
UNSTATED = "opencv unit"
# Names of one thing, the first is written.
NAMES = {
    "K": ("camera_matrix", "K", "cameraMatrix", "M"),
    "dist": ("distortion_coefficients", "D", "dist", "distCoeffs"),
    "R": ("R", "rotation", "rvec"),
    "t": ("T", "t", "tvec", "translation"),
}


def write_opencv_rig(rig: Rig, folder: Path) -> Path:
    """Write a folder of ``<camera>.yml``."""
    import cv2

    names = [file_name(c) for c in rig.cameras]
    with new_folder(new_target(folder)) as work:
        for name, camera in zip(names, rig.cameras, strict=True):
            lens, pose = camera.intrinsics, camera.cam_from_world
            fs = cv2.FileStorage(f"{name}.yml", cv2.FILE_STORAGE_WRITE | cv2.FILE_STORAGE_MEMORY)
            fs.write("camera_name", name)
            fs.write("unit", rig.unit)
            fs.write("image_width", lens.size_wh[0])
            fs.write("image_height", lens.size_wh[1])
            fs.write("fisheye_model", int(lens.model == "fisheye"))
            fs.write("camera_matrix", np.array(lens.K))
            # an empty matrix reads back as none
            dist = lens.dist if lens.dist.size else np.zeros(5)
            fs.write("distortion_coefficients", np.array(dist)[:, None])
            fs.write("R", np.array(pose.R))
            fs.write("T", np.array(pose.t)[:, None])
            write_text(work / f"{name}.yml", fs.releaseAndGetString())
    return folder


def read_opencv_rig(path: Path, size_wh: tuple[int, int] | None = None) -> Rig:
    """Read a folder of files, or one.

    Raises
    ------
    InputError
        If a file is not OpenCV's, lacks a matrix or the pose, or the files state unlike units.
    """
    files = [path]
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in {".yml", ".yaml"})
    cameras, units = [], set()
    for file in files:
        check_bytes(file)
        with parsing(file, "OpenCV"):
            camera, unit = _camera(file, size_wh)
        cameras.append(camera)
        units.add(unit)
    if len(units) > 1:
        raise InputError(f"{path}: its files are in {', '.join(sorted(units))}", "give one unit")
    return Rig(
        cameras=tuple(cameras), unit=units.pop(), about=f"converted from {path.name} (OpenCV)"
    )


def _camera(path: Path, size_wh: tuple[int, int] | None) -> tuple[Camera, str]:
    import cv2

    try:
        fs = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    except cv2.error as error:
        raise InputError(f"{path}: not OpenCV's YAML ({error.err})", "write it again") from None
    found = {n: _matrix(fs, n, path) for n in NAMES}
    R, t, K, dist = found["R"], found["t"], found["K"], found["dist"]
    if R.size == 3:
        R = np.asarray(cv2.Rodrigues(R.ravel())[0], np.float64)
    wide, high = (int(fs.getNode(f"image_{n}").real()) for n in ("width", "height"))
    if not (wide and high):
        if size_wh is None:
            raise InputError(
                f"{path}: states no image_width and image_height", "add --size-wh WIDTH HEIGHT"
            )
        wide, high = size_wh
    fisheye = bool(fs.getNode("fisheye_model").real())
    lens = Intrinsics(
        K=K, dist=dist.ravel(), size_wh=(wide, high), model="fisheye" if fisheye else "brown"
    )
    name = fs.getNode("camera_name").string() or path.stem
    unit = fs.getNode("unit").string() or UNSTATED
    return Camera(name=name, intrinsics=lens, cam_from_world=Pose(R=R, t=t.ravel())), unit


def _matrix(fs: Any, name: str, path: Path) -> F64:
    for spelling in NAMES[name]:
        node = fs.getNode(spelling)
        if node.isMap() and (value := node.mat()) is not None:
            return np.asarray(value, np.float64)
        if node.isSeq():
            return np.array([node.at(i).real() for i in range(node.size())], np.float64)
    raise InputError(
        f"{path}: has no {NAMES[name][0]}" + (": the camera has no pose" if name in "Rt" else ""),
        f"a camera needs {', '.join(spellings[0] for spellings in NAMES.values())}",
    )
