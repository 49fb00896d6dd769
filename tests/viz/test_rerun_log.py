"""The recording for rerun: complete, readable by rerun itself, a clear word where it is missing."""

import subprocess
import sys

import av
import numpy as np
import pytest
from viz_scenes import FRAMES, small_scene

from multiview.errors import InputError
from multiview.viz import rerun_log


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(InputError, match=r"\[view\]"):
        rerun_log.require_rerun()


def test_each_picture_of_a_film_becomes_one_packet_in_order():
    rng = np.random.default_rng(0)
    film = [(f, rng.integers(0, 255, (61, 81, 3)).astype(np.uint8)) for f in range(0, 80, 2)]
    packets = list(rerun_log._h264(iter(film)))
    assert [f for f, _ in packets] == list(range(0, 80, 2))
    assert packets[0][1][:4] == b"\x00\x00\x00\x01"  # Annex B, which rerun asks for
    codec = av.CodecContext.create("h264", "r")
    pictures = [p for _, data in packets for p in codec.decode(av.Packet(data))]
    pictures += codec.decode(None)
    assert len(pictures) == 40


def test_confidence_goes_from_green_to_red():
    skeleton = small_scene().skeleton
    sigma = np.full(21, 1.0)
    sigma[:2] = 0.01, 100.0
    colours = rerun_log._colours(skeleton, sigma, "confidence").astype(int)
    assert colours[0, 1] > 150 > colours[0, 0]
    assert colours[1, 0] > 150 > colours[1, 1]
    fingers = rerun_log._colours(skeleton, sigma, "finger")
    np.testing.assert_array_equal(fingers, skeleton.colors)


@pytest.mark.parametrize("images", ["video", "jpeg", "none"])
def test_rerun_reads_the_recording(tmp_path, images):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (pip install .[view])")
    path = tmp_path / "run.rrd"
    rerun_log.write_recording(small_scene(), path, images)
    command = [sys.executable, "-m", "rerun", "rrd", "print", "-vv", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    for part in (
        "hands/right/bones",
        "cam03/image/residuals",
        "residual_px/cam00",
        "inliers/cam02",
    ):
        assert part in done.stdout
    kinds = {"video": "VideoStream:sample", "jpeg": "EncodedImage:blob"}
    assert {k for k, word in kinds.items() if word in done.stdout} == {images} - {"none"}
    assert f"{FRAMES - 1}" in done.stdout
