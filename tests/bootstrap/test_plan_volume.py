"""Maps of expected error: against simulated triangulation, and by symmetry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from multiview.bootstrap.plan_volume import Box, draw_hits, error_map, seen_box
from multiview.bootstrap.planner import Detector, true_positive_rate
from multiview.core import Camera, Pose, Rig, RigCovariance
from multiview.errors import InputError
from multiview.geometry.refine import refine_points
from multiview.geometry.uncertainty import rig_part
from multiview.synth import look_at, make_rig

DETECTOR = Detector(rate=0.7, sigma_px=4, crop_px=100, noise_px=1.5)
BOX = Box(low=np.full(3, -0.2), high=np.full(3, 0.2))
SIGMAS = 5.0


@pytest.fixture(scope="module")
def rig():
    return make_rig(np.random.default_rng(4), 6)


def test_error_and_share_found_are_those_of_simulated_takes(rig):
    """Detections with noise that miss at random, triangulated for real at one position."""
    rng, draws = np.random.default_rng(0), 4000
    m = error_map(rig, BOX, DETECTOR, positions=8)
    at = int(m.views.argmax())
    assert m.views[at] == 6
    xyz = np.tile(m.xyz[at], (draws, 1))
    xy = rig.project(xyz) + rng.normal(0, DETECTOR.noise, (6, draws, 2))
    use = rng.random((6, draws)) < DETECTOR.rate
    found = use.sum(0) >= m.agree[at]
    expected = m.found[at]
    assert abs(found.mean() - expected) < SIGMAS * np.sqrt(expected * (1 - expected) / draws)
    estimate = refine_points(rig, xyz[found], xy[:, found], use[:, found])
    square = ((np.asarray(estimate).reshape(-1, 3) - m.xyz[at]) ** 2).sum(-1)
    rms = np.sqrt(square.mean())
    # standard deviation of the root of a mean of squares
    spread = square.std() / np.sqrt(len(square)) / (2 * rms)
    assert abs(rms - m.rms[at]) < SIGMAS * spread


def test_only_pictures_that_hold_the_point_count(rig):
    m = error_map(rig, Box(low=np.full(3, -0.4), high=np.full(3, 0.4)), DETECTOR, positions=200)
    seen = [
        ((xy > -0.5) & (xy < np.array(c.intrinsics.size_wh) - 0.5)).all(-1)
        for c, xy in zip(rig.cameras, rig.project(m.xyz), strict=True)
    ]
    np.testing.assert_array_equal(m.views, np.sum(seen, axis=0))
    assert len(np.unique(m.views)) > 3
    none = m.views < 2
    assert (m.found[none] == 0).all()
    assert np.isnan(m.rms[none]).all()
    assert m.covered(3) == (m.views >= 3).mean()


def test_found_is_the_planners_rate(rig):
    m = error_map(rig, BOX, DETECTOR, positions=64)
    expected = [true_positive_rate(v, a, 0.7) for v, a in zip(m.views, m.agree, strict=True)]
    np.testing.assert_allclose(m.found[m.views >= 2], np.array(expected)[m.views >= 2], rtol=1e-9)


def test_drawn_subsets_of_many_views_hit_in_their_share():
    hits = draw_hits(31, 0.7)
    np.testing.assert_allclose(hits.hit.mean(0), 0.7, atol=1 / len(hits.weight))
    assert draw_hits(5, 0.7).weight.sum() == pytest.approx(1)
    np.testing.assert_array_equal(hits.hit, draw_hits(31, 0.7).hit)
    exact = sum(draw_hits(5, 0.7).weight[draw_hits(5, 0.7).hit.sum(1) >= 3])
    assert exact == pytest.approx(true_positive_rate(5, 3, 0.7))


def test_turning_the_world_changes_nothing(rig):
    turn = Pose(R=np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), t=np.array([0.3, 0.1, -0.2]))
    cameras = tuple(replace(c, cam_from_world=c.cam_from_world @ turn.inv) for c in rig.cameras)
    box = Box(low=BOX.low + turn.t, high=BOX.high + turn.t)
    here, there = error_map(rig, BOX, DETECTOR), error_map(Rig(cameras=cameras), box, DETECTOR)
    order = np.lexsort(np.round(turn.apply(here.xyz), 9).T)
    other = np.lexsort(np.round(there.xyz, 9).T)
    np.testing.assert_allclose(here.rms[order], there.rms[other], rtol=1e-6)
    assert here.quantile(0.9) == pytest.approx(there.quantile(0.9), rel=1e-9)


def test_the_rigs_own_doubt_adds(rig):
    """One camera's place is known to a centimetre only."""
    pose = np.full((6, 6), -1)
    pose[2, 3:] = [0, 1, 2]
    doubt = RigCovariance(matrix=np.eye(3) * 1e-4, pose=pose, lens=np.full((6, 16), -1))
    plain = error_map(rig, BOX, DETECTOR, positions=27)
    known = error_map(replace(rig, covariance=doubt), BOX, DETECTOR, positions=27)
    full = plain.views == 6
    use = np.ones((6, int(full.sum())), bool)
    part = rig_part(replace(rig, covariance=doubt), plain.xyz[full], use, np.full(6, 1.5))
    np.testing.assert_allclose((known.cov - plain.cov)[full], part, rtol=1e-6, atol=1e-12)
    assert known.rms_rig[full].min() > 1e-3
    assert (plain.rms_rig == 0).all()
    found = np.isfinite(plain.error[full])
    square = plain.error[full] ** 2 + np.trace(part, axis1=1, axis2=2)[:, None]
    np.testing.assert_allclose(known.error[full][found] ** 2, square[found], rtol=1e-9)


