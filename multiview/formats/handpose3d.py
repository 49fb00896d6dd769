"""Rigs of TemugeB's handpose3d: ``camera_parameters/c0.dat`` and ``rot_trans_c0.dat``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from multiview._shapes import F64
from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.errors import InputError

__all__ = ["read_handpose3d_rig"]


def read_handpose3d_rig(
    folder: str | Path, size_wh: tuple[int, int], names: tuple[str, ...] = ()
) -> Rig:
    """Read a rig; its unit is one square of the author's chessboard, whose size is not stated.

    Parameters
    ----------
    folder
        Holds ``c<N>.dat`` and ``rot_trans_c<N>.dat``, or ``camera_parameters/`` with them.
    size_wh
        Image size, pixels: the files do not say.
    names
        Camera names; ``cam0``, ``cam1``, ... by default.

    Raises
    ------
    InputError
        If a file is missing or does not hold the expected numbers.
    """
    folder = Path(folder)
    if (folder / "camera_parameters").is_dir():
        folder = folder / "camera_parameters"
    numbers = sorted(int(p.stem[1:]) for p in folder.glob("c[0-9]*.dat"))
    if not numbers:
        raise InputError(f"{folder}: no c0.dat", "give the folder with camera_parameters/")
    cameras = []
    for position, number in enumerate(numbers):
        lens = _blocks(folder / f"c{number}.dat")
        pose = _blocks(folder / f"rot_trans_c{number}.dat")
        try:
            cameras.append(
                Camera(
                    name=names[position] if names else f"cam{number}",
                    intrinsics=Intrinsics(K=lens[0], dist=lens[1].ravel(), size_wh=size_wh),
                    cam_from_world=Pose(R=pose[0], t=pose[1].ravel()),
                )
            )
        except (IndexError, InputError) as error:
            raise InputError(f"{folder}: camera {number}: {error}", "check the files") from None
    about = "handpose3d camera_parameters; unit is one board square, its size is not stated"
    return Rig(cameras=tuple(cameras), unit="board square", about=about)


def _blocks(path: Path) -> list[F64]:
    """Blocks of numbers, each after a line of text that ends in a colon."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "the camera needs this file") from None
    blocks: list[list[list[float]]] = []
    for line in lines:
        words = line.split()
        if line.startswith("#"):  # what follows is a derived pose of the same camera
            break
        if line.strip().endswith(":"):
            blocks.append([])
        elif words and blocks:
            try:
                blocks[-1].append([float(w) for w in words])
            except ValueError:
                raise InputError(
                    f"{path}: {line!r} is not a row of numbers", "see c0.dat"
                ) from None
    return [np.array(b) for b in blocks]
