"""What is said of every hand, on synthetic hands whose angles and lengths are known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from multiview.bootstrap.anatomy import (
    beyond_range,
    bone_vectors,
    hand_scale,
    joint_angles,
    palm_axes,
    palm_coordinates,
)
from multiview.core import side_sign
from multiview.synth import hands as synth
from multiview.synth import make_hand_motion

# A synthetic hand is 0.192 m along its bones; the literature's proportions fit it to this.
SCALE_SHARE = 0.1
SAME = 1e-9


@pytest.fixture(scope="module")
def motion():
    return make_hand_motion(np.random.default_rng(3), 40)[:, 0]


def test_scale_is_the_length_along_the_bones(motion):
    length = np.linalg.norm(bone_vectors(motion), axis=-1)[:, 8:12].sum(-1)
    np.testing.assert_allclose(hand_scale(motion), length, rtol=SCALE_SHARE)
    few = np.full_like(motion, np.nan)
    few[:, :4] = motion[:, :4]
    assert np.isnan(hand_scale(few)).all()


def test_angles_are_those_the_hand_was_made_with():
    """A finger's own bends; the knuckle is measured from its metacarpal."""
    flexion, spread = np.zeros((1, 5, 3)), np.zeros((1, 5))
    straight = joint_angles(synth._articulate(flexion, spread))[0]
    flexion[:, 1:] = np.radians([40.0, 70.0, 30.0])
    flexion[:, 0] = np.radians([0.0, 30.0, 20.0])
    bend, aside = joint_angles(synth._articulate(flexion, spread))
    np.testing.assert_allclose((bend - straight)[0, 1:, 1:], [[70, 30]] * 4, atol=0.5)
    np.testing.assert_allclose((bend - straight)[0, 1:, 0], 40, atol=3)
    np.testing.assert_allclose(bend[0, 0, 1:], [30, 20], atol=6)
    # this maker's little finger is 12 degrees off the line through its metacarpal
    assert np.abs(aside[0, 1:, 1:]).max() < 15


def test_moving_turning_and_mirroring_a_hand_changes_no_angle(motion):
    bend, aside = joint_angles(motion, 1)
    R = Rotation.from_rotvec([0.3, -1.2, 0.4]).as_matrix()
    again = joint_angles(2.5 * motion @ R.T + [1.0, 2.0, 3.0], 1)
    np.testing.assert_allclose(again, (bend, aside), atol=1e-6)
    left, turned = joint_angles(motion * [-1.0, 1.0, 1.0], -1)
    np.testing.assert_allclose(left, bend, atol=1e-6)
    np.testing.assert_allclose(np.abs(turned), np.abs(aside), atol=1e-6)
    # called by the wrong name, the fingers bend backwards
    assert np.median(joint_angles(motion, -1)[0][:, 1:, 1]) < -20


def test_made_hands_keep_the_ranges_and_a_broken_finger_does_not(motion):
    over, aside = beyond_range(*joint_angles(motion))
    assert over.max() < 10
    assert aside.max() == 0
    broken = motion.copy()
    palmar = palm_axes(motion)[1]
    # the index's last joint lies behind the back of the hand
    broken[:, 8] = broken[:, 7] - 0.025 * palmar - 0.01 * (broken[:, 7] - broken[:, 6])
    over, _ = beyond_range(*joint_angles(broken))
    assert (over[:, 1, 2] > 15).mean() > 0.6


def test_pose_coordinates_know_neither_place_nor_side_nor_size(motion):
    R = Rotation.from_rotvec([0.1, 0.2, -2.0]).as_matrix()
    own = palm_coordinates(motion)
    np.testing.assert_allclose(palm_coordinates(3 * motion @ R.T + 1.0), own, atol=1e-6)
    mirrored = palm_coordinates(motion * [1.0, 1.0, -1.0], -1)
    np.testing.assert_allclose(mirrored[..., 1:], own[..., 1:], atol=1e-6)
    assert np.linalg.norm(own[0] - own[20]) > 0.1


def test_missing_keypoints_give_nan_and_two_knuckles_a_palm(motion):
    part = motion.copy()
    part[:, [5, 17]] = np.nan
    axes = palm_axes(part)
    assert np.isfinite(axes).all()
    assert (np.einsum("fi,fi->f", axes[1], palm_axes(motion)[1]) > 0.98).all()
    part[:, 9] = np.nan
    assert np.isnan(palm_axes(part)).all()
    assert np.isnan(joint_angles(part)[0][:, 1]).all()


def test_sides_by_the_name_of_the_slot():
    assert [side_sign(n) for n in ("left", "right", "p1-Left", "0", "track 3")] == [-1, 1, -1, 0, 0]
