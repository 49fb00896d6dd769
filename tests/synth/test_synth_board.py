"""Rendered boards against analytic projection, and the motion of a board take."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from multiview.calib.board import Board
from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.synth import (
    board_motion,
    board_visibility,
    make_rig,
    render_board,
    render_room,
    shutter_poses,
)

# Measured on 1300 corners: mean below 0.007 px, median below 0.002 px, scatter 0.05 to 0.09 px
# (the detector's, strongest on oblique boards). A convention off by half a texel would show as
# 0.06 px at the coarsest texture used, half a sample as 0.125 px, half a pixel as 0.5 px.
MEDIAN_BIAS_PX = 0.02
MEAN_BIAS_PX = 0.03
CHARUCO = Board(
    kind="charuco", columns=7, rows=5, square_m=0.03, marker_m=0.022, dictionary="DICT_4X4_50"
)
CHESS = Board(kind="chessboard", columns=9, rows=6, square_m=0.02)


@pytest.fixture(scope="module")
def rig() -> Rig:
    return make_rig(np.random.default_rng(11), 6, size_wh=(640, 480), view_m=0.4)


def middle(board: Board) -> tuple[float, float]:
    x, y, _ = board.object_points.mean(0)
    return float(x), float(y)


def detect(board: Board, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (n, 2) and their numbers."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    if board.inverted:
        grey = 255 - grey
    if board.kind == "charuco":
        corners, ids, _, _ = cv2.aruco.CharucoDetector(board.charuco()).detectBoard(grey)
        if ids is None:
            return np.zeros((0, 2)), np.zeros(0, int)
        return corners.reshape(-1, 2).astype(float), ids.ravel()
    found, corners = cv2.findChessboardCorners(grey, board.grid)
    if not found:
        return np.zeros((0, 2)), np.zeros(0, int)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 100, 1e-4)
    corners = cv2.cornerSubPix(grey, corners, (4, 4), (-1, -1), stop)
    return corners.reshape(-1, 2).astype(float), np.arange(len(corners))


@pytest.mark.parametrize(
    "board",
    [CHARUCO, CHARUCO.model_copy(update={"inverted": True}), CHESS],
    ids=["charuco", "inverted", "chessboard"],
)
def test_rendered_corners_lie_where_they_project(rig: Rig, board: Board) -> None:
    rng = np.random.default_rng(12)
    poses = board_motion(rng, rig, 24, board_centre_m=middle(board), tilt_deg=25)
    visible = board_visibility(rig, board.object_points, poses, max_tilt_deg=40).all(-1)
    errors = []
    for v, f in np.argwhere(visible)[:9]:
        image = render_board(rig.cameras[v], board, poses[f], rng, noise=0)
        corners, ids = detect(board, image)
        true = rig.cameras[v].project(poses[f].apply(board.object_points))[ids]
        flipped = true[::-1] if board.kind == "chessboard" else true
        # a chessboard may be read from its other end
        closer = min((true, flipped), key=lambda t: float(np.abs(corners - t).sum()))
        errors.append(corners - closer)
    error = np.concatenate(errors)
    assert len(error) > 200
    assert np.abs(np.median(error, axis=0)).max() < MEDIAN_BIAS_PX
    assert np.abs(error.mean(0)).max() < MEAN_BIAS_PX
    assert np.percentile(np.abs(error), 90) < 0.25


def test_edges_of_a_facing_board_lie_where_they_project() -> None:
    """A camera without lens looks straight at the board: sums of grey give the edge's place."""
    i = Intrinsics(
        K=np.array([[600.0, 0, 99.5], [0, 600.0, 79.5], [0, 0, 1]]),
        dist=np.zeros(0),
        size_wh=(200, 160),
    )
    camera = Camera(name="cam", intrinsics=i, cam_from_world=Pose.identity())
    board = Board(kind="chessboard", columns=3, rows=3, square_m=0.03)
    rng = np.random.default_rng(0)
    # 36 px a square; the shifts are no multiples of a sample's distance
    for shift in (0.0, 0.000171, 0.0003137):
        pose = Pose(R=np.eye(3), t=np.array([-0.03 + shift, -0.03, 0.5]))
        image = render_board(camera, board, pose, rng, noise=0, blur_px=0, samples=16)
        edge = camera.project(pose.apply(np.zeros(3)))
        row = image[round(edge[1]) + 12, :, 0].astype(float)
        at = round(edge[0])
        # means over the window's own halves, so that the lamp's fall of light cancels
        left, right = row[at - 8 : at - 1].mean(), row[at + 1 : at + 8].mean()
        window = row[at - 8 : at + 8]
        # a step at e fills (e + 0.5 - first) pixels of the window with the left value
        measured = at - 8 - 0.5 + ((window - right) / (left - right)).sum()
        # 16 pixels of 8-bit grey over a contrast of about 150: 16 * 0.3 / 150 = 0.03, plus half
        # the distance of two samples for an edge that falls between them
        assert abs(measured - edge[0]) < 0.03 + 0.5 / 16


