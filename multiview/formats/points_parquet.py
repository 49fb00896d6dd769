"""3D keypoints as a long Parquet table: one row a frame, hand and keypoint.

Columns: ``frame``, ``hand``, ``keypoint``, ``x y z`` (rig unit), ``cov_xx cov_xy cov_xz cov_yy
cov_yz cov_zz``, ``voted``, ``trust`` and ``filled`` (absent in older files), and per camera
``inlier:<camera>``, ``err_px:<camera>``. The schema's ``smoothing`` says how points were smoothed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.core import Points3D
from multiview.formats.tables import (
    read_table,
    reading,
    skeleton_from_dict,
    skeleton_to_dict,
    write_table,
)

__all__ = ["points_of_columns", "read_points", "write_points"]

KIND = "multiview-points3d/1"
COV = ("xx", "xy", "xz", "yy", "yz", "zz")
ROW, COL = np.triu_indices(3)


def write_points(points: Points3D, path: str | Path, about: dict[str, Any] | None = None) -> Path:
    """Write 3D keypoints; ``about`` is added to the provenance in the schema."""
    frames, hands, k = points.xyz_world.shape[:3]
    f, h, p = (i.ravel() for i in np.indices((frames, hands, k)))
    xyz, cov = points.xyz_world.reshape(-1, 3), points.cov.reshape(-1, 3, 3)
    names = np.array(points.hands or [str(i) for i in range(hands)], dtype=object)
    columns: dict[str, Any] = {
        "frame": points.frame_ids[f],
        "hand": names[h],
        "keypoint": p.astype(np.int16),
        **{axis: xyz[:, i] for i, axis in enumerate("xyz")},
        **{f"cov_{n}": cov[:, i, j] for n, i, j in zip(COV, ROW, COL, strict=True)},
        "voted": points.voted.ravel(),
        "filled": points.filled.ravel(),
        "trust": points.trust.ravel(),
    }
    for v, camera in enumerate(points.camera_names):
        columns[f"inlier:{camera}"] = points.inlier[v].ravel()
        columns[f"err_px:{camera}"] = points.err_px[v].ravel()
    meta = {
        "kind": KIND,
        "cameras": list(points.camera_names),
        "hands": list(points.hands),
        "slots": hands,
        "frames": points.frame_ids.tolist(),
        "rig_digest": points.rig_digest,
        "unit": points.unit,
        "smoothing": points.smoothing,
        "skeleton": skeleton_to_dict(points.skeleton),
        "about": about or {},
    }
    return write_table(Path(path), columns, meta)


def read_points(path: str | Path) -> Points3D:
    """Read 3D keypoints, exactly as they were written.

    Raises
    ------
    InputError
        If the file is missing or not a table of 3D keypoints.
    """
    c, meta = read_table(Path(path), KIND)
    with reading(Path(path)):
        return points_of_columns(c, meta)


def points_of_columns(c: dict[str, NDArray[Any]], meta: dict[str, Any]) -> Points3D:
    """Make points of a table's columns; lookups that fail are for `reading`."""
    skeleton = skeleton_from_dict(meta["skeleton"])
    shape = (len(meta["frames"]), int(meta["slots"]), len(skeleton.keypoints))
    cov = np.empty((c["x"].size, 3, 3))
    for name, i, j in zip(COV, ROW, COL, strict=True):
        cov[:, i, j] = cov[:, j, i] = c[f"cov_{name}"]
    per_view = (len(meta["cameras"]), *shape)
    inlier = np.array([c[f"inlier:{n}"] for n in meta["cameras"]], np.bool_)
    err = np.array([c[f"err_px:{n}"] for n in meta["cameras"]], np.float64)
    return Points3D(
        xyz_world=np.stack([c[a] for a in "xyz"], -1).reshape(*shape, 3),
        cov=cov.reshape(*shape, 3, 3),
        inlier=inlier.reshape(per_view),
        err_px=err.reshape(per_view),
        voted=c["voted"].astype(np.bool_).reshape(shape),
        trust=c["trust"].reshape(shape) if "trust" in c else np.empty(0),
        frame_ids=np.array(meta["frames"], np.int64),
        camera_names=tuple(meta["cameras"]),
        hands=tuple(meta["hands"]),
        skeleton=skeleton,
        rig_digest=meta["rig_digest"],
        unit=meta["unit"],
        filled=c.get("filled", np.zeros(c["voted"].shape)).astype(np.bool_).reshape(shape),
        smoothing=meta.get("smoothing", ""),
    )
