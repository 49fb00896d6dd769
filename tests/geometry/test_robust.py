"""Robust triangulation of single keypoints: the limits of the data, honesty, and bad input."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from multiview.core import Camera, Pose, Rig
from multiview.errors import ShapeError
from multiview.geometry.refine import refine_points
from multiview.geometry.robust import RobustPoints, Search, stop_ranks, triangulate_points
from multiview.synth import make_rig

SIGMA_PX, POINTS = 1.5, 2000
# A share p of N points is known to sqrt(p (1 - p) / N); 5 of them fail 1 in a million.
SIGMAS = 5.0
# Steps end below a hundredth of a standard deviation of about 1 mm, at least linearly converging.
SAME_M = 1e-5


class Scene:
    """Points in a dome, seen with noise, gaps and gross errors of 20 to 300 px."""

    def __init__(self, views: int, outliers: float, *, n: int = POINTS, sigma: float = SIGMA_PX):
        rng = np.random.default_rng([views, round(100 * outliers), n])
        size = (1920, 1080)
        self.rig = make_rig(rng, views, radius_m=2.5, view_m=1.9, size_wh=size, distortion=1.0)
        self.truth = rng.uniform(-0.2, 0.2, (n, 3))
        xy = self.rig.project(self.truth)
        shape = xy.shape[:2]
        wrong, missing = rng.random(shape) < outliers, rng.random(shape) < 0.2
        far, way = rng.uniform(20, 300, shape), rng.uniform(0, 2 * np.pi, shape)
        off = np.where(wrong, far, 0)[..., None] * np.stack([np.cos(way), np.sin(way)], -1)
        xy = xy + rng.normal(0, sigma, xy.shape) + off
        self.conf = np.where(wrong, rng.beta(2, 4, shape), rng.beta(8, 2, shape))
        self.xy = np.where(missing[..., None], np.nan, xy)
        self.right = ~wrong & ~missing

    def solve(self, confidences: bool = True, **search: float) -> RobustPoints:
        conf = self.conf if confidences else None
        return triangulate_points(self.rig, self.xy, conf, Search(**search))

    def error(self, points: RobustPoints) -> np.ndarray:
        return np.asarray(np.linalg.norm(points.xyz - self.truth, axis=-1))

    def oracle(self) -> np.ndarray:
        start = np.where((self.right.sum(0) >= 2)[:, None], self.truth, np.nan)
        return refine_points(self.rig, start, self.xy, self.right)


SCENES = {key: Scene(*key) for key in [(4, 0.15), (8, 0.15), (31, 0.15), (8, 0.6)]}


@pytest.mark.parametrize("confidences", [True, False])
@pytest.mark.parametrize("key", SCENES)
def test_errors_are_those_of_maximum_likelihood_on_the_true_inliers(
    key: tuple[int, float], confidences: bool
) -> None:
    scene = SCENES[key]
    points = scene.solve(confidences)
    error, least = scene.error(points), np.linalg.norm(scene.oracle() - scene.truth, axis=-1)
    both = np.isfinite(error) & np.isfinite(least)
    for quantile, more in ((50, 1.02), (95, 1.05)):
        assert np.percentile(error[both], quantile) < more * np.percentile(least[both], quantile)
    # of what can be had at all, and of points with three views nearly none is wrong
    if key[1] < 0.5:
        assert both.sum() > 0.97 * np.isfinite(least).sum()
    three = points.inlier.sum(0) >= 3
    assert (error[three] > 0.03).mean() < 0.005


@pytest.mark.parametrize("sigma", [0.4, 1.5, 5.0])
@pytest.mark.parametrize("views", [4, 8])
def test_the_noise_is_found(views: int, sigma: float) -> None:
    points = Scene(views, 0.1, sigma=sigma).solve()
    assert np.abs(points.sigma_px / sigma - 1).max() < 0.12
    assert abs(np.median(points.sigma_px) / sigma - 1) < 0.05


def test_noise_free_input_is_no_problem() -> None:
    scene = Scene(6, 0.0, sigma=0.0)
    points = scene.solve()
    assert np.nanmax(scene.error(points)) < 1e-6
    assert np.isfinite(points.cov[np.isfinite(points.xyz[:, 0])]).all()


@pytest.mark.parametrize("key", [(4, 0.15), (8, 0.15), (31, 0.15), (8, 0.6), (8, 0.0)])
def test_ellipsoids_hold_what_they_promise(key: tuple[int, float]) -> None:
    scene = SCENES.get(key) or Scene(*key)
    points = scene.solve()
    for count in ((2, 2), (3, 3), (4, 31)):
        agree = points.inlier.sum(0)
        use = (agree >= count[0]) & (agree <= count[1]) & (scene.error(points) < 0.1)
        if use.sum() < 100:
            continue
        off = (points.xyz - scene.truth)[use]
        squared = np.einsum("ni,nij,nj->n", off, np.linalg.inv(points.cov[use]), off)
        # a point of two views also holds the chance that it is wrong
        slack = 0.02 if count[0] > 2 else 0.03 + (1 - points.trust[use]).mean()
        for p in (0.68, 0.95):
            share = (squared < chi2.ppf(p, 3)).mean()
            assert abs(share - p) < slack + SIGMAS * np.sqrt(p * (1 - p) / use.sum())


@pytest.mark.parametrize("more_px", [2.0, 4.0, 8.0])
@pytest.mark.parametrize("outliers", [0.0, 0.15])
def test_noisier_frames_are_found_and_say_so(outliers: float, more_px: float) -> None:
    """Every fourth frame of twenty points is blurred: 1.7, 2.9 and 5.4 times the noise."""
    scene, frame = Scene(8, outliers), np.arange(POINTS) // 20
    blurred, rng = frame % 4 == 0, np.random.default_rng(0)
    scene.xy[:, blurred] += rng.normal(0, more_px, scene.xy[:, blurred].shape)
    points = triangulate_points(scene.rig, scene.xy, scene.conf, groups=frame)
    trace = np.trace(points.cov, axis1=1, axis2=2)
    assert np.nanmedian(trace[blurred]) > 2 * np.nanmedian(trace[~blurred])
    # points of two views are not believed where noise is larger
    assert np.isfinite(trace[blurred]).mean() > 0.9
    assert points.inlier[:, blurred][scene.right[:, blurred]].mean() > 0.8
    off = points.xyz - scene.truth
    ok = np.isfinite(trace)
    squared = np.full(POINTS, np.nan)
    squared[ok] = np.einsum("ni,nij,nj->n", off[ok], np.linalg.inv(points.cov[ok]), off[ok])
    inside = squared < chi2.ppf(0.95, 3)
    assert inside[~blurred].mean() > 0.92
    # noise is told to a step of the scales, and of a noise of 8 px some views still seem wrong
    assert inside[blurred].mean() > (0.85 if more_px < 8 else 0.75)


@pytest.mark.parametrize(("views", "outliers"), [(4, 0.15), (4, 0.4), (8, 0.6)])
@pytest.mark.parametrize("confidences", [True, False])
def test_two_views_say_how_weak_they_are(views: int, outliers: float, confidences: bool) -> None:
    scene = Scene(views, outliers, n=6000)
    points = scene.solve(confidences, trust=0.0)
    two = points.inlier.sum(0) == 2
    assert two.sum() > 300
    right = (points.inlier & ~scene.right).sum(0)[two] == 0
    told = points.trust[two]
    assert abs(right.mean() - told.mean()) < 0.06
    sure = told > np.median(told)
    assert right[sure].mean() >= right[~sure].mean() - 0.02
    assert (points.trust[points.inlier.sum(0) >= 3] == 1).all()


@pytest.mark.parametrize("confidences", [True, False])
def test_right_views_are_not_left_out(confidences: bool) -> None:
    """A right view may be far from the point of three others, but not from that of all four."""
    scene = Scene(4, 0.15, n=6000)
    points = scene.solve(confidences)
    pure = (points.inlier.sum(0) >= 2) & ~(points.inlier & ~scene.right).any(0)
    pure &= scene.right.sum(0) >= 3
    # the limit is exceeded once in ten thousand times or less; 12,000 observations
    left_out = (scene.right & ~points.inlier)[:, pure].sum()
    assert left_out <= 1e-4 * scene.right[:, pure].sum() + 2


def test_agreement_adapts_to_the_detector() -> None:
    weak, strong = Scene(31, 0.8), Scene(31, 0.15)
    needed = [s.solve(confidences=False).agreement.needed[31] for s in (weak, strong)]
    assert needed[0] > needed[1] >= 3
    assert abs(strong.solve(confidences=False).agreement.rate - 0.85) < 0.03
    assert (weak.error(weak.solve(confidences=False)) > 0.05).mean() < 0.01


def test_order_of_cameras_points_and_threads_changes_nothing() -> None:
    scene = SCENES[8, 0.15]
    order = np.random.default_rng(0).permutation(8)
    points = scene.solve(workers=1)
    rig = scene.rig.select([scene.rig.names[v] for v in order])
    mixed = triangulate_points(rig, scene.xy[order], scene.conf[order])
    np.testing.assert_allclose(mixed.xyz, points.xyz, atol=SAME_M)
    assert (mixed.inlier == points.inlier[order]).mean() > 0.9999
    wide = replace(Search(), workers=3)
    tiled = triangulate_points(scene.rig, np.tile(scene.xy, (1, 5, 1)), None, wide)
    alone = triangulate_points(
        scene.rig, np.tile(scene.xy, (1, 5, 1)), None, replace(wide, workers=1)
    )
    np.testing.assert_array_equal(tiled.xyz, alone.xyz)


def test_rigs_in_millimetres_give_the_same_points() -> None:
    scene = SCENES[8, 0.15]
    big = replace(
        scene.rig,
        unit="mm",
        cameras=tuple(
            Camera(
                name=c.name,
                intrinsics=c.intrinsics,
                cam_from_world=Pose(R=c.cam_from_world.R, t=1000 * c.cam_from_world.t),
            )
            for c in scene.rig.cameras
        ),
    )
    points, other = scene.solve(), triangulate_points(big, scene.xy, scene.conf)
    np.testing.assert_array_equal(other.inlier, points.inlier)
    np.testing.assert_allclose(other.xyz, 1000 * points.xyz, atol=1000 * SAME_M)
    np.testing.assert_allclose(other.cov, 1e6 * points.cov, rtol=1e-3, atol=1e-6)


def test_a_given_noise_is_used_as_it_is() -> None:
    scene = SCENES[8, 0.15]
    one = triangulate_points(scene.rig, scene.xy, scene.conf, sigma_px=3.0)
    each = triangulate_points(
        scene.rig, scene.xy, scene.conf, sigma_px=np.full(scene.xy.shape[:2], 3.0)
    )
    np.testing.assert_allclose(each.xyz, one.xyz, atol=1e-9)
    assert (one.sigma_px == 3.0).all()
    with pytest.raises(ShapeError, match="sigma_px"):
        triangulate_points(scene.rig, scene.xy, sigma_px=np.zeros(8))


def test_stop_ranks_miss_as_rarely_as_they_say() -> None:
    ranks = stop_ranks(31)
    assert (ranks[2, 2], ranks[4, 2], ranks[20, 2]) == (2, 4, 20)
    assert ranks[31, 31] == 2
    assert ranks[4, 5] == 0
    rng = np.random.default_rng(0)
    for m, k in ((31, 20), (31, 12), (20, 10)):
        first = np.array([(rng.permutation(m) < k)[: ranks[m, k] - 1].sum() for _ in range(20000)])
        assert (first < 2).mean() < 1e-3
    assert ranks[31, 20] < ranks[31, 12] < ranks[31, 4] < ranks[31, 2] == 31


def test_shapes_are_checked() -> None:
    scene = SCENES[4, 0.15]
    with pytest.raises(ShapeError, match="4 views"):
        triangulate_points(SCENES[8, 0.15].rig, scene.xy)
    with pytest.raises(ShapeError, match="conf"):
        triangulate_points(scene.rig, scene.xy, scene.conf[:2])


FLOATS = st.one_of(
    st.floats(-500, 2500), st.sampled_from([np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0])
)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), views=st.integers(1, 6), n=st.integers(0, 12))
def test_any_input_gives_points_or_none_and_no_warning(
    data: st.DataObject, views: int, n: int
) -> None:
    rig = make_rig(np.random.default_rng(views), views, size_wh=(1920, 1080))
    size = views * n * 2
    xy = np.array(data.draw(st.lists(FLOATS, min_size=size, max_size=size))).reshape(views, n, 2)
    conf = np.array(
        data.draw(
            st.lists(st.floats(-2, 3) | st.just(np.nan), min_size=views * n, max_size=views * n)
        )
    ).reshape(views, n)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points = triangulate_points(rig, xy, conf)
    valid = np.isfinite(points.xyz).all(-1)
    count = points.inlier.sum(0)
    assert ((count >= 2) == valid).all()
    assert (np.isfinite(points.cov).all((1, 2)) == valid).all()
    assert not (points.inlier & ~np.isfinite(xy).all(-1)).any()
    seen = rig.project(points.xyz)[points.inlier]
    assert np.isfinite(seen).all()


def test_hopeless_takes_give_no_points() -> None:
    scene = SCENES[8, 0.15]
    nothing = triangulate_points(scene.rig, np.full_like(scene.xy, np.nan), scene.conf)
    one = scene.xy.copy()
    one[1:] = np.nan
    for points in (nothing, triangulate_points(scene.rig, one, scene.conf)):
        assert not points.inlier.any()
        assert np.isnan(points.xyz).all()
    assert not triangulate_points(scene.rig, scene.xy, scene.conf - 5).inlier.any()


def test_chance_alone_makes_hardly_a_point() -> None:
    rng = np.random.default_rng(0)
    for views in (3, 8):
        scene = Scene(views, 0.0, n=1000)
        xy = rng.uniform((0, 0), (1920, 1080), scene.xy.shape)
        points = triangulate_points(scene.rig, xy)
        believed = np.where(np.isfinite(points.trust), points.trust, 0)
        assert (points.inlier.sum(0) >= 3).mean() < 0.01
        assert (believed > 0.5).mean() < 0.05


def test_identical_cameras_carry_no_point() -> None:
    scene = Scene(2, 0.0, n=100)
    camera = scene.rig.cameras[0]
    twins = Rig(cameras=tuple(replace(camera, name=f"c{i}") for i in range(3)))
    xy = np.repeat(scene.xy[:1], 3, axis=0) + np.random.default_rng(0).normal(0, 1, (3, 100, 2))
    assert not triangulate_points(twins, xy).inlier.any()


def test_points_behind_the_cameras_and_at_infinity() -> None:
    pair = make_rig(np.random.default_rng(0), 2, azimuth_deg=60, distortion=0.0)
    centre = np.array([c.intrinsics.K[:2, 2] for c in pair.cameras])[:, None]
    # to the left in the one that stands left, to the right in the other, or the reverse: the rays
    # of one of both meet before the cameras, those of the other behind them
    sides = np.array([[[-500.0, 0]], [[500.0, 0]]])
    found = [triangulate_points(pair, np.repeat(centre + s * sides, 50, 1)) for s in (1, -1)]
    assert sorted(bool(f.inlier.any()) for f in found) in ([False, False], [False, True])
    for f in found:
        seen = np.isfinite(f.xyz[:, 0])
        assert all((c.cam_from_world.apply(f.xyz[seen])[:, 2] > 0).all() for c in pair.cameras)
    # one direction seen from two places: at infinity
    twin = Camera(
        name="beside",
        intrinsics=pair.cameras[0].intrinsics,
        cam_from_world=Pose(
            R=pair.cameras[0].cam_from_world.R,
            t=pair.cameras[0].cam_from_world.t + np.array([0.5, 0, 0]),
        ),
    )
    beside = Rig(cameras=(pair.cameras[0], twin))
    same = np.random.default_rng(0).uniform(100, 700, (1, 50, 2)).repeat(2, axis=0)
    assert not triangulate_points(beside, same).inlier.any()


def test_five_hundred_views() -> None:
    scene = Scene(500, 0.3, n=20)
    points = scene.solve(confidences=False)
    error = scene.error(points)
    assert np.isfinite(error).all()
    assert error.max() < 0.002
    assert (points.inlier & ~scene.right).sum() < 0.001 * points.inlier.sum()
