"""Each rejection: a case where it must fire, and one where it must not."""

from dataclasses import replace

import numpy as np
import pytest
from hands import as_points, exchange, make_take

from multiview.bootstrap import rejections as rules
from multiview.core import HAND_21
from multiview.synth import make_hand_motion

SIZE = 0.19


@pytest.fixture(scope="module")
def take():
    return make_take(frames=40, noise_px=0.5)


@pytest.fixture(scope="module")
def motion():
    return make_hand_motion(np.random.default_rng(5), 40)


def sizes(points):
    return np.full(points.valid.shape[:2], SIZE)


def test_inliers(take):
    points = take[2]
    assert not rules.few_inliers(points, 3).mask.any()
    inlier = points.inlier.copy()
    inlier[2:, 7] = False  # two views are left in frame 7
    mask = rules.few_inliers(replace(points, inlier=inlier), 3).mask
    assert mask[7].all()
    assert not np.delete(mask, 7, axis=0).any()
    # the mean over the hand counts: a single weak finger is no reason
    inlier = points.inlier.copy()
    inlier[2:, 7, :, 5:9] = False
    assert not rules.few_inliers(replace(points, inlier=inlier), 3).mask.any()


def test_confidence(take):
    _, dets, points, _ = take
    assert not rules.low_confidence(points, dets, 0.5).mask.any()
    conf = dets.conf.copy()
    conf[:, 3] *= 0.5
    mask = rules.low_confidence(points, replace(dets, conf=conf), 0.5).mask
    assert mask[3].all()
    assert not np.delete(mask, 3, axis=0).any()
    # views that do not carry the points have no say
    conf = np.where(points.inlier, dets.conf, 0.01)
    assert not rules.low_confidence(points, replace(dets, conf=conf), 0.5).mask.any()


def test_velocity_blames_the_frame_that_leaps(motion):
    points = as_points(motion)
    times = np.arange(40) / 30
    assert not rules.odd_velocity(points, times, sizes(points), 12).mask.any()
    leap = motion.copy()
    leap[20, 0, 8] += [0, 0, 0.1]
    points = as_points(leap)
    for clock in (times, np.full(40, np.nan)):
        mask = rules.odd_velocity(points, clock, sizes(points), 12).mask
        np.testing.assert_array_equal(np.argwhere(mask), [[20, 0, 8]])


def test_velocity_of_whole_hands_of_cuts_and_of_gaps_is_no_reason(motion):
    times = np.arange(40) / 30
    fast = motion + np.arange(40)[:, None, None, None] * [0.2, 0, 0]
    assert not rules.odd_velocity(as_points(fast), times, sizes(as_points(fast)), 12).mask.any()
    cut = motion.copy()
    cut[20:] = make_hand_motion(np.random.default_rng(77), 20)
    assert not rules.odd_velocity(as_points(cut), times, sizes(as_points(cut)), 12).mask.any()
    # poses that have nothing to do with one another: no keypoint is to blame
    poses = make_hand_motion(np.random.default_rng(8), 600)[::15]
    assert not rules.odd_velocity(as_points(poses), times, sizes(as_points(poses)), 12).mask.any()
    slow = motion[::13]
    ids = np.arange(40)[::13]
    points = as_points(slow, frame_ids=ids)
    assert not rules.odd_velocity(points, times[::13], sizes(points), 12).mask.any()


@pytest.mark.parametrize(("unit", "scale"), [("m", 1), ("mm", 1000), ("board square", 7.3)])
def test_bone_length_in_any_unit(motion, unit, scale):
    points = as_points(scale * motion, unit=unit)
    size = scale * sizes(points)
    assert not rules.bones_too_long(points, size).mask.any()
    long = motion.copy()
    step = long[4, 0, 7] - long[4, 0, 6]
    long[4, 0, 7:9] += step * (0.09 / np.linalg.norm(step))
    mask = rules.bones_too_long(as_points(scale * long, unit=unit), size).mask
    np.testing.assert_array_equal(np.argwhere(mask), [[4, 0, 7]])


