from __future__ import annotations

import cv2
import numpy as np
import pytest
from calib_scenes import CHARUCO

from multiview.calib.bundle import _reduced, _step, adjust, adjust_boards, free_parameters
from multiview.calib.pnp import fit_planes, pose_candidates
from multiview.calib.problem import CAMERA, Sightings, State, linearise, residuals
from multiview.calib.so3 import exp_so3, mean_rotation, rotation_angle
from multiview.core import Intrinsics

# Central differences with step 1e-6 in double precision are good to about 1e-9 of the value;
# pixels are about 1e3.
DERIVATIVE = 1e-4
LENSES = {
    "brown": ("brown", [-0.2, 0.05, 1e-3, -2e-3, 0.01]),
    "four": ("brown", [-0.2, 0.05, 1e-3, -2e-3]),
    "rational": ("brown", [0.3, 0.05, 1e-3, -2e-3, 0.01, 0.4, 0.1, 0.02]),
    "fisheye": ("fisheye", [0.05, -0.01, 0.003, -0.001]),
    "none": ("brown", []),
}


def problem(kind: str, seed: int = 0) -> tuple[State, Sightings]:
    """Two cameras and three boards, each seen by both."""
    rng = np.random.default_rng(seed)
    model, dist = LENSES[kind]
    K = np.array([[900.0, 0, 650], [0, 910, 470], [0, 0, 1]])
    lens = Intrinsics(K=K, dist=np.array(dist), size_wh=(1280, 960), model=model)  # type: ignore[arg-type]
    state = State(
        lenses=(lens, lens),
        cam_R=exp_so3(np.array([[0, 0, 0], [0.1, -0.3, 0.2]])),
        cam_t=np.array([[0, 0, 0], [0.3, 0.05, 0.1]]),
        board_R=exp_so3(rng.normal(0, 0.4, (3, 3))),
        board_t=np.array([0, 0, 1.0]) + rng.normal(0, 0.1, (3, 3)),
    )
    xyz = CHARUCO.object_points - CHARUCO.object_points.mean(0)
    view, board = np.repeat([0, 1], 3), np.tile([0, 1, 2], 2)
    seen = Sightings(view=view, board=board, xy_px=np.zeros((6, len(xyz), 2)), xyz_board=xyz)
    exact = seen.xy_px + residuals(state, seen)
    return state, Sightings(view=view, board=board, xy_px=exact, xyz_board=xyz)


@pytest.mark.parametrize("kind", LENSES)
def test_prediction_agrees_with_opencv(kind: str) -> None:
    state, seen = problem(kind)
    for s in range(6):
        v, b = seen.view[s], seen.board[s]
        R = state.cam_R[v] @ state.board_R[b]
        t = state.cam_R[v] @ state.board_t[b] + state.cam_t[v]
        lens, xyz = state.lenses[v], seen.xyz_board[:, None]
        rvec = cv2.Rodrigues(R)[0]
        if lens.model == "fisheye":
            xy, _ = cv2.fisheye.projectPoints(xyz, rvec, t, lens.K, lens.dist)
        else:
            xy, _ = cv2.projectPoints(xyz, rvec, t, lens.K, lens.dist)
        np.testing.assert_allclose(seen.xy_px[s], xy[:, 0], atol=1e-8)


