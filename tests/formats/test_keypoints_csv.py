"""The long csv: round trip, absent columns, absent points."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from keypoint_files import (
    CSV_HEAD,
    detections,
    dump,
    same_but_for_times,
)

from multiview.core import HAND_21
from multiview.formats.guess import guess_format
from multiview.formats.keypoints_csv import write_keypoints_csv
from multiview.precomputed import read_precomputed


def test_csv_round_trip(tmp_path: Path) -> None:
    path = write_keypoints_csv(detections(), tmp_path / "all.csv")
    assert guess_format(path) == "csv"
    same_but_for_times(read_precomputed(path), detections(), 1e-6)


def test_csv_of_one_camera_without_confidence(tmp_path: Path) -> None:
    path = dump(tmp_path / "cam1.csv", "frame,keypoint,x,y\n4,index2,10.5,20\n9,,,\n")
    dets = read_precomputed(path)
    assert (dets.camera_names, dets.frame_ids.tolist()) == (("cam1",), [4, 9])
    assert dets.skeleton is HAND_21  # a part of a hand's names: the rest was not found
    assert np.argwhere(dets.valid).tolist() == [[0, 0, 0, 6]]
    assert dets.conf[0, 0, 0, 6] == 1


def test_csv_cameras_may_lack_points_of_their_own_skeleton(tmp_path: Path) -> None:
    text = (
        CSV_HEAD + "a,0,0,nose,10,20,1\na,0,0,tail,11,21,.5\nb,0,0,ear,12,22,1\nb,0,0,nose,9,9,1\n"
    )
    dets = read_precomputed(dump(tmp_path / "all.csv", text))
    assert dets.skeleton.keypoints == ("nose", "tail", "ear")
    assert dets.valid[:, 0, 0].tolist() == [[True, True, False], [True, False, True]]


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    example = re.findall(r"```text\n(camera,frame,.*?)```", text, re.DOTALL)
    dets = read_precomputed(dump(tmp_path / "a.csv", example[0]))
    assert (dets.camera_names, dets.frame_ids.tolist()) == (("cam0",), [0, 1])
    assert dets.valid.sum() == 2
    assert dets.right[0, 0, 0] == 0.97