def test_a_stereo_pair_is_worst_along_its_view():
    """The direction of the largest error is depth, by the ratio of depth to half the baseline."""
    lens = make_rig(np.random.default_rng(0), 1, distortion=0.0).cameras[0].intrinsics
    pair = tuple(
        Camera(
            name=f"c{s}",
            intrinsics=lens,
            cam_from_world=look_at(np.array([0.1 * s, -1.0, 0]), np.zeros(3)),
        )
        for s in (-1, 1)
    )
    m = error_map(Rig(cameras=pair), Box(low=np.full(3, -0.02), high=np.full(3, 0.02)), DETECTOR)
    assert np.abs(m.worst_direction @ [0, 1, 0]).min() > 0.99
    assert np.median(m.elongation) == pytest.approx(10, rel=0.1)
    assert (m.agree == 2).all()


def test_seen_box_is_where_the_cameras_look(rig):
    box = seen_box(rig)
    assert (box.low < -0.1).all()
    assert (box.high > 0.1).all()
    assert np.abs([box.low, box.high]).max() < 1.0
    inside = error_map(rig, Box(low=-np.full(3, 0.05), high=np.full(3, 0.05)), DETECTOR)
    assert inside.covered(6) == 1


def test_parallel_cameras_need_a_volume():
    lens = make_rig(np.random.default_rng(0), 1).cameras[0].intrinsics
    row = tuple(
        Camera(
            name=f"c{n}", intrinsics=lens, cam_from_world=Pose(R=np.eye(3), t=np.array([n, 0, 0]))
        )
        for n in (0.0, 0.2, 0.4)
    )
    with pytest.raises(InputError, match="parallel"):
        seen_box(Rig(cameras=row))


def test_boxes_that_are_none():
    for low, high in (([0, 0, 0], [1, 1, -1]), ([0, 0, 0], [0, 0, 0]), ([np.nan, 0, 0], [1, 1, 1])):
        with pytest.raises(InputError):
            Box(low=np.array(low, float), high=np.array(high, float))
    flat = Box(low=np.zeros(3), high=np.array([1.0, 1.0, 0.0]))
    assert flat.grid(100)[1] == (10, 10, 1)
