"""A killed `multiview detect` loses nothing that was finished, and its result is the same.

Most tests run the real command on two cameras of 130 pictures, three shards; the pictures are
small and hold a hand in some of them.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from multiview.formats.detections_parquet import read_detections
from multiview.stage import Stage
from multiview.stages.detect import SHARD_SETS

PHOTOS = sorted((Path(__file__).parent / "data" / "photos").glob("*.jpg"))
SIZE, FRAMES, CAMERAS = (160, 120), 130, ("left", "right")
SHARDS = -(-FRAMES // SHARD_SETS)
CODEC = "libx264" if "libx264" in av.codecs_available else "mpeg4"
# Long enough for a busy machine; a detection of this take takes some seconds.
PATIENCE_S = 120

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


def pictures(seed):
    """Photos of hands that move a little, on and off."""
    rng = np.random.default_rng(seed)
    small = [cv2.resize(cv2.imread(str(p)), (68, SIZE[1])) for p in PHOTOS]
    for f in range(FRAMES):
        image = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
        if f % 5 == 0:
            x = int(rng.integers(0, SIZE[0] - 68))
            image[:, x : x + 68] = small[f // 5 % len(small)]
        yield image


@pytest.fixture(scope="module")
def take(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume") / "take"
    folder.mkdir()
    for seed, name in enumerate(CAMERAS):
        with av.open(str(folder / f"{name}.mp4"), "w") as container:
            stream = container.add_stream(CODEC, rate=30)
            (stream.width, stream.height), stream.pix_fmt = SIZE, "yuv420p"
            for n, image in enumerate(pictures(seed)):
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                frame.pts, frame.time_base = n, Fraction(1, 30)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return folder


def start(take, out):
    command = [sys.executable, "-m", "multiview", "detect", str(take), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--detector", "mediapipe-lite"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell that runs the tests in the background ignores it, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(process):
    """Wait for the end; return exit code, output and errors."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def whole(take, tmp_path_factory):
    """Result of a run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "detect"
    code, _, err = finish(start(take, out))
    assert code == 0, err
    return out


def shards(out):
    """Finished parts of a run: what was written when."""
    found = {}
    for path in out.with_name(f"{out.name}.partial").glob("shard-*.parquet"):
        with suppress(FileNotFoundError):  # the run has just ended and tidied up
            found[path.name] = path.stat().st_mtime_ns
    return found


def stop_after_first_shard(take, out, number):
    """Send a signal when the first part is there and the next has begun."""
    process = start(take, out)
    deadline = time.monotonic() + PATIENCE_S
    try:
        while not shards(out):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no shard was written"
            time.sleep(0.01)
        os.kill(process.pid, number)
        return finish(process)
    finally:
        if process.poll() is None:
            process.kill()


def content(out):
    """Arrays of a result, as bytes, so that NaN compares equal."""
    dets = read_detections(out / "detections.parquet")
    names = ("xy_px", "conf", "times", "right", "frame_ids")
    arrays = {n: (getattr(dets, n).shape, getattr(dets, n).tobytes()) for n in names}
    return arrays | {"cameras": dets.camera_names, "source": dets.source}


def hidden(folder):
    return [p for p in folder.rglob("*") if p.name.startswith(".")]


def check_resumed(take, out, whole):
    """Run again: goes on after the finished parts and ends with the same bytes."""
    before = shards(out)
    assert 0 < len(before) < SHARDS
    watched, process, deadline = {}, start(take, out), time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        watched |= shards(out)
        time.sleep(0.01)
    code, _, err = finish(process)
    assert code == 0, err
    assert {n: watched[n] for n in before} == before  # the same files, not written again
    assert set(watched) > set(before)
    assert content(out) == content(whole)
    table = "detections.parquet"
    assert (out / table).read_bytes() == (whole / table).read_bytes()
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in whole.iterdir())
    assert [p.name for p in out.parent.iterdir()] == [out.name]


def test_the_take_holds_hands_and_empty_pictures(whole):
    found = read_detections(whole / "detections.parquet").valid.any((-1, -2))
    assert found.any(1).all()
    assert not found.all()
    assert json.loads((whole / "manifest.json").read_text())["figures"]["frame_sets"] == FRAMES


def test_interrupt_and_resume(take, whole, tmp_path):
    out = tmp_path / "detect"
    code, _, err = stop_after_first_shard(take, out, signal.SIGINT)
    assert code == 130
    assert "interrupted: finished parts are kept; run the same command again" in err
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["detect.partial"]
    assert not hidden(tmp_path)
    check_resumed(take, out, whole)


def test_kill_and_resume(take, whole, tmp_path):
    out = tmp_path / "detect"
    code, _, _ = stop_after_first_shard(take, out, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert [p.name for p in tmp_path.iterdir()] == ["detect.partial"]
    check_resumed(take, out, whole)


def test_interrupt_before_the_first_shard(take, tmp_path):
    """Also while libraries are still being imported there is no traceback."""
    process = start(take, tmp_path / "detect")
    deadline = time.monotonic() + PATIENCE_S
    while not (tmp_path / "detect.partial" / "plan.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    code, _, err = finish(process)
    assert (code, "Traceback" in err) == (130, False)
    assert "run the same command again" in err
    assert not (tmp_path / "detect").exists()


def unfinished(out, config):
    """Begin a stage, as a run that was killed has; return it with a finished part."""
    stage = Stage("detect", config, {"capture": "digest"}, out)
    (stage.work / "shard-00000.parquet").write_bytes(b"a part")
    return stage


def test_parts_made_with_other_settings_are_not_reused(tmp_path):
    """The parts of one hand a picture must not end in a result of two."""
    unfinished(tmp_path / "out", {"max_hands": 1})
    again = Stage("detect", {"max_hands": 1}, {"capture": "digest"}, tmp_path / "out")
    assert shards(tmp_path / "out")
    assert not again.done
    Stage("detect", {"max_hands": 2}, {"capture": "digest"}, tmp_path / "out")
    assert not shards(tmp_path / "out")


def test_parts_of_another_take_are_not_reused(tmp_path):
    unfinished(tmp_path / "out", {})
    Stage("detect", {}, {"capture": "another"}, tmp_path / "out")
    assert not shards(tmp_path / "out")


def test_half_written_file_of_a_kill_is_not_in_the_result(tmp_path):
    stage = unfinished(tmp_path / "out", {})
    (stage.work / ".shard-00001.abc123.parquet").write_bytes(b"PAR1 half a file")
    again = Stage("detect", {}, {"capture": "digest"}, tmp_path / "out")
    assert shards(tmp_path / "out")
    again.finish({})
    assert not hidden(tmp_path)


def test_finished_run_is_skipped(take, whole, tmp_path):
    out = tmp_path / "detect"
    shutil.copytree(whole, out)
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.iterdir()}
    code, said, err = finish(start(take, out))
    assert (code, err) == (0, "")
    assert "is up to date" in said
    assert {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["detect"]
