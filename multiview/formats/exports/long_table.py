"""Long tables, CSV or Parquet: one row a frame, hand and keypoint (or joint)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from multiview._shapes import F64
from multiview.core import Detections, Points3D
from multiview.formats.atomic import replacing
from multiview.formats.tables import write_table

__all__ = ["angle_columns", "detection_columns", "point_columns", "write_long"]

KIND = "multiview-export/1"
Columns = dict[str, Any]


def write_long(columns: Columns, path: Path, about: dict[str, Any]) -> Path:
    """Write columns; NaN is an empty cell in CSV, and NaN in Parquet.

    Parameters
    ----------
    columns
        By name, equal lengths.
    path
        ``.parquet``, or anything else for CSV.
    about
        Kept in the schema of Parquet; CSV has no place for it.
    """
    if path.suffix.lower() == ".parquet":
        return write_table(path, columns, {"kind": KIND, **about})
    arrays = {n: pa.array(c, from_pandas=True) for n, c in columns.items()}
    options = pacsv.WriteOptions(quoting_style="needed")
    with replacing(path) as temporary:
        pacsv.write_csv(pa.table(arrays), str(temporary), options)
    return path


def point_columns(points: Points3D, times: F64, scale: float, unit: str) -> Columns:
    """Columns of 3D points.

    Parameters
    ----------
    points
        The take.
    times
        Seconds of every frame, shape (F,); NaN where unknown.
    scale, unit
        New lengths by the take's, and their name, which the columns carry.
    """
    frames, hands, k = points.xyz_world.shape[:3]
    f, h, p = (i.ravel() for i in np.indices((frames, hands, k)))
    xyz = scale * points.xyz_world.reshape(-1, 3)
    variance = np.diagonal(points.cov, axis1=-2, axis2=-1).reshape(-1, 3)
    sd = scale * np.sqrt(np.maximum(variance, 0))
    missing = ~points.valid
    carried = np.where(points.inlier, points.err_px, np.nan)
    known = np.isfinite(carried).sum(0)
    mean = np.nansum(carried, axis=0) / np.where(known, known, np.nan)
    tag = unit.replace(" ", "_")
    return {
        **_where(points.frame_ids[f], times[f], _names(points.hands, hands)[h]),
        "keypoint": np.array(points.skeleton.keypoints, dtype=object)[p],
        **{f"{axis}_{tag}": xyz[:, i] for i, axis in enumerate("xyz")},
        **{f"{axis}_sd_{tag}": sd[:, i] for i, axis in enumerate("xyz")},
        "views": np.where(missing, 0, points.inlier.sum(0)).ravel().astype(np.int16),
        "reprojection_px": np.where(missing, np.nan, mean).ravel(),
        "voted": points.voted.ravel(),
        "filled": points.filled.ravel(),
    }


def angle_columns(
    points: Points3D,
    times: F64,
    names: tuple[tuple[str, ...], tuple[tuple[str, ...], ...]],
    flexion: tuple[F64, F64],
    abduction: tuple[F64, F64],
) -> Columns:
    """Columns of joint angles, degrees.

    Parameters
    ----------
    points, times
        As in `point_columns`.
    names
        Fingers, and the joints of each.
    flexion, abduction
        Value and standard deviation, shapes (F, H, fingers, joints) and (F, H, fingers); abduction
        is that of the first joint.
    """
    fingers, joints = names
    frames, hands, g, j = (i.ravel() for i in np.indices(flexion[0].shape))
    label = np.array(joints, dtype=object)

    def first(values: F64) -> F64:
        return np.where(j == 0, values[frames, hands, g], np.nan)

    return {
        **_where(
            points.frame_ids[frames],
            times[frames],
            _names(points.hands, flexion[0].shape[1])[hands],
        ),
        "finger": np.array(fingers, dtype=object)[g],
        "joint": label[g, j],
        "flexion_deg": flexion[0].ravel(),
        "flexion_sd_deg": flexion[1].ravel(),
        "abduction_deg": first(abduction[0]),
        "abduction_sd_deg": first(abduction[1]),
    }


def detection_columns(dets: Detections) -> Columns:
    """Columns of 2D keypoints that are there, as the CSV of docs/formats.md is read.

    ``hand`` is the slot's number; ``right`` says the side.
    """
    v, f, h, k = np.nonzero(dets.valid)
    order = np.lexsort((k, h, v, f))
    v, f, h, k = v[order], f[order], h[order], k[order]
    return {
        "camera": np.array(dets.camera_names, dtype=object)[v],
        **_where(dets.frame_ids[f], dets.times[v, f], h),
        "keypoint": np.array(dets.skeleton.keypoints, dtype=object)[k],
        "x": dets.xy_px[v, f, h, k, 0],
        "y": dets.xy_px[v, f, h, k, 1],
        "conf": dets.conf[v, f, h, k],
        "right": dets.right[v, f, h],
    }


def _names(hands: tuple[str, ...], count: int) -> Any:
    return np.array(hands or [str(i) for i in range(count)], dtype=object)


def _where(frame: Any, time: Any, hand: Any) -> Columns:
    return {"frame": frame, "time_s": time, "hand": hand}
