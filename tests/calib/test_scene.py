"""Rigs from hands alone: accuracy, outliers, equivariance, covariance, scale, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scene_takes import errors_after_alignment, in_gauge, only_frames, take, without_poses

from multiview.calib.scene import calibrate_scene, finish
from multiview.calib.scene_config import SceneConfig
from multiview.calib.scene_problem import SceneState
from multiview.calib.scene_scale import KnownBaseline, KnownLength
from multiview.calib.scene_solve import make_tracks, solve
from multiview.core import Pose, Rig
from multiview.errors import CalibrationError, InputError

# Detections of 1 px at f = 1000 px, 1.2 m away, over 800 points a camera: the information bound is
# about 0.05 degrees and 1 mm; three times that is far below any wrong solution.
TURN_DEG, PLACE_MM = 0.15, 3.0


def solved(seed=0, scale=None, config=None, **options):
    rig, seen = take(seed, **{"frames": 25} | options)
    result = calibrate_scene(seen.detections, without_poses(rig), scale=scale, config=config)
    return rig, seen, result


@pytest.mark.parametrize("cameras", [2, 5])
def test_poses_are_found_from_lenses_alone(cameras):
    rig, _, result = solved(cameras=cameras)
    turn = np.rad2deg(np.linalg.norm(in_gauge(rig, result.rig)[:, :3], axis=-1))
    assert turn.max() < (0.5 if cameras == 2 else TURN_DEG)
    if cameras > 2:
        assert errors_after_alignment(result.rig, rig)[1].max() < PLACE_MM


def test_thirty_percent_outliers_hardly_matter():
    rig, seen, result = solved(outliers=0.3, frames=40)
    turn, place, _ = errors_after_alignment(result.rig, rig)
    assert turn.max() < 2 * TURN_DEG
    assert place.max() < 2 * PLACE_MM
    # where two rays are left, one of them wrong, it passes if it happens to meet the other: an
    # error along the epipolar line, some 5 of 180 directions for each of the other four views
    assert (result.inlier & seen.outlier).sum() < 0.05 * seen.outlier.sum()


def test_swapped_hands_are_put_in_order():
    rig, seen, result = solved(hands=2, ordered=False, hand_swaps=0.2)
    turn, place, _ = errors_after_alignment(result.rig, rig)
    assert turn.max() < TURN_DEG
    assert place.max() < PLACE_MM
    seen_points = seen.detections.valid.any((1, 2, 3)).sum()
    assert seen_points == len(rig.cameras)
    assert result.inlier.sum() > 0.95 * seen.detections.valid.sum()


def test_a_world_and_scale_of_its_own_do_not_matter():
    rig, seen, result = solved()
    Q, s = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0], 2.5
    Q = Q * np.sign(np.linalg.det(Q))
    moved = Rig(
        cameras=tuple(
            replace(
                c,
                cam_from_world=Pose(
                    R=c.cam_from_world.R @ Q.T,
                    t=s * c.cam_from_world.t - c.cam_from_world.R @ Q.T @ np.ones(3),
                ),
            )
            for c in rig.cameras
        )
    )
    # the same pixels come from the moved world: only the lenses are read
    again = calibrate_scene(seen.detections, moved)
    assert np.allclose(again.rig.centres_world, result.rig.centres_world, atol=1e-12)
    laid = calibrate_scene(seen.detections, moved, scale=moved)
    factor = errors_after_alignment(laid.rig, moved)[2]
    assert factor == pytest.approx(1, abs=2e-3)
    assert np.linalg.norm(laid.rig.centres_world - moved.centres_world, axis=1).max() < 0.02


def test_the_order_of_the_cameras_does_not_matter():
    rig, seen, result = solved()
    order = [3, 0, 4, 2, 1]
    dets = replace(
        seen.detections,
        xy_px=seen.detections.xy_px[order],
        conf=seen.detections.conf[order],
        right=seen.detections.right[order],
        times=seen.detections.times[order],
        camera_names=tuple(rig.names[v] for v in order),
    )
    other = calibrate_scene(dets, without_poses(rig)).rig.select(rig.names)
    # the same optimum from another start: within a tenth of the error of either
    turn, place, _ = errors_after_alignment(other, result.rig)
    assert turn.max() < TURN_DEG / 10
    assert place.max() / 1000 < 0.1 * PLACE_MM / 1000


def adjusted(seed, **options):
    """The adjustment alone, started at the truth: the same optimum, without the search for it."""
    rig, seen = take(seed, **options)
    tracks, at = make_tracks(seen.detections, rig)
    R, t = rig.cam_from_world
    start = SceneState(R=R, t=t, log_focal=np.zeros(len(R)), xyz=np.zeros((0, 3)))
    fit = solve(tracks, at, seen.detections, start, 1.0, SceneConfig())
    return rig, finish(fit, rig, None)


def test_covariance_predicts_the_errors():
    chi, alike, inside, count = [], [], 0, 0
    for seed in range(16):
        rig, result = adjusted(seed, cameras=4, frames=20)
        error = in_gauge(rig, result.rig).ravel()
        cov = result.covariance / max(result.alike, 1.0)
        value, vector = np.linalg.eigh(cov)
        known = value > 1e-9 * value.max()
        assert known.sum() == 6 * 4 - 7
        chi.append(((vector.T @ error)[known] ** 2 / value[known]).sum() / known.sum())
        alike.append(result.alike)
        std = np.sqrt(np.diag(cov))[6:]
        inside += int((np.abs(error[6:]) < 1.96 * std).sum())
        count += std.size
    # 16 x 17 numbers: a mean square of 1 has a spread of sqrt(2 / 272) = 0.09
    assert np.mean(chi) == pytest.approx(1, abs=0.27)
    assert 0.90 < inside / count < 0.99
    assert np.mean(alike) == pytest.approx(1, abs=0.3)


def test_errors_of_whole_hands_are_noticed():
    rig, seen = take(3, cameras=4, frames=30)
    shift = np.random.default_rng(0).normal(0, 3, (4, 30, 1, 1, 2))
    dets = replace(seen.detections, xy_px=seen.detections.xy_px + shift)
    result = calibrate_scene(dets, without_poses(rig))
    # 21 keypoints with a common error of 3 px beside their own of 1 px: the variance of their sum
    # is up to 1 + 21 * 9 / 10 times that of independent errors as large
    assert result.alike > 4
    assert any("alike" in w for w in result.warnings)


def test_scale_from_a_bone_a_baseline_or_nothing():
    rig, seen = take(frames=25)
    lenses = without_poses(rig)
    bone = float(np.linalg.norm(_bone(rig, seen)))
    known = KnownLength(first="wrist", second="middle1", metres=bone)
    metric = calibrate_scene(seen.detections, lenses, scale=known)
    assert metric.rig.unit == "m"
    s = errors_after_alignment(metric.rig, rig)[2]
    assert s == pytest.approx(1, abs=max(4 * metric.scale_std, 2e-3))
    far = float(np.linalg.norm(rig.centres_world[0] - rig.centres_world[2]))
    base = KnownBaseline(first="cam00", second="cam02", metres=far)
    metric = calibrate_scene(seen.detections, lenses, scale=base)
    assert errors_after_alignment(metric.rig, rig)[2] == pytest.approx(1, abs=3e-3)
    free = calibrate_scene(seen.detections, lenses)
    assert free.rig.unit.startswith("distance cam00 to ")
    assert np.isnan(free.scale_std)
    assert any("scale is unknown" in w for w in free.warnings)


def _bone(rig, seen):
    from multiview.geometry.dlt import dlt

    xy = rig.undistort(seen.xy_true_px)[:, 0, 0]
    xyz = dlt(*rig.cam_from_world, xy)
    return xyz[0] - xyz[9]


def test_a_wrong_focal_length_is_found_on_request():
    rig, seen = take(cameras=5, frames=30)
    cameras = list(without_poses(rig).cameras)
    K = cameras[2].intrinsics.K.copy()
    K[[0, 1], [0, 1]] *= 1.03
    cameras[2] = replace(cameras[2], intrinsics=replace(cameras[2].intrinsics, K=K))
    wrong = Rig(cameras=tuple(cameras))
    found = calibrate_scene(seen.detections, wrong, config=SceneConfig(refine_focal=True))
    scales = np.array([c.focal_scale for c in found.cameras])
    ratio = scales[2] / np.delete(scales, 2).mean()
    assert ratio == pytest.approx(1 / 1.03, abs=0.01)


def test_groups_without_common_points_are_named():
    rig, seen = take(cameras=4)
    early = np.arange(40) < 20
    dets = only_frames(only_frames(seen.detections, early, [0, 1]), ~early, [2, 3])
    with pytest.raises(CalibrationError, match=r"cam00, cam01 \| cam02, cam03"):
        calibrate_scene(dets, without_poses(rig))


def test_a_camera_that_shares_nothing_is_named():
    rig, seen = take(cameras=3)
    dets = only_frames(seen.detections, np.zeros(40, bool), [1])
    with pytest.raises(CalibrationError, match="cam01 shares fewer than"):
        calibrate_scene(dets, without_poses(rig))


def test_one_camera_is_refused():
    rig, seen = take(cameras=1)
    with pytest.raises(CalibrationError, match="at least two cameras"):
        calibrate_scene(seen.detections, without_poses(rig))


def test_points_in_a_plane_are_refused():
    rig, seen = take(cameras=3)
    rng = np.random.default_rng(0)
    xyz = np.concatenate([rng.uniform(-0.3, 0.3, (40, 1, 21, 2)), np.zeros((40, 1, 21, 1))], -1)
    xy = rig.project(xyz @ np.linalg.qr(rng.normal(size=(3, 3)))[0]) + rng.normal(
        size=(3, 40, 1, 21, 2)
    )
    dets = replace(seen.detections, xy_px=xy, conf=np.isfinite(xy[..., 0]).astype(float))
    with pytest.raises(CalibrationError, match="plane"):
        calibrate_scene(dets, without_poses(rig))


def test_lenses_of_another_picture_size_are_refused():
    rig, seen = take(cameras=3)
    dets = replace(seen.detections, size_wh=((640, 360),) * 3)
    with pytest.raises(InputError, match="640 x 360"):
        calibrate_scene(dets, without_poses(rig))


def test_a_bone_that_is_never_seen_is_an_error():
    rig, seen = take(cameras=3)
    conf = seen.detections.conf.copy()
    conf[..., 9] = 0
    dets = replace(seen.detections, conf=conf)
    known = KnownLength(first="wrist", second="middle1", metres=0.09)
    with pytest.raises(CalibrationError, match="wrist-middle1"):
        calibrate_scene(dets, without_poses(rig), scale=known)


def test_a_camera_without_a_lens_is_named():
    rig, seen = take(cameras=3)
    with pytest.raises(InputError, match="cam02"):
        calibrate_scene(seen.detections, Rig(cameras=rig.cameras[:2]))
