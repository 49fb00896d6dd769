"""Errors of keypoints: worked examples and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from multiview.core import HAND_21
from multiview.geometry.metrics import (
    auc,
    auc_mmpose,
    bone_variation,
    dimensionless_jerk,
    jerk,
    pa_mpjpe,
    pck,
    point_errors,
)
from multiview.synth import make_hand_motion

# Some hundred float64 operations on numbers of order 1.
ROUNDING = 1e-12


def test_point_errors() -> None:
    a = np.array([[0.0, 0], [1, 1], [np.nan, 1]])
    b = np.array([[3.0, 4], [1, 1], [0, 1]])
    np.testing.assert_array_equal(point_errors(a, b), [5, 0, np.nan])


def test_pck_counts_missing_as_wrong_and_includes_the_threshold() -> None:
    errors = np.array([[1.0, 2.0], [3.0, np.nan]])
    np.testing.assert_array_equal(
        pck(errors, np.array([0.5, 1.0, 2.5, 3.0, 1e9])), [0, 0.25, 0.5, 0.75, 0.75]
    )
    np.testing.assert_array_equal(pck(np.zeros(0), np.array([1.0])), [0])


def test_auc_of_uniform_errors_is_one_half() -> None:
    assert auc(np.zeros(10), 0, 30) == 1
    assert auc(np.full(10, np.nan), 0, 30) == 0
    errors = (np.arange(3000) + 0.5) / 100  # uniform on 0 to 30: PCK is the diagonal
    # a staircase of 3000 steps is off by at most one of them
    assert abs(auc(errors, 0, 30) - 0.5) < 1 / 3000


def test_pa_mpjpe_does_not_see_similarities() -> None:
    hands = make_hand_motion(np.random.default_rng(0), 5)[:, 0]
    R = Rotation.from_rotvec([1, -0.4, 2]).as_matrix()
    moved = 3 * hands @ R.T + [1.0, -2, 5]
    assert pa_mpjpe(moved, hands).max() < ROUNDING
    assert (pa_mpjpe(hands * [-1, 1, 1], hands) > 1e-3).all()  # a left hand is no right one


def test_pa_mpjpe_leaves_missing_points_out() -> None:
    rng = np.random.default_rng(1)
    truth = make_hand_motion(rng, 3)[:, 0]
    estimate = truth + rng.normal(0, 0.004, truth.shape)
    some = estimate.copy()
    some[1, 5:], some[2, 2:] = np.nan, np.nan
    got = pa_mpjpe(some, truth)
    np.testing.assert_allclose(
        got[:2],
        [pa_mpjpe(estimate, truth)[0], pa_mpjpe(estimate[1:2, :5], truth[1:2, :5])[0]],
        atol=ROUNDING,
    )
    assert np.isnan(got[2])
    # an error of 4 mm a coordinate is 6.4 mm a point; alignment takes 7 of 63 freedoms out
    assert 0.004 < got[0] < 0.009


def test_bones_of_an_articulated_hand_keep_their_length() -> None:
    xyz = make_hand_motion(np.random.default_rng(2), 40)[:, 0]
    assert bone_variation(xyz, HAND_21.edges).max() < ROUNDING
    xyz[:, 4] = np.nan
    xyz[::2, 8] = np.nan
    out = bone_variation(xyz, HAND_21.edges)
    lost = [n for n, edge in enumerate(HAND_21.edges) if 4 in edge]
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(out)), lost)
    assert np.nanmax(out) < ROUNDING


def test_bone_variation_is_the_relative_scatter() -> None:
    xyz = np.zeros((2, 2, 3))
    xyz[:, 1, 0] = [0.9, 1.1]
    np.testing.assert_allclose(bone_variation(xyz, ((0, 1),)), [0.1], atol=ROUNDING)


def test_auc_of_mmpose_has_a_maximum_of_095() -> None:
    exists = np.ones((7, 3), bool)
    assert auc_mmpose(np.zeros((7, 3)), exists) == pytest.approx(0.95)
    assert auc_mmpose(np.full((7, 3), np.nan), exists) == 0
    # strictly below: 15 px is beaten by 16.5 .. 28.5, 9 thresholds of 20, not by 15 itself
    assert auc_mmpose(np.full((7, 3), 15.0), exists) == pytest.approx(9 / 20)


def test_auc_of_mmpose_averages_keypoints_that_exist() -> None:
    errors = np.array([[0.0, np.nan, 5.0], [np.nan, np.nan, 5.0], [np.nan, np.nan, 100]])
    exists = np.array([[True, True, False], [False, True, False], [False, False, False]])
    assert auc_mmpose(errors, exists) == pytest.approx(0.95 / 2)


def test_jerk_of_cubic_motion_is_exact() -> None:
    """At uneven times too: x = a t^3 + ... has jerk 6 a."""
    rng = np.random.default_rng(0)
    t = np.cumsum(rng.uniform(0.5, 2, 12)) / 30
    a = np.array([1.0, -2.0, 0.5])
    motion = a * t[:, None] ** 3 + [0.3, 1, 2] * t[:, None] ** 2 - 4 * t[:, None] + 7
    np.testing.assert_allclose(jerk(motion[:, None], t)[:, 0], np.tile(6 * a, (9, 1)), rtol=1e-8)
    motion[5] = np.nan
    assert np.isfinite(jerk(motion, t)[:, 0]).sum() == 9 - 4
    assert jerk(motion[:3], t[:3]).shape == (0, 3)


def test_smoothest_movement_has_a_dimensionless_jerk_of_720() -> None:
    u = np.linspace(0, 1, 2001)
    path = 10 * u**3 - 15 * u**4 + 6 * u**5
    for metres, seconds in ((1.0, 1.0), (0.02, 0.4)):
        xyz = metres * path[:, None] * np.array([0.6, 0.8, 0])
        # the first and last jerks, the largest, are 1.5 steps of 2000 inside the movement
        assert dimensionless_jerk(xyz, seconds * u) == pytest.approx(720, rel=5e-3)
    assert np.isnan(dimensionless_jerk(np.zeros((9, 2, 3)), np.arange(9.0))).all()
