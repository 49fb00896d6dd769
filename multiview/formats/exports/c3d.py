"""C3D through ezc3d (extra ``export``), for Visual3D, Mokka, OpenSim and others.

A point's residual is its ``sigma``, in the file's unit (C3D has a byte for it: steps are 1/255 of
the largest); -1 is missing, as c3d.org says, 0 unknown. The camera mask has the first seven
cameras.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from multiview._shapes import BoolArray
from multiview.errors import InputError
from multiview.formats.atomic import replacing
from multiview.formats.exports.extras import library
from multiview.formats.exports.motion import Motion

__all__ = ["write_c3d"]

MASKS, BYTE = 7, 255
# The header counts frames in 16 bits.
MOST_FRAMES = 65535


def write_c3d(motion: Motion, path: Path) -> Path:
    """Write all markers as floating-point C3D.

    Raises
    ------
    InputError
        If ezc3d is not installed, or the take has more frames than C3D counts.
    """
    ezc3d = library("ezc3d", "export", "C3D")
    frames, count = motion.xyz.shape[:2]
    if frames > MOST_FRAMES:
        raise InputError(
            f"C3D counts up to {MOST_FRAMES} frames, the take has {frames}",
            "split the take, or export trc",
        )
    c3d, valid = ezc3d.c3d(), motion.valid
    point = c3d["parameters"]["POINT"]
    residual = np.where(valid, np.nan_to_num(motion.sigma), -1.0)
    # negative: coordinates are floats; its size is the step of the residual's byte
    point["SCALE"]["value"] = [-max(float(residual.max(initial=0.0)), 1e-6) / BYTE]
    point["RATE"]["value"] = [motion.rate_hz]
    point["LABELS"]["value"] = list(motion.labels)
    point["DESCRIPTIONS"]["value"] = [label.replace("_", " ") for label in motion.labels]
    point["UNITS"]["value"] = [motion.unit]
    if motion.up:
        c3d.add_parameter("POINT", "X_SCREEN", ["+X"])
        c3d.add_parameter("POINT", "Y_SCREEN", [f"+{motion.up.upper()}"])
    places = np.where(valid[..., None], motion.xyz, np.nan)
    c3d["data"]["points"] = np.concatenate(
        [places.transpose(2, 1, 0), np.ones((1, count, frames))], axis=0
    )
    c3d["data"]["meta_points"] = {
        "residuals": residual.T[None],
        "camera_masks": _masks(motion),
    }
    with replacing(path) as temporary:
        c3d.write(str(temporary))
    return path


def _masks(motion: Motion) -> BoolArray:
    masks = np.zeros((MASKS, *motion.xyz.shape[1::-1]), np.bool_)
    carried = motion.carried[:MASKS]
    masks[: len(carried)] = (carried & motion.valid).transpose(0, 2, 1)
    return masks
