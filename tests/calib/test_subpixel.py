"""Corners against rendered boards with exact truth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from calib_scenes import CHARUCO, CHESS, SIZE, Pictures

from multiview.calib import Board, detect_board
from multiview.calib.so3 import exp_so3
from multiview.core import Camera, Intrinsics, Pose
from multiview.synth import render_board

K = np.array([[1000, 0, 640], [0, 1000, 480], [0, 0, 1.0]])
LENS = Intrinsics(K=K, dist=np.array([-0.12, 0.05, 4e-4, -3e-4, 0]), size_wh=SIZE)
CAMERA = Camera(name="a", intrinsics=LENS, cam_from_world=Pose(R=np.eye(3), t=np.zeros(3)))


def rendered(board: Board, blur_px: float, smear_px: float) -> tuple[list[np.ndarray], np.ndarray]:
    rng, images, truth = np.random.default_rng(5), [], []
    middle = board.object_points.mean(0)
    for _ in range(4):
        depth = rng.uniform(0.6, 1.0)
        R = exp_so3(np.append(rng.uniform(-0.6, 0.6, 2), rng.uniform(-0.8, 0.8)))
        t = np.append(rng.uniform(-0.1, 0.1, 2) * depth, depth) - R @ middle
        way = np.array([smear_px * depth / 1000, 0, 0])
        poses = [Pose(R=R, t=t + s * way) for s in np.linspace(-0.5, 0.5, 9 if smear_px else 1)]
        images.append(render_board(CAMERA, board, poses, rng, blur_px=blur_px, samples=3))
        truth.append(CAMERA.project(Pose(R=R, t=t).apply(board.object_points)))
    return images, np.array(truth)


# Limits: twice what was measured, 0.004, 0.008 and 0.006 px; OpenCV's corners: 0.02 to 0.05.
@pytest.mark.parametrize("board", [CHARUCO, CHESS], ids=["charuco", "chess"])
@pytest.mark.parametrize(
    ("blur_px", "smear_px", "limit_px"), [(0.6, 0, 0.01), (1.5, 0, 0.02), (0.6, 6, 0.015)]
)
def test_noise_and_bias_of_rendered_corners(
    board: Board, blur_px: float, smear_px: float, limit_px: float
) -> None:
    images, truth = rendered(board, blur_px, smear_px)
    corners = detect_board(Pictures(("a",), [images]), board)
    error = (corners.xy_px[0] - truth)[corners.valid[0]]
    assert corners.valid.mean() > 0.95
    assert np.sqrt((error**2).mean()) < limit_px
    assert np.abs(error.mean(0)).max() < 0.003
    # the stated deviation is of the right size: it tells a good corner from a bad one
    assert corners.std_px is not None
    sure = corners.std_px[0][corners.valid[0]]
    assert 0.2 < np.sqrt((error**2 / sure[:, None] ** 2).mean()) < 2


def test_a_smeared_corner_says_so_or_is_left_out() -> None:
    images, _ = rendered(CHARUCO, 0.6, 0)
    sharp = detect_board(Pictures(("a",), [images]), CHARUCO)
    smeared = [cv2.blur(i, (9, 1)) for i in images]
    found = detect_board(Pictures(("a",), [smeared]), CHARUCO)
    both = sharp.valid & found.valid
    assert sharp.std_px is not None
    assert found.std_px is not None
    assert np.median(found.std_px[both] / sharp.std_px[both]) > 1.5
