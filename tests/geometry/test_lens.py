"""The lens forwards, backwards and differentiated, with its end respected."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from multiview.core import Intrinsics
from multiview.geometry.lens import distort, distort_jacobian, undistort
from multiview.geometry.project import project, unproject

sys.path.append(str(Path(__file__).parents[1]))
from oracles import FOLDING, LENSES, WEBCAM, central_differences, cv2_project

# What a label or residual could ever notice, a thousandth of the best corner detector's noise.
ROUND_TRIP_PX = 1e-6
# Central differences with step h: truncation h^2 = 1e-12, rounding 1e-16 / h = 1e-10, with margin.
STEP, DERIVATIVE = 1e-6, 1e-8


def picture(i: Intrinsics, n: int = 41) -> np.ndarray:
    w, h = i.size_wh
    x, y = np.meshgrid(np.linspace(-0.5, w - 0.5, n), np.linspace(-0.5, h - 0.5, n))
    return np.stack([x, y], -1)


def lift(xy_norm: np.ndarray) -> np.ndarray:
    return np.concatenate([xy_norm, np.ones_like(xy_norm[..., :1])], -1)


@pytest.mark.parametrize("name", LENSES)
def test_undistort_inverts_distort_over_the_whole_picture(name: str) -> None:
    i = LENSES[name]
    xy = picture(i)
    xy_norm = unproject(xy, i.K, i.dist, i.model)
    back = project(lift(xy_norm), i.K, i.dist, i.model)
    assert np.abs(back - xy).max() < ROUND_TRIP_PX
    # and the ray is the right one, not merely one that lands on the same pixel
    assert np.abs(cv2_project(lift(xy_norm), i) - xy).max() < ROUND_TRIP_PX


@pytest.mark.parametrize("name", LENSES)
def test_distort_then_undistort_returns_the_ray(name: str) -> None:
    i = LENSES[name]
    rays = unproject(picture(i), i.K, i.dist, i.model)
    again = undistort(distort(rays, i.dist, i.model), i.dist, i.model)
    assert np.abs(again - rays).max() * i.K[0, 0] < ROUND_TRIP_PX


@pytest.mark.parametrize("name", LENSES)
def test_jacobian_is_the_derivative(name: str) -> None:
    i = LENSES[name]
    xy = unproject(picture(i, 9), i.K, i.dist, i.model).reshape(-1, 2) * 0.98
    value, jacobian = distort_jacobian(xy, i.dist, i.model)
    np.testing.assert_array_equal(value, distort(xy, i.dist, i.model))
    expected = central_differences(lambda p: distort(p, i.dist, i.model), xy, STEP)
    assert np.abs(jacobian - expected).max() < DERIVATIVE


def test_fisheye_on_the_axis() -> None:
    i = LENSES["fisheye"]
    value, jacobian = distort_jacobian(np.zeros((1, 2)), i.dist, "fisheye")
    np.testing.assert_array_equal(value, 0)
    np.testing.assert_array_equal(jacobian[0], np.eye(2))
    np.testing.assert_array_equal(undistort(np.zeros((1, 2)), i.dist, "fisheye"), 0)


def test_a_lens_that_folds_back_gives_nan_and_no_ghost() -> None:
    i = FOLDING
    # the same direction, further and further off the axis
    r = np.linspace(0, 1.2, 400)[1:]
    xy_norm = np.stack([r, r], -1) / np.sqrt(2)
    xy = project(lift(xy_norm), i.K, i.dist)
    seen = np.isfinite(xy).all(-1)
    assert seen[r < 0.55].all()
    assert not seen[r > 0.65].any()
    # up to its end the lens is one to one: further out in the world is further out in the picture
    assert (np.diff(np.linalg.norm(xy[seen] - i.K[:2, 2], axis=-1)) > 0).all()
    # OpenCV projects the others back into the picture
    ghost = cv2_project(lift(xy_norm), i)[~seen]
    assert ((ghost > 0) & (ghost < 720)).all(-1).any()


def test_pixels_that_no_ray_reaches_are_nan() -> None:
    i = FOLDING
    xy = picture(i, 61)
    xy_norm = unproject(xy, i.K, i.dist)
    seen = np.isfinite(xy_norm).all(-1)
    assert not seen[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert seen.mean() > 0.9
    back = project(lift(xy_norm[seen]), i.K, i.dist)
    assert np.abs(back - xy[seen]).max() < ROUND_TRIP_PX


def test_nan_stays_alone() -> None:
    dist = np.array(WEBCAM)
    xy = np.array([[np.nan, 0.1], [0.1, 0.2]])
    for f in (distort, undistort):
        out = f(xy, dist)
        assert np.isnan(out[0]).any()
        np.testing.assert_array_equal(out[1], f(xy[1:], dist)[0])


@pytest.mark.parametrize("shape", [(2,), (0, 2), (3, 4, 2)])
@pytest.mark.parametrize("name", LENSES)
def test_any_shape(name: str, shape: tuple[int, ...]) -> None:
    i = LENSES[name]
    xy = np.full(shape, 0.1)
    assert distort(xy, i.dist, i.model).shape == shape
    assert undistort(xy, i.dist, i.model).shape == shape
    assert distort_jacobian(xy, i.dist, i.model)[1].shape == (*shape, 2)
