from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from calib_scenes import CHARUCO

from multiview.calib.bundle import _linear, adjust, adjust_boards
from multiview.calib.layout import Layout, lay_out
from multiview.calib.normals import (
    Normals,
    _inverse_root,
    linearise,
    reduce_boards,
    solve_step,
)
from multiview.calib.pnp import fit_planes, pose_candidates
from multiview.calib.problem import LENS, POSE, Sightings, State, residuals
from multiview.calib.so3 import exp_so3, mean_rotation, rotation_angle
from multiview.calib.targets import BENDS, gather_targets
from multiview.core import Intrinsics

# Central differences with step 1e-6 in double precision are good to about 1e-9 of the value;
# pixels are about 1e3.
DERIVATIVE = 1e-4
LENSES = {
    "brown": ("brown", [-0.2, 0.05, 1e-3, -2e-3, 0.01]),
    "four": ("brown", [-0.2, 0.05, 1e-3, -2e-3]),
    "rational": ("brown", [0.3, 0.05, 1e-3, -2e-3, 0.01, 0.4, 0.1, 0.02]),
    "prism": ("brown", [0.3, 0.05, 1e-3, -2e-3, 0.01, 0.4, 0.1, 0.02, 1e-3, 2e-3, -1e-3, 3e-3]),
    "fisheye": ("fisheye", [0.05, -0.01, 0.003, -0.001]),
    "none": ("brown", []),
}


def problem(kind: str, seed: int = 0) -> tuple[State, Sightings]:
    """Two cameras and three boards, each seen by both."""
    rng = np.random.default_rng(seed)
    model, dist = LENSES[kind]
    K = np.array([[900.0, 0, 650], [0, 910, 470], [0, 0, 1]])
    lens = Intrinsics(K=K, dist=np.array(dist), size_wh=(1280, 960), model=model)  # type: ignore[arg-type]
    targets = gather_targets([CHARUCO])
    state = State(
        lenses=(lens, lens),
        cam_R=exp_so3(np.array([[0, 0, 0], [0.1, -0.3, 0.2]])),
        cam_t=np.array([[0, 0, 0], [0.3, 0.05, 0.1]]),
        board_R=exp_so3(rng.normal(0, 0.4, (3, 3))),
        board_t=np.array([0, 0, 1.0]) + rng.normal(0, 0.1, (3, 3)),
        bend=np.array([[0.002, -0.001, 0.0015]]),
    )
    view, board = np.repeat([0, 1], 3), np.tile([0, 1, 2], 2)
    seen = Sightings(
        view=view,
        board=board,
        target=np.zeros(6, np.int64),
        xy_px=np.zeros((6, len(CHARUCO.object_points), 2)),
        targets=targets,
    )
    return state, replace(seen, xy_px=seen.xy_px + residuals(state, seen))


def everything(seen: Sightings, *, shared: bool = False) -> Layout:
    """All unknowns move."""
    return lay_out(
        np.ones(2, bool),
        np.ones((2, LENS), bool),
        bends=np.ones((1, BENDS), bool),
        shared=np.zeros(2, np.int64) if shared else None,
    )


@pytest.mark.parametrize("kind", LENSES)
def test_prediction_agrees_with_opencv(kind: str) -> None:
    state, seen = problem(kind)
    for s in range(6):
        v, b = seen.view[s], seen.board[s]
        R = state.cam_R[v] @ state.board_R[b]
        t = state.cam_R[v] @ state.board_t[b] + state.cam_t[v]
        lens = state.lenses[v]
        bend = state.bend[0] @ seen.targets.bend[0]
        xyz = (seen.xyz_board[s] + np.stack([0 * bend, 0 * bend, bend], -1))[:, None]
        rvec = cv2.Rodrigues(R)[0]
        if lens.model == "fisheye":
            xy, _ = cv2.fisheye.projectPoints(xyz, rvec, t, lens.K, lens.dist)
        else:
            xy, _ = cv2.projectPoints(xyz, rvec, t, lens.K, lens.dist)
        np.testing.assert_allclose(seen.xy_px[s], xy[:, 0], atol=1e-8)


def derivative(state: State, seen: Sightings, layout: Layout) -> np.ndarray:
    """Residuals (S, C, 2) differentiated by shared unknowns and boards, central differences."""
    P = layout.size

    def residuals_at(step: np.ndarray) -> np.ndarray:
        pose, lens, bend = layout.steps(step[:P])
        trial = state.moved_cameras(pose, lens).moved_boards(step[P:].reshape(3, 6))
        return residuals(replace(trial, bend=trial.bend + bend), seen)

    steps = 1e-6 * np.eye(P + 18)
    return np.stack([(residuals_at(h) - residuals_at(-h)) / 2e-6 for h in steps], -1)


