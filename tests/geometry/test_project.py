"""Projection against OpenCV, its derivative, and what is not in front of the camera."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from multiview.core import Camera, Pose, Rig
from multiview.errors import ShapeError
from multiview.geometry.project import project, project_jacobian, unproject
from multiview.synth import make_rig

sys.path.append(str(Path(__file__).parents[1]))
from oracles import LENSES, central_differences, cv2_project

# float64 at 1000 px has 1e-13 px digits; some ten operations of two programs differ by far less.
PX = 1e-9
# Derivatives are up to 1e3 px a unit: step 1e-6 truncates at 1e3 * 1e-12, rounds at 1e-13 / 1e-6.
STEP, DERIVATIVE = 1e-6, 1e-5


def seen_points(name: str, n: int = 300) -> np.ndarray:
    """Points in the camera's frame that it sees, at 0.3 to 3 m."""
    i = LENSES[name]
    rng = np.random.default_rng(5)
    xy_norm = unproject(rng.uniform(0, i.size_wh, (n, 2)), i.K, i.dist, i.model)
    return np.concatenate([xy_norm, np.ones((n, 1))], -1) * rng.uniform(0.3, 3, (n, 1))


@pytest.mark.parametrize("name", LENSES)
def test_project_agrees_with_opencv(name: str) -> None:
    i, xyz = LENSES[name], seen_points(name)
    xy = project(xyz, i.K, i.dist, i.model)
    assert np.abs(xy - cv2_project(xyz, i)).max() < PX


@pytest.mark.parametrize("name", LENSES)
def test_projection_does_not_depend_on_the_unit(name: str) -> None:
    i, xyz = LENSES[name], seen_points(name)
    xy = project(xyz, i.K, i.dist, i.model)
    assert np.abs(project(xyz * 1000, i.K, i.dist, i.model) - xy).max() < PX


@pytest.mark.parametrize("name", LENSES)
def test_jacobian_is_the_derivative(name: str) -> None:
    i, xyz = LENSES[name], 0.98 * seen_points(name, 60)
    xy, jacobian = project_jacobian(xyz, i.K, i.dist, i.model)
    np.testing.assert_array_equal(xy, project(xyz, i.K, i.dist, i.model))
    expected = central_differences(lambda p: project(p, i.K, i.dist, i.model), xyz, STEP)
    scale = np.abs(expected).max()
    assert np.abs(jacobian - expected).max() < DERIVATIVE * max(1.0, scale / 1e3)


@pytest.mark.parametrize("name", LENSES)
def test_behind_the_camera_is_nan(name: str) -> None:
    i = LENSES[name]
    xyz = np.array([[0.1, 0.1, -1.0], [0.1, 0.1, 0.0], [0.1, 0.1, 1.0]])
    xy = project(xyz, i.K, i.dist, i.model)
    np.testing.assert_array_equal(np.isfinite(xy).all(-1), [False, False, True])


def test_a_camera_looks_along_its_z_axis() -> None:
    camera = Camera(
        name="a",
        intrinsics=LENSES["pinhole"],
        cam_from_world=Pose(R=np.eye(3), t=np.array([0.0, 0.0, 2.0])),
    )
    np.testing.assert_array_equal(camera.centre_world, [0, 0, -2])
    centre = camera.intrinsics.K[:2, 2]
    np.testing.assert_allclose(camera.project(np.zeros(3)), centre, atol=PX)
    # x right and y down in the world are x right and y down in the picture
    assert (camera.project(np.array([0.1, 0.2, 0.0])) > centre).all()


def test_moving_world_and_cameras_together_changes_no_pixel() -> None:
    rng = np.random.default_rng(2)
    rig, move = make_rig(rng, 4), Pose(R=np.eye(3)[[1, 2, 0]], t=np.array([0.4, -1.0, 2.0]))
    moved = Rig(
        cameras=tuple(
            Camera(name=c.name, intrinsics=c.intrinsics, cam_from_world=c.cam_from_world @ move.inv)
            for c in rig.cameras
        )
    )
    xyz = rng.normal(0, 0.1, (50, 3))
    assert np.nanmax(np.abs(moved.project(move.apply(xyz)) - rig.project(xyz))) < PX


def test_rig_stacks_views_and_refuses_another_number() -> None:
    rig = make_rig(np.random.default_rng(2), 3)
    xy = rig.project(np.zeros((5, 2, 3)))
    assert xy.shape == (3, 5, 2, 2)
    np.testing.assert_array_equal(xy[1], rig.cameras[1].project(np.zeros((5, 2, 3))))
    assert rig.undistort(xy).shape == xy.shape
    with pytest.raises(ShapeError, match="3 cameras"):
        rig.undistort(xy[:2])


HUGE = [1e12, 1e155, -1e300, 5e-324]


@pytest.mark.parametrize("model", ["brown", "fisheye"])
def test_numbers_no_lens_knows_are_missing_and_no_warning(model: str) -> None:
    K = np.array([[1000.0, 0, 640], [0, 1000, 360], [0, 0, 1]])
    dist = np.array([-0.2, 0.1, 0.01, -0.01])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in HUGE:
            for y in HUGE:
                seen = unproject(np.array([x, y]), K, dist, model)
                assert np.isnan(seen).all() or np.abs(seen).max() < 15
                # also in the plane of the lens, nearly
                for z in (1.0, 1e-300, 1e300):
                    xy = project(np.array([x, y, z]), K, dist, model)
                    assert not np.isinf(xy).any()
                    bare = project(np.array([x, y, z]), K, np.zeros(0))
                    assert not np.isinf(bare).any()
