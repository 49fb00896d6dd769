"""The parts of calibration from the scene: five rays, pairs, derivatives, averages, which hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from calib_scenes import ring
from scene_takes import take

from multiview.calib.scene_bundle import adjust_scene, freedom, reduced, scale_direction
from multiview.calib.scene_config import SceneConfig
from multiview.calib.scene_covariance import known_rig
from multiview.calib.scene_five_point import five_point
from multiview.calib.scene_graph import average_rotations, contradicting, triangle_votes
from multiview.calib.scene_hands import order_by_opinion, turned_views
from multiview.calib.scene_pairs import Pair, estimate_pair
from multiview.calib.scene_pick import Takes, pick
from multiview.calib.scene_problem import Observations, SceneState, Tracks, linearise, residuals
from multiview.calib.scene_sampson import pair_jacobian, sampson_px
from multiview.calib.scene_scale import KnownBaseline, KnownLength, parse_scale
from multiview.calib.scene_solve import make_tracks, solve
from multiview.calib.so3 import exp_so3, rotation_angle
from multiview.core import HAND_21
from multiview.errors import InputError

R_TRUE = exp_so3(np.array([0.1, 0.7, -0.2]))
T_TRUE = np.array([-0.9, 0.1, 0.4]) / np.linalg.norm([-0.9, 0.1, 0.4])


def rays(rng, n, depth=1.0, noise=0.0):
    """Common points of two cameras, in front of both, as rays."""
    xyz = rng.normal([0, 0, 3], [0.5, 0.5, 0.5 * depth], (n, 3))
    other = xyz @ R_TRUE.T + T_TRUE
    first, second = xyz[:, :2] / xyz[:, 2:], other[:, :2] / other[:, 2:]
    return first + rng.normal(0, noise, (n, 2)), second + rng.normal(0, noise, (n, 2))


def essential(R, t):
    return np.cross(np.eye(3), t) @ R


def test_five_rays_give_the_essential_matrix():
    rng = np.random.default_rng(0)
    first, second = (x.reshape(50, 5, 2) for x in rays(rng, 250))
    found = five_point(first, second)
    E = essential(R_TRUE, T_TRUE) / np.sqrt(2)
    off = np.minimum(np.linalg.norm(found - E, axis=(1, 2)), np.linalg.norm(found + E, axis=(1, 2)))
    assert (off < 1e-6).sum() >= 49
    # every solution is an essential matrix: singular values 1, 1, 0
    s = np.linalg.svd(found)[1]
    assert np.abs(s - [2**-0.5, 2**-0.5, 0]).max() < 1e-4


def test_a_pair_with_outliers_is_within_its_covariance():
    square = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        first, second = rays(rng, 300, noise=1e-3)
        wrong = rng.random(300) < 0.4
        second[wrong] += rng.uniform(-0.2, 0.2, (wrong.sum(), 2))
        pair = estimate_pair(first, second, (1000.0, 1000.0), (1280, 720))
        from scipy.spatial.transform import Rotation

        w = Rotation.from_matrix(pair.R @ R_TRUE.T).as_rotvec()
        square.append(w @ np.linalg.solve(pair.cov[:3, :3], w))
        assert pair.t @ T_TRUE > 0.999
        assert pair.sigma_px == pytest.approx(1, abs=0.25)
        assert not pair.planar
    # eight times three squares of unit numbers; Cauchy's loss and the outliers cost some
    assert np.mean(square) < 3 * 2.5


def test_a_plane_and_a_pure_turn_are_noticed():
    rng = np.random.default_rng(1)
    flat = estimate_pair(*rays(rng, 300, depth=0.0, noise=1e-3), (1e3, 1e3), (1280, 720))
    assert flat is None or flat.planar
    first, _ = rays(rng, 300)
    turned = np.concatenate([first, np.ones((300, 1))], -1) @ R_TRUE.T
    second = turned[:, :2] / turned[:, 2:] + rng.normal(0, 1e-3, (300, 2))
    still = estimate_pair(first, second, (1e3, 1e3), (1280, 720))
    assert still is None or still.shallow


def test_noise_alone_is_no_pair():
    rng = np.random.default_rng(2)
    first, second = rng.uniform(-0.5, 0.5, (2, 40, 2))
    assert estimate_pair(first, second, (1e3, 1e3), (1280, 720)) is None


def test_pair_jacobian_against_central_differences():
    rng = np.random.default_rng(3)
    first, second = rays(rng, 12, noise=0.02)
    px = (900.0, 1100.0)
    _, J = pair_jacobian(R_TRUE, T_TRUE, first, second, px)
    tangents = np.linalg.svd(T_TRUE[None])[2][1:].T
    for k in range(5):
        step = np.zeros(5)
        step[k] = 1e-6
        both = []
        for sign in (1, -1):
            t = T_TRUE + sign * tangents @ step[3:]
            E = essential(exp_so3(sign * step[:3]) @ R_TRUE, t / np.linalg.norm(t))
            both.append(sampson_px(E, first, second, px))
        assert np.allclose((both[0] - both[1]) / 2e-6, J[:, k], rtol=1e-5, atol=1e-4)


def problem(seed=0):
    rng = np.random.default_rng(seed)
    V, N = 3, 8
    R = exp_so3(rng.normal(0, 0.3, (V, 3)))
    state = SceneState(
        R=R,
        t=rng.normal([0, 0, 3], 0.2, (V, 3)),
        log_focal=rng.normal(0, 0.05, V),
        xyz=rng.normal(0, 0.4, (N, 3)),
    )
    point, view = np.nonzero(np.ones((N, V)))
    obs = Observations(
        view=view,
        point=point,
        xy_norm=rng.normal(0, 0.2, (V * N, 2)),
        px_from_norm=1000 * (np.eye(2) + rng.normal(0, 0.05, (V * N, 2, 2))),
        from_centre_px=rng.normal(0, 200, (V * N, 2)),
        frame=point,
    )
    return state, obs


def test_derivatives_against_central_differences():
    state, obs = problem()
    _, J, Jp = linearise(state, obs)
    h = 1e-6
    for k in range(7):
        step = np.zeros((3, 7))
        step[:, k] = h
        still = np.zeros_like(state.xyz)
        ahead = residuals(state.moved(step, still), obs)
        change = (ahead - residuals(state.moved(-step, still), obs)) / (2 * h)
        assert np.allclose(change, J[..., k], rtol=1e-6, atol=1e-4)
    for k in range(3):
        step = np.zeros_like(state.xyz)
        step[:, k] = h
        still = np.zeros((3, 7))
        ahead = residuals(state.moved(still, step), obs)
        change = (ahead - residuals(state.moved(still, -step), obs)) / (2 * h)
        assert np.allclose(change, Jp[..., k], rtol=1e-6, atol=1e-4)


def test_the_reduced_system_is_the_full_one_without_points():
    state, obs = problem()
    free = np.zeros((3, 7), bool)
    free[1:, :6] = True
    weight = np.random.default_rng(1).uniform(0.5, 2, len(obs.view))
    _, J, Jp = linearise(state, obs)
    full = np.zeros((len(obs.view), 2, 3 * 7 + 3 * 8))
    for m, (v, p) in enumerate(zip(obs.view, obs.point, strict=True)):
        full[m, :, 7 * v : 7 * v + 7] = J[m]
        full[m, :, 21 + 3 * p : 24 + 3 * p] = Jp[m]
    A = (full * np.sqrt(weight)[:, None, None]).reshape(-1, 45)
    A = A[:, np.concatenate([free.ravel(), np.ones(24, bool)])]
    H = A.T @ A
    wanted = H[:12, :12] - H[:12, 12:] @ np.linalg.solve(H[12:, 12:], H[12:, :12])
    assert np.allclose(reduced(state, obs, weight, free).H, wanted, rtol=1e-6, atol=1e-3)


def consistent(seed=4, cameras=4):
    rig, seen = take(seed, cameras=cameras, frames=15)
    tracks, _ = make_tracks(seen.detections, rig)
    R, t = rig.cam_from_world
    from multiview.geometry.dlt import dlt

    xyz = dlt(R, t, tracks.xy_norm)
    state = SceneState(R=R, t=t, log_focal=np.zeros(cameras), xyz=xyz).in_camera(0)
    return state, tracks.observations(tracks.seen)


def test_scale_is_what_nothing_fixes():
    state, obs = consistent()
    free = np.zeros((4, 7), bool)
    free[1:, :6] = True
    sigma = np.ones(4)
    state = adjust_scene(state, obs, sigma, free, robust=False, iterations=50)
    H = reduced(state, obs, np.ones(len(obs.view)), free).H
    along = scale_direction(state, free)
    # its curvature vanishes beside that of any other direction, up to what is left of the gradient
    assert abs(along @ H @ along) < 1e-6 * np.diag(H).mean()


def test_freedom_of_all_is_the_count_of_what_is_left():
    state, obs = consistent()
    share = freedom(state, obs, np.ones(4))
    points = len(np.unique(obs.point))
    assert 2 * share.sum() == pytest.approx(2 * len(obs.view) - 3 * points, rel=1e-6)


def swapped_take(share):
    """Two hands, exchanged in a share of the pictures, as a detector's opinion has them."""
    rig, seen = take(6, cameras=5, frames=30, hands=2, ordered=False, hand_swaps=share)
    return rig, order_by_opinion(seen.detections), seen