def dense(normals: Normals, board: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The full matrix and gradient that the blocks stand for."""
    P = len(normals.g)
    H = np.zeros((P + 19, P + 19))
    H[:P, :P] = normals.H
    for b in range(3):
        at = P + 1 + 6 * b
        H[at : at + 6, at : at + 6] = normals.H_board[b]
    for s, b in enumerate(board):
        at = P + 1 + 6 * b
        np.add.at(H, (normals.columns[s][:, None], np.arange(at, at + 6)), normals.cross[s])
    H = np.delete(np.delete(H, P, 0), P, 1)
    H[P:, :P] = H[:P, P:].T
    return H, np.concatenate([normals.g, normals.g_board.ravel()])


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", LENSES)
def test_normal_equations_are_the_derivative(kind: str, shared: bool) -> None:
    """All blocks, for random weights, against central differences of the residuals."""
    state, seen = problem(kind)
    rng = np.random.default_rng(1)
    seen = replace(seen, xy_px=seen.xy_px + rng.normal(0, 2, seen.xy_px.shape))
    layout = everything(seen, shared=shared)
    use = rng.random(seen.seen.shape) < 0.8
    sigma = np.array([0.7, 1.3])
    cost, res, normals = linearise(state, seen, use, sigma, layout, _linear)
    weight = use / sigma[seen.view][:, None] ** 2
    J = derivative(state, seen, layout)
    g = np.einsum("sc,scip,sci->p", weight, J, res)
    H = np.einsum("sc,scip,sciq->pq", weight, J, J)
    scale = np.sqrt(np.maximum(np.diag(H), 1))
    ours_H, ours_g = dense(normals, seen.board)
    assert cost == pytest.approx((weight[..., None] * res**2).sum())
    np.testing.assert_allclose(ours_g / scale, g / scale, atol=DERIVATIVE * np.abs(g / scale).max())
    np.testing.assert_allclose(
        ours_H / np.outer(scale, scale), H / np.outer(scale, scale), atol=DERIVATIVE
    )


def test_eliminating_boards_gives_the_step_of_the_full_system() -> None:
    state, seen = problem("brown")
    rng = np.random.default_rng(2)
    seen = replace(seen, xy_px=seen.xy_px + rng.normal(0, 1, seen.xy_px.shape))
    lenses = np.zeros((2, LENS), bool)
    lenses[:, :8] = True
    layout = lay_out(np.array([False, True]), lenses)
    n = linearise(state, seen, seen.seen, np.ones(2), layout, _linear)[2]
    H, g = dense(n, seen.board)
    damping = 1e-3
    expected = -np.linalg.solve(H + damping * np.diag(np.diag(H)), g)
    shared, boards = solve_step(n, seen.board, damping)  # type: ignore[misc]
    np.testing.assert_allclose(
        np.concatenate([shared, boards.ravel()]), expected, rtol=1e-5, atol=1e-9
    )


def test_a_board_that_rounding_makes_singular_is_eliminated_all_the_same() -> None:
    state, seen = problem("brown")
    n = linearise(state, seen, seen.seen, np.ones(2), everything(seen), _linear)[2]
    root = np.random.default_rng(8).normal(0, 1, (3, 6, 6))
    expected = _inverse_root(root @ np.swapaxes(root, -1, -2))
    ours = np.swapaxes(expected, -1, -2) @ expected
    product = ours @ root @ np.swapaxes(root, -1, -2)
    np.testing.assert_allclose(product, np.tile(np.eye(6), (3, 1, 1)), atol=1e-6)
    turned = np.linalg.qr(root)[0]
    low = (turned * np.array([1, 1, 1, 1, 1e-3, -1e-10])) @ np.swapaxes(turned, -1, -2)
    H = reduce_boards(replace(n, H_board=low), seen.board, 0.0)[0]
    assert np.isfinite(H).all()


def test_many_boards_are_eliminated_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    state, seen = problem("brown")
    n = linearise(state, seen, seen.seen, np.ones(2), everything(seen), _linear)[2]
    whole = reduce_boards(n, seen.board, 1e-3)
    monkeypatch.setattr("multiview.calib.normals.BLOCK_NUMBERS", 1)
    for ours, theirs in zip(reduce_boards(n, seen.board, 1e-3), whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("robust", [True, False])
def test_adjustment_returns_from_a_perturbed_start(robust: bool) -> None:
    state, seen = problem("four")
    rng = np.random.default_rng(3)
    layout = lay_out(np.array([False, True]), np.zeros((2, LENS), bool))
    pose = rng.normal(0, 0.01, (2, POSE)) * [[0], [1]]
    start = state.moved_cameras(pose, np.zeros((2, LENS)))
    start = start.moved_boards(rng.normal(0, 0.02, (3, 6)))
    xy = seen.xy_px.copy()
    if robust:  # one corner in ten is far off, which only the robust loss bears
        xy[rng.random(xy.shape[:2]) < 0.1] += 40
    found = replace(seen, xy_px=xy)
    sigma = np.full(2, 0.01)
    end = adjust(start, found, found.seen, sigma, layout, robust=robust, iterations=60)
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
        noisy = replace(seen, xy_px=xy)
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
    layout = lay_out(np.zeros(2, bool), np.zeros((2, LENS), bool))
    n = linearise(state, seen, seen.seen, np.ones(2), layout, _linear)[2]
    assert reduce_boards(n, seen.board, 0.0)[0].shape == (0, 0)


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
