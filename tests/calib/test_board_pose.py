"""A board posed by calibrated cameras: exact without noise, right with outliers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from multiview.calib.board_pose import pose_board, track_board
from multiview.calib.so3 import rotation_angle

sys.path.insert(0, str(Path(__file__).parent))
from calib_scenes import CHESS, film, ring


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(3)
    return film(ring(rng, 5), CHESS, rng, 24, noise=0.3, outliers=0.05, flips=0.3)


def truth(scene, f):
    pose = scene.world_from_board[f]
    return pose.R, pose.t - pose.R @ CHESS.object_points.mean(0)


def test_poses_are_those_of_the_truth_up_to_the_boards_own_symmetry(scene):
    track = track_board(scene.rig, scene.corners, CHESS)
    seen = scene.corners.valid.any((0, 2))
    assert track.frame_ids.tolist() == np.flatnonzero(seen).tolist()
    centre = CHESS.object_points.mean(0)
    for f, R, t in zip(track.frame_ids, track.R, track.t, strict=True):
        true_R, true_t = truth(scene, f)
        turned = [rotation_angle((R @ turn).T @ true_R) for _, turn in CHESS.symmetries]
        # 54 corners of 0.3 px at f = 1000 and 0.5-2 m: far below a degree and a few millimetres
        assert min(turned) < np.deg2rad(1.5)
        assert np.linalg.norm(R @ centre + t - true_R @ centre - true_t) < 6e-3


def test_exact_corners_give_the_exact_pose():
    rng = np.random.default_rng(4)
    exact = film(ring(rng, 3), CHESS, rng, 4, noise=0.0)
    f = int(np.argmax(exact.corners.valid.any(-1).sum(0)))
    pose = pose_board(exact.rig, exact.corners.xy_px[:, f], CHESS)
    R, t = truth(exact, f)
    points = CHESS.object_points
    gaps = [
        np.abs(pose.apply(points)[order] - (points @ R.T + t)).max()
        for order, _ in CHESS.symmetries
    ]
    assert min(gaps) < 1e-6


def test_nothing_seen_or_nothing_that_fits_gives_no_pose(scene):
    nothing = np.full_like(scene.corners.xy_px[:, 0], np.nan)
    assert pose_board(scene.rig, nothing, CHESS) is None
    rng = np.random.default_rng(0)
    assert pose_board(scene.rig, rng.uniform(0, 900, nothing.shape), CHESS) is None
