"""Damaged, foreign and oversized files: what is said, and that nothing is guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from keypoint_files import (
    CSV_HEAD,
    SIZE,
    TASKS,
    coco,
    dump,
    landmarks,
    person,
    xyc,
)

from multiview.errors import InputError
from multiview.precomputed import read_precomputed

HAND_ROW = "cam1,0,0,0,10,20,0.5\n"


TINY = {"a_000000000000_keypoints.json": {"people": [person(xyc(0))]}}


def openpose_with(**change: Any) -> dict[str, Any]:
    return {"a_000000000000_keypoints.json": {"people": [person(xyc(0)) | change]}}


@pytest.mark.parametrize(
    ("files", "format", "message"),
    [
        ({}, None, "holds no 2D keypoints"),
        ({}, "openpose", r"holds no openpose file \(\*_keypoints.json\)"),
        ({"a.txt": "x"}, "csv", r"holds no csv file \(\.csv\)"),
        ({"a_000000000000_keypoints.json": '{"people": [{"hand_'}, None, "a_0.*not JSON, or cut"),
        ({"a_000000000000_keypoints.json": ""}, None, "a_0.*is empty"),
        ({"a_000000000000_keypoints.json": "[" * 100_000}, None, "not JSON"),
        ({"a_000000000000_keypoints.json": [1]}, None, "not as OpenPose writes it"),
        (
            openpose_with(hand_left_keypoints_2d=[1, 2, 0.5] * 20),
            None,
            "person 0, left hand holds 60 numbers, expected 63",
        ),
        (
            openpose_with(hand_left_keypoints_2d=["x"] * 63),
            None,
            "person 0, left hand holds someth",
        ),
        (
            openpose_with(hand_left_keypoints_2d=[], hand_right_keypoints_2d=[]),
            None,
            "nobody has hand keypoints[\\s\\S]*--hand",
        ),
        (
            openpose_with(hand_left_keypoints_2d=[1, float("inf"), 1] * 21),
            None,
            "person 0, left hand: has an infinite",
        ),
        (
            openpose_with(hand_left_keypoints_2d=[50, 60, 80] * 21),
            None,
            "person 0, left hand: keypoint 0 has confidence 80",
        ),
        (openpose_with(hand_left_keypoints_2d=[0.5, 0.6, 1] * 21), None, "shares of the picture"),
        (TINY | {"b.csv": CSV_HEAD + HAND_ROW}, None, None),
        ({"a.csv": CSV_HEAD + HAND_ROW, "b.json": [TASKS]}, None, "holds mediapipe .* csv"),
        ({"a.csv": "a,b\n1,2\n"}, "csv", "no column frame, keypoint, x, y"),
        ({"a.csv": CSV_HEAD}, None, "has no rows|not a readable csv"),
        ({"a.csv": CSV_HEAD + HAND_ROW + "cam1,0,0,1,ten,20,1\n"}, None, "line 3: x is 'ten'"),
        ({"a.csv": CSV_HEAD + HAND_ROW + "cam1,0.5,0,1,10,20,1\n"}, None, "line 3: frame is 0.5"),
        ({"a.csv": CSV_HEAD + HAND_ROW + "cam1,-1,0,1,10,20,1\n"}, None, "line 3: has no frame n"),
        ({"a.csv": CSV_HEAD + HAND_ROW + "cam1,1e300,0,1,10,20,1\n"}, None, "line 3: frame is 1e"),
        ({"a.csv": CSV_HEAD + HAND_ROW + HAND_ROW}, None, "line 3: keypoint 0 of frame 0.* before"),
        ({"a.csv": CSV_HEAD + HAND_ROW + "cam1,0,0,1,10,inf,1\n"}, None, "line 2: has an infinite"),
        (
            {"a.csv": CSV_HEAD + HAND_ROW + "cam1,0,0,1,10,20,1.6\n"},
            None,
            "keypoint 1 has conf.*1.6",
        ),
        ({"a.csv": CSV_HEAD + HAND_ROW + "cam1,0,0,1,10,20,\n"}, None, "keypoint 1 has conf.*nan"),
        (
            {"a.csv": CSV_HEAD + HAND_ROW + "cam1,0,0,99999999999,1,2,1\n"},
            None,
            "line 3: keypoint 999999999",
        ),
        ({"a.csv": CSV_HEAD + HAND_ROW + "cam1,0,0,wrist,10\n"}, None, "not a readable csv"),
        ({"a.csv": CSV_HEAD + HAND_ROW + ",0,0,1,10,20,1\n"}, None, "line 3: names no camera"),
        (
            {"a.json": [TASKS | {"hand_landmarks": [landmarks(0)[:20]]}]},
            None,
            "hand 0: 20 landmarks|1 hands with 2 sides",
        ),
        (
            {"a.json": [TASKS | {"handedness": TASKS["handedness"][:1]}]},
            None,
            "2 hands with 1 sides",
        ),
        ({"a.json": [TASKS, TASKS]}, None, "frame 3 was given twice"),
        ({"a.json": [{"hand_landmarks": [[{"x": 320, "y": 1}] * 21]}]}, None, "320 is not normal"),
        ({"a.json": {"hello": "world"}}, None, "holds no 2D keypoints"),
        ({"a.json": {"hello": "world"}}, "mediapipe", "not as MediaPipe writes it"),
        (
            {"a.csv": "scorer,a,a\nbodyparts,n,n\ncoords,x,y\n0,1,2\n1,1\n"},
            None,
            "line 5: 1 values",
        ),
        ({"a.csv": "scorer,a,a\nbodyparts,n,n\ncoords,x,y\n0,1,one\n"}, None, "line 4: could not"),
        (
            {"a.csv": "scorer,a,a\nbodyparts,n,n\ncoords,x,y\n0,9,9\n0,9,9\n"},
            None,
            "frame 0 was giv",
        ),
        ({"a.csv": "scorer,a,a\nbodyparts,n,n\n0,1,2\n"}, None, "not as DeepLabCut writes it"),
        (
            {"a.json": [{"image_id": "a/1.jpg", "keypoints": [1, 2]}]},
            None,
            "annotation 0 holds 2 n",
        ),
        (
            {"a.json": [{"image_id": "a/1.jpg", "keypoints": [9, 9, 1] * k} for k in (20, 21)]},
            None,
            "annotations have 20, 21 keypoints",
        ),
        ({"a.json": coco() | {"images": coco()["images"][1:]}}, None, "there is no image 0"),
        ({"a.json": coco() | {"images": coco()["images"] * 2}}, None, "two images have one id"),
        (
            {"a.slp": "no HDF5"},
            None,
            "a.slp: (reading .slp needs sleap-io|sleap-io cannot read it)",
        ),
        ({"a.h5": "no HDF5"}, None, "a.h5: (reading HDF5 needs h5py|not HDF5)"),
        ({"a.parquet": "no parquet"}, None, "not a readable Parquet"),
    ],
)
def test_bad_files(files: dict[str, Any], format: Any, message: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "from"
    folder.mkdir()
    for name, data in files.items():
        dump(folder / name, data)
    if message is None:  # legible after all
        assert read_precomputed(folder, format=format).valid.any()
        return
    with pytest.raises(InputError, match=message) as error:
        read_precomputed(folder, format=format, size_wh=SIZE)
    assert error.value.next_step


def test_mediapipe_needs_a_size(tmp_path: Path) -> None:
    for name, text in (
        ("a.json", json.dumps([TASKS])),
        ("b.csv", "frame,landmark,x,y\n0,0,.1,.2\n"),
    ):
        with pytest.raises(InputError, match="--size-wh WIDTH HEIGHT"):
            read_precomputed(dump(tmp_path / name, text))


def test_missing_and_unknown_paths(tmp_path: Path) -> None:
    for format in (None, "csv"):
        with pytest.raises(InputError, match="no such file or folder"):
            read_precomputed(tmp_path / "no", format=format)  # type: ignore[arg-type]


def test_files_are_measured_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "huge_000000000000_keypoints.json"
    with path.open("wb") as stream:
        stream.truncate(1 << 32)  # sparse: takes no disk
    with pytest.raises(InputError, match="has 4096 MB"):
        read_precomputed(tmp_path)
    path.rename(tmp_path / "huge.csv")
    with pytest.raises(InputError, match="has 4096 MB"):
        read_precomputed(tmp_path, format="csv")
