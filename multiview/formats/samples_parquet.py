"""Training samples as one Parquet table: a row a hand, every field, lossless.

Lists of K keypoints are fixed-size lists (``xy_px`` x, y, x, y, ...); cameras, the views behind
the bits of ``inlier``, skeleton and unit are in the schema's metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from multiview.core import Camera, HandSamples, Intrinsics, Pose
from multiview.core.samples import BYTES, FLOATS, INTEGERS, TEXTS
from multiview.formats.tables import (
    read_table,
    reading,
    skeleton_from_dict,
    skeleton_to_dict,
    write_table,
)

__all__ = ["KIND", "camera_from_dict", "camera_to_dict", "read_samples", "write_samples"]

KIND = "multiview-samples/1"


def write_samples(samples: HandSamples, path: str | Path) -> Path:
    """Write the table; pictures stay where they are."""
    columns = {n: _column(getattr(samples, n)) for n in (*TEXTS, *INTEGERS, *FLOATS, *BYTES)}
    meta = {
        "kind": KIND,
        "keypoints": samples.xy_px.shape[1],
        "unit": samples.unit,
        "skeleton": skeleton_to_dict(samples.skeleton),
        "views": {d: list(v) for d, v in samples.views.items()},
        "cameras": [camera_to_dict(c) for c in samples.cameras],
    }
    return write_table(Path(path), columns, meta)


def read_samples(path: str | Path) -> HandSamples:
    """Read samples, exactly as they were written.

    Raises
    ------
    InputError
        If the file is missing or not a table of samples.
    """
    columns, meta = read_table(Path(path), KIND)
    with reading(Path(path)):
        k = int(meta["keypoints"])
        arrays: dict[str, Any] = {n: columns[n].astype(str) for n in TEXTS}
        for name, pattern in (FLOATS | INTEGERS | {n: p for n, (_, p) in BYTES.items()}).items():
            arrays[name] = _array(columns[name], pattern, k)
        return HandSamples(
            **arrays,
            cameras=tuple(camera_from_dict(c) for c in meta["cameras"]),
            views={d: tuple(v) for d, v in meta["views"].items()},
            skeleton=skeleton_from_dict(meta["skeleton"]),
            unit=str(meta["unit"]),
        )


def _column(array: NDArray[Any]) -> Any:
    if array.ndim == 1:
        return array.astype(object) if array.dtype.kind == "U" else array
    flat = array.reshape(len(array), int(np.prod(array.shape[1:])))
    if not flat.shape[1]:  # Parquet has no lists of no entry
        return pa.nulls(len(array))
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])


def _array(column: NDArray[Any], pattern: str, k: int) -> NDArray[Any]:
    tokens = pattern.split()[1:]
    if column.ndim == 1 and "B" in tokens:
        return np.zeros((len(column), k, 0), np.uint8)
    shape = [-1 if t == "B" else k if t == "K" else int(t) for t in tokens]
    if -1 in shape:
        shape[-1] = column.shape[1] // k
    return column.reshape(len(column), *shape)


def camera_to_dict(camera: Camera) -> dict[str, Any]:
    """Plain data of a camera, all digits."""
    lens, pose = camera.intrinsics, camera.cam_from_world
    return {
        "name": camera.name,
        "size_wh": list(lens.size_wh),
        "model": lens.model,
        "K": lens.K.tolist(),
        "dist": lens.dist.tolist(),
        "R": pose.R.tolist(),
        "t": pose.t.tolist(),
    }


def camera_from_dict(data: dict[str, Any]) -> Camera:
    """Build a camera from plain data."""
    width, height = data["size_wh"]
    return Camera(
        name=data["name"],
        intrinsics=Intrinsics(
            K=data["K"], dist=data["dist"], size_wh=(width, height), model=data["model"]
        ),
        cam_from_world=Pose(R=data["R"], t=data["t"]),
    )
