"""Where to look: hands completed from partly known 3D, and bridged over short gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from multiview.core import HAND_21, Points3D
from multiview.prediction import predict_hands
from multiview.synth import make_hand_motion

FRAMES = 9
PALM = [0, 1, 5, 9, 13, 17]
INDEX = [5, 6, 7, 8]


def as_points(xyz, ids=None):
    frames, hands = xyz.shape[:2]
    known = np.isfinite(xyz).all(-1)
    return Points3D(
        xyz_world=xyz,
        cov=np.full((*xyz.shape, 3), np.nan),
        inlier=np.zeros((3, frames, hands, 21), bool),
        err_px=np.full((3, frames, hands, 21), np.nan),
        voted=known,
        frame_ids=np.arange(frames) if ids is None else ids,
        camera_names=("a", "b", "c"),
        hands=("left", "right")[:hands],
        skeleton=HAND_21,
        rig_digest="0",
    )


@pytest.fixture
def xyz():
    return make_hand_motion(np.random.default_rng(0), FRAMES, 2)


def test_whole_hands_stay_as_they_are(xyz):
    np.testing.assert_array_equal(predict_hands(as_points(xyz)), xyz)


def test_a_missing_finger_comes_from_the_nearest_time(xyz):
    seen = xyz.copy()
    seen[4, 1, INDEX] = np.nan
    got = predict_hands(as_points(seen))
    known = np.isfinite(seen)
    np.testing.assert_array_equal(got[known], seen[known])
    # in 1/30 s the hand moves some mm and bends a little; a finger is 90 mm long
    assert np.linalg.norm(got[4, 1, INDEX] - xyz[4, 1, INDEX], axis=-1).max() < 0.02


def test_a_rigidly_moved_hand_is_completed_exactly():
    hand = make_hand_motion(np.random.default_rng(1), 1)[0, 0]
    R = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    xyz = np.stack([hand, hand @ R.T + [0.3, -0.1, 0.2]])[:, None]
    seen = xyz.copy()
    seen[1, 0, [i for i in range(21) if i not in (0, 5, 17)]] = np.nan
    np.testing.assert_allclose(predict_hands(as_points(seen)), xyz, atol=1e-9)


@pytest.mark.parametrize("known", [[0, 5], [5, 9, 13, 17], [0, 2, 3, 4]])
def test_too_little_of_the_palm_is_not_enough(xyz, known):
    seen = xyz.copy()
    seen[4:, 1] = np.nan
    seen[4, 1, known] = xyz[4, 1, known]
    got = predict_hands(as_points(seen))
    assert np.isnan(got[4, 1]).all()


def test_a_hand_that_was_never_whole_keeps_its_gaps(xyz):
    seen = xyz.copy()
    seen[:, 1, INDEX] = np.nan
    np.testing.assert_array_equal(predict_hands(as_points(seen)), seen)


def test_a_gap_of_one_frame_is_bridged(xyz):
    seen = xyz.copy()
    seen[4, 0] = np.nan
    got = predict_hands(as_points(seen))
    np.testing.assert_allclose(got[4, 0], (xyz[3, 0] + xyz[5, 0]) / 2)
    assert np.linalg.norm(got[4, 0] - xyz[4, 0], axis=-1).max() < 0.01
    assert np.isnan(predict_hands(as_points(seen), max_step=0)[4, 0]).all()


def test_longer_gaps_and_ends_are_not(xyz):
    seen = xyz.copy()
    seen[[0, 3, 4, 8], 0] = np.nan
    got = predict_hands(as_points(seen))
    assert np.isnan(got[[0, 3, 4, 8], 0]).all()


def test_frames_that_are_not_neighbours_are_not_bridged(xyz):
    seen, ids = xyz.copy(), np.arange(FRAMES)
    seen[4, 0] = np.nan
    ids[5:] += 1
    assert np.isnan(predict_hands(as_points(seen, ids))[4, 0]).all()


@pytest.mark.parametrize(("palms", "bridged"), [(0.9, True), (1.1, False)])
def test_a_hand_that_moves_too_fast_is_not_bridged(palms, bridged):
    hand = make_hand_motion(np.random.default_rng(1), 1)[0, 0]
    size = np.linalg.norm(hand[PALM] - hand[0], axis=-1).max()
    step = np.array([palms * size, 0, 0])
    xyz = np.stack([hand, hand * np.nan, hand + 2 * step])[:, None]
    got = predict_hands(as_points(xyz))
    assert np.isfinite(got[1]).all() == bridged


def test_input_is_not_changed(xyz):
    seen = xyz.copy()
    seen[4, 0] = np.nan
    points = as_points(seen)
    predict_hands(replace(points))
    assert np.isnan(points.xyz_world[4, 0]).all()
