"""Rays that meet flesh."""

import numpy as np
from hands import as_points
from scipy.optimize import minimize

from multiview.bootstrap.occlusion import hidden_by, hidden_by_itself, segment_distance
from multiview.bootstrap.rejections import hidden_views
from multiview.core import Camera, Intrinsics, Rig
from multiview.synth import hands as synth
from multiview.synth import make_hand_motion
from multiview.synth.rigs import look_at

LENS = Intrinsics(
    K=np.array([[900.0, 0, 320], [0, 900.0, 240], [0, 0, 1]]), dist=np.zeros(0), size_wh=(640, 480)
)


def camera(name, centre):
    return Camera(name=name, intrinsics=LENS, cam_from_world=look_at(np.array(centre), np.zeros(3)))


RIG = Rig(cameras=(camera("front", (0, -1.0, 0)), camera("back", (0, 1.0, 0))))


def test_distance_of_segments_is_the_least_one():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b, c, d = rng.normal(size=(4, 3))

        def apart(x, a=a, b=b, c=c, d=d):
            return np.linalg.norm(a + x[0] * (b - a) - c - x[1] * (d - c))

        starts = [(0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9)]
        best = min(minimize(apart, s, bounds=[(0, 1)] * 2).fun for s in starts)
        assert abs(segment_distance(a, b, c, d) - best) < 1e-4


def test_a_capsule_hides_what_lies_behind_it():
    ends, radius = np.array([[[[-0.2, -0.3, 0], [0.2, -0.3, 0]]]]), np.array([[0.05]])
    xyz = np.array([[0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(hidden_by(RIG, xyz, ends, radius), [[True], [False]])
    beside = ends + np.array([0, 0, 0.2])
    assert not hidden_by(RIG, xyz, beside, radius).any()
    assert not hidden_by(RIG, xyz, np.full_like(ends, np.nan), radius).any()


def test_a_hand_before_another_hides_it_whole_from_that_side_only():
    one = make_hand_motion(np.random.default_rng(0), 3)
    one = one - one.mean((1, 2), keepdims=True)
    wall = np.array([[[-0.5, -0.4, z], [0.5, -0.4, z]] for z in np.linspace(-0.4, 0.4, 40)])
    bodies = (np.broadcast_to(wall, (3, 40, 2, 3)), np.full((3, 40), 0.03))
    points = as_points(one, views=2)
    np.testing.assert_array_equal(
        hidden_views(points, RIG, bodies)[..., 0], [[True] * 3, [False] * 3]
    )
    assert not hidden_views(points, RIG).any()
    # another hand hides some keypoints, never the whole of one beside it
    two = np.concatenate([one, one + np.array([0.15, -0.2, 0])], axis=1)
    assert not hidden_views(as_points(two, views=2, hands=("left", "right")), RIG).any()


def test_a_finger_hides_what_is_behind_it_from_the_front_only():
    flat = synth._articulate(np.zeros((1, 5, 3)), np.zeros((1, 5)))
    xyz = flat[..., [0, 2, 1]] - flat[:, 6, [0, 2, 1]]  # palm to the front, index joint at 0
    assert not hidden_by_itself(RIG, xyz).any()
    xyz[:, 12] = [0, 0.06, 0]  # the middle fingertip behind the index
    shadow = hidden_by_itself(RIG, xyz)
    assert shadow[0, 0, 12]
    assert not shadow[1, 0, 12]
    assert not shadow[0, 0, 8]
