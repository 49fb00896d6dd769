"""3D labels in a camera's frame, and their pictures without lens distortion."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, IntArray, present
from multiview.core import Camera, HandSamples
from multiview.errors import InputError

__all__ = ["label_3d", "needs_3d", "xyz_cam"]


def needs_3d(samples: HandSamples, format: str, *, complete: bool = False) -> None:
    """Refuse samples without 3D, without a camera, or of unknown scale.

    Raises
    ------
    InputError
        If there are some.
    """
    if samples.unit != "m":
        raise InputError(
            f"{format} states lengths, and these samples are in {samples.unit!r}",
            "give the rig its scale (multiview calib frame --scale) and triangulate again",
        )
    there = present(samples.xyz_world)
    bare = int((~there.any(1) | (samples.lens < 0)).sum())
    if bare:
        raise InputError(
            f"{format} needs 3D keypoints and cameras, which {bare} of {len(samples)} hands lack",
            "write coco, yolo or parquet",
        )
    partial = int((~there.all(1)).sum())
    if complete and partial:
        raise InputError(
            f"{format} has no place for missing keypoints, and {partial} of {len(samples)} hands "
            "lack some",
            "keep the others: --complete",
        )


def xyz_cam(samples: HandSamples) -> F64:
    """Keypoints in the frame of each sample's camera, shape (N, K, 3)."""
    poses = [c.cam_from_world for c in samples.cameras]
    R, t = np.stack([p.R for p in poses]), np.stack([p.t for p in poses])
    moved = np.einsum("nij,nkj->nki", R[samples.lens], samples.xyz_world)
    return np.asarray(moved + t[samples.lens][:, None], np.float64)


def label_3d(camera: Camera, xyz_world: F64) -> tuple[F64, IntArray]:
    """Project 3D labels into a picture.

    Parameters
    ----------
    camera
        Of the picture.
    xyz_world
        Shape (K, 3); NaN where missing.

    Returns
    -------
    xy_px, visibility
        Shapes (K, 2) and (K,): NaN and 0 where missing or outside the picture, else 2.
    """
    xy = camera.project(xyz_world)
    size = np.array(camera.intrinsics.size_wh)
    inside = np.asarray(((xy > -0.5) & (xy < size - 0.5)).all(-1), np.bool_)
    return np.where(inside[:, None], xy, np.nan), np.where(inside, 2, 0)