def test_subject_bones(motion):
    points = as_points(motion)
    subjects = np.zeros(40, int)
    assert not rules.unlike_subject(points, subjects, 0.25).mask.any()
    odd = motion.copy()
    odd[9, 0, 6:9] += 0.5 * (odd[9, 0, 6] - odd[9, 0, 5])
    mask = rules.unlike_subject(as_points(odd), subjects, 0.25).mask
    np.testing.assert_array_equal(np.argwhere(mask), [[9, 0, 6]])
    # two people of different size: only if they are taken for one
    two = motion.copy()
    two[25:] *= 1.6
    assert not rules.unlike_subject(as_points(two), np.arange(40) // 25, 0.25).mask.any()
    assert rules.unlike_subject(as_points(two), subjects, 0.25).mask[25:].all(0).any()
    # where all bones scatter by a third, a quarter is no reason; three times the length is
    noisy = motion + np.random.default_rng(0).normal(0, 0.005, motion.shape)
    assert rules.unlike_subject(as_points(noisy), subjects, 0.25).mask.mean() < 0.05
    noisy[9, 0, 6:9] += 2 * (motion[9, 0, 6] - motion[9, 0, 5])
    assert rules.unlike_subject(as_points(noisy), subjects, 0.25).mask[9, 0, 6]
    # of a few frames no median is told
    assert not rules.unlike_subject(as_points(odd[5:12]), subjects[5:12], 0.25).mask.any()


def test_joint_angle(motion):
    points = as_points(motion)
    signs = np.ones((40, 1), int)
    assert not rules.beyond_joint_range(points, signs, 15).mask.any()
    from multiview.bootstrap.anatomy import palm_axes

    broken = motion.copy()
    back = -palm_axes(motion[:, 0])[1]
    broken[:, 0, 8] = broken[:, 0, 7] + 0.025 * back
    mask = rules.beyond_joint_range(as_points(broken), signs, 15).mask
    assert mask[:, 0, 8].mean() > 0.8
    assert not np.delete(mask, 8, axis=-1).any()


def test_finger_swap_that_all_views_agree_on(motion):
    signs = np.ones((40, 1), int)
    whole = rules.fingers_exchanged(as_points(motion), signs, 3).mask
    assert whole.any((1, 2)).mean() < 0.05
    swapped = as_points(exchange(motion, 1, 2))
    mask = rules.fingers_exchanged(swapped, signs, 3).mask
    assert mask[..., 5:13].all((1, 2)).mean() > 0.9
    assert not mask[..., 0].any()


def test_left_for_right(motion):
    points = as_points(motion)
    assert rules.mirrored(points, np.ones((40, 1), int), 3).mask.any((1, 2)).mean() < 0.05
    assert rules.mirrored(points, -np.ones((40, 1), int), 3).mask.all((1, 2)).mean() > 0.9
    assert not rules.mirrored(points, np.zeros((40, 1), int), 3).mask.any()


def test_held_out_views(motion):
    points = as_points(motion)
    spread = np.full(points.valid.shape, 0.03)
    spread[3, 0, 4], spread[5] = 0.15, np.nan
    mask = rules.views_disagree(points, spread, 0.1).mask
    np.testing.assert_array_equal(np.argwhere(mask), [[3, 0, 4]])


def test_beyond_a_rejected_joint(motion):
    points = as_points(motion)
    rejected = np.zeros(points.valid.shape, bool)
    rejected[2, 0, 6] = rejected[3, 0, 0] = rejected[4, 0, 8] = True
    mask = rules.distal_to(points, rejected, HAND_21).mask
    # the wrist is in no finger, and beyond a tip is nothing
    np.testing.assert_array_equal(np.argwhere(mask), [[2, 0, 7], [2, 0, 8]])
