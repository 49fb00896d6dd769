"""The compiled refit against the NumPy one, which is tested against scipy."""

from __future__ import annotations

import numpy as np
import pytest

from multiview.core import Rig
from multiview.geometry.refine import refine_points
from multiview.geometry.refit import refit
from multiview.synth import make_rig

NOISE_PX = 1.5


@pytest.fixture(scope="module")
def rig() -> Rig:
    return make_rig(np.random.default_rng(7), 6)


def observed(rig: Rig, n: int, noise: np.ndarray | float = NOISE_PX) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 0.05, (n, 3))
    shape = (len(rig.cameras), n, 2)
    xy = rig.project(truth) + rng.normal(0, 1, shape) * np.reshape(noise, (-1, 1, 1))
    use = rng.random(shape[:2]) < 0.8
    use[:2] = True
    return truth, xy, use & np.isfinite(xy).all(-1)


def test_points_are_those_of_numpy_where_cameras_are_alike(rig: Rig) -> None:
    truth, xy, use = observed(rig, 2000)
    found = refit(rig, truth, xy, use)
    # cameras' noise is told to 4 %, which moves points by as little of their standard deviation
    plain = refine_points(rig, truth, xy, use)
    std = np.sqrt(np.diagonal(found.cov, axis1=1, axis2=2)).mean()
    assert np.sqrt(np.mean((found.xyz - plain) ** 2)) < 0.05 * std
    assert np.abs(found.sigma_px / NOISE_PX - 1).max() < 0.1
    np.testing.assert_array_equal(found.use, use)


def test_a_noisy_camera_counts_less(rig: Rig) -> None:
    noise = np.array([1.0, 1, 1, 1, 1, 5])
    truth, xy, use = observed(rig, 2000, noise)
    found = refit(rig, truth, xy, use)
    assert np.abs(found.sigma_px / noise - 1).max() < 0.15
    plain = refine_points(rig, truth, xy, use)
    rms = [np.sqrt(np.mean((x - truth) ** 2)) for x in (found.xyz, plain)]
    assert rms[0] < 0.75 * rms[1]


def test_what_strays_is_left_out(rig: Rig) -> None:
    truth, xy, use = observed(rig, 200)
    use[:] = True
    xy[2, ::4] += 60.0
    found = refit(rig, truth, xy, use, length=0.01)
    assert not found.use[2, ::4].any()
    assert found.use[2, 1::4].all()
    assert np.linalg.norm(found.xyz - truth, axis=-1).max() < 0.01


def test_points_that_cannot_be_are_nan(rig: Rig) -> None:
    truth, xy, use = observed(rig, 4)
    use[:, 0] = False
    use[1:, 1] = False
    truth[2] = np.nan
    found = refit(rig, truth, xy, use)
    np.testing.assert_array_equal(np.isfinite(found.xyz).all(-1), [False, False, False, True])
    np.testing.assert_array_equal(np.isfinite(found.cov).all((1, 2)), [False, False, False, True])
    assert refit(rig, truth[:0], xy[:, :0], use[:, :0]).xyz.shape == (0, 3)
