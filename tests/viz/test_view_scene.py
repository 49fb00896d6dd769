"""One description of a take: the same values however it is cut into blocks."""

from dataclasses import replace

import numpy as np
import pytest
from viz_scenes import FRAMES, small_scene, small_take

from multiview.formats.detections_parquet import write_detections
from multiview.formats.points_parquet import write_points
from multiview.formats.scan import scan_detections, scan_points
from multiview.viz.scene import frustum, matched, scene_blocks, typical_bone, upwards


@pytest.fixture(scope="module")
def take():
    return small_take()


def test_blocks_hold_every_frame_once(take):
    dets, points, _ = take
    blocks = list(scene_blocks(points, dets, 5))
    assert [b.start for b in blocks] == [0, 5, 10]
    xyz = np.concatenate([b.points.xyz_world for b in blocks])
    np.testing.assert_array_equal(xyz, points.xyz_world)
    seen = np.concatenate([b.dets.xy_px for b in blocks], 1)
    np.testing.assert_array_equal(seen, dets.xy_px)
    assert [len(b.times) for b in blocks] == [5, 5, 2]


def test_residuals_are_those_of_the_inliers(take):
    dets, points, _ = take
    block = next(scene_blocks(points, dets, FRAMES))
    v, f = 1, 3
    used = points.err_px[v, f][points.inlier[v, f]]
    assert block.residual_px[v, f] == pytest.approx(np.median(used))
    assert block.inlier_count[v, f] == used.size > 0


@pytest.mark.parametrize("size", [1, 5, 100])
def test_tables_are_read_in_blocks_as_they_were_written(take, tmp_path, size):
    dets, points, _ = take
    write_points(points, tmp_path / "points.parquet")
    write_detections(dets, tmp_path / "detections.parquet")
    parts = list(scan_points(tmp_path / "points.parquet", size))
    assert len(parts[0].frame_ids) == min(size, FRAMES)
    for name in ("xyz_world", "cov", "trust"):
        whole = np.concatenate([getattr(p, name) for p in parts])
        np.testing.assert_array_equal(whole, getattr(points, name))
    err = np.concatenate([p.err_px for p in parts], 1)
    np.testing.assert_array_equal(err, points.err_px)
    last = [int(p.frame_ids[-1]) for p in parts]
    seen = list(scan_detections(tmp_path / "detections.parquet", last))
    np.testing.assert_array_equal(np.concatenate([d.xy_px for d in seen], 1), dets.xy_px)


def test_a_hand_gets_its_nearest_detection_and_none_gets_two():
    rng = np.random.default_rng(0)
    hands = rng.uniform(0, 500, (3, 21, 2))
    seen = np.stack([hands[1] + 2, hands[0] - 1, np.full((21, 2), np.nan)])
    found = matched(hands, seen)
    np.testing.assert_allclose(found[0], hands[0] - 1)
    np.testing.assert_allclose(found[1], hands[1] + 2)
    assert np.isnan(found[2]).all()


def test_frustum_ends_where_the_picture_does(take):
    camera = take[2].cameras[0]
    bare = replace(camera.intrinsics, dist=np.zeros(0))
    corners = frustum(replace(camera, intrinsics=bare), 0.3)
    np.testing.assert_allclose(corners[0], camera.centre_world)
    xy = replace(camera, intrinsics=bare).project(corners[1:])
    width, height = camera.intrinsics.size_wh
    wanted = [[0, 0], [width, 0], [width, height], [0, height]]
    np.testing.assert_allclose(xy, np.array(wanted) - 0.5, atol=1e-6)
    assert camera.cam_from_world.apply(corners)[1:, 2] == pytest.approx([0.3] * 4)


def test_up_is_up_in_the_pictures(take):
    rig = take[2]
    up = [-c.cam_from_world.R[1] @ upwards(rig) for c in rig.cameras]
    # a camera that looks straight down has no up; on the whole it holds
    assert np.mean(up) > 0.5
    assert np.linalg.norm(upwards(rig)) == pytest.approx(1)


def test_nothing_to_see_is_no_error(take):
    _, points, _ = take
    nothing = np.full(points.xyz_world.shape, np.nan)
    assert typical_bone(nothing, points.skeleton) == 0
    assert 0.02 < typical_bone(points.xyz_world, points.skeleton) < 0.1
    assert small_scene(pictures=False).pictures is None
