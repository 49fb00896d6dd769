"""What a take says of itself, where the answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from multiview.core import HAND_21, HAND_SLOTS, Detections
from multiview.errors import InputError
from multiview.evaluation.without_truth import (
    bone_figures,
    halves_figures,
    held_out_errors,
    jerk_figures,
    split_cameras,
    triangulate_halves,
    view_figures,
)
from multiview.geometry.refine import refine_points
from multiview.synth import make_hand_motion, make_rig
from multiview.triangulation import TriangulationConfig, triangulate

VIEWS, FRAMES, NOISE_PX, FPS = 8, 30, 1.5, 30.0
CONFIG = TriangulationConfig(unit="keypoint")


def take(rig, hands, noise, seed=1):
    """Detections of every keypoint in every view, with noise."""
    rng = np.random.default_rng(seed)
    xy = rig.project(hands) + rng.normal(0, noise, (len(rig.cameras), *hands.shape[:3], 2))
    shape = xy.shape[:-1]
    return Detections(
        xy_px=xy,
        conf=np.isfinite(xy).all(-1) * 0.9,
        camera_names=rig.names,
        frame_ids=np.arange(shape[1]),
        times=np.tile(np.arange(shape[1]) / FPS, (shape[0], 1)),
        skeleton=HAND_21,
        source="test",
        right=np.tile([0.0, 1.0], (*shape[:2], 1)),
        hands=HAND_SLOTS,
    )


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(2)
    rig = make_rig(rng, VIEWS, view_m=0.6)
    hands = make_hand_motion(rng, FRAMES, 2, fps=FPS)
    dets = take(rig, hands, NOISE_PX)
    return rig, hands, dets, triangulate(dets, rig, CONFIG)


def test_halves_differ_as_their_noise_predicts(scene):
    """And half their distance is the error of all cameras together."""
    rig, hands, dets, points = scene
    f = halves_figures(triangulate_halves(dets, rig, CONFIG))
    n = f["halves_points"]
    assert n > 0.97 * hands[..., 0].size
    # a median of n distances is known to about 0.55 / sqrt(n); the noise is estimated from the take
    assert f["halves_normalised"] == pytest.approx(1, abs=0.04)
    rms = np.sqrt(np.nanmean(((points.xyz_world - hands) ** 2).sum(-1)))
    # halves of four random directions are less even than all eight: some per cent more
    assert rms < f["halves_implied_rms"] < 1.25 * rms


def test_halves_do_not_see_a_common_error_but_one_of_a_camera(scene):
    rig, hands, dets, _ = scene
    f = halves_figures(triangulate_halves(dets, rig, CONFIG))
    shifted = take(rig, hands + np.array([0.02, 0, 0]), NOISE_PX)
    same = halves_figures(triangulate_halves(shifted, rig, CONFIG))
    assert same["halves_median"] == pytest.approx(f["halves_median"], rel=0.05)
    view = triangulate_halves(dets, rig, CONFIG).views[0]
    xy = dets.xy_px.copy()
    xy[list(view)] = shifted.xy_px[list(view)]
    apart = halves_figures(triangulate_halves(replace(dets, xy_px=xy), rig, CONFIG))
    assert apart["halves_median"] == pytest.approx(0.02, rel=0.05)


def test_halves_are_disjoint_and_look_from_all_sides():
    rig = make_rig(np.random.default_rng(0), 9, elevation_deg=(0, 10))
    a, b = split_cameras(rig)
    assert sorted((*a, *b)) == list(range(9))
    assert abs(len(a) - len(b)) <= 1
    for half in (a, b):
        angle = np.sort(np.arctan2(*rig.centres_world[list(half), :2].T))
        gaps = np.diff([*angle, angle[0] + 2 * np.pi])
        assert gaps.max() < np.radians(150)
    with pytest.raises(InputError, match="four"):
        split_cameras(make_rig(np.random.default_rng(0), 3))


def test_held_out_errors_are_those_of_points_made_without_the_view(scene):
    rig, _, dets, points = scene
    held = held_out_errors(points, rig, dets)
    f, h, k = 3, 1, 8
    use = points.inlier[:, f, h, k][:, None].copy()
    v = int(np.flatnonzero(use[:, 0])[0])
    use[v] = False
    start = points.xyz_world[f, h, k][None]
    without = refine_points(rig, start, dets.xy_px[:, f, h, k][:, None], use)
    off = np.linalg.norm(rig.project(without)[v, 0] - dets.xy_px[v, f, h, k])
    assert held[v, f, h, k] == pytest.approx(off, rel=0.02)


def test_outliers_keep_the_distance_they_have(scene):
    rig, hands, dets, _ = scene
    xy = dets.xy_px.copy()
    xy[2, :, 1, 5] += 60
    points = triangulate(replace(dets, xy_px=xy), rig, CONFIG)
    held = held_out_errors(points, rig, replace(dets, xy_px=xy))
    assert not points.inlier[2, :, 1, 5].any()
    off = np.linalg.norm(xy[2] - rig.project(hands)[2], axis=-1)[:, 1, 5]
    np.testing.assert_allclose(held[2, :, 1, 5], off, atol=5)
    f = view_figures(points, held)
    assert f["inlier_ratio"] == pytest.approx(points.inlier.sum() / points.err_px.size, abs=1e-9)
    assert f["held_out_p95_px"] < 10


def test_bones_and_jerk_of_exact_points(scene):
    _, hands, dets, points = scene
    exact = replace(points, xyz_world=hands)
    assert bone_figures(exact)["bone_variation_worst"] < 1e-9
    noisy = bone_figures(points)
    assert noisy["bone_variation_worst"] > noisy["bone_variation"] > 0.001
    times = dets.times[0]
    cubic = np.broadcast_to((times**3)[:, None, None, None] * [2.0, 0, 0], hands.shape)
    f = jerk_figures(replace(points, xyz_world=cubic), times)
    assert f["jerk_rms"] == pytest.approx(12)
    assert f["jerk_median"] == pytest.approx(12)
    assert np.isnan(jerk_figures(points, times * np.nan)["jerk_dimensionless"])
    assert np.isnan(jerk_figures(points, 0 * times)["jerk_rms"])
    smooth = jerk_figures(exact, times)["jerk_rms"]
    assert jerk_figures(points, times)["jerk_rms"] > 3 * smooth