def test_pairs_tell_which_views_exchange_their_hands():
    rig, dets, seen = swapped_take(0.3)
    V, F, H, K = dets.conf.shape
    tracks = Tracks.of(rig, dets.xy_px.reshape(V, -1, 2), np.repeat(np.arange(F), H * K))
    focal = np.array([c.intrinsics.K[0, 0] for c in rig.cameras])
    R, t = rig.cam_from_world
    pairs = {}
    for i in range(V):
        for j in range(i + 1, V):
            way = t[j] - R[j] @ R[i].T @ t[i]
            pairs[i, j] = replace(pair_of(R[j] @ R[i].T), t=way / np.linalg.norm(way))
    turned = turned_views(tracks, pairs, (F, K), focal)
    # which hand is in slot 0 after the opinion, by the truth of the nearest hand
    wrong = seen.hand_swapped
    same = (turned == wrong).all(0) | (turned != wrong).all(0)
    assert same.mean() > 0.95


def test_sorting_and_adjusting_in_turns_puts_hands_in_order():
    rig, dets, seen = swapped_take(0.4)
    tracks, at = make_tracks(dets, rig)
    R, t = rig.cam_from_world
    turn = exp_so3(np.random.default_rng(0).normal(0, 0.03, (5, 3)))
    start = SceneState(R=turn @ R, t=t, log_focal=np.zeros(5), xyz=np.zeros((0, 3)))
    takes = Takes(tracks=tracks, at=at, detections=dets, lenses=rig)
    solved = pick([start], takes, 3.0, SceneConfig())
    assert solved.fit.inlier.sum() > 0.95 * seen.detections.valid.sum()
    # without it most of the swapped hands would be lost
    plain = solve(tracks, at, dets, start, 3.0, SceneConfig())
    assert plain.fit.inlier.sum() < 0.9 * seen.detections.valid.sum()