@pytest.mark.parametrize("kind", LENSES)
def test_normal_equations_are_the_derivative(kind: str) -> None:
    """Gradient blocks, for random weights, against central differences of the residuals."""
    state, seen = problem(kind)
    rng = np.random.default_rng(1)
    found = seen.xy_px + rng.normal(0, 2, seen.xy_px.shape)
    seen = Sightings(view=seen.view, board=seen.board, xy_px=found, xyz_board=seen.xyz_board)
    weight = rng.uniform(0, 2, seen.seen.shape)
    res, normals = linearise(state, seen, weight)

    def column(step_cam: np.ndarray, step_board: np.ndarray) -> np.ndarray:
        ahead = residuals(state.moved_cameras(step_cam).moved_boards(step_board), seen)
        behind = residuals(state.moved_cameras(-step_cam).moved_boards(-step_board), seen)
        return (ahead - behind) / 2e-6

    columns = []
    for index in range(2 * CAMERA + 3 * 6):
        step = np.zeros(2 * CAMERA + 3 * 6)
        step[index] = 1e-6
        columns.append(
            column(step[: 2 * CAMERA].reshape(2, CAMERA), step[2 * CAMERA :].reshape(3, 6))
        )
    J = np.stack(columns, -1)
    g = np.einsum("sc,scip,sci->p", weight, J, res)
    H = np.einsum("sc,scip,sciq->pq", weight, J, J)
    scale = np.sqrt(np.maximum(np.diag(H), 1))
    ours = np.concatenate([normals.g_cam.ravel(), normals.g_board.ravel()])
    np.testing.assert_allclose(ours / scale, g / scale, atol=DERIVATIVE)
    N = 2 * CAMERA
    for v in range(2):
        part = slice(v * CAMERA, (v + 1) * CAMERA)
        block = np.outer(scale[part], scale[part])
        np.testing.assert_allclose(normals.H_cam[v] / block, H[part, part] / block, atol=DERIVATIVE)
    for s in range(6):
        v, b = seen.view[s], seen.board[s]
        rows, cols = slice(v * CAMERA, (v + 1) * CAMERA), slice(N + 6 * b, N + 6 * b + 6)
        block = np.outer(scale[rows], scale[cols])
        np.testing.assert_allclose(
            normals.H_cross[s] / block, H[rows, cols] / block, atol=DERIVATIVE
        )


def test_eliminating_boards_gives_the_step_of_the_full_system() -> None:
    state, seen = problem("brown")
    rng = np.random.default_rng(2)
    found = seen.xy_px + rng.normal(0, 1, seen.xy_px.shape)
    seen = Sightings(view=seen.view, board=seen.board, xy_px=found, xyz_board=seen.xyz_board)
    _, n = linearise(state, seen, np.ones(seen.seen.shape))
    free = free_parameters(2, lenses=np.array([True, True]))
    damping, N = 1e-3, 2 * CAMERA
    H, g = np.zeros((N + 18, N + 18)), np.concatenate([n.g_cam.ravel(), n.g_board.ravel()])
    for v in range(2):
        H[v * CAMERA : (v + 1) * CAMERA, v * CAMERA : (v + 1) * CAMERA] = n.H_cam[v]
    for b in range(3):
        H[N + 6 * b : N + 6 * b + 6, N + 6 * b : N + 6 * b + 6] = n.H_board[b]
    for s, (v, b) in enumerate(zip(seen.view, seen.board, strict=True)):
        rows, cols = slice(v * CAMERA, (v + 1) * CAMERA), slice(N + 6 * b, N + 6 * b + 6)
        H[rows, cols], H[cols, rows] = n.H_cross[s], n.H_cross[s].T
    on = np.concatenate([free.ravel(), np.ones(18, bool)])
    H = (H + damping * np.diag(np.diag(H)))[np.ix_(on, on)]
    expected = np.zeros(N + 18)
    expected[on] = -np.linalg.solve(H, g[on])
    cameras, boards = _step(n, seen, free, damping)  # type: ignore[misc]
    ours = np.concatenate([cameras.ravel(), boards.ravel()])
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("robust", [True, False])
def test_adjustment_returns_from_a_perturbed_start(robust: bool) -> None:
    state, seen = problem("four")
    rng = np.random.default_rng(3)
    free = free_parameters(2)
    start = state.moved_cameras(rng.normal(0, 0.01, (2, CAMERA)) * free)
    start = start.moved_boards(rng.normal(0, 0.02, (3, 6)))
    xy = seen.xy_px.copy()
    if robust:  # one corner in ten is far off, which only the robust loss bears
        xy[rng.random(xy.shape[:2]) < 0.1] += 40
    found = Sightings(view=seen.view, board=seen.board, xy_px=xy, xyz_board=seen.xyz_board)
    sigma = np.full(2, 0.01)
    end = adjust(start, found, found.seen, sigma, free, robust=robust, iterations=60)
    # Cauchy's pull of a corner 5000 sigma off is 1 / 5000 sigma: nothing at this tolerance
    np.testing.assert_allclose(end.cam_R, state.cam_R, atol=1e-5)
    np.testing.assert_allclose(end.cam_t, state.cam_t, atol=1e-5)
    np.testing.assert_allclose(end.board_t, state.board_t, atol=1e-5)


