"""The vote of whole fingers: truth found among noise, gaps and gross errors."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from multiview.core import HAND_21, Rig
from multiview.geometry import ransac
from multiview.geometry.ransac import Tolerance, Vote, vote_groups
from multiview.synth import make_hand_motion, make_rig, observe

sys.path.append(str(Path(__file__).parent))
import vote_oracle

GROUPS = HAND_21.group_index
# 8 mm, the tolerance of Simon et al. 2017.
LENGTH = 0.008
# Two views at 90 degrees with 1 px noise at 1600 px/m err by 1 mm; five standard deviations.
NOISE_M = 0.005
# 1e-16 * squared condition number of a position of about 1 m.
SAME_M = 1e-9


@pytest.fixture(scope="module")
def rig() -> Rig:
    return make_rig(np.random.default_rng(0), 8)


@pytest.fixture(scope="module")
def hands() -> np.ndarray:
    return make_hand_motion(np.random.default_rng(1), 40)


def tolerance(rig: Rig, length: float = LENGTH) -> Tolerance:
    return Tolerance(length=length, norm=np.full(len(rig.cameras), 1e-3))


def vote(rig: Rig, xy_px: np.ndarray, **about: float) -> Vote:
    xy = rig.undistort(xy_px).reshape(len(rig.cameras), -1, 21, 2)
    return vote_groups(*rig.cam_from_world, xy, GROUPS, tolerance(rig, **about))


def test_truth_is_recovered_from_outliers_and_gaps(rig: Rig, hands: np.ndarray) -> None:
    seen = observe(
        np.random.default_rng(2), rig, hands, outliers=0.06, outlier_px=100, missing=0.04
    )
    # 4 points of a finger at 6 %: 22 % of its detections hold a gross error
    found = vote(rig, seen.detections.xy_px)
    truth, bad = hands[:, 0], seen.outlier[:, :, 0]
    enough = found.inlier.sum(0) >= 3
    assert enough.mean() > 0.9
    assert np.linalg.norm(found.xyz - truth, axis=-1)[enough].max() < NOISE_M
    assert not (found.inlier & bad)[:, enough].any()
    # a good whole finger is not thrown away
    whole = np.stack([(~(bad | seen.missing[:, :, 0]))[..., g == GROUPS].all(-1) for g in range(6)])
    kept = np.stack([found.inlier[..., g == GROUPS].all(-1) for g in range(6)])
    assert kept[whole].mean() > 0.97


def test_a_view_missing_one_tip_is_no_candidate_for_that_finger(
    rig: Rig, hands: np.ndarray
) -> None:
    xy = rig.project(hands[:1, 0])
    before = vote(rig, xy)
    xy[3, 0, 8] = np.nan  # the index finger's tip
    found = vote(rig, xy)
    index = GROUPS[8] == GROUPS
    np.testing.assert_array_equal(found.inlier[3, 0], before.inlier[3, 0] & ~index)
    np.testing.assert_array_equal(found.candidates[0], before.candidates[0] - index)
    np.testing.assert_array_equal(found.inlier[:3], before.inlier[:3])


def test_one_bad_point_takes_its_finger_along_and_no_other(rig: Rig, hands: np.ndarray) -> None:
    xy = rig.project(hands[:1, 0])
    before = vote(rig, xy)
    assert before.inlier[3].all()
    xy[3, 0, 8] += 150.0
    found = vote(rig, xy)
    np.testing.assert_array_equal(found.inlier[3, 0], GROUPS[8] != GROUPS)
    assert np.abs(found.xyz - hands[:1, 0]).max() < SAME_M


def test_inliers_are_none_or_at_least_two_and_the_same_for_a_group(
    rig: Rig, hands: np.ndarray
) -> None:
    seen = observe(np.random.default_rng(4), rig, hands, outliers=0.3, missing=0.2)
    found = vote(rig, seen.detections.xy_px)
    count = found.inlier.sum(0)
    assert not (count == 1).any()
    np.testing.assert_array_equal(np.isfinite(found.xyz).all(-1), count >= 2)
    np.testing.assert_array_equal(np.isfinite(found.error), count >= 2)
    for g in range(6):
        member = found.inlier[..., g == GROUPS]
        np.testing.assert_array_equal(member.any(-1), member.all(-1))
    assert (count <= found.candidates).all()


def test_parallel_rays_give_nothing() -> None:
    R, t = np.stack([np.eye(3)] * 2), np.array([[0.0, 0, 0], [-0.1, 0, 0]])
    one = np.zeros(1, np.int64)
    limits = Tolerance(length=0.5, norm=np.full(2, 0.1))
    for x in (0.25, 0.25 - 1e-3):  # exactly parallel; meeting at 0.05 degrees, 100 m away
        xy = np.array([[0.25, 0.25], [x, 0.25]])[:, None, None]
        found = vote_groups(R, t, xy, one, limits)
        assert not found.inlier.any()
        assert np.isnan(found.xyz).all()
    near = np.array([[0.25, 0.25], [0.20, 0.25]])[:, None, None]  # 2.8 degrees
    assert vote_groups(R, t, near, one, limits).inlier.all()


def test_rays_that_meet_behind_the_cameras_give_nothing() -> None:
    R, t = np.stack([np.eye(3)] * 2), np.array([[0.0, 0, 0], [-1.0, 0, 0]])
    xy = np.array([[-0.5, 0.0], [0.5, 0.0]])[:, None, None]  # diverging
    found = vote_groups(R, t, xy, np.zeros(1, np.int64), Tolerance(length=1, norm=np.ones(2)))
    assert not found.inlier.any()


def test_one_view_with_a_hand_and_no_frame_give_nothing(rig: Rig, hands: np.ndarray) -> None:
    xy = rig.project(hands[:2, 0])
    xy[1:] = np.nan
    assert not vote(rig, xy).inlier.any()
    assert vote(rig, xy[:, :0]).xyz.shape == (0, 21, 3)


def test_a_rig_of_one_camera_gives_nothing(rig: Rig, hands: np.ndarray) -> None:
    one = rig.select(["cam00"])
    assert np.isnan(vote(one, one.project(hands[:2, 0])).xyz).all()


@pytest.mark.parametrize("views", [2, 3, 6, 12])
@pytest.mark.parametrize(("outliers", "missing"), [(0.03, 0.02), (0.3, 0.05)])
def test_the_compiled_vote_is_that_of_the_formulas(
    hands: np.ndarray, views: int, outliers: float, missing: float
) -> None:
    rig = make_rig(np.random.default_rng(0), views)
    seen = observe(np.random.default_rng(5), rig, hands, outliers=outliers, missing=missing)
    xy = rig.undistort(seen.detections.xy_px[:, :, 0])
    given = (*rig.cam_from_world, xy, GROUPS, tolerance(rig))
    found, expected = vote_groups(*given), vote_oracle.vote_groups(*given)
    np.testing.assert_array_equal(found.inlier, expected.inlier)
    np.testing.assert_array_equal(found.candidates, expected.candidates)
    np.testing.assert_allclose(found.xyz, expected.xyz, atol=SAME_M)
    np.testing.assert_allclose(found.error, expected.error, atol=SAME_M / LENGTH)


def test_many_views_stop_early_at_nearly_the_same_votes(hands: np.ndarray) -> None:
    rig = make_rig(np.random.default_rng(0), 20)
    seen = observe(np.random.default_rng(5), rig, hands[:10], outliers=0.05, missing=0.02)
    xy = rig.undistort(seen.detections.xy_px[:, :, 0])
    given = (*rig.cam_from_world, xy, GROUPS, tolerance(rig))
    found, expected = vote_groups(*given), vote_oracle.vote_groups(*given)
    # views at the very edge of the tolerance may differ
    assert (found.inlier == expected.inlier).mean() > 0.998
    assert np.nanmax(np.abs(found.xyz - expected.xyz)) < 0.001


def test_threads_do_not_change_the_answer(rig: Rig, hands: np.ndarray) -> None:
    seen = observe(np.random.default_rng(5), rig, hands, outliers=0.1, missing=0.1)
    xy = np.tile(rig.undistort(seen.detections.xy_px[:, :, 0]), (1, 4, 1, 1))
    given = (*rig.cam_from_world, xy, GROUPS, tolerance(rig))
    assert xy.shape[1] > 2 * ransac.BLOCK
    one, three = (vote_groups(*given, workers=n) for n in (1, 3))
    np.testing.assert_array_equal(three.xyz, one.xyz)
    np.testing.assert_array_equal(three.inlier, one.inlier)


def test_groups_in_any_order(rig: Rig, hands: np.ndarray) -> None:
    seen = observe(np.random.default_rng(6), rig, hands[:5], outliers=0.1)
    xy = rig.undistort(seen.detections.xy_px[:, :, 0])
    order = np.random.default_rng(0).permutation(21)
    plain = vote_groups(*rig.cam_from_world, xy, GROUPS, tolerance(rig))
    mixed = vote_groups(*rig.cam_from_world, xy[:, :, order], GROUPS[order], tolerance(rig))
    np.testing.assert_array_equal(mixed.inlier, plain.inlier[..., order])
    np.testing.assert_allclose(mixed.xyz, plain.xyz[:, order], atol=SAME_M)


def test_every_inlier_view_agrees_with_the_result(rig: Rig, hands: np.ndarray) -> None:
    seen = observe(np.random.default_rng(3), rig, hands, outliers=0.05, outlier_px=100)
    found = vote(rig, seen.detections.xy_px)
    for v, camera in enumerate(rig.cameras):
        cam = camera.cam_from_world.apply(found.xyz)
        xy = camera.undistort(seen.detections.xy_px[v, :, 0])
        error = np.linalg.norm(cam[..., :2] / cam[..., 2:] - xy, axis=-1)
        ratio = error / np.maximum(LENGTH / cam[..., 2], 1e-3)
        for g in range(6):
            member = g == GROUPS
            mean = ratio[:, member].mean(-1)
            assert not (mean[found.inlier[v][:, member].all(-1)] >= 1).any()
