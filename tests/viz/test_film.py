"""Films: what is drawn lies where geometry puts it."""

from dataclasses import replace

import numpy as np
import pytest
from viz_scenes import FRAMES, small_scene, small_take

from multiview.viz.film import beside, eye_around, mosaic, turntable
from multiview.viz.scene import scene_blocks


def test_the_eye_looks_at_its_target_and_up_is_up():
    target, up = np.array([0.3, -0.2, 1.0]), np.array([0.0, -1.0, 0.0])
    for turn in (0.0, 2.0):
        eye = eye_around(target, up, 2.0, turn, (640, 480))
        np.testing.assert_allclose(eye.R @ eye.R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(eye.R) == pytest.approx(1)
        assert np.linalg.norm(eye.at - target) == pytest.approx(2)
        xy, scale = eye.project(target)
        np.testing.assert_allclose(xy, [319.5, 239.5])
        assert scale == pytest.approx(480 / 2)
        higher = eye.project(target + 0.1 * up)[0]
        assert higher[1] < xy[1] - 10
        assert higher[0] == pytest.approx(xy[0])
        behind = eye.at + (eye.at - target)
        assert np.isnan(eye.project(behind)[0]).all()


def test_turntable_shows_each_frame_and_turns():
    film = list(turntable(small_scene(), range(2, 8), (320, 240), close=True))
    assert len(film) == 6
    assert {p.shape for p in film} == {(240, 320, 3)}
    middle = film[0][60:180, 80:240]
    assert (middle.max(-1) - middle.min(-1) > 60).any()  # fingers have colours, cameras have none
    assert (film[0] != film[3]).any()


def test_mosaic_marks_reprojections_in_the_pictures():
    _, points, rig = small_take()
    tiles = next(mosaic(small_scene(), range(3, 4), tile=640, columns=2))
    camera = rig.cameras[1]
    s = 640 / camera.intrinsics.size_wh[0]
    xy = (camera.project(points.xyz_world[3, 0, 8]) + 0.5) * s - 0.5
    x, y = np.round(xy + np.array([4 + 644, 4])).astype(int)
    patch = tiles[y - 8 : y + 9, x - 8 : x + 9].astype(int)
    assert (patch.max(-1) - patch.min(-1) > 60).any()


def test_missing_pictures_hands_and_detections_are_no_error():
    _, points, _ = small_take()
    nothing = replace(points, xyz_world=np.full(points.xyz_world.shape, np.nan))
    empty = small_scene(pictures=False, blocks=lambda: scene_blocks(nothing, None, 5))
    assert len(list(turntable(empty, range(FRAMES), (160, 120)))) == FRAMES
    assert len(list(mosaic(empty, range(FRAMES), tile=80))) == FRAMES


def test_two_films_side_by_side():
    film = [np.full((20, 30, 3), 7, np.uint8)] * 2
    wide = [np.full((30, 40, 3), 9, np.uint8)] * 2
    both = list(beside([iter(film), iter(wide)], ["before", "after"]))
    assert [p.shape for p in both] == [(58, 70, 3)] * 2
    assert both[0][40, 10, 0] == 7
    assert both[0][40, 50, 0] == 9
