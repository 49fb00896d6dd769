"""Captures of image folders, the capture.yaml, what is wrong with folders, and real takes."""

import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from multiview._files import missing_bytes
from multiview.capture import open_capture
from multiview.errors import CaptureError, ConfigError

SIZE = (48, 32)


def write_images(folder, n, *, size=SIZE, suffix=".png", depth=np.uint8, grey=False, first=0):
    """Write pictures whose brightness is 10 * frame number."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) if grey else (size[1], size[0], 3)
    for i in range(first, first + n):
        picture = np.full(shape, 10 * i * (257 if depth == np.uint16 else 1), depth)
        if depth == np.uint16:
            picture[0, 0] = 65535  # the sensor's depth is read off the largest value
        assert cv2.imwrite(str(folder / f"{i}{suffix}"), picture)
    return folder


def numbers(capture, view=0, **kwargs):
    return [(f, round(image.mean() / 10)) for f, image in capture.images(view, **kwargs)]


def test_natural_order_of_cameras_and_images(tmp_path):
    for name in ("cam10", "cam2", "Cam1"):
        write_images(tmp_path / name, 12)
    capture = open_capture(tmp_path, fps=10)
    assert capture.names == ("Cam1", "cam2", "cam10")
    assert numbers(capture) == [(i, i) for i in range(12)]
    np.testing.assert_allclose(capture.times, np.tile(np.arange(12) / 10, (3, 1)))


def test_other_and_hidden_files_are_ignored(tmp_path):
    write_images(tmp_path / "a", 2)
    write_images(tmp_path / ".trash", 2)
    (tmp_path / "a" / ".hidden.png").write_bytes(b"")
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "times.csv").write_text("1,2")
    write_images(tmp_path, 1)  # a thumbnail next to the camera folders
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.json").write_text("{}")
    assert open_capture(tmp_path, fps=1).names == ("a",)


def test_folder_of_images_is_a_capture_of_one_camera(tmp_path):
    write_images(tmp_path / "solo", 3)
    capture = open_capture(tmp_path / "solo", fps=2)
    assert capture.names == ("solo",)
    assert numbers(capture, start=1) == [(1, 1), (2, 2)]


def test_images_one_level_deeper_belong_to_the_camera(tmp_path):
    write_images(tmp_path / "cam0" / "images", 2)
    capture = open_capture(tmp_path, fps=1)
    assert capture.names == ("cam0",)


@pytest.mark.parametrize("kwargs", [{"depth": np.uint16}, {"grey": True}, {"suffix": ".bmp"}])
def test_every_depth_becomes_8_bit_bgr(tmp_path, kwargs):
    write_images(tmp_path / "a", 3, **kwargs)
    image = open_capture(tmp_path, fps=1).image(0, 2)
    assert image.dtype == np.uint8
    assert image.shape == (32, 48, 3)
    np.testing.assert_array_equal(image[1:], 20)


def test_folder_without_clock_needs_fps_or_index(tmp_path):
    write_images(tmp_path / "a", 2)
    with pytest.raises(CaptureError, match=r"camera a.*no times") as error:
        open_capture(tmp_path)
    assert "fps" in error.value.next_step
    assert "sync='index'" in error.value.next_step


def test_index_mode_pairs_numbers_and_keeps_incomplete_sets(tmp_path):
    for name, n in (("a", 5), ("b", 3), ("c", 7)):
        write_images(tmp_path / name, n)
    capture = open_capture(tmp_path, sync="index")
    assert capture.index.shape == (3, 5)
    assert np.isnan(capture.times).all()
    assert [(f, [im is None for im in images]) for f, images in capture.sets(2, 4)] == [
        (2, [False, False, False]),
        (3, [False, True, False]),
    ]
    with pytest.raises(CaptureError, match="camera b has no image in frame set 3"):
        capture.image(1, 3)
    assert capture.sync.mode == "index"
    assert "frame counts differ" in capture.sync.summary()


def test_capture_survives_pickling_and_is_read_only(tmp_path):
    write_images(tmp_path / "a", 3)
    capture = pickle.loads(pickle.dumps(open_capture(tmp_path, fps=1)))
    assert numbers(capture) == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(ValueError, match="read-only"):
        open_capture(tmp_path, fps=1).times[0, 0] = 1


def test_digest_follows_content_not_place(tmp_path):
    write_images(tmp_path / "x" / "a", 3)
    write_images(tmp_path / "y" / "a", 3)
    digest = open_capture(tmp_path / "x", fps=1).digest
    assert open_capture(tmp_path / "y", fps=1).digest == digest
    assert open_capture(tmp_path / "x", fps=2).digest != digest
    write_images(tmp_path / "y" / "a", 1, first=3)
    assert open_capture(tmp_path / "y", fps=1).digest != digest


def test_digest_sees_pixels(tmp_path):
    folder = write_images(tmp_path / "a", 2, suffix=".bmp")
    digest = open_capture(tmp_path, fps=1).digest
    (folder / "1.bmp").write_bytes((folder / "0.bmp").read_bytes())  # same name and size
    assert open_capture(tmp_path, fps=1).digest != digest


def box(kind, size, payload=b"", *, wide=False):
    if wide:
        return (1).to_bytes(4) + kind + size.to_bytes(8) + payload
    return size.to_bytes(4) + kind + payload


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        (box(b"ftyp", 8) + box(b"mdat", 12, b"1234"), 0),
        (box(b"ftyp", 8) + box(b"mdat", 12, b"12"), 2),
        (box(b"ftyp", 8) + box(b"mdat", 1000, b"", wide=True), 984),
        (box(b"ftyp", 8) + box(b"mdat", 0, b"to the end"), 0),
        (box(b"ftyp", 8) + b"\xff" * 8, 0),
        (b"RIFF" + (8).to_bytes(4, "little") + b"AVI 1234", 0),
        (b"RIFF" + (9).to_bytes(4, "little") + b"AVI 1234", 2),
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x84" + b"12", 2),
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff" + b"12", 0),
    ],
)
def test_missing_bytes_of_containers(tmp_path, content, missing):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert missing_bytes(path) == missing


def yaml_capture(tmp_path, text):
    write_images(tmp_path / "pics" / "one", 6)
    write_images(tmp_path / "pics" / "two", 4)
    (tmp_path / "capture.yaml").write_text(text)
    return tmp_path


YAML = """
cameras:
  right: {path: pics/two, offset_s: 0.2}
  left: {path: pics/one, times: left.csv}
