"""Reprojection sums of paths: against the plain ones, differences, and by role."""

from __future__ import annotations

import numpy as np

from multiview.core import Rig
from multiview.geometry.compiled.lens import pack_cameras
from multiview.geometry.compiled.path import FIXED, OPEN, UNUSED, add_views
from multiview.geometry.refine import normal_equations
from multiview.synth import make_rig

VIEWS, N, LIMIT, SOFT = 4, 12, 18.0, 0.5
SIGMA = np.array([1.0, 1.5, 2.0, 0.7])


def scene() -> tuple[Rig, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    rig = make_rig(rng, VIEWS)
    xyz = rng.uniform(-0.05, 0.05, (N, 3))
    return rig, xyz, rig.project(xyz) + rng.normal(size=(VIEWS, N, 2))


def sums(rig, xyz, xy, role):
    H, g, weight = np.empty((N, 3, 3)), np.empty((N, 3)), np.empty((VIEWS, N))
    add_views(pack_cameras(rig)[0], xyz, xy, SIGMA, role, LIMIT, SOFT, 0, N, H, g, weight)
    return H, g, weight


def test_sums_are_those_of_the_plain_formulas() -> None:
    rig, xyz, xy = scene()
    role = np.full((VIEWS, N), FIXED, np.int8)
    role[1, :5] = UNUSED
    H, g, weight = sums(rig, xyz, xy, role)
    parts = [
        normal_equations(Rig(cameras=(c,)), xyz, xy[v : v + 1], role[v : v + 1] > 0)
        for v, c in enumerate(rig.cameras)
    ]
    precision = 1 / SIGMA**2
    np.testing.assert_allclose(H, sum(p * x[0] for p, x in zip(precision, parts, strict=True)))
    np.testing.assert_allclose(g, -sum(p * x[1] for p, x in zip(precision, parts, strict=True)))
    np.testing.assert_array_equal(weight, role > 0)


def test_the_gradient_is_that_of_the_cost() -> None:
    rig, xyz, xy = scene()
    role = np.full((VIEWS, N), FIXED, np.int8)

    def cost(at: np.ndarray) -> np.ndarray:
        off = (rig.project(at) - xy) / SIGMA[:, None, None]
        return (off**2).sum((0, 2)) / 2

    # differences of 1e-6 m: of a cost of about 10, rounding leaves 1e-9 of its slope
    step, g = 1e-6, sums(rig, xyz, xy, role)[1]
    for i in range(3):
        e = np.eye(3)[i] * step
        slope = (cost(xyz + e) - cost(xyz - e)) / (2 * step)
        np.testing.assert_allclose(-g[:, i], slope, rtol=1e-4, atol=1e-4 * np.abs(g).max())


def test_an_open_view_counts_as_far_as_it_agrees() -> None:
    rig, xyz, xy = scene()
    role = np.full((VIEWS, N), FIXED, np.int8)
    role[0] = OPEN
    at = rig.project(xyz)[0]
    xy[0] = at
    squares = np.array([0.0, 8.0, 13.5, 17.9, 18.1, 1e4])  # in variances
    xy[0, :6, 0] += np.sqrt(squares) * SIGMA[0]
    weight = sums(rig, xyz, xy, role)[2]
    np.testing.assert_allclose(weight[0, :6], [1, 1, 0.5, 0.1 / 9, 0, 0], atol=1e-9)
    # one that others confirm counts wherever it is
    role[0] = FIXED
    assert (sums(rig, xyz, xy, role)[2] == 1).all()