def test_boards_adjust_by_themselves() -> None:
    state, seen = problem("brown")
    start = state.moved_boards(np.random.default_rng(4).normal(0, 0.03, (3, 6)))
    end, cost, cov = adjust_boards(start, seen, seen.seen, np.full(2, 0.1), iterations=50)
    np.testing.assert_allclose(end.board_t, state.board_t, atol=1e-6)
    assert cost.max() < 1e-3
    assert (np.linalg.eigvalsh(cov) > 0).all()


@pytest.mark.parametrize("kind", ["brown", "fisheye"])
def test_one_of_both_planar_poses_is_true_and_its_spread_is_right(kind: str) -> None:
    state, seen = problem(kind)
    rng = np.random.default_rng(5)
    sigma, angles, shifts, rot_var, pos_var = 0.5, [], [], [], []
    v, b = seen.view, seen.board
    R = state.cam_R[v] @ state.board_R[b]
    t = np.einsum("sij,sj->si", state.cam_R[v], state.board_t[b]) + state.cam_t[v]
    for _ in range(40):
        xy = seen.xy_px + rng.normal(0, sigma, seen.xy_px.shape)
        noisy = Sightings(view=v, board=b, xy_px=xy, xyz_board=seen.xyz_board)
        poses = pose_candidates(noisy, fit_planes(noisy), state.lenses, np.full(2, sigma))
        angle = rotation_angle(poses.R @ np.swapaxes(R, -1, -2)[:, None])
        best = np.arange(6), angle.argmin(1)
        angles.append(angle[best])
        shifts.append(np.linalg.norm(poses.t[best] - t, axis=-1))
        rot_var.append(poses.rot_var[best])
        pos_var.append(poses.pos_var[best])
    # 240 draws of 3 degrees of freedom: their variance is known to 10 %; Cauchy loses 5 % more
    assert 0.7 < np.mean(np.square(angles)) / np.mean(rot_var) < 1.5
    assert 0.7 < np.mean(np.square(shifts)) / np.mean(pos_var) < 1.5


def test_reduced_system_without_free_cameras_is_empty() -> None:
    state, seen = problem("brown")
    _, n = linearise(state, seen, np.ones(seen.seen.shape))
    assert _reduced(n, seen, np.zeros((2, CAMERA), bool), 0.0)[0].shape == (0, 0)


def test_rotations() -> None:
    rng = np.random.default_rng(6)
    w = rng.uniform(-1.8, 1.8, (50, 3))  # shorter than pi
    expected = np.stack([cv2.Rodrigues(x)[0] for x in w])
    np.testing.assert_allclose(exp_so3(w), expected, atol=1e-12)
    np.testing.assert_allclose(rotation_angle(exp_so3(w)), np.linalg.norm(w, axis=1), atol=1e-7)
    tiny = exp_so3(np.array([[1e-9, 0, 0], [0, 0, 0]]))
    np.testing.assert_allclose(rotation_angle(tiny), [1e-9, 0], atol=1e-15)
    near = exp_so3(np.array([0.3, 0.2, 0.1])) @ exp_so3(rng.normal(0, 0.01, (100, 3)))
    mean = mean_rotation(near, np.ones(100))
    # 100 rotations of 0.01 rad per axis average to 0.001 per axis
    assert rotation_angle(mean @ exp_so3(np.array([0.3, 0.2, 0.1])).T) < 0.005
