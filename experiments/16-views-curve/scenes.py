"""Rendered captures with exact truth, and what the shipped detector found in them."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import multiview as mv
from multiview.core import Camera, Detections, Intrinsics, Points3D, Pose, Rig
from multiview.formats.detections_parquet import read_detections, write_detections
from multiview.geometry.scale import hand_length

SHARED = Path(os.environ.get("MULTIVIEW_SHARED", Path(__file__).parents[2] / ".." / "shared"))
RUNS = Path(__file__).parent / "runs"
HAND = 0.10  # a point is false beyond this share of the hand's length
# Pictures that show the same pose, or nearly: errors of the detector are alike in them.
POSES = {"dome8": 9, "demo8": 9, "dome31": 1, "multi10": 3}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A capture, its true cameras and hands, and the detections of the first pass."""

    name: str
    rig: Rig
    capture: mv.capture.Capture
    dets: Detections
    xyz: np.ndarray  # (F, K, 3)
    left: np.ndarray  # (F,)

    @property
    def length_m(self) -> np.ndarray:
        """Wrist to middle tip along the bones, (F,)."""
        a, b = np.array(mv.HAND_21.edges).T
        bones = np.linalg.norm(self.xyz[:, a] - self.xyz[:, b], axis=-1)
        return np.array([hand_length(row, mv.HAND_21) for row in bones])

    @property
    def pose(self) -> np.ndarray:
        """Number of the pose of every frame, (F,)."""
        return np.arange(len(self.xyz)) // POSES[self.name]


def read_scene(name: str) -> Scene:
    """Read a capture; detect in it once, and keep that in ``runs/``."""
    if name == "test8":
        raise SystemExit("test8 is held out: nothing is measured or fitted on it")
    folder = SHARED / "data/rendered" / name
    if not (folder / "truth.npz").exists():
        sys.exit(f"skipped: {folder} is not there (set MULTIVIEW_SHARED)")
    cameras = json.loads((folder / "calibration.json").read_text())["cameras"]
    capture = mv.open_capture(folder / "images", sync="index")
    table = RUNS / f"{name}.parquet"
    if not table.exists():
        RUNS.mkdir(exist_ok=True)
        write_detections(mv.detect(capture, mv.load_detector("hand")), table)
    with np.load(folder / "truth.npz") as truth:
        return Scene(
            name=name,
            rig=Rig(cameras=tuple(map(_camera, cameras))).select(capture.names),
            capture=capture,
            dets=read_detections(table),
            xyz=truth["kp3d"],
            left=truth["side"] == 1,
        )


def _camera(c: dict) -> Camera:
    lens = Intrinsics(
        K=np.array(c["K"]), dist=np.array(c["dist"]), size_wh=(c["width"], c["height"])
    )
    return Camera(
        name=c["name"],
        intrinsics=lens,
        cam_from_world=Pose(R=np.array(c["R"]), t=np.array(c["t"])),
    )


def hand_of(points: Points3D) -> tuple[np.ndarray, np.ndarray]:
    """Frame numbers, and the slot with most points in each: every capture shows one hand."""
    return np.arange(len(points.frame_ids)), points.valid.sum(-1).argmax(1)
