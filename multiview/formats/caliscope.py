"""Detections of caliscope and pyxy3d: ``xy_HOLISTIC.csv`` (rigs: `formats.rigs.toml_rig`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
from pyarrow import ArrowException

from multiview.core import HAND_21, HAND_SLOTS, Detections
from multiview.errors import InputError

__all__ = ["read_holistic_csv"]

# First point_id of each hand in MediaPipe Holistic's output there, in the order of HAND_SLOTS.
FIRST_POINT = {"left": 200, "right": 100}


def read_holistic_csv(path: str | Path, *, trust_sides: bool = False) -> Detections:
    """Read both hands of MediaPipe Holistic from a long csv.

    Columns ``sync_index, port, frame_time, point_id, img_loc_x, img_loc_y``.

    Parameters
    ----------
    path
        The csv.
    trust_sides
        Take left and right as published (``hands`` is set); otherwise they are opinions, and
        association may overrule them.

    Raises
    ------
    InputError
        If the file or a column is missing.
    """
    path = Path(path)
    columns = ["sync_index", "port", "frame_time", "point_id", "img_loc_x", "img_loc_y"]
    try:
        table = pacsv.read_csv(path).select(columns)
    except (OSError, KeyError, ArrowException) as error:
        raise InputError(f"{path}: {error}", f"give a csv with {', '.join(columns)}") from None
    c = {n: np.asarray(table[n].to_numpy()) for n in columns}
    ids, f = np.unique(c["sync_index"], return_inverse=True)
    ports, v = np.unique(c["port"], return_inverse=True)
    xy = np.full((len(ports), len(ids), 2, len(HAND_21.keypoints), 2), np.nan)
    times = np.full(xy.shape[:2], np.nan)
    times[v, f] = c["frame_time"]
    for h, hand in enumerate(HAND_SLOTS):
        k = c["point_id"] - FIRST_POINT[hand]
        row = (k >= 0) & (k < xy.shape[3])
        at = (v[row], f[row], h, k[row].astype(int))
        xy[at] = np.stack([c["img_loc_x"][row], c["img_loc_y"][row]], -1)
    seen = np.isfinite(xy).all(-1)
    right = np.where(seen.any(-1), np.array([0.0, 1.0]), np.nan)
    return Detections(
        xy_px=xy,
        conf=seen.astype(np.float64),
        camera_names=tuple(f"port_{p}" for p in ports),
        frame_ids=ids.astype(np.int64),
        times=times,
        skeleton=HAND_21,
        source=f"MediaPipe Holistic as published in {path.name}",
        right=right,
        hands=HAND_SLOTS if trust_sides else (),
    )
