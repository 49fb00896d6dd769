"""Several boards at once, boards that lie still, bent boards, and loops that do not close."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from calib_scenes import CHARUCO, CHESS, Scene, film, gauge_free, pose_errors, ring

from multiview.calib import Board, BoardCorners, CalibrationResult, Tag, calibrate_corners
from multiview.calib.edges import Edge
from multiview.calib.loops import contradicted_pairs
from multiview.calib.so3 import exp_so3
from multiview.core import Pose
from multiview.errors import InputError

NOISE = 0.3


def pair(seed: int = 50, frames: int = 60) -> tuple[Scene, Scene]:
    """Two boards in one take of four cameras."""
    rig = ring(np.random.default_rng(seed), 4, arc=np.pi / 3)
    rng = np.random.default_rng(seed + 1)
    return film(rig, CHESS, rng, frames, NOISE), film(rig, CHARUCO, rng, frames, NOISE)


def check_poses(result: CalibrationResult, scene: Scene) -> None:
    """The worst camera is off by less than 5 standard deviations of the worst known one."""
    angle, shift = pose_errors(result.rig, scene.rig)
    std = result.covariance.pose_std
    assert angle < 5 * np.rad2deg(np.linalg.norm(std[:, :3], axis=1).max())
    assert shift < 5 * 1000 * np.linalg.norm(std[:, 3:], axis=1).max()
    assert angle < 2  # and that is no empty promise


def test_two_boards_tell_more_than_one() -> None:
    chess, charuco = pair()
    both = calibrate_corners([chess.corners, charuco.corners], [CHESS, CHARUCO], lens="brown")
    one = calibrate_corners(chess.corners, CHESS, lens="brown")
    assert [b.board for b in both.boards] == [CHESS, CHARUCO]
    assert both.boards[1].inlier.shape == charuco.corners.valid.shape
    for part, scene in zip(both.boards, (chess, charuco), strict=True):
        assert part.inlier.sum() > 0.99 * scene.clean.sum()
        seen = np.isfinite(part.world_from_board_t[:, 0])
        assert (seen == scene.clean.any((0, 2))).all()
    check_poses(both, chess)
    assert (both.covariance.lens_std[:, 0] < one.covariance.lens_std[:, 0]).all()


def test_boards_of_different_takes_are_refused() -> None:
    chess, charuco = pair(frames=20)
    renamed = replace(charuco.corners, camera_names=("a", "b", "c", "d"))
    with pytest.raises(InputError, match="different takes"):
        calibrate_corners([chess.corners, renamed], [CHESS, CHARUCO])


def still(scene: Scene, seed: int) -> Scene:
    """The frame that most cameras see, filmed all the time."""
    frame = int(scene.clean.any(-1).sum(0).argmax())
    rng = np.random.default_rng(seed)
    truth = scene.rig.project(
        scene.world_from_board[frame].apply(
            scene.board.object_points - scene.board.object_points.mean(0)
        )
    )
    seen = scene.clean[:, frame]
    xy = np.where(seen[..., None], truth, np.nan)[:, None]
    xy = np.repeat(xy, scene.corners.xy_px.shape[1], axis=1)
    corners = replace(scene.corners, xy_px=xy + rng.normal(0, NOISE, xy.shape))
    return replace(scene, corners=corners)


def test_a_board_that_lies_still_has_one_pose() -> None:
    chess, charuco = pair(frames=40)
    floor = still(charuco, 52)
    lying = Board(**{**CHARUCO.model_dump(), "static": True})
    result = calibrate_corners([chess.corners, floor.corners], [CHESS, lying], lens="brown")
    R = result.boards[1].world_from_board_R
    R = R[np.isfinite(R[:, 0, 0])]
    assert len(R) == 40
    assert (R[0] == R).all()
    check_poses(result, chess)


def test_a_board_on_the_floor_joins_cameras_that_see_it_at_different_times() -> None:
    """Cameras that never see a board at the same time are joined by one that did not move."""
    chess, charuco = pair(frames=60)
    floor = still(charuco, 53)
    xy = chess.corners.xy_px.copy()
    for v in range(4):
        xy[v, np.arange(60) % 4 != v] = np.nan
    alone = replace(chess.corners, xy_px=xy)
    xy = floor.corners.xy_px.copy()
    for v in range(4):
        xy[v, np.arange(60) % 4 != v] = np.nan
    lying = Board(**{**CHARUCO.model_dump(), "static": True})
    assert np.isfinite(xy[..., 0]).any((1, 2)).all()
    # one board in one pose: with lenses open, another tilt and another lens look alike
    lenses = {c.name: c.intrinsics for c in chess.rig.cameras}
    result = calibrate_corners(
        [alone, replace(floor.corners, xy_px=xy)], [CHESS, lying], intrinsics=lenses
    )
    assert any("joined by 1 agreeing" in w for w in result.warnings)
    check_poses(result, chess)


@pytest.mark.parametrize("square", [False, True])
def test_a_bent_board_is_found_out(square: bool) -> None:
    board = CHESS if not square else Board(kind="chessboard", columns=7, rows=7, square_m=0.03)
    rng = np.random.default_rng(54)
    xyz = board.object_points - board.object_points.mean(0)
    half = xyz[:, :2].max(0)
    u, v = (xyz[:, :2] / half).T
    bow = 0.002
    height = bow * (1 - u * u) + bow * (1 - v * v)
    bent = board.object_points + np.stack([0 * u, 0 * u, height - height.mean()], -1)
    scene = film(ring(rng, 3, arc=np.pi / 2), board, rng, 60, NOISE, xyz=bent - bent.mean(0))
    result = calibrate_corners(scene.corners, board, lens="brown")
    flat = calibrate_corners(scene.corners, board, lens="brown", flat=True)
    # mean and tilt belong to the pose
    shape = result.boards[0].xyz_board[:, 2]
    np.testing.assert_allclose(shape, height - height.mean(), atol=1e-4)
    assert result.rms_px < flat.rms_px
    assert pose_errors(result.rig, scene.rig)[1] < pose_errors(flat.rig, scene.rig)[1]
    assert not flat.boards[0].bend_mm.any()


def edge(R: np.ndarray, degrees: float = 0.5) -> Edge:
    return Edge(R=R, t=np.zeros(3), agree=10, shared=10, variance=np.deg2rad(degrees) ** 2)


def test_a_pair_that_loops_contradict_is_named_alone() -> None:
    rng = np.random.default_rng(55)
    R = exp_so3(rng.normal(0, 1, (5, 3)))
    edges = {(a, b): edge(R[a] @ R[b].T) for a in range(5) for b in range(a + 1, 5)}
    assert contradicted_pairs(edges, 5) == {}
    wrong = edges[1, 3]
    edges[1, 3] = replace(wrong, R=exp_so3(np.array([0, 0, np.deg2rad(8)])) @ wrong.R)
    found = contradicted_pairs(edges, 5)
    assert list(found) == [(1, 3)]
    assert np.rad2deg(found[1, 3]) == pytest.approx(8, abs=0.01)


def test_cameras_out_of_step_in_one_pair_do_not_spoil_the_rig() -> None:
    scene = film(
        ring(np.random.default_rng(56), 4, arc=np.pi / 2),
        CHESS,
        np.random.default_rng(57),
        60,
        NOISE,
    )
    truth = gauge_free(scene.rig)
    result = calibrate_corners(scene.corners, CHESS, lens="brown")
    assert result.rig.names == truth.names
    assert not any("contradict" in w for w in result.warnings)


def cube(side: float = 0.12) -> Board:
    """Markers on the five visible faces of a box, which is no plane."""
    faces = [
        ((0, 0, side / 2), (1, 0, 0), (0, 1, 0)),
        ((side / 2, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((-side / 2, 0, 0), (0, -1, 0), (0, 0, 1)),
        ((0, side / 2, 0), (-1, 0, 0), (0, 0, 1)),
        ((0, -side / 2, 0), (1, 0, 0), (0, 0, 1)),
    ]
    tags = tuple(
        Tag(id=i, centre_m=centre, right=right, down=down, size_m=0.1)
        for i, (centre, right, down) in enumerate(faces)
    )
    return Board(kind="tags", dictionary="DICT_4X4_50", tags=tags)


def test_a_box_of_markers_poses_cameras_that_share_no_face() -> None:
    board = cube()
    assert not board.planar
    rig = ring(np.random.default_rng(58), 4)  # all around: opposite cameras see other faces
    rng = np.random.default_rng(59)
    xyz = board.object_points - board.object_points.mean(0)
    xy = np.full((4, 40, len(xyz), 2), np.nan)
    for f in range(40):
        pose = Pose(R=exp_so3(rng.normal(0, 1, 3)), t=rng.uniform(-0.2, 0.2, 3))
        for v, camera in enumerate(rig.cameras):
            for face in range(5):
                at = slice(4 * face, 4 * face + 4)
                corners = pose.apply(xyz[at])
                normal = np.cross(corners[1] - corners[0], corners[3] - corners[0])
                sight = corners.mean(0) - camera.centre_world
                if normal @ sight > 0.3 * np.linalg.norm(normal) * np.linalg.norm(sight):
                    xy[v, f, at] = camera.project(corners)
    corners = BoardCorners(
        xy_px=xy + rng.normal(0, NOISE, xy.shape),
        camera_names=rig.names,
        frame_ids=np.arange(40),
        sizes_wh=tuple(c.intrinsics.size_wh for c in rig.cameras),
    )
    seen = np.isfinite(xy[..., 0])
    assert seen.sum(-1).max() < 16  # never more than three faces
    lenses = {c.name: c.intrinsics for c in rig.cameras}
    result = calibrate_corners(corners, board, intrinsics=lenses)
    scene = Scene(corners, board, rig, seen, [])
    check_poses(result, scene)
    assert result.rms_px < 1.05 * NOISE * 2**0.5
    assert result.inlier.sum() > 0.97 * seen.sum()
