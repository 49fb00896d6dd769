"""Which frame is shown when, and that a long take is read while it is played."""

import numpy as np
import pytest
from viz_scenes import FRAMES, small_scene, small_take

from multiview.viz.colours import CERTAINTY
from multiview.viz.playback import Player, Track, sureness_colours
from multiview.viz.scene import frame_rate, standard_deviation


def test_it_plays_at_the_clock_of_the_take_times_the_speed():
    player = Player(100, 30.0)
    assert player.playing
    player.tick(1.0, 100)
    assert player.frame == 30
    player.faster(1)
    player.tick(0.5, 100)
    assert (player.speed, player.frame) == (2.0, 60)
    player.faster(-99)
    assert player.speed == 0.1
    player.toggle()
    player.tick(10.0, 100)
    assert player.frame == 60


def test_after_the_end_it_begins_again_and_before_unread_frames_it_waits():
    player = Player(100, 30.0)
    player.tick(2.0, 40)
    assert player.frame == 39
    player.tick(1.0, 100)
    assert player.frame == 69
    player.tick(2.0, 100)
    assert player.frame == 0


def test_steps_pause_and_stay_within_the_take():
    player = Player(100, 30.0)
    player.step(10)
    assert (player.frame, player.playing) == (10, False)
    player.step(-11)
    assert player.frame == 0
    player.jump(10_000)
    assert player.frame == 99
    assert not Player(1, 30.0).playing


def test_blocks_are_read_one_after_the_other_and_hold_the_points():
    opened = []
    scene = small_scene()

    def counted():
        for block in scene.blocks():
            opened.append(block.start)
            yield block

    track = Track(small_scene(blocks=counted))
    assert track.ready == 0
    assert track.limits is None
    track.until(0)
    assert (track.ready, opened) == (5, [0])
    assert np.isnan(track.xyz[5:]).all()
    track.until(FRAMES + 100)  # beyond the end: all there is
    assert (track.ready, opened) == (FRAMES, [0, 5, 10])
    assert not track.more()
    _, points, _ = small_take()
    np.testing.assert_allclose(track.xyz, points.xyz_world, atol=1e-6)
    np.testing.assert_allclose(track.sigma, standard_deviation(points), rtol=1e-5)
    low, high = track.limits
    assert 0 < low < high


def test_colours_are_those_of_the_other_viewers_and_of_fingers_where_nothing_is_known():
    fingers = np.random.default_rng(0).uniform(0, 1, (4, 3))
    sigma = np.array([[0.001, 0.01, 0.004, np.nan]], np.float32)
    got = sureness_colours(sigma, (0.001, 0.01), fingers)
    np.testing.assert_allclose(got[0, :2] * 255, [CERTAINTY[0], CERTAINTY[-1]])
    np.testing.assert_allclose(got[0, 3], 0.5)
    np.testing.assert_array_equal(sureness_colours(sigma, None, fingers)[0], fingers)


def test_the_rate_is_that_of_the_clock_and_30_without_one():
    assert frame_rate(np.arange(9) / 59.94) == pytest.approx(59.94)
    assert frame_rate(np.full(5, np.nan)) == 30.0
    assert frame_rate(np.array([0.0])) == 30.0
