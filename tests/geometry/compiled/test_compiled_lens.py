"""Compiled lenses against the NumPy ones, which are tested against OpenCV."""

from __future__ import annotations

import numpy as np
import pytest

from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.geometry.compiled import jit
from multiview.geometry.compiled.lens import pack_cameras, project, project_jacobian
from multiview.geometry.project import project_jacobian as numpy_jacobian
from multiview.geometry.refit import pixel_errors, undistort
from multiview.synth import look_at

LENSES = [
    ("brown", ()),
    ("brown", (-0.2, 0.05, 1e-3, -5e-4)),
    ("brown", (-0.3, 0.1, 1e-3, -5e-4, 0.02)),
    ("brown", (0.3, 0.1, 1e-3, -5e-4, 0.02, 0.5, 0.05, 0.01)),
    ("brown", (-0.2, 0.05, 1e-3, -5e-4, 0.0, 0.0, 0.0, 0.0, 1e-3, 2e-4, -1e-3, 3e-4)),
    ("fisheye", (0.05, -0.02, 0.004, -0.001)),
]
# Float64 arithmetic in another order, at 1000 px.
SAME_PX, SAME_NORM = 1e-9, 1e-11


@pytest.fixture(scope="module", params=LENSES, ids=lambda x: f"{x[0]}{len(x[1])}")
def rig(request: pytest.FixtureRequest) -> Rig:
    model, dist = request.param
    lens = Intrinsics(
        K=np.array([[900.0, 0, 630], [0, 910, 350], [0, 0, 1]]),
        dist=np.array(dist),
        size_wh=(1280, 720),
        model=model,
    )
    poses = [look_at(np.array(c), np.zeros(3)) for c in ([1.0, 0.2, 0.3], [-0.4, 1.1, 0.5])]
    return Rig(
        cameras=tuple(
            Camera(name=f"c{i}", intrinsics=lens, cam_from_world=p) for i, p in enumerate(poses)
        )
    )


def test_projection_and_its_derivative(rig: Rig) -> None:
    cameras, _ = pack_cameras(rig)
    xyz = np.random.default_rng(0).normal(0, 0.25, (300, 3))
    for row, camera in zip(cameras, rig.cameras, strict=True):
        lens, pose = camera.intrinsics, camera.cam_from_world
        seen, J = numpy_jacobian(pose.apply(xyz), lens.K, lens.dist, lens.model)
        J = J @ pose.R
        for point, px, by in zip(xyz, seen, J, strict=True):
            u, v, z, *derivative = project_jacobian(row, *point)
            assert (z > 0) == np.isfinite(px).all()
            if z > 0:
                np.testing.assert_allclose((u, v), px, atol=SAME_PX)
                np.testing.assert_allclose(project(row, *point)[:2], px, atol=SAME_PX)
                np.testing.assert_allclose(derivative, by.ravel(), atol=1e-7)


def test_points_behind_and_beyond_the_lens_are_unseen() -> None:
    strong = Intrinsics(
        K=np.array([[900.0, 0, 630], [0, 910, 350], [0, 0, 1]]),
        dist=np.array([-0.4, 0.05, 0, 0]),
        size_wh=(1280, 720),
    )
    camera = Camera(name="c", intrinsics=strong, cam_from_world=Pose.identity())
    row = pack_cameras(Rig(cameras=(camera,)))[0][0]
    for point in ([0.1, 0.1, -1.0], [0.1, 0.1, 0.0], [5.0, 0.0, 1.0], [np.nan, 0.0, 1.0]):
        assert project(row, *point)[2] == 0
        assert project_jacobian(row, *point)[2] == 0
    assert project(row, 0.1, 0.1, 1.0)[2] == 1


def test_undistortion(rig: Rig) -> None:
    rng = np.random.default_rng(1)
    xy = rng.uniform((-40, -40), (1320, 760), (2, 5000, 2))
    xy[:, 5] = np.nan
    expected = rig.undistort(xy)
    assert np.isfinite(expected).mean() > 0.9
    np.testing.assert_allclose(undistort(rig, xy), expected, atol=SAME_NORM)


def test_pixel_errors(rig: Rig) -> None:
    rng = np.random.default_rng(2)
    xyz = rng.normal(0, 0.2, (500, 3))
    xyz[3] = np.nan
    xy = rng.uniform(0, 700, (2, 500, 2))
    xy[0, 7] = np.nan
    expected = np.linalg.norm(rig.project(xyz) - xy, axis=-1)
    np.testing.assert_allclose(pixel_errors(rig, xyz, xy), expected, atol=SAME_PX)


def test_code_is_compiled_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def njit(**options: object) -> object:
        asked.append(options.get("cache", False))
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(jit.numba, "njit", njit)
    assert jit.compiled(len)([1, 2]) == 2
    assert asked == [True, False]
