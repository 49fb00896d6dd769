"""Captures of videos that are encoded here, with the frame number written in every picture."""

import gc
import os
import tracemalloc
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from multiview._video import VideoSource
from multiview.capture import open_capture
from multiview.errors import CaptureError

CODEC = "libx264" if "libx264" in av.codecs_available else "mpeg4"
SIZE = (96, 64)
BITS = 10
BLOCK = 8
B_FRAMES = {"bf": "3", "g": "12"} if CODEC == "libx264" else {"bf": "2", "g": "12"}
needs_x264 = pytest.mark.skipif(CODEC != "libx264", reason="the av wheel has no libx264")
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc (Linux)")


def picture(number, size=SIZE):
    """Return a grey picture with the number as black and white blocks in its top row."""
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    for bit in range(BITS):
        image[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
    return image


def number(image):
    row = image[BLOCK // 2, BLOCK // 2 :: BLOCK].mean(-1)[:BITS]
    return int(((row > 128) << np.arange(BITS)).sum())


def encode(
    path,
    n=40,
    *,
    ticks=None,
    rate=30,
    codec=CODEC,
    options=B_FRAMES,
    size=SIZE,
    first=0,
    movflags=None,
    turn=None,
    noise=False,
):
    """Encode pictures numbered from `first`, shown at `ticks` / `rate` seconds."""
    container_options = {"movflags": movflags} if movflags else {}
    with av.open(str(path), "w", options=container_options) as container:
        stream = container.add_stream(codec, rate=rate, options=dict(options))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        if turn:
            stream.set_display_rotation(*turn)
        for i in range(n):
            image = picture(first + i, size)
            if noise:  # pictures that take more bytes than the headers
                image[BLOCK * 2 :] = np.random.default_rng(i).integers(
                    0, 255, image[BLOCK * 2 :].shape
                )
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts = i if ticks is None else int(ticks[i])
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbers(capture, view=0, *args):
    return [(f, number(image)) for f, image in capture.images(view, *args)]


CONTAINERS = [
    ("b.mp4", CODEC, B_FRAMES),
    ("b.mkv", CODEC, B_FRAMES),
    ("b.avi", CODEC, B_FRAMES),
    ("b.ts", CODEC, B_FRAMES),
    ("b4.avi", "mpeg4", {"bf": "2", "g": "12"}),
    ("p.mov", "mpeg4", {"g": "10"}),
    ("v.webm", "libvpx", {"g": "10", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    ("v9.webm", "libvpx-vp9", {"g": "10", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    ("i.avi", "mjpeg", {}),
]


@pytest.mark.parametrize(("name", "codec", "options"), CONTAINERS, ids=[c[0] for c in CONTAINERS])
def test_frame_n_is_frame_n_in_order_and_by_seeking(tmp_path, name, codec, options):
    if codec not in av.codecs_available:
        pytest.skip(f"the av wheel has no {codec}")
    pix = {"strict": "unofficial"} if codec == "mjpeg" else {}
    capture = open_capture(encode(tmp_path / name, 50, codec=codec, options=options | pix))
    assert capture.sizes_wh == (SIZE,)
    # 2 ms: mkv and webm store whole milliseconds.
    np.testing.assert_allclose(
        capture.times[0] - capture.times[0, 0], np.arange(50) / 30, atol=0.002
    )
    if name != "b.ts":  # transport streams start late by the depth of the B-frames
        assert capture.times[0, 0] == 0
    sequential = dict(capture.images(0))
    assert [(f, number(image)) for f, image in sequential.items()] == [(i, i) for i in range(50)]
    for f in (0, 1, 11, 12, 13, 25, 38, 49):
        np.testing.assert_array_equal(capture.image(0, f), sequential[f])
    assert numbers(capture, 0, 33, 36) == [(33, 33), (34, 34), (35, 35)]


def test_b_frames_are_really_there(tmp_path):
    path = encode(tmp_path / "b.mp4")
    with av.open(str(path)) as container:
        pts = [p.pts for p in container.demux(video=0) if p.pts is not None]
    assert pts != sorted(pts)


@needs_x264
def test_open_groups_of_pictures_seek_to_the_right_picture(tmp_path):
    options = B_FRAMES | {"x264-params": "open-gop=1:scenecut=0:keyint=8:bframes=3:b-adapt=0"}
    for name in ("o.mp4", "o.mkv", "o.ts"):
        capture = open_capture(encode(tmp_path / name, 60, options=options))
        assert [number(capture.image(0, f)) for f in range(60)] == list(range(60))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_seeking_does_not_decode_from_the_start(tmp_path, name, monkeypatch):
    codec = "libvpx" if name == "a.webm" else CODEC
    capture = open_capture(encode(tmp_path / name, 200, codec=codec, options={"g": "10"}))
    decode, count = VideoSource._numbered, []

    def counted(*args):
        for item in decode(*args):
            count.append(item[0])
            yield item

    monkeypatch.setattr(VideoSource, "_numbered", counted)
    assert number(capture.image(0, 195)) == 195
    assert len(count) <= 20  # two groups of pictures: mkv may land on the keyframe before


def remux(source, path, packets):
    """Write `packets(list of packets)` of a video into another file without decoding."""
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in packets([p for p in given.demux(video=0) if p.size]):
            packet.stream = stream
            made.mux(packet)
    return path


@needs_x264
@pytest.mark.parametrize("skip", [1, 8])
def test_pictures_before_the_first_usable_keyframe_are_left_out(tmp_path, skip):
    options = B_FRAMES | {"x264-params": "open-gop=1:scenecut=0:keyint=8:bframes=3:b-adapt=0"}
    whole = encode(tmp_path / "o.mp4", 40, options=options)
    capture = open_capture(remux(whole, tmp_path / "late.mkv", lambda p: p[skip:]))
    seen = [n for _, n in numbers(capture)]
    assert seen == list(range(seen[0], 40))
    assert seen[0] in {8, 16}
    # 2 ms: mkv stores whole milliseconds; the muxer may shift all times by a constant.
    np.testing.assert_allclose(np.diff(capture.times[0]), 1 / 30, atol=0.002)


@needs_x264
def test_edit_list_hides_leading_frames(tmp_path):
    path = encode(tmp_path / "e.mp4", 40)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 16  # version, count, duration, then where the track starts
    shift = 5 * 512  # five frames of 1/30 s in the track's time base of 1/15360 s
    data[at : at + 4] = (int.from_bytes(data[at : at + 4]) + shift).to_bytes(4)
    path.write_bytes(data)
    capture = open_capture(path)
    assert [n for _, n in numbers(capture)] == list(range(5, 40))
    assert number(capture.image(0, 20)) == 25
    assert capture.times[0, 0] == 0


@pytest.mark.skipif("libvpx" not in av.codecs_available, reason="the av wheel has no libvpx")
def test_hidden_vp8_reference_is_no_frame(tmp_path):
    whole = encode(tmp_path / "a.webm", 20, codec="libvpx", options={"g": "100"})

    def with_hidden(packets):
        data = bytearray(bytes(packets[10]))
        data[0] &= ~0x10  # show_frame
        hidden = av.Packet(bytes(data))
        hidden.pts = hidden.dts = packets[10].pts - 10
        hidden.time_base = packets[10].time_base
        return [*packets[:10], hidden, *packets[10:]]

    capture = open_capture(remux(whole, tmp_path / "b.webm", with_hidden))
    assert len(capture.frame_ids) == 20
    assert [f for f, _ in capture.images(0)] == list(range(20))


def test_variable_frame_rate_times_are_exact(tmp_path):
    ticks = np.cumsum(np.random.default_rng(0).integers(1, 5, 30))
    capture = open_capture(encode(tmp_path / "v.mp4", 30, ticks=ticks, rate=90))
    np.testing.assert_allclose(np.diff(capture.times[0]), np.diff(ticks) / 90, atol=1e-12)
    assert numbers(capture) == [(i, i) for i in range(30)]
    assert [number(capture.image(0, f)) for f in (3, 17, 29)] == [3, 17, 29]


def test_cameras_with_drops_late_start_and_other_counts(tmp_path):
    kept = {
        "cam2": np.delete(np.arange(60), [20, 21, 30]),
        "cam10": np.arange(15, 70),
        "cam1": np.arange(60),
    }
    for name, ticks in kept.items():
        encode(tmp_path / f"{name}.mkv", ticks.size, ticks=ticks)
    (tmp_path / "notes.txt").write_text("take 1")
    capture = open_capture(tmp_path)
    assert capture.names == ("cam1", "cam2", "cam10")
    for f, images in capture.sets():
        instants = {
            int(kept[name][number(image)])
            for name, image in zip(capture.names, images, strict=True)
            if image is not None
        }
        assert instants == {f}, "all pictures of a set show the same instant"
    assert capture.index.shape == (3, 60)
    assert capture.sync.n_complete == 60 - 15 - 3
    assert [c.dropped for c in capture.sync.cameras] == [0, 0, 10]
    assert capture.sync.cameras[2].start_s == pytest.approx(0.5, abs=0.002)
    assert [f for f, _ in capture.images(1, 18, 23)] == [18, 19, 22]


def test_offset_mixed_sources_and_folders(tmp_path):
    encode(tmp_path / "video.mp4", 20)
    folder = tmp_path / "cam0"
    folder.mkdir()
    for i in range(10):
        cv2.imwrite(str(folder / f"{i}.png"), picture(i))
    assert open_capture(tmp_path, fps=30).names == ("cam0", "video")
    (tmp_path / "capture.yaml").write_text(
        "fps: 30\ncameras: {v: {path: video.mp4}, i: {path: cam0, offset_s: 0.2}}"
    )
    capture = open_capture(tmp_path)
    seen = [[number(image) for image in images] for _, images in capture.sets()]
    assert seen == [[i + 6, i] for i in range(10)]


def test_index_mode_ignores_clocks(tmp_path):
    encode(tmp_path / "a.mp4", 20)
    encode(tmp_path / "b.mp4", 12, rate=15)
    capture = open_capture(tmp_path, sync="index")
    assert [[number(i) for i in images] for _, images in capture.sets()] == [
        [i, i] for i in range(12)
    ]
    assert capture.times[1, 11] == pytest.approx(11 / 15)


TURNS = [(-90, False, False), (90, False, False), (180, False, False), (0, True, False)]
TURNS += [(0, False, True), (-90, True, False), (90, True, False)]


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_rotation_metadata_is_applied(tmp_path, turn):
    upright = open_capture(encode(tmp_path / "a.mp4", 3)).image(0, 1)
    capture = open_capture(encode(tmp_path / "b.mp4", 3, turn=turn))
    degrees, hflip, vflip = turn
    # FFmpeg turns counter-clockwise as np.rot90 does, and mirrors the picture that results.
    expected = np.rot90(upright, degrees // 90)
    expected = expected[:: -1 if vflip else 1, :: -1 if hflip else 1]
    image = capture.image(0, 1)
    np.testing.assert_array_equal(image, expected)
    assert capture.sizes_wh == ((image.shape[1], image.shape[0]),)
    assert image.flags.c_contiguous
    assert image.flags.writeable


@pytest.mark.parametrize("degrees", [-90, 90, 180])
def test_rotation_agrees_with_opencv(tmp_path, degrees):
    path = encode(tmp_path / "a.mp4", 3, turn=(degrees, False, False))
    ok, oracle = cv2.VideoCapture(str(path)).read()
    if not ok:
        pytest.skip("this OpenCV build reads no video")
    ours = open_capture(path).image(0, 0)
    # Chroma upsampling may differ by a few grey levels between two FFmpeg builds.
    assert np.abs(ours.astype(int) - oracle).mean() < 3


@pytest.mark.parametrize("content", [b"", b"garbage " * 500, b"RIFF", b"\x1a\x45\xdf\xa3"])
@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_not_a_video(tmp_path, content, suffix):
    encode(tmp_path / "good.mp4", 5)
    (tmp_path / f"bad{suffix}").write_bytes(content)
    with pytest.raises(CaptureError, match=rf"camera bad: .*bad\{suffix}") as error:
        open_capture(tmp_path)
    assert error.value.next_step
    assert ("(0 bytes)" in str(error.value)) == (not content)


def cut(path, share=0.6):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_mp4_without_its_index_is_unreadable(tmp_path):
    path = cut(encode(tmp_path / "cam.mp4", 60))
    with pytest.raises(CaptureError, match=r"cam\.mp4 is not a readable video.*bytes at its end"):
        open_capture(path)


@pytest.mark.parametrize("name", ["cam.mp4", "cam.mkv", "cam.avi"])
def test_truncated_video(tmp_path, name):
    movflags = "faststart" if name == "cam.mp4" else None
    cut(encode(tmp_path / name, 60, movflags=movflags, noise=True))
    message = r"camera cam: .* is cut short: .*promises 60 frames, (\d+) frames are there \(last"
    with pytest.raises(CaptureError, match=message) as error:
        open_capture(tmp_path)
    assert "allow_truncated: true" in error.value.next_step
    (tmp_path / "capture.yaml").write_text("allow_truncated: true")
    seen = numbers(open_capture(tmp_path))
    assert 20 < len(seen) < 50
    # The last group of pictures may miss B-frames, so numbers may skip at the very end.
    assert seen[:-4] == [(i, i) for i in range(len(seen) - 4)]


def test_complete_videos_are_not_called_truncated(tmp_path):
    for movflags in ("faststart", "frag_keyframe+empty_moov", None):
        assert len(open_capture(encode(tmp_path / "a.mp4", 30, movflags=movflags)).frame_ids) == 30


@needs_x264
def test_damage_in_the_middle_names_camera_and_frame(tmp_path):
    path = encode(tmp_path / "cam7.mkv", 60, noise=True, options={"g": "12"})
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][32]
    whole, half = bytes(packet), packet.size // 2
    # FFmpeg would fill the lower half from another picture and report nothing.
    broken = whole[:half] + bytes(len(whole) - half)
    path.write_bytes(path.read_bytes().replace(whole, broken))
    capture, seen = open_capture(path), []
    # The decoder itself must refuse: its is_corrupt flag comes too late in some threaded runs.
    with pytest.raises(CaptureError, match=r"camera cam7: .*frame \d+ of 60 .*Invalid data"):
        seen.extend(number(image) for _, image in capture.images(0))
    assert 15 < len(seen) < 36
    assert seen == list(range(len(seen)))


def test_size_change_midway(tmp_path):
    # Transport streams may be joined end to end, as recorders do when a setting changes.
    parts = [encode(tmp_path / f"{i}.ts", 20, size=s) for i, s in enumerate([SIZE, (128, 96)])]
    joined = tmp_path / "joined"
    joined.mkdir()
    (joined / "cam.ts").write_bytes(b"".join(p.read_bytes() for p in parts))
    with pytest.raises(CaptureError, match=r"camera cam: .*(changes its picture size|decode)"):
        list(open_capture(joined).images(0))


@needs_proc
@pytest.mark.parametrize("how", ["images", "sets", "image"])
def test_files_are_closed_when_abandoned(tmp_path, how):
    encode(tmp_path / "a.mp4", 30)
    encode(tmp_path / "b.mp4", 30)
    capture = open_capture(tmp_path)

    def open_files():
        gc.collect()
        links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
        return sum(str(tmp_path) in os.readlink(p) for p in links if os.path.lexists(p))

    if how == "image":
        capture.image(0, 20)
    else:
        iterator = capture.images(0, 15) if how == "images" else capture.sets(15)
        list(islice(iterator, 3))
        assert open_files() > 0
        iterator.close()
    assert open_files() == 0


@needs_proc
def test_memory_stays_flat_over_600_frames(tmp_path):
    size = (320, 240)
    for name in "ab":
        encode(tmp_path / f"{name}.mp4", 600, size=size, options=B_FRAMES | {"preset": "ultrafast"})
    capture = open_capture(tmp_path)

    def resident():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    sets = capture.sets()
    list(islice(sets, 50))  # decoders fill their pools
    tracemalloc.start()
    before = resident()
    assert sum(1 for _ in sets) == 550
    peak, grown = tracemalloc.get_traced_memory()[1], resident() - before
    tracemalloc.stop()
    one_set = 2 * size[0] * size[1] * 3
    assert peak < 10 * one_set  # the whole take is 600 sets
    assert grown < 60 * one_set
