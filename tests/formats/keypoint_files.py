"""Files of other programs as they write them, for the tests of their readers."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multiview.core import HAND_21, Detections

DATA = Path(__file__).parents[1] / "data" / "precomputed"
DLC = "cam00DLC_resnet50_takeNov1shuffle1_1000"
SIZE = (160, 120)
CAMERAS = ("cam1", "cam10")
FRAMES = 5
CSV_HEAD = "camera,frame,hand,keypoint,x,y,conf\n"
needs_h5py = pytest.mark.skipif(find_spec("h5py") is None, reason="h5py (extra hdf5) is absent")
needs_sleap = pytest.mark.skipif(
    find_spec("sleap_io") is None, reason="sleap-io (extra sleap) is absent"
)


def points(seed: int, k: int = 21) -> np.ndarray:
    """Pixels of one hand inside the picture, exact in text with 3 digits."""
    return np.random.default_rng(seed).uniform((10, 10), (150, 110), (k, 2)).round(3)


def dump(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def person(left: Any = None, right: Any = None, old: bool = False) -> dict[str, Any]:
    """One person as OpenPose writes it with --hand: zeros for what it did not find."""
    end = "" if old else "_2d"
    hands = {"left": left, "right": right}
    lists = {
        f"hand_{side}_keypoints{end}": [0] * 63 if xyc is None else np.ravel(xyc).tolist()
        for side, xyc in hands.items()
    }
    return {"person_id": [-1], f"pose_keypoints{end}": [1.5, 2.5, 0.5] * 25} | lists


def xyc(seed: int, conf: float = 0.5) -> np.ndarray:
    return np.column_stack([points(seed), np.full(21, conf)])


def landmarks(seed: int) -> list[dict[str, float]]:
    x, y = (points(seed) / SIZE).T
    return [{"x": a, "y": b, "z": -0.01} for a, b in zip(x.tolist(), y.tolist(), strict=True)]


LEGACY = {
    "frame": 3,
    "multi_hand_landmarks": [{"landmark": landmarks(0)}, {"landmark": landmarks(1)}],
    "multi_handedness": [
        {"classification": [{"index": 0, "score": 0.75, "label": "Left"}]},
        {"classification": [{"index": 1, "score": 0.875, "label": "Right"}]},
    ],
}


TASKS = {
    "frame_index": 3,
    "hand_landmarks": [landmarks(0), landmarks(1)],
    "handedness": [
        [{"index": 0, "score": 0.75, "category_name": "Left", "display_name": "Left"}],
        [{"index": 1, "score": 0.875, "category_name": "Right", "display_name": "Right"}],
    ],
    "hand_world_landmarks": [landmarks(5), landmarks(6)],
}


WEB = {
    "landmarks": TASKS["hand_landmarks"],
    "worldLandmarks": TASKS["hand_world_landmarks"],
    "handednesses": [
        [{"index": 0, "score": 0.75, "categoryName": "Left", "displayName": "Left"}],
        [{"index": 1, "score": 0.875, "categoryName": "Right", "displayName": "Right"}],
    ],
}


PLAIN = {
    "frame": 3,
    "hands": [
        {
            "handedness": "Left",
            "score": 0.75,
            "landmarks": [[p["x"], p["y"]] for p in landmarks(0)],
        },
        {"handedness": "Right", "score": 0.875, "landmarks": landmarks(1)},
    ],
}


def coco(names: tuple[str, ...] = HAND_21.keypoints) -> dict[str, Any]:
    images = [
        {
            "id": 10 * v + n,
            "file_name": f"images/{c}/shot_{n + 7:03d}.png",
            "width": 160,
            "height": 120,
        }
        for v, c in enumerate(CAMERAS)
        for n in range(4)
    ]
    annotations = [
        {
            "id": i,
            "image_id": im["id"],
            "category_id": 1,
            "keypoints": np.column_stack([points(im["id"], len(names)), np.full(len(names), 2)])
            .ravel()
            .tolist(),
        }
        for i, im in enumerate(images)
    ]
    annotations[0]["keypoints"][:3] = [0, 0, 0]
    annotations[0]["keypoints"][5] = 1
    category = {"id": 1, "name": "hand", "keypoints": list(names), "skeleton": [[1, 2]]}
    return {"images": images, "annotations": annotations, "categories": [category]}


def detections(frames: int = FRAMES) -> Detections:
    """Two cameras, five frames, two hands; points, hands and a picture's hands missing."""
    rng = np.random.default_rng(0)
    xy = rng.uniform((10, 10), (150, 110), (2, frames, 2, 21, 2))
    xy[0, 1, 1], xy[1, 3], xy[0, 0, 0, 5] = np.nan, np.nan, np.nan
    valid = np.isfinite(xy).all(-1)
    # the better hand first, as detectors give them
    conf = np.where(valid, rng.uniform(0.6, 1, valid.shape) - np.array([[0], [0.5]]), 0)
    right = np.where(valid.any(-1), rng.integers(0, 2, valid.shape[:3]), np.nan)
    return Detections(
        xy_px=xy,
        conf=conf,
        camera_names=CAMERAS,
        frame_ids=np.arange(frames),
        times=np.full((2, frames), np.nan),
        skeleton=HAND_21,
        source="test",
        right=right,
    )


def same_but_for_times(again: Detections, dets: Detections, atol: float) -> None:
    assert (again.camera_names, again.skeleton) == (dets.camera_names, dets.skeleton)
    np.testing.assert_array_equal(again.frame_ids, dets.frame_ids)
    np.testing.assert_array_equal(again.right, dets.right)
    np.testing.assert_allclose(again.xy_px, dets.xy_px, atol=atol, rtol=0)
    np.testing.assert_allclose(again.conf, dets.conf, atol=1e-6, rtol=0)
