"""Smoothed takes: nearer to the truth, honest, the same in any unit and direction, never worse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2
from smoothing_scenes import (
    Scene,
    backwards,
    calm_hand,
    error_mm,
    fall,
    flick,
    in_unit,
    make_scene,
    part,
    triangulated,
)

from multiview.bootstrap.labels import pseudo_labels
from multiview.errors import InputError
from multiview.smoothing import path as path_module
from multiview.smoothing.config import SmoothingConfig
from multiview.smoothing.take import frame_times, smooth, smooth_with_report

FRAMES = 120


@pytest.fixture(scope="module")
def calm() -> Scene:
    return make_scene(calm_hand(FRAMES))


@pytest.fixture(scope="module")
def done(calm: Scene):
    return smooth_with_report(calm.points, calm.dets, calm.rig)


def test_points_are_twice_as_near_to_the_truth(calm: Scene, done) -> None:
    before, after = error_mm(calm.points, calm), error_mm(done[0], calm)
    assert np.nanmedian(after) < np.nanmedian(before) / 2
    assert np.nanpercentile(after, 95) < np.nanpercentile(before, 95) / 2


def test_covariances_hold_what_they_promise(calm: Scene, done) -> None:
    points = done[0]
    off = (points.xyz_world - calm.truth)[points.valid]
    square = np.einsum("ni,nij,nj->n", off, np.linalg.inv(points.cov[points.valid]), off)
    # some 10 smoother lengths times 63 coordinates: shares are good to 0.03; models are not exact
    for share in (0.68, 0.95):
        assert abs((square < chi2.ppf(share, 3)).mean() - share) < 0.09


def test_bones_bring_points_nearer(calm: Scene, done) -> None:
    plain = smooth(calm.points, calm.dets, calm.rig, SmoothingConfig(bones=False))
    assert np.nanmedian(error_mm(done[0], calm)) < 0.95 * np.nanmedian(error_mm(plain, calm))
    hand = done[1].hands[0]
    assert hand.bone_spread_after < hand.bone_spread / 4


def test_the_report_tells_what_was_done(calm: Scene, done) -> None:
    points, report = done
    hand = report.hands[0]
    assert hand.points == points.valid.sum()
    assert (hand.filled, hand.hand, report.clock) == (0, calm.points.hands[0], True)
    assert hand.noise_after < hand.noise / 1.5
    assert hand.frames_used > 3
    # half a frame interval would be 17 ms
    assert abs(hand.lag_s) < 1e-3
    assert abs(report.persistence) < 0.1
    assert np.median(report.sigma_px) == pytest.approx(1.5, rel=0.1)
    assert "smooth" not in calm.points.smoothing
    assert points.smoothing


@pytest.mark.parametrize(("scale", "unit"), [(1000.0, "mm"), (1 / 0.0371, "square")])
def test_the_unit_of_the_rig_changes_nothing(calm: Scene, done, scale: float, unit: str) -> None:
    other = in_unit(calm, scale, unit)
    points = smooth(other.points, other.dets, other.rig)
    size = np.nanmax(np.abs(done[0].xyz_world))
    np.testing.assert_allclose(points.xyz_world / scale, done[0].xyz_world, atol=1e-9 * size)
    np.testing.assert_allclose(points.cov / scale**2, done[0].cov, rtol=1e-5, atol=1e-16)
    np.testing.assert_array_equal(points.inlier, done[0].inlier)


def test_a_take_played_backwards_gives_the_same_paths(calm: Scene) -> None:
    # fewer points than the noise is measured on: a sample would not be the same backwards
    scene = part(calm, np.arange(80))
    other = backwards(scene)
    there = smooth(scene.points, scene.dets, scene.rig)
    back = smooth(other.points, other.dets, other.rig)
    sd = np.sqrt(np.einsum("...ii->...i", there.cov))
    assert np.nanmax(np.abs(back.xyz_world[::-1] - there.xyz_world) / sd) < 1e-3
    np.testing.assert_array_equal(back.valid[::-1], there.valid)


def test_windows_change_nothing(calm: Scene, done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_module, "WINDOW", 30)
    points = smooth(calm.points, calm.dets, calm.rig)
    sd = np.sqrt(np.einsum("...ii->...i", done[0].cov))
    assert np.nanmax(np.abs(points.xyz_world - done[0].xyz_world) / sd) < 1e-2


@pytest.mark.parametrize("views", [4, 6])
@pytest.mark.parametrize("motion", [flick, fall])
def test_fast_motion_is_never_worse_than_measured(views: int, motion) -> None:
    truth = calm_hand(FRAMES) + motion(FRAMES, 55)
    scene = make_scene(truth, views, seed=3)
    points = smooth(scene.points, scene.dets, scene.rig)
    quick = slice(50, 76)
    before, after = error_mm(scene.points, scene)[quick], error_mm(points, scene)[quick]
    both = np.isfinite(before) & np.isfinite(after)
    for share in (50, 95):
        assert np.percentile(after[both], share) < 1.02 * np.percentile(before[both], share)
    # still a gain elsewhere: a burst does not end the smoothing of the take
    rest = np.r_[5:40, 90:115]
    calm_after = np.nanmedian(error_mm(points, scene)[rest])
    assert calm_after < 0.7 * np.nanmedian(error_mm(scene.points, scene)[rest])
    v = np.gradient(truth, axis=0)[quick] * 30
    off = (truth - points.xyz_world)[quick]
    ok = np.isfinite(off)
    assert abs((off[ok] * v[ok]).sum() / (v[ok] ** 2).sum()) < 1e-3


def gappy(scene: Scene, start: int, stop: int, keypoint: int = 8) -> Scene:
    xy, conf = scene.dets.xy_px.copy(), scene.dets.conf.copy()
    xy[:, start:stop, :, keypoint], conf[:, start:stop, :, keypoint] = np.nan, 0
    return triangulated(scene.rig, replace(scene.dets, xy_px=xy, conf=conf), scene.truth)


def test_gaps_are_filled_only_on_request_and_marked(calm: Scene) -> None:
    scene = gappy(calm, 60, 66)
    assert not scene.points.valid[60:66, :, 8].any()
    plain = smooth(scene.points, scene.dets, scene.rig)
    assert not plain.valid[~scene.points.valid].any()
    assert not plain.filled.any()
    wanted = SmoothingConfig(fill_s=0.25)
    filled, report = smooth_with_report(scene.points, scene.dets, scene.rig, wanted)
    assert filled.filled[60:66, :, 8].all()
    assert filled.filled[filled.valid & ~scene.points.valid].all()
    # a pair of views that its bones contradict is no measurement either
    assert (filled.filled & scene.points.valid).sum() <= report.hands[0].rejected
    assert "0.25 s filled" in filled.smoothing
    off = (filled.xyz_world - scene.truth)[60:66, 0, 8]
    cov = filled.cov[60:66, 0, 8]
    # the middle of the gap is less sure than its ends, and as good as it says
    assert np.trace(cov[3]) > 1.5 * np.trace(filled.cov[40, 0, 8])
    assert (np.einsum("ni,nij,nj->n", off, np.linalg.inv(cov), off) < chi2.ppf(0.9999, 3)).all()


def test_longer_gaps_stay(calm: Scene) -> None:
    scene = gappy(calm, 60, 75)
    points = smooth(scene.points, scene.dets, scene.rig, SmoothingConfig(fill_s=0.2))
    assert not points.valid[60:75, :, 8].any()


def test_views_come_back_and_contradicted_pairs_go(calm: Scene) -> None:
    at, wrong = (60, 0, 8), calm.truth[60, 0, 8] + [0.0, 0.0, 0.2]
    inlier, xy = calm.points.inlier.copy(), calm.dets.xy_px.copy()
    inlier[2, 30:40] = False  # a view that was left out for no reason
    inlier[(slice(None), *at)] = False
    for v in (0, 1):  # two views that agree on a place away from the finger
        xy[(v, *at)] = calm.rig.project(wrong)[v]
        inlier[(v, *at)] = True
    points = replace(calm.points, inlier=inlier)
    dets = replace(calm.dets, xy_px=xy)
    after, report = smooth_with_report(points, dets, calm.rig)
    off = np.linalg.norm(xy - calm.rig.project(calm.truth), axis=-1)
    right, gross = (off < 4)[2, 30:40], (off > 20)[2, 30:40]
    assert gross.sum() > 5
    assert after.inlier[2, 30:40][right & after.valid[30:40]].mean() > 0.98
    assert not after.inlier[2, 30:40][gross].any()
    assert report.hands[0].readmitted > 100
    assert not after.valid[at]
    assert report.hands[0].rejected >= 1


def test_labels_say_that_points_were_smoothed(calm: Scene, done) -> None:
    assert "smoothed: over time" in pseudo_labels(done[0], calm.dets, calm.rig).source
    assert "smooth" not in pseudo_labels(calm.points, calm.dets, calm.rig).source


def test_uneven_times_are_times(calm: Scene, done) -> None:
    """Every third frame is lost: with its true times the take is as smooth as before."""
    scene = part(calm, np.flatnonzero(np.arange(FRAMES) % 3 != 1))
    dets = scene.dets
    right = np.nanmedian(error_mm(smooth(scene.points, dets, scene.rig), scene))
    even = replace(dets, times=np.tile(np.arange(len(scene.truth)) / 20.0, (len(dets.times), 1)))
    wrong = np.nanmedian(error_mm(smooth(scene.points, even, scene.rig), scene))
    assert right < 0.9 * wrong


def test_errors_that_persist_are_told_and_widen_covariances(calm: Scene) -> None:
    rng, shape = np.random.default_rng(0), calm.dets.xy_px.shape
    noise = np.empty(shape)
    noise[:, 0] = rng.normal(0, 1.5, shape[:1] + shape[2:])
    for f in range(1, FRAMES):
        noise[:, f] = 0.8 * noise[:, f - 1] + rng.normal(0, 0.6 * 1.5, noise[:, f].shape)
    xy = calm.rig.project(calm.truth) + noise
    scene = triangulated(
        calm.rig, replace(calm.dets, xy_px=xy, conf=np.full(shape[:-1], 0.9)), calm.truth
    )
    points, report = smooth_with_report(scene.points, scene.dets, scene.rig)
    assert report.persistence > 0.6
    off = (points.xyz_world - scene.truth)[points.valid]
    square = np.einsum("ni,nij,nj->n", off, np.linalg.inv(points.cov[points.valid]), off)
    # what persists beyond the smoother is seen; what all views share would not be
    assert (square < chi2.ppf(0.68, 3)).mean() > 0.55
    assert np.nanmedian(error_mm(points, scene)) < np.nanmedian(error_mm(scene.points, scene))


def test_few_frames_and_no_points_pass(calm: Scene) -> None:
    scene = part(calm, np.arange(3))
    few = scene.dets
    points = smooth(scene.points, few, scene.rig)
    np.testing.assert_array_equal(points.valid, scene.points.valid)
    none = replace(few, xy_px=np.full_like(few.xy_px, np.nan), conf=np.zeros_like(few.conf))
    scene = triangulated(calm.rig, none, calm.truth[:3])
    assert not smooth(scene.points, none, scene.rig).valid.any()


def test_what_does_not_fit_is_refused(calm: Scene, done) -> None:
    with pytest.raises(InputError, match="smoothed already"):
        smooth(done[0], calm.dets, calm.rig)
    with pytest.raises(InputError, match="made with rig"):
        smooth(calm.points, calm.dets, in_unit(calm, 2.0, "m").rig)
    timeless = replace(calm.dets, times=np.full_like(calm.dets.times, np.nan))
    with pytest.raises(InputError, match="no times"):
        smooth(calm.points, timeless, calm.rig, SmoothingConfig(fill_s=0.1))
    times = calm.dets.times.copy()
    times[:, 50] = times[:, 49]
    with pytest.raises(InputError, match="frame set 50 is not later than 49"):
        frame_times(replace(calm.dets, times=times))
    other = replace(calm.dets, frame_ids=calm.dets.frame_ids + 1)
    with pytest.raises(InputError, match="different cameras or frames"):
        smooth(calm.points, other, calm.rig)
