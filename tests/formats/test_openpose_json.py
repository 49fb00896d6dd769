"""OpenPose's folders: who is read, and how frames and cameras are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from keypoint_files import (
    CAMERAS,
    detections,
    dump,
    person,
    points,
    same_but_for_times,
    xyc,
)

from multiview.capture import Capture
from multiview.formats.openpose_json import write_openpose_json
from multiview.precomputed import read_precomputed


@pytest.mark.parametrize("old", [False, True])
def test_openpose_reads_both_hands_of_everybody(old: bool, tmp_path: Path) -> None:
    missing = xyc(1)
    missing[4] = 0
    people = [person(xyc(0, 0.9), missing, old), person(None, xyc(2, 0.7), old)]
    folder = tmp_path / "cam1"
    dump(folder / "GX01_000000000000_keypoints.json", {"version": 1.1, "people": people})
    dump(folder / "GX01_000000000003_keypoints.json", {"version": 1.1, "people": []})
    dets = read_precomputed(tmp_path, max_hands=4)
    assert (dets.camera_names, dets.frame_ids.tolist(), dets.hands) == (("cam1",), [0, 3], ())
    np.testing.assert_array_equal(dets.right[0, 0], [0, 1, 1, np.nan])  # most confident first
    np.testing.assert_array_equal(dets.xy_px[0, 0, 0], points(0))
    np.testing.assert_array_equal(dets.xy_px[0, 0, 1], points(2))
    assert np.isnan(dets.xy_px[0, 0, 2, 4]).all()
    assert dets.conf[0, 0, 2, 4] == 0
    assert (dets.conf[0, 0, 2, :4] == 0.5).all()
    assert not dets.valid[0, 1].any()
    assert np.isnan(dets.times).all()


def test_openpose_keeps_the_most_confident_hands(tmp_path: Path) -> None:
    people = [person(xyc(i, 0.1 * (i + 1))) for i in range(4)]
    dump(tmp_path / "a_000000000000_keypoints.json", {"people": people})
    dets = read_precomputed(tmp_path, max_hands=2)
    np.testing.assert_allclose(dets.conf[0, 0, :, 0], [0.4, 0.3])


def test_openpose_of_several_videos_in_one_folder(tmp_path: Path) -> None:
    for v, name in enumerate(CAMERAS):
        dump(tmp_path / f"{name}_000000000001_keypoints.json", {"people": [person(xyc(v))]})
    dets = read_precomputed(tmp_path)
    assert dets.camera_names == CAMERAS
    np.testing.assert_array_equal(dets.xy_px[1, 0, 0], points(1))


def test_openpose_pictures_are_found_by_name(capture: Capture, tmp_path: Path) -> None:
    for name, n in (("cam1", 10), ("cam10", 10)):  # the fourth picture: sets 2 and 3
        people = [person(xyc(n))]
        dump(tmp_path / name / "json" / f"shot_{n:03d}_keypoints.json", {"people": people})
    dets = read_precomputed(tmp_path, capture=capture)
    assert np.argwhere(dets.valid.any((-1, -2))).tolist() == [[0, 2], [1, 3]]


def test_openpose_round_trip(tmp_path: Path) -> None:
    dets = detections()
    again = read_precomputed(write_openpose_json(dets, tmp_path / "json"))
    same_but_for_times(again, dets, 1e-6)
