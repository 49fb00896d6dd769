"""Linear triangulation: against OpenCV, with gaps, moved and reordered."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from multiview.core import Pose
from multiview.errors import ShapeError
from multiview.geometry.dlt import dlt, pair_points, solve3, view_pairs
from multiview.synth import make_rig

sys.path.append(str(Path(__file__).parents[1]))
from oracles import cv2_triangulate

# Positions of about 1 m by an SVD: 1e-16 times a condition number of about 1e3, with margin.
SVD_M = 1e-11
# Normal equations square the condition number: 1e-16 * 1e6.
NORMAL_M = 1e-9
# Noise of 1e-3 in normalised units is about 1 px.
NOISE = 1e-3

Scene = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def scene() -> Scene:
    """R, t, noisy normalised detections (5, 40, 2), truth (40, 3)."""
    rng = np.random.default_rng(3)
    R, t = make_rig(rng, 5).cam_from_world
    xyz = rng.normal(0, 0.1, (40, 3))
    xy = exact(R, t, xyz)
    return R, t, xy + rng.normal(0, NOISE, xy.shape), xyz


def exact(R: np.ndarray, t: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    cam = np.einsum("vij,nj->vni", R, xyz) + t[:, None]
    return cam[..., :2] / cam[..., 2:]


def test_dlt_agrees_with_opencv(scene: Scene) -> None:
    R, t, xy, _ = scene
    for a, b in [(0, 1), (2, 4)]:
        pair = [a, b]
        expected = cv2_triangulate(R[pair], t[pair], xy[pair])
        assert np.abs(dlt(R[pair], t[pair], xy[pair]) - expected).max() < SVD_M


def test_exact_rays_give_the_truth(scene: Scene) -> None:
    R, t, _, xyz = scene
    xy = exact(R, t, xyz)
    assert np.abs(dlt(R, t, xy) - xyz).max() < SVD_M
    assert np.abs(pair_points(R, t, xy, view_pairs(5)) - xyz).max() < NORMAL_M


def test_fewer_than_two_views_give_nan(scene: Scene) -> None:
    R, t, xy, _ = scene
    xy = xy.copy()
    xy[1:, 0], xy[:, 1], xy[2:, 2] = np.nan, np.nan, np.nan
    xy[0, 3, 1] = np.nan  # half a point is none
    out = dlt(R, t, xy)
    np.testing.assert_array_equal(np.isnan(out).all(-1), np.isin(np.arange(40), [0, 1]))
    assert np.abs(out[2] - dlt(R[:2], t[:2], xy[:2])[2]).max() < SVD_M
    assert np.abs(out[3] - dlt(R[1:], t[1:], xy[1:])[3]).max() < SVD_M


def test_use_leaves_views_out(scene: Scene) -> None:
    R, t, xy, _ = scene
    use = np.ones(xy.shape[:2], bool)
    use[[1, 3]] = False
    keep = [0, 2, 4]
    assert np.abs(dlt(R, t, xy, use) - dlt(R[keep], t[keep], xy[keep])).max() < SVD_M


def test_order_of_views_does_not_matter(scene: Scene) -> None:
    R, t, xy, _ = scene
    order = [3, 0, 4, 2, 1]
    assert np.abs(dlt(R[order], t[order], xy[order]) - dlt(R, t, xy)).max() < SVD_M


def test_moving_the_world_moves_exact_points(scene: Scene) -> None:
    R, t, _, xyz = scene
    move = Pose(R=np.eye(3)[[2, 0, 1]], t=np.array([0.3, -0.7, 1.1]))
    xy = exact(R, t, xyz)
    R2 = R @ move.inv.R
    t2 = R @ move.inv.t + t
    assert np.abs(dlt(R2, t2, xy) - move.apply(xyz)).max() < SVD_M
    # rows of the inhomogeneous form rotate with the world: equivariant with noise, too
    noisy = scene[2]
    pairs = view_pairs(5)
    moved = pair_points(R2, t2, noisy, pairs)
    assert np.abs(moved - move.apply(pair_points(R, t, noisy, pairs))).max() < NORMAL_M


def test_parallel_rays_meet_nowhere() -> None:
    R, t = np.stack([np.eye(3)] * 2), np.array([[0.0, 0, 0], [-1.0, 0, 0]])
    xy = np.full((2, 1, 2), 0.25)
    assert np.isnan(dlt(R, t, xy)).all()
    assert np.isnan(pair_points(R, t, xy, view_pairs(2))).all()


def test_pairs_with_a_missing_view_are_nan(scene: Scene) -> None:
    R, t, xy, _ = scene
    xy = xy.copy()
    xy[2, 7] = np.nan
    first, second = view_pairs(5)
    out = pair_points(R, t, xy, (first, second))
    assert out.shape == (10, 40, 3)
    np.testing.assert_array_equal(np.isnan(out[:, 7]).all(-1), (first == 2) | (second == 2))
    assert np.isfinite(np.delete(out, 7, axis=1)).all()


def test_solve3_solves_and_refuses_singular_systems() -> None:
    rng = np.random.default_rng(0)
    J = rng.normal(size=(100, 6, 3))
    A, b = J.transpose(0, 2, 1) @ J, rng.normal(size=(100, 3))
    expected = np.linalg.solve(A, b[..., None])[..., 0]
    np.testing.assert_allclose(solve3(A, b), expected, rtol=1e-9)
    assert np.isnan(solve3(np.diag([1.0, 1.0, 0.0]), np.ones(3))).all()
    # the unit is no matter
    np.testing.assert_allclose(solve3(A * 1e-12, b * 1e-12), expected, rtol=1e-9)


def test_wrong_shape_names_field_and_both_shapes(scene: Scene) -> None:
    R, t, xy, _ = scene
    with pytest.raises(ShapeError, match=r"dlt\.t has shape \(4, 3\), expected \(V=5, 3\)"):
        dlt(R, t[:4], xy)


def test_rays_along_the_picture_make_no_point_and_no_warning() -> None:
    rig = make_rig(np.random.default_rng(0), 3)
    xy = np.array([[1e300, 1.0], [0.1, 1e160], [1e160, -1e300], [0.0, 0.0]])
    xy = np.stack([xy, xy[::-1], np.zeros((4, 2))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xyz = pair_points(*rig.cam_from_world, xy, view_pairs(3))
    assert not np.isinf(xyz).any()
