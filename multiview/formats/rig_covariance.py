"""The covariance of a rig: an npz file beside the rig's YAML, which it would make unreadable.

It holds the digest of the rig it belongs to: a rig that was edited or calibrated anew has none.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from multiview.core import Rig, RigCovariance
from multiview.errors import InputError, ShapeError
from multiview.formats.atomic import replacing

__all__ = ["covariance_path", "read_rig_covariance", "write_rig_covariance"]


def covariance_path(rig_path: Path) -> Path:
    """Where the covariance of a rig file lies: ``rig.yaml`` has ``rig.covariance.npz``."""
    return rig_path.with_name(f"{rig_path.stem}.covariance.npz")


def write_rig_covariance(rig: Rig, path: Path) -> Path | None:
    """Write the covariance of a rig, if it has one."""
    if rig.covariance is None:
        return None
    c = rig.covariance
    with replacing(path) as temporary:
        np.savez_compressed(
            temporary, digest=np.array(rig.digest), matrix=c.matrix, pose=c.pose, lens=c.lens
        )
    return path


def read_rig_covariance(rig: Rig, path: Path) -> RigCovariance | None:
    """Read the covariance of a rig; None where there is no file, or it is of another rig.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as data:
            if str(data["digest"]) != rig.digest:
                return None
            return RigCovariance(matrix=data["matrix"], pose=data["pose"], lens=data["lens"])
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, ShapeError) as error:
        raise InputError(
            f"{path}: no covariance can be read ({error})",
            "delete the file (the rig itself does not need it), or calibrate again",
        ) from None
