"""`multiview detect` for photos, folders, films and cameras: results, resuming, bad input."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from multiview import cli
from multiview.errors import InputError
from multiview.formats.detections_parquet import read_detections
from multiview.formats.hands_json import keypoints_of, read_hands, write_hands
from multiview.images import read_image
from multiview.models import load_detector
from multiview.models.card import load_card
from multiview.models.maps import keypoint_maps
from multiview.models.tracking import Tracker
from multiview.stages.detect_files import default_out, kind_of, overlay_names

PHOTOS = Path(__file__).parent / "data" / "photos"
PHOTO = PHOTOS / "2021-02-01_13-52-53_532.jpg"
LITE = ["--detector", "mediapipe-lite"]
CODEC = "libx264" if "libx264" in av.codecs_available else "mpeg4"


def detect(*arguments):
    return cli.main(["detect", *map(str, arguments), *LITE])


def film(path, images, times=None):
    """Encode pictures at given times [s], 25 a second otherwise."""
    height, width = images[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(CODEC, rate=25)
        stream.width, stream.height = width - width % 2, height - height % 2
        stream.pix_fmt = "yuv420p"
        for n, image in enumerate(images):
            cut = np.ascontiguousarray(image[: stream.height, : stream.width])
            frame = av.VideoFrame.from_ndarray(cut, format="bgr24")
            at = n / 25 if times is None else times[n]
            frame.pts, frame.time_base = round(at * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def moving_hand(count, step=4):
    photo = cv2.resize(read_image(PHOTO), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    for n in range(count):
        move = np.float32([[1, 0, 20 + step * n], [0, 1, 5]])
        yield cv2.warpAffine(photo, move, (320, 240), borderValue=(90, 90, 90))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return film(tmp_path_factory.mktemp("clip") / "hand.mp4", list(moving_hand(12)))


@pytest.fixture
def fails(capsys, tmp_path):
    """Run the command, expect exit code 2 and a message with a next step; nothing half-written."""

    def run(*arguments, out=None):
        out = out or tmp_path / "result" / "out"
        code = detect(*arguments, "--out", out)
        err = capsys.readouterr().err
        assert (code, err[:7]) == (2, "error: "), err
        assert re.search(r"\n  next: \S", err)
        assert "Traceback" not in err
        assert not out.exists()
        return err

    return run


# --- one photo ---


def test_photo(tmp_path, capsys):
    assert detect(PHOTO, "--out", tmp_path / "out") == 0
    assert "1 hand ->" in capsys.readouterr().out
    data = read_hands(tmp_path / "out" / "hands.json")
    (picture,) = data["pictures"]
    assert (picture["file"], picture["size_wh"]) == (PHOTO.name, [256, 459])
    (hand,) = picture["hands"]
    expected = load_detector("mediapipe-lite").detect(read_image(PHOTO))
    np.testing.assert_allclose(keypoints_of(hand)[:, :2], expected.xy_px[0], atol=1e-4)
    np.testing.assert_allclose(keypoints_of(hand)[:, 2], expected.conf[0], atol=1e-4)
    np.testing.assert_allclose(hand["roi"], expected.rois[0], atol=1e-4)
    assert hand["right"] == pytest.approx(expected.handedness[0], abs=1e-4)
    assert data["detector"]["name"] == "mediapipe-lite"
    assert all(re.fullmatch("[0-9a-f]{64}", d) for d in data["detector"]["sha256"].values())
    assert data["skeleton"]["keypoints"][8] == "index4"
    assert read_image(tmp_path / "out" / "overlay" / f"{PHOTO.stem}.jpg").shape[0] == 459
    assert not (tmp_path / "out" / "hands.parquet").exists()
    assert detect(PHOTO, "--out", tmp_path / "out") == 0
    assert "up to date" in capsys.readouterr().out


def test_passes_of_a_photo(tmp_path):
    assert detect(PHOTO, "--out", tmp_path / "out", "--passes", "2", "--map", "index4") == 0
    data = read_hands(tmp_path / "out" / "hands.json")
    assert (data["detector"]["passes"], data["detector"]["calibrated"]) == (2, True)
    (hand,) = data["pictures"][0]["hands"]
    expected = load_detector("mediapipe-lite", passes=2).detect(read_image(PHOTO))
    once = load_detector("mediapipe-lite").detect(read_image(PHOTO))
    np.testing.assert_allclose(keypoints_of(hand)[:, :2], expected.xy_px[0], atol=1e-4)
    np.testing.assert_allclose(keypoints_of(hand)[:, 2], expected.conf[0], atol=1e-4)
    assert np.abs(expected.xy_px - once.xy_px).max() > 0.1
    assert np.abs(expected.conf - once.conf).max() > 0.01


def test_photo_without_a_hand(tmp_path, capsys):
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "wall.png"), cv2.GaussianBlur(image, (0, 0), 9))
    assert detect(tmp_path / "wall.png", "--out", tmp_path / "out") == 0
    assert "no hand found" in capsys.readouterr().out
    assert read_hands(tmp_path / "out" / "hands.json")["pictures"][0]["hands"] == []
    assert (tmp_path / "out" / "overlay" / "wall.jpg").exists()


def test_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert detect(PHOTO) == 0
    assert (tmp_path / "out" / PHOTO.stem / "hands.json").exists()
    assert default_out(Path("0"), "camera") == Path("out/camera0")
    (tmp_path / "my.photos").mkdir()
    assert default_out(Path("my.photos"), "photos") == Path("out/my.photos")


@pytest.mark.parametrize("name", ["index4", "8"])
def test_map_is_drawn_around_its_keypoint(name, tmp_path):
    assert detect(PHOTO, "--out", tmp_path / "plain") == 0
    assert detect(PHOTO, "--out", tmp_path / "map", "--map", name) == 0
    plain, mapped = (
        read_image(tmp_path / f / "overlay" / f"{PHOTO.stem}.jpg").astype(int)
        for f in ("plain", "map")
    )
    (hand,) = read_hands(tmp_path / "map" / "hands.json")["pictures"][0]["hands"]
    far = np.abs(plain - mapped)[30:].sum(-1)  # below the title
    rows, columns = np.nonzero(far > 60)
    middle = np.array([np.median(columns), np.median(rows) + 30])
    assert np.linalg.norm(middle - keypoints_of(hand)[8, :2]) < 15


def test_map_of_a_detector_without_maps_is_the_density_of_its_readings():
    image, lite = read_image(PHOTO), load_detector("mediapipe-lite")
    hands = lite.detect(image)
    (density,) = keypoint_maps(lite, image, hands.rois, 8)
    assert density.sum() == pytest.approx(1, abs=1e-4)
    y, x = np.unravel_index(density.argmax(), density.shape)
    roi = hands.rois[0]
    cos, sin = np.cos(roi[3]), np.sin(roi[3])
    local = (np.array([x + 0.5, y + 0.5]) / len(density) - 0.5) * roi[2]
    peak = roi[:2] + np.array([[cos, -sin], [sin, cos]]) @ local
    assert np.linalg.norm(peak - hands.xy_px[0, 8]) < 0.1 * np.ptp(hands.xy_px[0], axis=0).max()


# --- folders, and what a path is ---


def test_folder_of_photos(tmp_path, capsys):
    assert detect(PHOTOS, "--out", tmp_path / "out", "--parquet") == 0
    data = read_hands(tmp_path / "out" / "hands.json")
    names = [p["file"] for p in data["pictures"]]
    assert names == sorted(p.name for p in PHOTOS.glob("*.jpg"))
    assert [p.stem for p in sorted((tmp_path / "out" / "overlay").iterdir())] == [
        Path(n).stem for n in names
    ]
    sheet = read_image(tmp_path / "out" / "contact_sheet.jpg")
    assert min(sheet.shape[:2]) > 400
    dets = read_detections(tmp_path / "out" / "hands.parquet")
    assert dets.xy_px.shape[:2] == (1, len(names))
    for f, picture in enumerate(data["pictures"]):
        for h, hand in enumerate(picture["hands"]):
            np.testing.assert_allclose(dets.xy_px[0, f, h], keypoints_of(hand)[:, :2], atol=1e-3)


def test_pictures_of_one_stem_do_not_overwrite_each_other():
    names = overlay_names([Path("a.jpg"), Path("a.png"), Path("b.jpg")])
    assert names == ["a.jpg.jpg", "a.png.jpg", "b.jpg"]


def test_what_a_path_is(tmp_path):
    picture = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    for name in (
        "photos/a.png",
        "photos/notes.txt",
        "take/cam0/0.png",
        "mixed/0.png",
        "films/a.MP4",
        "mixed/cam1/0.png",
        "told/a.png",
        "told/capture.yaml",
        "x.heic",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    (tmp_path / "empty").mkdir()
    expected = {
        "photos": "photos",
        "take": "take",
        "mixed": "take",
        "films": "take",
        "told": "take",
        "empty": "take",
        "photos/a.png": "photo",
        "films/a.MP4": "video",
        "told/capture.yaml": "take",
        "x.heic": "photo",
    }
    assert {name: kind_of(tmp_path / name) for name in expected} == expected
    assert kind_of(Path("0")) == "camera"
    with pytest.raises(InputError, match="does not exist"):
        kind_of(tmp_path / "nowhere.jpg")


def test_file_round_trip(tmp_path):
    path = write_hands(
        tmp_path / "h.json", {"detector": {"name": "x"}}, [{"file": "a", "hands": []}]
    )
    assert read_hands(path)["pictures"] == [{"file": "a", "hands": []}]
    assert read_hands(write_hands(path, {"smoothing": None}, []))["pictures"] == []
    for text in ("", "[]", "{}", '{"format": "other"}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"h\.json"):
            read_hands(path)


# --- films ---


def test_film(clip, tmp_path):
    assert detect(clip, "--out", tmp_path / "out", "--smooth", "--parquet", "--max-hands", "1") == 0
    data = read_hands(tmp_path / "out" / "hands.json")
    pictures = data["pictures"]
    assert [p["frame"] for p in pictures] == list(range(12))
    np.testing.assert_allclose([p["time_s"] for p in pictures], np.arange(12) / 25, atol=1e-3)
    assert {h["id"] for p in pictures for h in p["hands"]} == {0}
    x = [keypoints_of(p["hands"][0])[:, 0].mean() for p in pictures]
    np.testing.assert_allclose(np.diff(x)[2:], 4, atol=2)  # the film moves by 4 px a picture
    smooth = [keypoints_of(p["hands"][0], "smoothed")[:, 0].mean() for p in pictures]
    assert (np.subtract(x, smooth)[4:] > 0).all()  # trails
    assert data["smoothing"]["lag_s"]["rest"] == pytest.approx(1 / (2 * np.pi))
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as container:
        assert len(list(container.decode(video=0))) == 12
    dets = read_detections(tmp_path / "out" / "hands.parquet")
    np.testing.assert_allclose(dets.times[0], [p["time_s"] for p in pictures])
    assert dets.size_wh == ((320, 240),)


def test_passes_of_a_film(clip, tmp_path):
    """The median of the readings is followed, and rated."""
    arguments = ["--passes", "2", "--frames", "4", "--max-hands", "1"]
    assert detect(clip, "--out", tmp_path / "out", *arguments) == 0
    data = read_hands(tmp_path / "out" / "hands.json")
    assert data["detector"]["passes"] == 2
    tracker = Tracker(load_detector("mediapipe-lite", passes=2, max_hands=1), max_hands=1)
    with av.open(str(clip)) as container:
        frames = [f.to_ndarray(format="bgr24") for f in container.decode(video=0)][:4]
    for frame, picture in zip(frames, data["pictures"], strict=True):
        hands, _ = tracker.step(frame)
        got = keypoints_of(picture["hands"][0])
        np.testing.assert_allclose(got[:, :2], hands.xy_px[0], atol=1e-3)
        np.testing.assert_allclose(got[:, 2], hands.conf[0], atol=1e-3)


def test_film_of_uneven_times_and_limits(tmp_path):
    times = [0, 0.04, 0.2, 0.24, 0.8]
    path = film(tmp_path / "a.mp4", list(moving_hand(5)), times)
    assert detect(path, "--out", tmp_path / "all") == 0
    pictures = read_hands(tmp_path / "all" / "hands.json")["pictures"]
    np.testing.assert_allclose([p["time_s"] for p in pictures], times, atol=2e-3)
    with av.open(str(tmp_path / "all" / "overlay.mp4")) as container:
        shown = [float(f.time) for f in container.decode(video=0)]
    np.testing.assert_allclose(shown, times, atol=2e-3)
    assert detect(path, "--out", tmp_path / "some", "--seconds", "0.24") == 0
    assert len(read_hands(tmp_path / "some" / "hands.json")["pictures"]) == 3
    assert detect(path, "--out", tmp_path / "two", "--frames", "2") == 0
    assert len(read_hands(tmp_path / "two" / "hands.json")["pictures"]) == 2


def test_without_tracking_every_picture_is_searched(clip, tmp_path):
    assert detect(clip, "--out", tmp_path / "out", "--no-track", "--frames", "3") == 0
    pictures = read_hands(tmp_path / "out" / "hands.json")["pictures"]
    lite = load_detector("mediapipe-lite")
    with av.open(str(clip)) as container:
        frame = [f.to_ndarray(format="bgr24") for f in container.decode(video=0)][2]
    np.testing.assert_allclose(
        keypoints_of(pictures[2]["hands"][0])[:, :2], lite.detect(frame).xy_px[0], atol=1e-3
    )
    assert pictures[2]["hands"][0]["id"] is None


def test_killed_film_goes_on_to_the_same_result(clip, tmp_path, monkeypatch):
    """Shards of 4 pictures; the run is killed -9 after the second."""
    code = (
        "import sys, os, signal\n"
        "from multiview.stages import detect_video as d\n"
        "d.SHARD = 4\n"
        "write, done = d.write_text, []\n"
        "def count(path, text):\n"
        "    write(path, text)\n"
        "    if path.name.startswith('shard'): done.append(path)\n"
        "    if len(done) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "d.write_text = count\n"
        "from multiview import cli\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    arguments = ["detect", clip, "--out", tmp_path / "out", "--search-every", "3", *LITE]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    killed = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    shards = sorted((tmp_path / "out.partial").glob("shard-*.json"))
    assert len(shards) == 2
    before = [p.stat().st_mtime_ns for p in shards]
    monkeypatch.setattr("multiview.stages.detect_video.SHARD", 4)
    kept = []

    def finish(stage, *_):
        kept.append([p.stat().st_mtime_ns for p in shards])
        stage.finish({})

    monkeypatch.setattr("multiview.stages.detect_video.finish", finish)
    assert cli.main([str(a) for a in arguments]) == 0
    assert kept == [before]  # not done again
    monkeypatch.undo()
    arguments[3] = tmp_path / "whole"
    assert cli.main([str(a) for a in arguments]) == 0
    resumed, whole = (read_hands(tmp_path / f / "hands.json") for f in ("out", "whole"))
    assert resumed["pictures"] == whole["pictures"]


# --- cameras ---


class FakeCamera:
    """25 pictures a second, then none."""

    def __init__(self, count, interrupt_at=None):
        self.pictures, self.at, self.interrupt_at = list(moving_hand(count)), 0, interrupt_at
        self.released = False

    def isOpened(self):
        return True

    def read(self):
        if self.at == self.interrupt_at:
            raise KeyboardInterrupt
        if self.at >= len(self.pictures):
            return False, None
        self.at += 1
        time.sleep(0.002)
        return True, self.pictures[self.at - 1]

    def release(self):
        self.released = True


@pytest.mark.parametrize(
    ("camera", "more", "count"),
    [
        (FakeCamera(6), [], 6),
        (FakeCamera(6), ["--frames", "3"], 3),
        (FakeCamera(6, interrupt_at=4), [], 4),
        (FakeCamera(3), ["--passes", "1"], 3),
        (FakeCamera(6), ["--seconds", "0.000001"], 1),
    ],
)
def test_camera(camera, more, count, tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: camera)
    assert detect("0", "--out", tmp_path / "out", "--smooth", *more) == 0
    pictures = read_hands(tmp_path / "out" / "hands.json")["pictures"]
    assert len(pictures) == count
    times = [p["time_s"] for p in pictures]
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as container:
        assert len(list(container.decode(video=0))) == count
    assert camera.released


def test_camera_that_gives_no_picture(fails, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: FakeCamera(0))
    assert "camera 0 gave no picture" in fails("0")


def test_camera_that_does_not_exist(fails):
    assert "no camera 93" in fails("93")


# --- bad input ---


def sound_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.jpg", b"", "empty"),
        ("a.jpg", b"<!doctype html>", "web page"),
        ("a.png", b"\x89PNG\r\n\x1a\n0000", "cut short"),
        ("a.xyz", b"abc", "unreadable"),
        ("a.mp4", b"", "empty"),
        ("a.mp4", b"abc" * 99, "not a readable video"),
        ("sound.mp4", None, "no video stream"),
    ],
)
def test_bad_file(name, data, words, fails, tmp_path):
    path = tmp_path / name
    sound_only(path) if data is None else path.write_bytes(data)
    message = fails(path)
    assert words in message
    assert str(path) in message


def test_bad_photo_in_a_folder_is_named(fails, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "in" / name).write_bytes(PHOTO.read_bytes())
    (tmp_path / "in" / "c.jpg").write_bytes(PHOTO.read_bytes()[:9000])
    assert re.search(r"c\.jpg is cut short", fails(tmp_path / "in"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.jpg"], "nowhere.jpg does not exist"),
        ([PHOTO, "--map", "indx4"], r"'indx4'.*\n.*index4"),
        ([PHOTO, "--map", "21"], "no keypoint '21'"),
        ([PHOTO, "--provider", "abacus"], "abacus"),
    ],
)
def test_bad_argument(arguments, words, fails):
    assert re.search(words, fails(*arguments))


def test_unknown_detector(tmp_path, capsys):
    assert cli.main(["detect", str(PHOTO), "--detector", "x", "--out", str(tmp_path / "o")]) == 2
    assert "'x'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("build", "display", "words"),
    [("  GUI:   NONE", ":0", "no windows"), ("  GUI:   GTK3", "", "no display")],
)
def test_show_without_a_screen_detects_and_says_so(
    build, display, words, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: build)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert detect(PHOTO, "--out", tmp_path / "out", "--show") == 2
    assert words in capsys.readouterr().err
    assert len(read_hands(tmp_path / "out" / "hands.json")["pictures"][0]["hands"]) == 1


def test_show_with_a_screen(clip, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("multiview.stages.detect_files.no_window_because", lambda: "")
    monkeypatch.setattr("multiview.stages.detect_video.no_window_because", lambda: "")
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image.shape))
    monkeypatch.setattr(cv2, "waitKey", lambda ms: ord("q") if len(shown) == 3 else -1)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    assert detect(PHOTO, "--out", tmp_path / "a", "--show") == 0
    assert len(shown) == 1
    assert detect(clip, "--out", tmp_path / "b", "--show") == 0
    assert len(shown) == 3  # q ends the showing, not the detection
    assert len(read_hands(tmp_path / "b" / "hands.json")["pictures"]) == 12


# --- the hard pictures ---


def hand_on(width, height, size, at, mirrored=False):
    """The photo's hand on plain grey, `size` px long, with its centre at a place."""
    photo = read_image(PHOTO)
    photo = np.ascontiguousarray(photo[:, ::-1]) if mirrored else photo
    canvas = np.full((height, width, 3), 128, np.uint8)
    scale = size / 300.0  # longer side of the hand in the photo
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return paste(canvas, small, (at[0] - small.shape[1] // 2, at[1] - small.shape[0] // 2))


def paste(canvas, picture, corner):
    x, y = corner
    h, w = picture.shape[:2]
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, canvas.shape[1]), min(y + h, canvas.shape[0])
    canvas[y0:y1, x0:x1] = picture[y0 - y : y1 - y, x0 - x : x1 - x]
    return canvas


def test_hand_of_40_pixels():
    """In a picture of 192 px, the palm network's own size: in larger ones by `small_hands`."""
    hands = load_detector().detect(hand_on(192, 192, 40, (96, 96)))
    assert len(hands) >= 1
    assert 25 < np.ptp(hands.xy_px[0], axis=0).max() < 60


def test_hand_cut_by_the_border():
    image = read_image(PHOTO)
    whole = load_detector().detect(image).xy_px[0]
    cut = round(whole[:, 1].max() - 0.2 * np.ptp(whole[:, 1]))  # fingertips outside
    hands = load_detector().detect(np.ascontiguousarray(image[:cut]))
    assert len(hands) == 1
    inside = whole[:, 1] < cut
    error = np.linalg.norm(hands.xy_px[0] - whole, axis=1)
    assert np.median(error[inside]) < 0.1 * np.ptp(whole, axis=0).max()


def test_left_and_right_hand_in_one_picture():
    image = np.concatenate([read_image(PHOTO), read_image(PHOTO)[:, ::-1]], axis=1)
    hands = load_detector().detect(np.ascontiguousarray(image))
    assert len(hands) == 2
    first, second = sorted(range(2), key=lambda n: hands.xy_px[n, :, 0].mean())
    mirrored = 511 - hands.xy_px[second, :, 0]
    assert np.median(np.abs(mirrored - hands.xy_px[first, :, 0])) < 10
    assert (hands.handedness[first] < 0.5) != (hands.handedness[second] < 0.5)


# --- starting ---


@pytest.mark.parametrize("more", [[], ["--map", "index4"]])
def test_photo_loads_no_library_that_it_does_not_need(more, tmp_path):
    """The cold start stays short: these take from 0.1 to 1 s each to import."""
    arguments = ["detect", str(PHOTO), "--out", str(tmp_path / "out"), *more]
    code = (
        f"import sys\nfrom multiview import cli\nassert cli.main({arguments}) == 0\n"
        "heavy = {'scipy', 'pyarrow', 'av', 'onnx', 'onnxruntime', 'sleap_io', 'torch', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done


@pytest.mark.parametrize("what", ["photo", "film", "take"])
def test_a_network_that_does_not_load_leaves_no_folder(what, clip, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    card = (Path(load_card("hand").folder) / "mediapipe-lite.yaml").read_text()
    (tmp_path / "models" / "own.yaml").write_text(card.replace("name: mediapipe-lite", "name: own"))
    take = tmp_path / "take"
    take.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (take / name).write_bytes(clip.read_bytes())
    path = {"photo": PHOTO, "film": clip, "take": take}[what]
    command = ["detect", path, "--detector", "own", "--out", tmp_path / "r" / "out"]
    assert cli.main([*map(str, command)]) == 2
    assert "onnx" in capsys.readouterr().err
    assert list((tmp_path / "r").iterdir()) == []
