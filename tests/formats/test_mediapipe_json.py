"""MediaPipe results in all the shapes that people dump them in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from keypoint_files import (
    DATA,
    LEGACY,
    PLAIN,
    SIZE,
    TASKS,
    WEB,
    dump,
    landmarks,
    points,
)

from multiview.capture import Capture
from multiview.formats.guess import guess_format
from multiview.models.load import load_detector
from multiview.precomputed import read_precomputed


@pytest.mark.parametrize(
    "data",
    [
        [LEGACY],
        {"width": 160, "height": 120, "frames": [LEGACY]},
        {"3": TASKS},
        [{"frame": 0, "hand_landmarks": [], "handedness": []}, TASKS],
        [None, {}, {"hand_landmarks": None}, WEB],
        {"frames": {"0": {}, "3": WEB}},
        [PLAIN],
    ],
)
def test_mediapipe_json_in_all_shapes(data: Any, tmp_path: Path) -> None:
    path = dump(tmp_path / "cam1.json", data)
    assert guess_format(path) == "mediapipe"
    dets = read_precomputed(path, size_wh=SIZE)
    f = dets.frame_ids.tolist().index(3)
    # x * W is already OpenCV's convention; a label of a mirrored picture: "Left" is a right hand
    np.testing.assert_allclose(dets.xy_px[0, f], [points(0), points(1)], atol=1e-12)
    np.testing.assert_allclose(dets.right[0, f], [0.75, 0.125])
    assert (dets.conf[0, f] == 1).all()
    assert dets.size_wh == (SIZE,)
    assert dets.valid[0].any((-1, -2)).sum() == 1


def test_mediapipe_json_lines_and_pictures_in_a_folder(capture: Capture, tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(r) for r in [WEB, {"hand_landmarks": []}, None, WEB]) + "\n"
    dump(tmp_path / "cam1.jsonl", lines)
    for n in (7, 10):
        dump(tmp_path / "cam10" / f"shot_{n:03d}.json", WEB)
    dets = read_precomputed(tmp_path, capture=capture)
    found = np.argwhere(dets.valid.any((-1, -2)))
    assert found.tolist() == [[0, 0], [0, 2], [1, 0], [1, 3]]


def test_holistic_takes_its_sides_from_the_body(tmp_path: Path) -> None:
    data = [{"left_hand_landmarks": None, "right_hand_landmarks": {"landmark": landmarks(0)}}]
    dets = read_precomputed(dump(tmp_path / "a.json", data), size_wh=SIZE)
    np.testing.assert_array_equal(dets.right[0, 0], [1, np.nan])


LONG = ("frame_id,hand_id,handedness,landmark_id,x,y,z", "Frame,Hand,Landmark,X,Y,Z")


@pytest.mark.parametrize("header", LONG)
def test_mediapipe_csv_one_row_a_landmark(header: str, tmp_path: Path) -> None:
    rows = [header]
    for h, side in enumerate(("Left", "Right")):
        for k, p in enumerate(landmarks(h)):
            words = {"handedness": side, "hand": side} | {"frame": 4, "landmark": k} | p
            words |= {"hand_id": h, "frame_id": 4, "landmark_id": k}
            rows.append(",".join(str(words[c.casefold()]) for c in header.split(",")))
    path = dump(tmp_path / "cam1.csv", "\n".join(rows) + "\n")
    assert guess_format(path) == "mediapipe"
    dets = read_precomputed(path, size_wh=SIZE)
    right = dets.right[0, 0].tolist()
    assert sorted(right) == [0, 1]
    np.testing.assert_allclose(dets.xy_px[0, 0, right.index(1)], points(0), atol=1e-9)


@pytest.mark.parametrize("style", ["x{k}", "{k}_x", "landmark_{k}_x", "{name}_x"])
def test_mediapipe_csv_one_row_a_hand(style: str, tmp_path: Path) -> None:
    names = ["WRIST"] + [
        f"{f}_{j}"
        for f in ("THUMB", "INDEX_FINGER", "MIDDLE_FINGER", "RING_FINGER", "PINKY")
        for j in (("CMC", "MCP", "IP", "TIP") if f == "THUMB" else ("MCP", "PIP", "DIP", "TIP"))
    ]
    columns, cells = ["frame"], ["2"]
    for k, p in enumerate(landmarks(3)):
        for axis in "xyz":
            column = style.format(k=k, name=names[k])
            columns.append(column[:-1] + axis if column.endswith("x") else axis + column[1:])
            cells.append(repr(p[axis]))
    path = dump(tmp_path / "cam1.csv", ",".join(columns) + "\n" + ",".join(cells) + "\n")
    assert guess_format(path) == "mediapipe"
    dets = read_precomputed(path, size_wh=SIZE)
    assert dets.frame_ids.tolist() == [2]
    np.testing.assert_allclose(dets.xy_px[0, 0, 0], points(3), atol=1e-9)


def test_a_genuine_dump_agrees_with_our_detector() -> None:
    """Pictures of several sizes; written by MediaPipe 0.10.21 on the photos of tests/data."""
    detector = load_detector("hand")
    dets = read_precomputed(DATA / "mediapipe.json")
    photos = sorted((DATA.parent / "photos").glob("*.jpg"))
    assert (len(dets.frame_ids), dets.size_wh) == (len(photos), ())
    for f, photo in enumerate(photos):
        own = detector.detect(cv2.imread(str(photo)))
        # parity of the networks is measured in experiments/01; a wrong convention is half a pixel
        np.testing.assert_allclose(dets.xy_px[0, f, 0], own.xy_px[0], atol=0.1)
        np.testing.assert_allclose(dets.right[0, f, 0], own.handedness[0], atol=0.01)


def test_size_is_the_given_one_then_the_pictures_then_the_files(tmp_path: Path) -> None:
    """Shares of a picture of half the size are shares of this one too."""
    own = {"width": 160, "height": 120} | WEB
    path = dump(tmp_path / "a.json", {"width": 640, "height": 480, "frames": [own, WEB]})
    dets = read_precomputed(path)
    np.testing.assert_allclose(dets.xy_px[0, 0, 0], points(0), atol=1e-9)
    np.testing.assert_allclose(dets.xy_px[0, 1, 0], points(0) * 4, atol=1e-9)
    assert dets.size_wh == ()
    given = read_precomputed(path, size_wh=(80, 60))
    np.testing.assert_allclose(given.xy_px[0, :, 0], [points(0) / 2] * 2, atol=1e-9)