tolerance_s: 0.01
fps: 10
"""


@pytest.mark.parametrize("header", ["", "seconds\n", "n,time_s\n"])
def test_yaml_names_order_offsets_and_times(tmp_path, header):
    rows = [f"{i},{i / 10 + 0.005}" if "," in header else str(i / 10 + 0.005) for i in range(6)]
    (tmp_path / "left.csv").write_text(header + "\n".join(rows) + "\n")
    for path in (yaml_capture(tmp_path, YAML), tmp_path / "capture.yaml"):
        capture = open_capture(path)
        assert capture.names == ("right", "left")
        np.testing.assert_array_equal(capture.index, [[0, 1, 2, 3], [2, 3, 4, 5]])
        np.testing.assert_allclose(capture.times[0], [0.2, 0.3, 0.4, 0.5])
        np.testing.assert_allclose(capture.times[1] - capture.times[0], 0.005)
    with pytest.raises(CaptureError, match=r"within 1\.00 ms"):
        open_capture(tmp_path, tolerance_s=0.001)


def test_yaml_without_cameras_searches_its_folder(tmp_path):
    write_images(tmp_path / "a", 3)
    (tmp_path / "capture.yaml").write_text("fps: 5\n")
    np.testing.assert_allclose(open_capture(tmp_path).times, [[0, 0.2, 0.4]])


def test_misspelt_yaml_key_is_named(tmp_path):
    yaml_capture(tmp_path, YAML.replace("tolerance_s", "tolerence_s"))
    with pytest.raises(ConfigError, match=r"capture\.yaml.*tolerence_s") as error:
        open_capture(tmp_path)
    assert "tolerance_s" in error.value.next_step


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pics/two", "pics/three", "camera right: .*three does not exist"),
        ("pics/two", "pics/one", "cameras right and left both name"),
        ("pics/two", "left.csv", "camera right: .*neither a folder nor a video"),
        ("left.csv", "none.csv", "camera left: times file .* cannot be read"),
    ],
)
def test_yaml_with_wrong_paths(tmp_path, old, new, message):
    (tmp_path / "left.csv").write_text("\n".join(str(i) for i in range(6)))
    yaml_capture(tmp_path, YAML.replace(old, new))
    with pytest.raises(CaptureError, match=message):
        open_capture(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\n1\n2\n", "3 times for 6 frames"),
        ("0\n1\n2\n3\n3\n5\n", "does not increase at frame 4"),
        ("0\n1\nx\n3\n4\n5\n", "line without a number"),
        ("0\n1\n2\n3\n4\nnan\n", "does not increase"),
    ],
)
def test_bad_times_file(tmp_path, text, message):
    (tmp_path / "left.csv").write_text(text)
    yaml_capture(tmp_path, YAML)
    with pytest.raises(CaptureError, match=message):
        open_capture(tmp_path)


def test_missing_path_and_empty_folders(tmp_path):
    with pytest.raises(CaptureError, match="does not exist"):
        open_capture(tmp_path / "nowhere")
    with pytest.raises(CaptureError, match="holds no cameras"):
        open_capture(tmp_path)
    (tmp_path / "cam1").mkdir()
    with pytest.raises(CaptureError, match=r"camera folder .*cam1 is empty"):
        open_capture(tmp_path)


def test_two_cameras_of_one_name(tmp_path):
    for name in ("cam.mp4", "cam.mkv"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(CaptureError, match=r"two cameras are named cam: .*cam\.mkv and .*cam\.mp4"):
        open_capture(tmp_path)


def test_folder_with_two_videos_is_ambiguous_with_one_a_camera(tmp_path):
    (tmp_path / "cam0").mkdir()
    (tmp_path / "cam0" / "GX01.mp4").write_bytes(b"")
    with pytest.raises(CaptureError, match=r"camera cam0: .*GX01\.mp4 is empty"):
        open_capture(tmp_path)
    (tmp_path / "cam0" / "GX02.mp4").write_bytes(b"")
    with pytest.raises(CaptureError, match="holds 2 videos"):
        open_capture(tmp_path)


def test_unreadable_and_resized_images_are_named(tmp_path):
    folder = write_images(tmp_path / "a", 3)
    write_images(folder, 1, size=(64, 32), first=3)
    (folder / "4.png").write_bytes(b"not a picture")
    capture = open_capture(tmp_path, fps=1)
    images = capture.images(0)
    assert [f for f, _ in (next(images) for _ in range(3))] == [0, 1, 2]
    with pytest.raises(CaptureError, match=r"camera a: .*3\.png \(frame 3\) has size \(64, 32\)"):
        next(images)
    with pytest.raises(CaptureError, match=r"camera a: image .*4\.png is unreadable"):
        capture.image(0, 4)
    (folder / "5.png").write_bytes(b"")
    with pytest.raises(CaptureError, match=r"5\.png is empty"):
        open_capture(tmp_path, fps=1)


@pytest.mark.parametrize("kwargs", [{"fps": 0}, {"tolerance_s": -1}, {"sync": "both"}])
def test_bad_arguments(tmp_path, kwargs):
    write_images(tmp_path / "a", 2)
    with pytest.raises(CaptureError, match=next(iter(kwargs))):
        open_capture(tmp_path, **kwargs)


def test_view_and_set_out_of_range(tmp_path):
    write_images(tmp_path / "a", 2)
    capture = open_capture(tmp_path, fps=1)
    with pytest.raises(CaptureError, match="no camera 1"):
        next(capture.images(1))
    with pytest.raises(CaptureError, match="frame set 2 of 2"):
        capture.image(0, 2)


def shared(*parts):
    roots = [os.environ.get("MULTIVIEW_SHARED"), Path(__file__).parents[1].parent / "shared"]
    for root in roots:
        path = Path(root).joinpath("data", *parts) if root else None
        if path is not None and path.exists():
            return path
    pytest.skip(f"shared data {'/'.join(parts)} is absent (set MULTIVIEW_SHARED)")


def test_real_pair_of_webcams():
    capture = open_capture(shared("handpose3d_2cam", "media"))
    assert capture.names == ("cam0_test", "cam1_test")
    assert capture.sizes_wh == ((720, 720), (720, 720))
    assert (capture.sync.n_sets, capture.sync.n_complete) == (378, 378)
    np.testing.assert_allclose(capture.times[1], np.arange(378) / 30, atol=1e-9)
    late = dict(capture.images(1, 200, 203))
    np.testing.assert_array_equal(capture.image(1, 202), late[202])


def test_real_four_cameras():
    capture = open_capture(shared("pyxy3d_4cam_holistic", "calibration", "extrinsic"))
    assert capture.names == tuple(f"port_{i}" for i in range(4))
    assert capture.sync.n_complete == 48
    assert sum(all(i is not None for i in images) for _, images in capture.sets()) == 48