def test_back_of_the_board_is_plain(rig: Rig) -> None:
    camera = rig.cameras[0]
    away = -camera.centre_world / np.linalg.norm(camera.centre_world)
    x = np.cross(away, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    facing = np.stack([x, np.cross(away, x), away], -1)
    turned = facing @ np.diag([-1.0, 1.0, -1.0])
    counts, contrasts = [], []
    for R in (facing, turned):
        pose = Pose(R=R, t=-R @ np.array([*middle(CHARUCO), 0.0]))
        image = render_board(camera, CHARUCO, pose, np.random.default_rng(0))
        counts.append(len(detect(CHARUCO, image)[1]))
        x, y = np.rint(camera.project(np.array([0.0, 0.0, 0.05]))).astype(int)
        contrasts.append(image[y - 30 : y + 30, x - 60 : x + 60].std())
        assert board_visibility(rig, CHARUCO.object_points, [pose])[0].any() == (R is facing)
    assert counts == [24, 0]
    # a mirrored pattern would not be detected either; back and stick differ by 10 grey levels,
    # ink and paper by more than 100
    assert contrasts[1] < 20 < 40 < contrasts[0]


def test_board_that_reaches_behind_the_camera_ends_at_the_horizon() -> None:
    i = Intrinsics(
        K=np.array([[100.0, 0, 59.5], [0, 100.0, 39.5], [0, 0, 1]]),
        dist=np.zeros(0),
        size_wh=(120, 80),
    )
    camera = Camera(name="cam", intrinsics=i, cam_from_world=Pose.identity())
    # a floor of 2.7 x 2.1 m 0.3 m below the camera; its printed side looks up (-y)
    board = Board(kind="chessboard", columns=8, rows=6, square_m=0.3)
    R = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    pose = Pose(R=R, t=np.array([-1.0, 0.3, 1.5]))
    image = render_board(camera, board, pose, np.random.default_rng(0), noise=0, blur_px=0)
    sky = image[:39].astype(float)
    # grey with the lens's fall of light towards the corners
    assert sky.std() < 15
    assert image[45:].std() > 40


def test_board_behind_the_camera_leaves_the_background(rig: Rig) -> None:
    camera = rig.cameras[0]
    pose = Pose(R=np.eye(3), t=2 * camera.centre_world)
    image = render_board(camera, CHARUCO, pose, np.random.default_rng(0), noise=0, blur_px=0)
    empty = render_board(
        camera,
        CHARUCO,
        Pose(R=np.eye(3), t=3 * camera.centre_world),
        np.random.default_rng(0),
        noise=0,
        blur_px=0,
    )
    np.testing.assert_array_equal(image, empty)


def test_every_camera_sees_the_board_and_all_are_linked(rig: Rig) -> None:
    poses = board_motion(np.random.default_rng(3), rig, 60, board_centre_m=middle(CHARUCO))
    seen = board_visibility(rig, CHARUCO.object_points, poses).sum(-1) >= 8
    assert seen.sum(1).min() >= 15
    # linked with margin: still connected when only pairs with 5 common frames count
    links = (seen[:, None] & seen[None]).sum(-1) >= 5
    reach = np.linalg.matrix_power(links.astype(float), len(links)) > 0
    assert reach.all()


def test_board_motion_is_deterministic_and_tilts(rig: Rig) -> None:
    a, b = (board_motion(np.random.default_rng(3), rig, 30) for _ in range(2))
    assert all(
        np.array_equal(p.R, q.R) and np.array_equal(p.t, q.t) for p, q in zip(a, b, strict=True)
    )
    xyz = np.stack([p.t for p in a])
    assert np.ptp(xyz, axis=0).min() > 0.1


def test_shutter_poses_are_symmetric(rig: Rig) -> None:
    poses = board_motion(np.random.default_rng(3), rig, 10)
    for frame in (0, 4, 9):
        first, mid, last = shutter_poses(poses, frame, 0.1)
        np.testing.assert_allclose(mid.R, poses[frame].R, atol=1e-12)
        np.testing.assert_allclose((first.t + last.t) / 2, poses[frame].t, atol=1e-12)
        assert not np.allclose(first.t, last.t)


def test_noise_of_the_sensor_and_motion_blur(rig: Rig) -> None:
    far = Pose(R=np.eye(3), t=3 * rig.cameras[0].centre_world)
    grey = render_board(rig.cameras[0], CHARUCO, far, np.random.default_rng(0), noise=4.0)
    clean = render_board(rig.cameras[0], CHARUCO, far, np.random.default_rng(0), noise=0.0)
    spread = (grey.astype(float) - clean)[200:280, 280:360].std()
    # 0.45 * 1.15 of white: sqrt(0.2 + 0.8 * 0.52) * 4 = 3.1; rounding adds sqrt(1/12 * 2)
    assert 2.9 < spread < 3.4


def test_room_is_deterministic_and_lit() -> None:
    rig = make_rig(np.random.default_rng(0), 2, size_wh=(96, 64))
    a, b = (render_room(np.random.default_rng(8), rig) for _ in range(2))
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.shape == (64, 96, 3)
        assert 0.0 < x.min() < x.max() <= 1.2
        assert x.std() > 0.02
