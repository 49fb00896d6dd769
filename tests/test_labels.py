"""Pseudo-labels: which keypoints, how visible, how sure, and whose rig."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from multiview.bootstrap.labels import LabelConfig, pseudo_labels
from multiview.core import Detections, Points3D, Rig
from multiview.errors import InputError, ShapeError
from multiview.synth import make_hand_motion, make_rig, observe
from multiview.triangulation import triangulate

# Projections of the same numbers by the same code.
SAME_PX = 1e-9

Take = tuple[Rig, Detections, Points3D]


@pytest.fixture(scope="module")
def take() -> Take:
    rig = make_rig(np.random.default_rng(0), 6, view_m=0.2)
    hand = make_hand_motion(np.random.default_rng(1), 15)
    seen = observe(np.random.default_rng(2), rig, hand, outliers=0.05, outlier_px=100, missing=0.05)
    return rig, seen.detections, triangulate(seen.detections, rig)


def inside(rig: Rig, xy: np.ndarray) -> np.ndarray:
    size = np.array([c.intrinsics.size_wh for c in rig.cameras])[:, None, None, None]
    return ((xy > -0.5) & (xy < size - 0.5)).all(-1)


def test_labels_are_the_projected_points_within_the_picture(take: Take) -> None:
    rig, dets, points = take
    labels = pseudo_labels(points, dets, rig)
    use = points.valid & points.voted
    xy = rig.project(np.where(use[..., None], points.xyz_world, np.nan))
    shown = inside(rig, xy)
    outside = np.isfinite(xy).all(-1) & ~shown
    assert outside.sum() > 10
    np.testing.assert_array_equal(np.isfinite(labels.xy_px).all(-1), shown)
    np.testing.assert_allclose(labels.xy_px[shown], xy[shown], atol=SAME_PX)


def test_visibility_is_2_where_carried_1_where_reprojected_0_elsewhere(take: Take) -> None:
    rig, dets, points = take
    labels = pseudo_labels(points, dets, rig)
    there = np.isfinite(labels.xy_px).all(-1)
    np.testing.assert_array_equal(
        labels.visibility, np.where(there, np.where(points.inlier, 2, 1), 0)
    )
    assert set(np.unique(labels.visibility)) == {0, 1, 2}
    # what the detector missed is labelled: the next round learns from it
    assert (labels.visibility[~dets.valid] == 1).any()


def test_weights_fall_with_the_deviation_and_are_half_at_the_stated_share(take: Take) -> None:
    rig, dets, points = take
    config = LabelConfig(half_weight=0.003)
    labels = pseudo_labels(points, dets, rig, config)
    there = labels.visibility > 0
    assert (labels.weight[~there] == 0).all()
    assert ((labels.weight[there] > 0) & (labels.weight[there] <= 1)).all()
    low = np.where(there[..., None], labels.xy_px, np.inf).min(-2)
    high = np.where(there[..., None], labels.xy_px, -np.inf).max(-2)
    box = np.broadcast_to((high - low).max(-1)[..., None], there.shape)
    # points blown up so that one coordinate's deviation is exactly that share of the box
    v, f, h, k = (int(i[0]) for i in np.nonzero(there))
    grow = (config.half_weight * box[v, f, h, k] / labels.sigma_px[v, f, h, k]) ** 2
    cov = points.cov.copy()
    cov[f, h, k] *= grow
    again = pseudo_labels(replace(points, cov=cov), dets, rig, config)
    assert abs(again.weight[v, f, h, k] - 0.5) < 1e-9
    cov[f, h, k] *= 4  # twice the deviation
    wider = pseudo_labels(replace(points, cov=cov), dets, rig, config)
    assert abs(wider.weight[v, f, h, k] - 1 / (1 + 2**2)) < 1e-9
    sure = (labels.sigma_px < config.half_weight * box)[there]
    assert 0 < sure.mean() < 1
    np.testing.assert_array_equal(labels.weight[there] > 0.5, sure)


def test_points_of_two_views_are_labelled_only_if_asked(take: Take) -> None:
    rig, dets, points = take
    voted = points.voted.copy()
    voted[4] = False
    points = replace(points, voted=voted)
    strict = pseudo_labels(points, dets, rig)
    assert not strict.visibility[:, 4].any()
    assert not strict.keep[:, 4].any()
    assert np.isnan(strict.xy_px[:, 4]).all()
    lax = pseudo_labels(points, dets, rig, LabelConfig(allow_unvoted=True))
    assert lax.visibility[:, 4].any()
    assert lax.keep[:, 4].any()


def test_a_picture_needs_enough_keypoints(take: Take) -> None:
    rig, dets, points = take
    for share in (0.0, 0.5, 1.0):
        labels = pseudo_labels(points, dets, rig, LabelConfig(min_keypoints=share))
        count = (labels.visibility > 0).sum(-1)
        np.testing.assert_array_equal(labels.keep, (count >= 21 * share) & (count > 0))


def test_where_there_is_no_picture_there_is_no_example(take: Take) -> None:
    rig, dets, points = take
    pictures = np.ones(dets.times.shape, bool)
    pictures[2, 3] = False
    before = pseudo_labels(points, dets, rig).keep
    assert before[2, 3].any()
    labels = pseudo_labels(points, dets, rig, pictures=pictures)
    assert not labels.keep[2, 3].any()
    np.testing.assert_array_equal(labels.keep.sum() + before[2, 3].sum(), before.sum())
    # by default: a camera with neither time nor hand has none
    times, xy = dets.times.copy(), dets.xy_px.copy()
    times[2, 3], xy[2, 3] = np.nan, np.nan
    assert not pseudo_labels(points, replace(dets, times=times, xy_px=xy), rig).keep[2, 3].any()


def test_rejected_points_make_no_labels(take: Take) -> None:
    rig, dets, points = take
    xyz = np.full_like(points.xyz_world, np.nan)
    labels = pseudo_labels(replace(points, xyz_world=xyz), dets, rig)
    assert not labels.keep.any()
    assert not labels.visibility.any()
    assert not labels.weight.any()


def test_another_rig_is_noticed(take: Take) -> None:
    rig, dets, points = take
    camera = rig.cameras[3]
    pose = replace(camera.cam_from_world, t=camera.cam_from_world.t + 1e-6)
    cameras = [replace(c, cam_from_world=pose) if c is camera else c for c in rig.cameras]
    other = replace(rig, cameras=tuple(cameras))
    with pytest.raises(InputError, match=f"made with rig {rig.digest}, this one is {other.digest}"):
        pseudo_labels(points, dets, other)
    # the same rig with more cameras in another order is the same rig
    assert pseudo_labels(points, dets, rig.select(rig.names[::-1])).keep.any()


def test_other_frames_are_noticed(take: Take) -> None:
    rig, dets, points = take
    with pytest.raises(InputError, match="different cameras or frames"):
        pseudo_labels(points, replace(dets, frame_ids=dets.frame_ids + 1), rig)


def test_risk_is_unknown_unless_estimated_and_the_side_is_the_slots(take: Take) -> None:
    rig, dets, points = take
    labels = pseudo_labels(points, dets, rig)
    assert labels.risk.shape == points.valid.shape
    assert np.isnan(labels.risk).all()
    np.testing.assert_array_equal(labels.right == 1, labels.keep.any(0))
    with pytest.raises(ShapeError, match="risk"):
        replace(labels, risk=labels.risk[1:])


def test_provenance_is_carried(take: Take) -> None:
    rig, dets, points = take
    labels = pseudo_labels(points, dets, rig, iteration=3)
    assert labels.iteration == 3
    assert labels.rig_digest == rig.digest
    assert labels.source == dets.source
    assert labels.size_wh == tuple(c.intrinsics.size_wh for c in rig.cameras)
    np.testing.assert_array_equal(labels.frame_ids, dets.frame_ids)
