"""Hands with known keypoints: the rendered captures, as a trainer takes them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from multiview.core import HAND_21
from multiview.train.hands import TrainingHands

SHARED = Path(os.environ.get("MULTIVIEW_SHARED", Path(__file__).parents[2] / ".." / "shared"))
RENDERED = SHARED / "data" / "rendered"


def rendered(name: str, *, every: int = 1, start: bool = True) -> TrainingHands:
    """Every camera's view of every so-manyth frame, labelled by the truth; a session a subject."""
    folder = RENDERED / name
    cameras = json.loads((folder / "calibration.json").read_text())["cameras"]
    with np.load(folder / "truth.npz") as truth:
        xy, side = truth["kp2d"], truth["side"]
        subject = truth["subject"] if "subject" in truth else np.zeros(len(side), int)
    rows = [(f, v) for f in range(0, len(xy), every) for v in range(len(cameras))]
    size = np.array([[c["width"], c["height"]] for c in cameras], float)
    points = np.stack([xy[f, v] for f, v in rows])
    limit = np.stack([size[v] for _, v in rows])[:, None]
    inside = ((points > -0.5) & (points < limit - 0.5)).all(-1)
    return TrainingHands(
        picture=tuple(
            str(folder / "images" / cameras[v]["name"] / f"{f:06d}.jpg") for f, v in rows
        ),
        xy_px=np.where(inside[..., None], points, np.nan),
        weight=inside.astype(float),
        sigma_px=np.where(inside, 0.0, np.nan),
        right=np.array([float(side[f] == 0) for f, _ in rows]),
        session=tuple(f"{name}/{subject[f]}" for f, _ in rows),
        start=np.full(len(rows), start),
        keypoints=HAND_21.keypoints,
    )
