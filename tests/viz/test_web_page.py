"""The page: what it holds, and that a browser without a network shows it."""

import base64
import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from viz_scenes import FRAMES, small_scene, small_take

from multiview.viz.web_page import GRID, encode_coordinates, thumbnail_times, web_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# As a person's hand on the scrubber: the value changes and the browser says so.
SCRUB = """<script>const wait = setInterval(() => {
  if (!document.body.dataset.ready) return;
  clearInterval(wait);
  const bar = document.getElementById("scrub"), canvas = document.getElementById("view");
  const first = canvas.toDataURL();
  document.body.dataset.before = document.body.dataset.first;
  bar.value = 7; bar.dispatchEvent(new Event("input"));
  document.body.dataset.moved = canvas.toDataURL() !== first;
}, 50);</script>"""


def decoded(data):
    """What the page's script does with the coordinates."""
    raw = np.frombuffer(zlib.decompress(base64.b64decode(data["xyz"])), np.uint8)
    half = len(raw) // 2
    steps = raw[:half].astype(np.uint16) | (raw[half:].astype(np.uint16) << 8)
    code = np.cumsum(steps.reshape(data["shape"][0], -1), axis=0, dtype=np.uint16)
    xyz = np.array(data["low"]) + (code.reshape(*data["shape"], 3) - 1.0) * data["step"]
    return np.where(code.reshape(*data["shape"], 3) == 0, np.nan, xyz)


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


@pytest.fixture(scope="module")
def page():
    return web_page(small_scene())


def test_coordinates_survive_within_half_a_grid_step(page):
    _, points, _ = small_take()
    data = data_of(page)
    extent = np.ptp(points.xyz_world[points.valid], axis=0).max()
    assert data["step"] == pytest.approx(extent / GRID, rel=1e-5)
    got = decoded(data)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(points.xyz_world))
    # half a step, and what 4-byte floats of metres lose
    assert np.nanmax(np.abs(got - points.xyz_world)) <= 0.51 * data["step"] + 2e-7


def test_one_point_and_none_can_be_written():
    xyz = np.full((3, 1, 2, 3), np.nan, np.float32)
    assert not encode_coordinates(xyz)[2].any()
    xyz[1, 0, 0] = 2.0
    low, step, data = encode_coordinates(xyz)
    assert np.isfinite([*low, step]).all()
    assert data.any()


def test_the_page_is_alone_and_a_title_cannot_break_out(page):
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "http" not in page.replace("http-equiv", "")
    assert "take </script>" not in page
    assert data_of(page)["title"] == "take </script>"
    assert "<" not in re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1]


def test_pictures_are_spread_over_the_take_within_a_budget(page):
    data = data_of(page)
    assert [f for f, _ in data["thumbs"][0]] == list(range(FRAMES))
    long = thumbnail_times(small_scene(frame_ids=np.arange(18_000)))
    assert (long[0], long[-1]) == (0, 17_999)
    assert len(long) * 4 <= 280


def browser(path: Path, folder: Path) -> str:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000"]
    options += [f"--user-data-dir={folder}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command = [CHROMIUM, *options, "--dump-dom", path.as_uri() + "#frame=2"]
    return subprocess.run(command, capture_output=True, text=True, timeout=90).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
def test_scrubbing_moves_the_hand_without_a_network(page, tmp_path):
    file = tmp_path / "run.html"
    file.write_text(page.replace("</body>", SCRUB + "</body>"), encoding="utf-8")
    body = re.search(r"<body[^>]*>", browser(file, tmp_path / "profile"))[0]
    got = dict(re.findall(r'data-(\w+)="([^"]*)"', body))
    assert (got["frame"], got["moved"]) == ("7", "true")
    _, points, _ = small_take()
    for name, f in (("before", 2), ("first", 7)):
        shown = [float(x) for x in got[name].split()]
        np.testing.assert_allclose(shown, points.xyz_world[f, 0, 0], atol=2e-4)
