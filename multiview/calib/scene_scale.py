"""Metres for a rig without any: a bone, a wand, two cameras' distance, or an older rig."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64
from multiview.calib.scene_problem import SceneState
from multiview.calib.so3 import nearest_rotation
from multiview.core import Rig, Skeleton
from multiview.errors import CalibrationError, InputError

__all__ = ["KnownBaseline", "KnownLength", "Scale", "align_poses", "measure_length", "parse_scale"]

SYNTAX = "bone:wrist-middle1=0.09, wand:A-B=0.5 or baseline:cam00-cam01=1.2 (metres)"
# Lengths that a median needs.
MIN_LENGTHS = 5
# Standard error of a median relative to that of a mean, of Gaussian errors.
MEDIAN_ERROR, MAD_SIGMA = 1.2533, 1.4826


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLength:
    """Distance of two keypoints (bone, or ends of a wand), metres."""

    first: str
    second: str
    metres: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBaseline:
    """Distance of two cameras' optical centres, metres."""

    first: str
    second: str
    metres: float


Scale = KnownLength | KnownBaseline | Rig


def parse_scale(
    text: str, keypoints: Sequence[str], cameras: Sequence[str]
) -> KnownLength | KnownBaseline:
    """Read ``bone:A-B=metres``, ``wand:A-B=metres`` or ``baseline:CAM-CAM=metres``.

    Raises
    ------
    InputError
        If the text is none of these, a name is unknown, or the length is not positive.
    """
    kind, _, rest = text.partition(":")
    ends, _, number = rest.rpartition("=")
    if kind not in {"bone", "wand", "baseline"} or not ends:
        raise InputError(f"scale {text!r} is not understood", f"give {SYNTAX}, or rig:RIG.yaml")
    names = list(cameras if kind == "baseline" else keypoints)
    pairs = [(a, b) for a in names for b in names if f"{a}-{b}" == ends and a != b]
    if not pairs:
        what = "cameras" if kind == "baseline" else "keypoints"
        raise InputError(
            f"scale {text!r}: {ends!r} are no two {what}", f"known: {', '.join(names)}"
        )
    try:
        metres = float(number)
    except ValueError:
        metres = float("nan")
    if not 0 < metres < np.inf:
        raise InputError(f"scale {text!r}: {number!r} is no positive length", f"give {SYNTAX}")
    found = KnownBaseline if kind == "baseline" else KnownLength
    return found(first=pairs[0][0], second=pairs[0][1], metres=metres)


def measure_length(xyz: F64, skeleton: Skeleton, scale: KnownLength) -> tuple[float, float]:
    """Median length in points (F, H, K, 3), and its relative standard error.

    Raises
    ------
    CalibrationError
        If the two keypoints are hardly ever there together.
    """
    a, b = (skeleton.keypoints.index(n) for n in (scale.first, scale.second))
    length = np.linalg.norm(xyz[..., a, :] - xyz[..., b, :], axis=-1)
    length = length[np.isfinite(length)]
    if length.size < MIN_LENGTHS:
        raise CalibrationError(
            f"the length {scale.first}-{scale.second} is seen by two cameras in {length.size} "
            "frames only: no scale",
            "name keypoints that the take shows, or give another scale",
        )
    middle = float(np.median(length))
    spread = MAD_SIGMA * float(np.median(np.abs(length - middle)))
    return middle, MEDIAN_ERROR * spread / middle / float(np.sqrt(length.size))


def align_poses(state: SceneState, rig: Rig) -> tuple[float, F64, F64]:
    """Similarity ``X_rig = s R X + t`` that brings cameras onto those of a rig, robustly.

    Rotations decide R (so two cameras suffice), positions s and t; cameras far from their place
    weigh little.

    Raises
    ------
    CalibrationError
        If either has all cameras in one place.
    """
    old_R, _ = rig.cam_from_world
    centres, places = -np.einsum("vji,vj->vi", state.R, state.t), rig.centres_world
    weight = np.ones(len(places))
    turns = np.swapaxes(old_R, -1, -2) @ state.R
    for _ in range(30):
        w = weight / weight.sum()
        R = nearest_rotation(np.einsum("v,vij->ij", w, turns))
        a, b = centres - w @ centres, places - w @ places
        square = float(w @ (a**2).sum(-1))
        s = float(w @ (b * (a @ R.T)).sum(-1)) / square if square > 0 else 0.0
        if not s > 0:
            raise CalibrationError(
                "the cameras of the given rig and of this scene cannot be brought together",
                "check that their names belong to the same cameras",
            )
        t = w @ places - s * R @ (w @ centres)
        far = np.linalg.norm(s * centres @ R.T + t - places, axis=-1)
        far = far / np.sqrt((b**2).sum(-1).mean())
        off = np.linalg.norm(turns - R, axis=(-2, -1))
        size = far + off
        weight = 1 / np.maximum(size, 0.1 * float(np.median(size)) + 1e-9)
    return s, R, np.asarray(t)
