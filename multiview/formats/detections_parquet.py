"""Detections as a long Parquet table: one row a keypoint, ready for DuckDB or pandas.

Columns: ``frame``, ``camera``, ``time_s``, ``hand`` (slot; -1: the picture was searched and holds
none, -2: the camera has no picture in this set), ``right`` (probability), ``keypoint``, ``x_px``,
``y_px``, ``conf``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.core import Detections
from multiview.formats.tables import (
    read_table,
    reading,
    skeleton_from_dict,
    skeleton_to_dict,
    write_table,
)

__all__ = ["detections_of_columns", "read_detections", "write_detections"]

KIND = "multiview-detections/1"
NO_HAND, NO_PICTURE = -1, -2


def write_detections(
    dets: Detections, path: str | Path, about: dict[str, Any] | None = None
) -> Path:
    """Write detections; ``about`` is added to the provenance in the schema."""
    hands, k = dets.conf.shape[2:]
    v, f, h = np.nonzero(dets.valid.any(-1))
    empty_v, empty_f = np.nonzero(~dets.valid.any((-1, -2)))
    none = np.where(np.isnan(dets.times[empty_v, empty_f]), NO_PICTURE, NO_HAND)
    row_v = np.concatenate([np.repeat(v, k), empty_v])
    row_f = np.concatenate([np.repeat(f, k), empty_f])
    blank = np.full(len(empty_v), np.nan)
    xy = dets.xy_px[v, f, h].reshape(-1, 2)
    columns = {
        "frame": dets.frame_ids[row_f],
        "camera": np.array(dets.camera_names, dtype=object)[row_v],
        "time_s": dets.times[row_v, row_f],
        "hand": np.concatenate([np.repeat(h, k), none]).astype(np.int8),
        "right": np.concatenate([np.repeat(dets.right[v, f, h], k), blank]),
        "keypoint": np.concatenate([np.tile(np.arange(k), len(v)), 0 * none]).astype(np.int16),
        "x_px": np.concatenate([xy[:, 0], blank]),
        "y_px": np.concatenate([xy[:, 1], blank]),
        "conf": np.concatenate([dets.conf[v, f, h].ravel(), np.zeros(len(blank))]),
    }
    order = np.lexsort((columns["keypoint"], columns["hand"], row_v, row_f))
    meta = {
        "kind": KIND,
        "cameras": list(dets.camera_names),
        "hands": list(dets.hands),
        "slots": hands,
        "size_wh": [list(size) for size in dets.size_wh],
        "source": dets.source,
        "skeleton": skeleton_to_dict(dets.skeleton),
        "about": about or {},
    }
    return write_table(Path(path), {n: c[order] for n, c in columns.items()}, meta)


def read_detections(path: str | Path) -> Detections:
    """Read detections, exactly as they were written.

    Raises
    ------
    InputError
        If the file is missing or not a detections table.
    """
    c, meta = read_table(Path(path), KIND)
    with reading(Path(path)):
        return detections_of_columns(c, meta)


def detections_of_columns(c: dict[str, NDArray[Any]], meta: dict[str, Any]) -> Detections:
    """Make detections of a table's columns; lookups that fail are for `reading`."""
    skeleton, cameras = skeleton_from_dict(meta["skeleton"]), meta["cameras"]
    ids, f = np.unique(c["frame"], return_inverse=True)
    number = {name: n for n, name in enumerate(cameras)}
    v = np.array([number[name] for name in c["camera"]], np.int64)
    shape = (len(cameras), len(ids), int(meta["slots"]), len(skeleton.keypoints))
    xy, conf = np.full((*shape, 2), np.nan), np.zeros(shape)
    right, times = np.full(shape[:3], np.nan), np.full(shape[:2], np.nan)
    times[v, f] = c["time_s"]
    row = c["hand"] >= 0
    at = (v[row], f[row], c["hand"][row])
    right[at] = c["right"][row]
    xy[(*at, c["keypoint"][row])] = np.stack([c["x_px"][row], c["y_px"][row]], -1)
    conf[(*at, c["keypoint"][row])] = c["conf"][row]
    return Detections(
        xy_px=xy,
        conf=conf,
        camera_names=tuple(cameras),
        frame_ids=ids.astype(np.int64),
        times=times,
        skeleton=skeleton,
        source=meta["source"],
        right=right,
        hands=tuple(meta["hands"]),
        size_wh=tuple((int(w), int(h)) for w, h in meta["size_wh"]),
    )
