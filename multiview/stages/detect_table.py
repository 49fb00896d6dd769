"""Hands of photos or of one film as the table that takes use: one view, pictures as frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from multiview.core import Detections
from multiview.formats.detections_parquet import write_detections
from multiview.models.base import Detector
from multiview.stages.detect_files import hands_of

__all__ = ["as_detections", "write_table"]


def as_detections(records: list[dict[str, Any]], detector: Detector, name: str) -> Detections:
    """Put the records of ``hands.json`` into slots.

    Parameters
    ----------
    records
        Pictures; frame f of the table is the f-th of them.
    detector
        Whose hands they are.
    name
        Name of the one camera.

    Returns
    -------
    Detections
        One view. In a film the hands of a picture are in the order of their track numbers. The size
        is given if all pictures have the same.
    """
    found = [hands_of(r, detector.skeleton) for r in records]
    slots, count = max([1, *map(len, found)]), len(detector.skeleton.keypoints)
    xy = np.full((1, len(found), slots, count, 2), np.nan)
    conf, right = np.zeros(xy.shape[:-1]), np.full(xy.shape[:3], np.nan)
    for f, hands in enumerate(found):
        n = len(hands)
        xy[0, f, :n], conf[0, f, :n], right[0, f, :n] = hands.xy_px, hands.conf, hands.handedness
    sizes = {(int(r["size_wh"][0]), int(r["size_wh"][1])) for r in records}
    return Detections(
        xy_px=xy,
        conf=conf,
        camera_names=(name,),
        frame_ids=np.arange(len(found)),
        times=np.array([[r.get("time_s", np.nan) for r in records]], np.float64),
        skeleton=detector.skeleton,
        source=detector.name,
        right=right,
        size_wh=tuple(sizes) if len(sizes) == 1 else (),
    )


def write_table(path: Path, records: list[dict[str, Any]], detector: Detector, name: str) -> None:
    """Write `as_detections` as Parquet; the names of photos go into its notes."""
    files = [r["file"] for r in records if "file" in r]
    about: dict[str, object] = {"files": files} if files else {}
    write_detections(as_detections(records, detector, name), path, about)