def pair_of(R, std=0.01, inliers=50):
    return Pair(
        R=R,
        t=np.array([1.0, 0, 0]),
        cov=np.eye(5) * std**2 / 3,
        inlier=np.ones(inliers, bool),
        sigma_px=1.0,
        parallax=0.5,
        planar=False,
    )


def test_a_wrong_pair_neither_bends_the_average_nor_hides():
    rng = np.random.default_rng(0)
    R = exp_so3(rng.normal(0, 1, (6, 3)))
    pairs = {}
    for i in range(6):
        for j in range(i + 1, 6):
            noise = exp_so3(rng.normal(0, 0.003, 3))
            pairs[i, j] = pair_of(noise @ R[j] @ R[i].T)
    # a wrong pair that believes itself to be the best of all: the tree would start with it
    pairs[1, 4] = pair_of(exp_so3(np.array([0, 2.0, 0])) @ pairs[1, 4].R, std=1e-4)
    found = average_rotations(pairs, 6)
    off = rotation_angle(found @ R[0] @ np.swapaxes(R, -1, -2))
    assert off.max() < 0.01
    assert list(contradicting(pairs, found)) == [(1, 4)]
    assert triangle_votes(pairs, 6)[1, 4] == (0, 4)


def test_the_syntax_of_scales():
    names = ("cam-a", "cam-b")
    bone = parse_scale("bone:wrist-middle1=0.09", HAND_21.keypoints, names)
    assert bone == KnownLength(first="wrist", second="middle1", metres=0.09)
    base = parse_scale("baseline:cam-a-cam-b=1.2", HAND_21.keypoints, names)
    assert base == KnownBaseline(first="cam-a", second="cam-b", metres=1.2)
    for bad in ("0.5", "bone:wrist=1", "bone:wrist-elbow=0.2", "wand:wrist-middle1=-1", "bone:"):
        with pytest.raises(InputError):
            parse_scale(bad, HAND_21.keypoints, names)


def test_the_rig_carries_the_covariance_in_its_own_steps() -> None:
    rng = np.random.default_rng(90)
    rig = ring(rng, 3)
    root = rng.normal(0, 1, (18, 18))
    known = known_rig(rig, root @ root.T).covariance
    steps = 1e-6 * root.reshape(3, 6, 18)  # each column is a change of (w, t) of all cameras
    ours = np.empty((3, 6, 18))
    for v, camera in enumerate(rig.cameras):
        t = camera.cam_from_world.t
        ours[v, :3] = steps[v, :3]
        ours[v, 3:] = t[:, None] + steps[v, 3:] - (exp_so3(steps[v, :3].T) @ t).T
    flat = ours.reshape(18, 18) / 1e-6
    np.testing.assert_allclose(known.matrix, flat @ flat.T, rtol=1e-4, atol=1e-3)
    assert (known.lens == -1).all()
