"""Non-linear refinement: never worse, the optimum of scipy, robust to bad starts."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from multiview.core import Rig
from multiview.geometry import refine
from multiview.geometry.dlt import dlt
from multiview.geometry.refine import normal_equations, refine_points
from multiview.synth import make_rig

sys.path.append(str(Path(__file__).parents[1]))
from oracles import central_differences, scipy_refine

# scipy differentiates numerically (1e-8 relative): its optimum is good to far below a micrometre.
SCIPY_M = 1e-7
# Costs of some 10 px^2 add up about 10 rounding errors of 1e-16 each.
COST = 1e-12

Scene = tuple[Rig, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Rig, start (60, 3), noisy pixels (6, 60, 2) and which of them count."""
    rng = np.random.default_rng(7)
    rig = make_rig(rng, 6)
    xyz = rng.normal(0, 0.05, (60, 3))
    xy = rig.project(xyz) + rng.normal(0, 1.5, (6, 60, 2))
    use = rng.random((6, 60)) < 0.7
    use[:2] = True
    use &= np.isfinite(xy).all(-1)
    return rig, dlt(*rig.cam_from_world, rig.undistort(xy), use), xy, use


@pytest.mark.parametrize("steps", [1, 2, refine.MAX_STEPS])
def test_never_a_higher_cost(scene: Scene, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refine, "MAX_STEPS", steps)
    rig, start, xy, use = scene
    for scale in (0.0, 0.01, 0.3, 0.6):  # from the linear solution to a start far off
        begin = start + np.random.default_rng(1).normal(0, scale, start.shape) * (scale > 0)
        before = normal_equations(rig, begin, xy, use)[2]
        after = normal_equations(rig, refine_points(rig, begin, xy, use), xy, use)[2]
        assert (after <= before * (1 + COST)).all()


def test_agrees_with_scipy(scene: Scene) -> None:
    rig, start, xy, use = scene
    refined = refine_points(rig, start, xy, use)
    assert np.abs(refined - start).max() > 1e3 * SCIPY_M  # there was something to do
    for n in range(0, 60, 4):
        expected = scipy_refine(rig, start[n], xy[:, n], use[:, n])
        assert np.abs(refined[n] - expected).max() < SCIPY_M


def test_exact_pixels_lead_to_the_truth(scene: Scene) -> None:
    rig = scene[0]
    truth = np.random.default_rng(8).normal(0, 0.05, (30, 3))
    xy = rig.project(truth)
    use = np.isfinite(xy).all(-1)
    refined = refine_points(rig, truth + 0.01, xy, use)
    assert np.abs(refined - truth).max() < SCIPY_M


def test_normal_equations_are_those_of_the_residuals(scene: Scene) -> None:
    rig, start, xy, use = scene
    JtJ, Jtr, cost = normal_equations(rig, start, xy, use)
    residual = np.where(use[..., None], rig.project(start) - xy, 0.0)
    np.testing.assert_allclose(cost, (residual**2).sum((0, 2)), rtol=1e-12)
    jacobian = np.stack(
        [central_differences(lambda p, c=c: c.project(p), start, 1e-6) for c in rig.cameras]
    )
    jacobian = np.where(use[..., None, None], jacobian, 0.0)
    # derivatives of about 1e3 px/m are good to 1e-4 px/m by differences
    expected = np.einsum("vnci,vncj->nij", jacobian, jacobian)
    np.testing.assert_allclose(JtJ, expected, atol=1e-6 * np.abs(expected).max())
    expected = np.einsum("vnci,vnc->ni", jacobian, residual)
    np.testing.assert_allclose(Jtr, expected, atol=1e-6 * np.abs(expected).max() + 1e-2)


def test_points_are_independent_and_missing_ones_stay(scene: Scene) -> None:
    rig, start, xy, use = scene
    start, use = start.copy(), use.copy()
    start[3], use[1:, 5] = np.nan, False
    refined = refine_points(rig, start, xy, use)
    assert np.isnan(refined[3]).all()
    np.testing.assert_array_equal(refined[5], start[5])
    alone = refine_points(rig, start[9:10], xy[:, 9:10], use[:, 9:10])
    np.testing.assert_allclose(alone[0], refined[9], atol=1e-12)
    assert refine_points(rig, start[:0], xy[:, :0], use[:, :0]).shape == (0, 3)


def test_unused_pixels_do_not_matter(scene: Scene) -> None:
    rig, start, xy, use = scene
    wild = np.where(use[..., None], xy, np.nan)
    np.testing.assert_array_equal(
        refine_points(rig, start, wild, use), refine_points(rig, start, xy, use)
    )


def test_cost_is_infinite_where_a_used_view_cannot_see(scene: Scene) -> None:
    rig, _, xy, use = scene
    behind = rig.centres_world[:1] * 1.5
    use = np.ones((6, 1), bool)
    assert np.isinf(normal_equations(rig, behind, xy[:, :1], use)[2]).all()
