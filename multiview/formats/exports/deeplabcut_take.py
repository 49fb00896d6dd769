"""DeepLabCut's predictions: ``<camera>DLC_multiview.csv`` a camera, as `analyze_videos` writes it.

Rows are the frame numbers of the take; one hand is a file of one animal, more are individuals.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from multiview.core import Detections
from multiview.formats.atomic import new_folder
from multiview.formats.rigs.lens import new_target, one_file_name

__all__ = ["write_deeplabcut_take"]

SCORER, DIGITS_PX = "DLC_multiview", 4


def write_deeplabcut_take(dets: Detections, folder: Path) -> Path:
    """Write a table a camera; confidence is the likelihood, missing cells are empty."""
    names = [one_file_name(name) for name in dets.camera_names]
    hands = dets.hands or tuple(f"hand{h + 1}" for h in range(dets.conf.shape[2]))
    columns = [(h, p, c) for h in hands for p in dets.skeleton.keypoints for c in _COORDINATES]
    levels = {"individuals": 0} if len(hands) > 1 else {}
    levels |= {"bodyparts": 1, "coords": 2}
    with new_folder(new_target(folder)) as work:
        for v, camera in enumerate(names):
            xyc = np.concatenate([dets.xy_px[v], dets.conf[v][..., None]], axis=-1)
            xyc[~dets.valid[v]] = np.nan
            path = work / f"{camera}{SCORER}.csv"
            with path.open("w", encoding="utf-8", newline="") as stream:
                out = csv.writer(stream, lineterminator="\n")
                out.writerow(["scorer", *[SCORER] * len(columns)])
                for level, at in levels.items():
                    out.writerow([level, *(c[at] for c in columns)])
                for frame, row in zip(dets.frame_ids.tolist(), xyc, strict=True):
                    cells = ["" if x != x else f"{x:.{DIGITS_PX}f}" for x in row.ravel().tolist()]
                    out.writerow([frame, *cells])
    return folder


_COORDINATES = ("x", "y", "likelihood")
