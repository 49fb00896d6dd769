"""A rig for the viewers: the map of its volume, its boards, the page and the recording of it."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from multiview.core import BoardTrack, Rig
from multiview.synth import make_rig
from multiview.viz import rerun_rig
from multiview.viz.rig_page import rig_page
from multiview.viz.rig_scene import RigScene, board_outlines, corners_in_picture, volume_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "</script><b>cam"
# A hand on the page's controls; what it did is read from the body.
USE = """<script>
const shot = () => document.getElementById("view").toDataURL(), first = shot();
const what = document.getElementById("what"), bar = document.getElementById("slice");
document.body.dataset.kinds = [...what.options].map(o => o.value);
what.value = "views"; what.onchange(); draw();
const second = shot(); bar.value = 0; bar.oninput(); draw();
document.querySelector("aside section").click(); draw();
document.body.dataset.changed = [first !== second, second !== shot()];
document.body.dataset.where = document.getElementById("where").textContent;
document.body.dataset.legend = document.getElementById("key").textContent;
document.body.dataset.values = cells.map(c => c[1]);
document.body.dataset.cards = document.querySelectorAll("aside section").length;
</script>"""


def a_rig(cameras=5):
    return make_rig(np.random.default_rng(0), cameras, view_m=1.0)


def some_boards(count=6, seed=1):
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(4)), -1).reshape(-1, 2) * 0.03
    turn = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    turn *= np.linalg.det(turn)[:, None, None]
    corners = np.concatenate([grid, np.zeros((24, 1))], 1)
    return BoardTrack(
        name="board",
        about="a board",
        xyz_board=corners,
        frame_ids=np.arange(count) * 10,
        R=turn,
        t=rng.uniform(-0.2, 0.2, (count, 3)),
    )


def a_scene(**changes):
    rig, boards = a_rig(), (some_boards(),)
    known = {"title": "rig <one>", "rig": rig, "boards": boards}
    return RigScene(**(known | {"volume": volume_of(rig, boards)} | changes))


def test_the_map_says_what_noise_does_to_a_triangulated_point():
    rig = a_rig()
    volume = volume_of(rig)
    rng = np.random.default_rng(2)
    for n in rng.choice(np.flatnonzero(volume.views == volume.views.max()), 3):
        xyz = volume.xyz[n]
        # linear least squares about the place itself, by differences
        steps = 1e-5 * np.eye(3)
        J = (rig.project(xyz + steps) - rig.project(xyz - steps)) / 2e-5
        xy = rig.project(xyz)
        sizes = np.array([c.intrinsics.size_wh for c in rig.cameras])
        seen = ((xy > -0.5) & (xy < sizes - 0.5)).all(-1)
        assert seen.sum() == volume.views[n]
        A = np.moveaxis(J, 1, -1)[seen].reshape(-1, 3)
        expected = np.sqrt(np.trace(np.linalg.inv(A.T @ A)))
        assert volume.by_pixel[n] == pytest.approx(expected, rel=1e-3)
    assert np.isnan(volume.by_pixel[volume.views < 2]).all()
    assert np.isnan(volume.by_rig).all()
    given = volume_of(rig, (), lambda xyz: xyz[:, 0])
    np.testing.assert_array_equal(given.by_rig, volume.xyz[:, 0])


def test_boards_are_counted_once_a_pose_in_every_cell_that_they_touch():
    rig, track = a_rig(), some_boards()
    volume = volume_of(rig, (track,))
    half = (volume.box.high - volume.box.low) / np.array(volume.shape) / 2
    counted = np.zeros(len(volume.xyz), int)
    for R, t in zip(track.R, track.t, strict=True):
        corners = track.xyz_board @ R.T + t
        touched = (np.abs(volume.xyz[:, None] - corners) < half).all(-1).any(1)
        counted += touched
    assert counted.max() >= 1
    np.testing.assert_array_equal(volume.boards, counted)


def test_cameras_back_to_back_have_no_map_and_still_a_page():
    rig = a_rig(1)
    scene = a_scene(rig=rig, volume=volume_of(rig))
    assert scene.volume is None
    assert '"volume":null' in rig_page(scene)


def test_outlines_are_rectangles_around_the_corners():
    track = some_boards()
    outline = board_outlines(track)
    sides = np.linalg.norm(np.diff(outline, axis=1, append=outline[:, :1]), axis=-1)
    np.testing.assert_allclose(sides, np.tile([0.15, 0.09], (6, 2)), atol=1e-12)
    np.testing.assert_allclose(outline[:, 0], track.t, atol=1e-12)


def test_only_corners_inside_a_picture_count_for_it():
    rig, track = a_rig(), some_boards()
    far = BoardTrack(
        **{n: getattr(track, n) for n in ("name", "about", "xyz_board", "frame_ids", "R")},
        t=track.t + 50,
    )
    camera = rig.cameras[0]
    xy, filled = corners_in_picture(camera, (track, far))
    width, height = camera.intrinsics.size_wh
    assert len(xy) == 6 * 24
    assert (xy > -0.5).all()
    assert (xy < [width - 0.5, height - 0.5]).all()
    assert 0 < filled < 1
    assert corners_in_picture(camera, ())[1] == 0


def test_the_page_is_alone_and_names_are_text():
    rig = a_rig()
    named = Rig(cameras=(replace(rig.cameras[0], name=EVIL), *rig.cameras[1:]), world="<i>")
    page = rig_page(a_scene(rig=named))
    assert EVIL not in page
    assert "<i>" not in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    assert data["cameras"][0]["name"] == EVIL
    assert len(data["boards"]) == 6
    assert len(page) < 400_000


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
def test_a_browser_without_a_network_shows_and_cuts_the_volume(tmp_path):
    file = tmp_path / "rig.html"
    file.write_text(rig_page(a_scene()).replace("</body>", USE + "</body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000"]
    options += [f"--user-data-dir={tmp_path / 'p'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command = [CHROMIUM, *options, "--dump-dom", file.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=90).stdout
    got = dict(re.findall(r'data-(\w+)="([^"]*)"', re.search(r"<body[^>]*>", shown)[0]))
    assert got["ready"] == "1"
    assert got["kinds"] == "by_pixel,views,boards"  # the calibration's own error is not known
    assert got["changed"] == "true,true"
    assert "5 cameras" in got["legend"]
    assert got["cards"] == "5"
    volume = a_scene().volume
    lowest = np.take(volume.views.reshape(volume.shape), 0, axis="xyz".index(got["where"][0]))
    assert [int(x) for x in got["values"].split(",")] == lowest.ravel().tolist()


def test_the_recording_holds_cameras_boards_and_the_volume(tmp_path):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (pip install .[view])")
    path = tmp_path / "rig.rrd"
    rerun_rig.write_rig_recording(a_scene(), path)
    for verb in ("verify", "print"):
        command = [sys.executable, "-m", "rerun", "rrd", verb, *["-vv"] * (verb == "print")]
        done = subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    for part in (
        "world/boards/all",
        "world/boards/board",
        "image/boards",
        "world/volume/error_at_1_px",
        "world/volume/cameras",
        "world/volume/board_poses",
    ):
        assert part in done.stdout
    assert "data - volume/error_of_calibration" not in done.stdout


def test_good_places_are_bright():
    values = np.linspace(0, 1, 50)
    for worse in (True, False):
        light = rerun_rig._colours(values, worse).astype(int).sum(-1)
        assert (light[0] > light[-1]) == worse
