"""2D keypoints of other programs in step with a capture; labels, names, real data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from keypoint_files import (
    CAMERAS,
    CSV_HEAD,
    FRAMES,
    WEB,
    coco,
    detections,
    dump,
    person,
    points,
    same_but_for_times,
    xyc,
)

from multiview.capture import Capture
from multiview.core import HAND_21, Detections
from multiview.errors import InputError
from multiview.formats.detections_parquet import write_detections
from multiview.formats.files import load
from multiview.formats.guess import camera_of, guess_format
from multiview.formats.keypoint_names import skeleton_of
from multiview.formats.keypoints_csv import write_keypoints_csv
from multiview.precomputed import read_precomputed


def test_frames_are_the_cameras_own(capture: Capture, tmp_path: Path) -> None:
    """Number 3 is set 2 of cam1 and set 3 of cam10; number 2 of cam1 is in no set."""
    dets = replace(detections(), xy_px=np.tile(points(0), (2, FRAMES, 2, 1, 1)))
    path = write_keypoints_csv(dets, tmp_path / "all.csv")
    lines = [x for x in path.read_text().splitlines() if not x.startswith("cam10,4")]
    path.write_text("\n".join(lines) + "\n")
    got = read_precomputed(path, capture=capture)
    np.testing.assert_array_equal(got.times, capture.times)
    assert (got.size_wh, got.camera_names) == (capture.sizes_wh, capture.names)
    np.testing.assert_allclose(got.conf[0], dets.conf[0, [0, 1, 3, 4]], atol=1e-6)
    np.testing.assert_allclose(got.conf[1], dets.conf[1, :4], atol=1e-6)


@pytest.mark.parametrize(
    ("names", "camera"),
    [
        (("cam10DLC_resnet50_x1shuffle1_500",), "cam10"),
        (("take_cam1.mp4.predictions",), "cam1"),
        (("json", "cam10"), "cam10"),
        (("cam10_left", "cam1"), "cam1"),  # a folder's exact name before a part of the file's
        (("leftDLC_x",), "left"),
        (("leftover",), None),
        (("cam100",), None),
        (("scam1",), None),
    ],
)
def test_cameras_are_found_in_names(names: tuple[str, ...], camera: str | None) -> None:
    assert camera_of(names, ("cam1", "cam10", "left")) == camera


def test_the_longest_camera_name_wins_and_a_tie_is_an_error() -> None:
    assert camera_of(("left_top.predictions",), ("left", "left_top")) == "left_top"
    with pytest.raises(InputError, match="may be of camera left or rear"):
        camera_of(("left_rear",), ("left", "rear"))


def test_labels_can_be_trusted(tmp_path: Path) -> None:
    people = [person(xyc(0, 0.3), xyc(1, 0.9)), person(xyc(2, 0.5))]
    dump(tmp_path / "a_000000000000_keypoints.json", {"people": people})
    dets = read_precomputed(tmp_path, trust_labels=True)
    assert dets.hands == ("left", "right")
    np.testing.assert_array_equal(dets.xy_px[0, 0], [points(2), points(1)])  # the better left one
    path = dump(tmp_path / "a.csv", "frame,hand,keypoint,x,y\n0,0,wrist,1,20\n0,1,wrist,3,40\n")
    with pytest.raises(InputError, match="neither left and right nor"):
        read_precomputed(path, trust_labels=True)


def test_own_table_must_be_of_this_take(capture: Capture, tmp_path: Path) -> None:
    dets = detections(frames=len(capture.frame_ids))
    path = write_detections(dets, tmp_path / "dets.parquet")
    assert read_precomputed(path, capture=capture).source == "test"
    write_detections(replace(dets, frame_ids=dets.frame_ids + 1), path)
    with pytest.raises(InputError, match="another take"):
        read_precomputed(path, capture=capture)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("cam1,0,0,0,10,20,1\n", "camera cam10: .* holds nothing of it"),
        ("cam2,0,0,0,10,20,1\ncam10,0,0,0,10,20,1\n", "cam2.* is no camera of the capture"),
        ("cam1,5,0,0,10,20,1\ncam10,0,0,0,10,20,1\n", r"camera cam1: .* frame 5, .* 5 \(0 to 4\)"),
        ("cam1,0,0,0,10,20,1\ncam10,4,0,0,10,20,1\n", r"camera cam10: .* frame 4, .* 4 \(0 to 3\)"),
        (
            "cam1,0,0,0,900,20,1\ncam10,0,0,0,10,20,1\n",
            r"camera cam1: .*line 2: keypoint 0 at \(900, 20\) is far outside the picture",
        ),
        (
            "cam1,0,0,0,10,20,1\ncam10,0,0,0,200,20,1\n",
            "camera cam10: .*100% of its points lie outs",
        ),
        ("cam1,0,0,0,.5,.2,1\ncam10,0,0,0,10,20,1\n", "camera cam1: .*shares of the picture"),
        ("take_cam1,0,0,0,10,20,1\ncam1,0,0,1,10,20,1\n", "camera cam1: .* both are of it"),
    ],
)
def test_what_does_not_fit_the_capture(
    rows: str, message: str, capture: Capture, tmp_path: Path
) -> None:
    path = dump(tmp_path / "all.csv", CSV_HEAD + rows)
    with pytest.raises(InputError, match=message):
        read_precomputed(path, capture=capture)


def test_pictures_of_another_take_or_size(capture: Capture, tmp_path: Path) -> None:
    data = coco()
    data["images"][2]["file_name"] = "images/cam1/other_004.png"
    with pytest.raises(InputError, match=r"camera cam1: .*a picture 'other_004' that"):
        read_precomputed(dump(tmp_path / "a.json", data), capture=capture)
    data = coco()
    for image in data["images"]:
        image["width"] = 320
    with pytest.raises(
        InputError, match="made on pictures of 320 x 120, the capture's are 160 x 120"
    ):
        read_precomputed(dump(tmp_path / "a.json", data), capture=capture)
    wide = [WEB | {"width": 1920, "height": 1080}]
    for name in CAMERAS:
        dump(tmp_path / "mp" / f"{name}.json", wide)
    with pytest.raises(InputError, match="1920 x 1080, these are 160 x 120: another shape"):
        read_precomputed(tmp_path / "mp", capture=capture)


def test_overshoot_of_enlarged_maps_is_clipped(tmp_path: Path) -> None:
    text = CSV_HEAD + "a,0,0,0,10,20,1.2\na,0,0,1,10,20,-0.1\n"
    dets = read_precomputed(dump(tmp_path / "a.csv", text))
    assert dets.conf[0, 0, 0, :2].tolist() == [1, 0]
    assert dets.valid[0, 0, 0, :2].all()


def test_names_in_part_of_a_hand_are_asked_about() -> None:
    with pytest.raises(
        InputError, match=r"1 of the names are of a hand \(wrist\).*elbow.*lacks thumb1"
    ):
        skeleton_of(Path("a.csv"), 3, ("shoulder", "elbow", "wrist"))
    skeleton, order = skeleton_of(Path("a.csv"), 3, ("shoulder", "elbow", "wrist"), (), "own")
    assert (skeleton.keypoints, order) == (("shoulder", "elbow", "wrist"), [0, 1, 2])
    with pytest.raises(InputError, match="two keypoints are called 'a'"):
        skeleton_of(Path("a.csv"), 2, ("a", "a"))
    with pytest.raises(InputError, match="17 keypoints without names"):
        skeleton_of(Path("a.csv"), 17)
    tip_first = [
        n
        for f in ("thumb", "index", "middle", "ring", "little")
        for n in (f"{f}4", f"{f}3", f"{f}2", f"{f}1")
    ] + ["wrist"]
    skeleton, order = skeleton_of(Path("a.csv"), 21, tip_first)
    assert skeleton is HAND_21
    assert [tip_first[i] for i in order] == list(HAND_21.keypoints)


PYXY3D = (
    Path(__file__).parents[2].parent
    / "shared/data/pyxy3d_4cam_holistic/recording_1/HOLISTIC"
    / "xy_HOLISTIC.csv"
)


@pytest.mark.skipif(not PYXY3D.exists(), reason="needs shared/data/pyxy3d_4cam_holistic")
def test_pyxy3d_table_is_recognised(capture: Capture) -> None:
    assert guess_format(PYXY3D) == "caliscope"
    dets = read_precomputed(PYXY3D)
    assert dets.camera_names == tuple(f"port_{v}" for v in range(4))
    assert dets.valid.any((-1, -2)).mean() > 0.5
    assert read_precomputed(PYXY3D, trust_labels=True).hands == ("left", "right")
    with pytest.raises(InputError, match="sync_index"):
        read_precomputed(PYXY3D, capture=capture)


def test_saved_detections_load_again(tmp_path: Path) -> None:
    from multiview.stages.convert import run_convert

    source = write_keypoints_csv(detections(), tmp_path / "all.csv")
    dets = load(run_convert(source, tmp_path / "dets.parquet"))
    assert isinstance(dets, Detections)
    same_but_for_times(dets, detections(), 1e-6)
