"""Held-out errors by leverage against refitting without the view."""

from __future__ import annotations

import numpy as np
import pytest

from multiview.geometry.leave_one_out import leave_one_out_errors
from multiview.geometry.refine import refine_points
from multiview.synth import make_hand_motion, make_rig

VIEWS, NOISE_PX = 5, 2.0


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    rig = make_rig(rng, VIEWS, view_m=0.8)
    xyz = make_hand_motion(rng, 4).reshape(-1, 3)
    xy = rig.project(xyz)
    xy = xy + rng.normal(0, NOISE_PX, xy.shape)
    use = rng.random(xy.shape[:2]) < 0.9
    use &= np.isfinite(xy).all(-1)
    return rig, xyz, xy, use


def test_equals_the_refit_without_the_view(scene):
    rig, xyz, xy, use = scene
    fitted = refine_points(rig, xyz, xy, use)
    got = leave_one_out_errors(rig, fitted, xy, use)
    assert np.isfinite(got).mean() > 0.8
    for v in range(VIEWS):
        without = use.copy()
        without[v] = False
        want = np.linalg.norm(rig.project(refine_points(rig, xyz, xy, without))[v] - xy[v], axis=-1)
        ok = np.isfinite(got[v])
        # first order: the point moves by mm at a metre, so the square of the move is 1e-5 of it
        np.testing.assert_allclose(got[v, ok], want[ok], rtol=0.02, atol=0.02)


def test_is_larger_than_the_residual_of_the_fit(scene):
    rig, xyz, xy, use = scene
    fitted = refine_points(rig, xyz, xy, use)
    got = leave_one_out_errors(rig, fitted, xy, use)
    inside = np.linalg.norm(rig.project(fitted) - xy, axis=-1)
    ok = np.isfinite(got)
    assert (got[ok] >= inside[ok]).all()
    # 3 of 2 V coordinates are spent on the point: with 5 views about a third of the variance
    assert np.median(got[ok] / inside[ok]) > 1.2


def test_two_views_have_no_held_out_error(scene):
    rig, xyz, xy, use = scene
    two = use & (np.arange(VIEWS)[:, None] < 2)
    assert np.isnan(leave_one_out_errors(rig, xyz, xy, two)).all()
    assert np.isnan(leave_one_out_errors(rig, xyz * np.nan, xy, use)).all()
