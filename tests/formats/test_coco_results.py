"""COCO keypoints: flags, scores, whole bodies and skeletons of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from keypoint_files import (
    CAMERAS,
    SIZE,
    coco,
    dump,
    points,
    xyc,
)

from multiview.capture import Capture
from multiview.errors import InputError
from multiview.precomputed import read_precomputed


def test_coco_annotations_have_flags(capture: Capture, tmp_path: Path) -> None:
    dets = read_precomputed(dump(tmp_path / "labels.json", coco()), capture=capture)
    np.testing.assert_array_equal(dets.xy_px[0, 1, 0], points(1))
    np.testing.assert_array_equal(dets.xy_px[0, 2, 0], points(3))
    np.testing.assert_array_equal(dets.xy_px[1, 2:, 0], [points(12), points(13)])
    assert np.isnan(dets.xy_px[0, 0, 0, 0]).all()
    assert dets.conf[0, 0, 0].tolist() == [0] + [1] * 20


def test_coco_results_have_scores_and_need_the_images(tmp_path: Path) -> None:
    data = coco()
    images = dump(tmp_path / "images" / "list.json", data)
    results = [
        {
            "image_id": a["image_id"],
            "category_id": 1,
            "score": 0.9,
            "keypoints": np.column_stack([points(3), np.linspace(0, 1, 21)]).ravel().tolist(),
        }
        for a in data["annotations"]
    ]
    path = dump(tmp_path / "results.json", results)
    dets = read_precomputed(path, images=images)
    assert (dets.camera_names, dets.size_wh) == (CAMERAS, (SIZE, SIZE))
    assert dets.frame_ids.tolist() == [7, 8, 9, 10]
    np.testing.assert_allclose(dets.conf[0, 0, 0], np.linspace(0, 1, 21))
    with pytest.raises(InputError, match="--images"):
        read_precomputed(path)


def test_coco_whole_body_gives_both_hands(tmp_path: Path) -> None:
    flat = {f"{s}hand_kpts": xyc(i).ravel().tolist() for i, s in enumerate(("left", "right"))}
    data = [{"image_id": "cam1/000004.jpg", "score": 1, "keypoints": [1, 2, 0.5] * 17} | flat]
    dets = read_precomputed(dump(tmp_path / "a.json", data))
    assert (dets.camera_names, dets.frame_ids.tolist()) == (("cam1",), [4])
    assert sorted(dets.right[0, 0]) == [0, 1]


def test_coco_skeleton_of_its_own(tmp_path: Path) -> None:
    dets = read_precomputed(dump(tmp_path / "a.json", coco(("hip", "knee", "foot"))))
    assert dets.skeleton.keypoints == ("hip", "knee", "foot")
    assert (dets.skeleton.edges, dets.hands) == (((0, 1),), ("1",))
