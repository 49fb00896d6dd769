"""Detections to 3D points: accuracy, honesty, and what must not change them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from multiview.bootstrap.labels import LabelConfig, safe_keypoints
from multiview.core import Camera, Detections, Pose, Rig
from multiview.core.covariance import RigCovariance
from multiview.errors import InputError
from multiview.synth import make_hand_motion, make_rig, observe
from multiview.triangulation import TriangulationConfig, triangulate, triangulate_with_report

FRAMES, NOISE_PX = 25, 1.0
# Distance 1.2 m over a focal length of 1.2 m * 720 px / 0.45 m: metres per pixel.
METRES_PER_PX = 0.45 / 720
# Refinement stops where a step is below 1e-10 of the position: far below a micrometre.
SAME_M = 1e-8
# The noise of single keypoints is told on a sample, to a few per cent: a tenth of 0.4 mm.
SAMPLED_M = 4e-5
# Share of gross errors that may pass as inliers: see the expected failure below; 4 of 200 measured.
LEAK = 0.05


@pytest.fixture(scope="module")
def rig() -> Rig:
    return make_rig(np.random.default_rng(0), 8)


@pytest.fixture(scope="module")
def hand() -> np.ndarray:
    return make_hand_motion(np.random.default_rng(1), FRAMES)


@pytest.fixture(scope="module")
def clean(rig: Rig, hand: np.ndarray) -> Detections:
    return observe(np.random.default_rng(2), rig, hand, noise_px=NOISE_PX).detections


@pytest.fixture(scope="module")
def dirty(rig: Rig, hand: np.ndarray) -> Detections:
    return observe(
        np.random.default_rng(3), rig, hand, outliers=0.05, outlier_px=100, missing=0.03
    ).detections


def reordered(d: Detections, order: list[int]) -> Detections:
    return replace(
        d,
        xy_px=d.xy_px[order],
        conf=d.conf[order],
        times=d.times[order],
        right=d.right[order],
        camera_names=tuple(d.camera_names[v] for v in order),
    )


def scaled(rig: Rig, s: float) -> Rig:
    cameras = [
        Camera(
            name=c.name,
            intrinsics=c.intrinsics,
            cam_from_world=Pose(R=c.cam_from_world.R, t=s * c.cam_from_world.t),
        )
        for c in rig.cameras
    ]
    return replace(rig, cameras=tuple(cameras), unit="board square")


def test_errors_are_near_the_noise_floor(rig: Rig, hand: np.ndarray, clean: Detections) -> None:
    points, report = triangulate_with_report(clean, rig)
    assert points.valid.mean() > 0.97
    error = np.linalg.norm(points.xyz_world - hand, axis=-1)
    # METHOD.md section 5: 3 / sqrt(2) * s * d / f / sqrt(N) for N isotropic views
    floor = 3 / np.sqrt(2) * NOISE_PX * METRES_PER_PX / np.sqrt(8)
    rms = np.sqrt(np.nanmean(error**2))
    # the cameras stand on a ring, not on a sphere, and a few see only part: half as much again
    assert 0.6 * floor < rms < 1.5 * floor
    freedom = points.valid.sum() * 13
    assert abs(report.sigma_px / NOISE_PX - 1) < 5 / np.sqrt(2 * freedom)


def test_no_accepted_point_is_farther_off_than_its_covariance_allows(
    rig: Rig, hand: np.ndarray, dirty: Detections
) -> None:
    points = triangulate(dirty, rig)
    use = points.valid & points.voted
    assert use.mean() > 0.9
    error = (points.xyz_world - hand)[use]
    squared = np.einsum("ni,nij,nj->n", error, np.linalg.inv(points.cov[use]), error)
    # largest of n draws of chi-square with 3 freedoms: exceeded once in 10^4 takes
    assert squared.max() < chi2.isf(1e-4 / use.sum(), 3)


def test_gross_errors_are_no_inliers_and_show_in_err_px(rig: Rig, hand: np.ndarray) -> None:
    seen = observe(np.random.default_rng(3), rig, hand, outliers=0.05, outlier_px=100)
    points = triangulate(seen.detections, rig)
    bad = seen.outlier & ~seen.missing & points.valid
    assert bad.sum() > 100
    assert points.inlier[bad].mean() < LEAK
    # 100 px less the point's own error of a few pixels
    assert points.err_px[bad & ~points.inlier].min() > 90
    # an error is given wherever the detector saw the keypoint, inlier or not
    np.testing.assert_array_equal(np.isfinite(points.err_px), seen.detections.valid & points.valid)
    # 1 px noise per coordinate: 5 sigma, and a little for the point's own error
    pure = points.inlier & ~(points.inlier & bad).any(0)
    assert points.err_px[pure].max() < 6


def test_no_gross_error_at_all_is_an_inlier(rig: Rig, hand: np.ndarray) -> None:
    seen = observe(np.random.default_rng(3), rig, hand, outliers=0.05, outlier_px=100)
    points = triangulate(seen.detections, rig)
    assert not points.inlier[seen.outlier & points.valid].any()


def test_a_rig_of_two_cameras_never_votes(rig: Rig, hand: np.ndarray) -> None:
    pair = rig.select(rig.names[:2])
    seen = observe(np.random.default_rng(4), pair, hand, noise_px=0.5)
    points = triangulate(seen.detections, pair)
    assert points.valid.mean() > 0.9
    assert not points.voted.any()
    assert (points.inlier.sum(0)[points.valid] == 2).all()


@pytest.mark.parametrize("unit", ["keypoint", "finger"])
def test_points_of_two_views_say_how_far_to_believe_them(
    rig: Rig, hand: np.ndarray, unit: str
) -> None:
    few = rig.select(rig.names[:4])
    seen = observe(np.random.default_rng(5), few, hand, outliers=0.2, missing=0.2)
    config = TriangulationConfig.model_validate({"unit": unit})
    points = triangulate(seen.detections, few, config)
    two = points.valid & ~points.voted
    assert two.sum() > 30
    assert (points.trust[points.voted] == 1).all()
    assert ((points.trust[two] > 0) & (points.trust[two] < 1)).all()
    np.testing.assert_array_equal(np.isnan(points.trust), ~points.valid)


def test_voted_points_have_three_views(rig: Rig, dirty: Detections) -> None:
    points = triangulate(dirty, rig)
    count = points.inlier.sum(0)
    np.testing.assert_array_equal(points.voted, points.valid & (count >= 3))
    np.testing.assert_array_equal(points.valid, count >= 2)
    np.testing.assert_array_equal(points.valid, np.isfinite(points.cov).all((-1, -2)))


def test_order_of_cameras_does_not_matter(rig: Rig, dirty: Detections) -> None:
    order = [5, 2, 7, 0, 1, 6, 3, 4]
    points, mixed = triangulate(dirty, rig), triangulate(reordered(dirty, order), rig)
    assert mixed.camera_names == tuple(rig.names[v] for v in order)
    np.testing.assert_array_equal(mixed.inlier, points.inlier[order])
    np.testing.assert_allclose(mixed.xyz_world, points.xyz_world, atol=SAME_M)
    np.testing.assert_allclose(mixed.err_px, points.err_px[order], atol=1e-3)
    # a rig with its cameras in yet another order, or with more of them, changes nothing at all
    other = triangulate(dirty, rig.select(rig.names[::-1]))
    np.testing.assert_array_equal(other.xyz_world, points.xyz_world)


def test_renamed_cameras_give_the_same_points(rig: Rig, dirty: Detections) -> None:
    names = tuple(f"port_{9 - v}" for v in range(8))
    other = Rig(cameras=tuple(replace(c, name=n) for c, n in zip(rig.cameras, names, strict=True)))
    points = triangulate(replace(dirty, camera_names=names), other)
    np.testing.assert_array_equal(points.xyz_world, triangulate(dirty, rig).xyz_world)
    assert points.rig_digest != rig.digest


@pytest.mark.parametrize(("unit", "same_m"), [("finger", SAME_M), ("keypoint", SAMPLED_M)])
def test_frames_are_independent_of_their_order_and_number(
    rig: Rig, dirty: Detections, unit: str, same_m: float
) -> None:
    turned = replace(
        dirty, xy_px=dirty.xy_px[:, ::-1], conf=dirty.conf[:, ::-1], right=dirty.right[:, ::-1]
    )
    config = TriangulationConfig.model_validate({"unit": unit})
    points, other = triangulate(dirty, rig, config), triangulate(turned, rig, config)
    assert (other.inlier[:, ::-1] == points.inlier).mean() > 0.999
    np.testing.assert_allclose(other.xyz_world[::-1], points.xyz_world, atol=same_m)


@pytest.mark.parametrize("ordered", [True, False])
def test_another_unit_gives_the_same_result_scaled(rig: Rig, ordered: bool) -> None:
    hands = make_hand_motion(np.random.default_rng(7), 10, 2)
    seen = observe(np.random.default_rng(8), rig, hands, outliers=0.05, ordered=ordered).detections
    (points, report), (big, big_report) = (
        triangulate_with_report(seen, r) for r in (rig, scaled(rig, 37.0))
    )
    assert big.unit == "board square"
    np.testing.assert_array_equal(big.inlier, points.inlier)
    np.testing.assert_allclose(big.xyz_world, 37 * points.xyz_world, atol=37 * SAME_M)
    np.testing.assert_allclose(big.cov, 37**2 * points.cov, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(big_report.hand_length, 37 * report.hand_length, rtol=1e-9)
    np.testing.assert_allclose(big_report.tolerance, 37 * report.tolerance, rtol=1e-9)


def test_moving_the_world_moves_the_points(rig: Rig, dirty: Detections) -> None:
    move = Pose(R=np.eye(3)[[2, 0, 1]], t=np.array([0.5, -1.0, 2.0]))
    moved = Rig(
        cameras=tuple(replace(c, cam_from_world=c.cam_from_world @ move.inv) for c in rig.cameras)
    )
    points, other = triangulate(dirty, rig), triangulate(dirty, moved)
    np.testing.assert_array_equal(other.inlier, points.inlier)
    np.testing.assert_allclose(other.xyz_world, move.apply(points.xyz_world), atol=SAME_M)


def test_two_shuffled_hands_end_up_where_they_are(rig: Rig) -> None:
    wide = make_rig(np.random.default_rng(0), 6, view_m=0.8)
    hands = make_hand_motion(np.random.default_rng(1), FRAMES, 2)
    seen = observe(np.random.default_rng(2), wide, hands, hand_swaps=0.2, ordered=False)
    points, report = triangulate_with_report(seen.detections, wide)
    assert points.hands == ("left", "right")
    assert report.moved > 0
    error = np.linalg.norm(points.xyz_world - hands, axis=-1)
    assert np.isfinite(error).mean() > 0.9
    # two views of 1 px noise at 0.8 m / 720 px err by 2 mm; a hand is 0.16 m away from the other
    assert np.nanmax(error) < 0.01


def test_report_measures_the_hand_and_the_hit_rate(
    rig: Rig, hand: np.ndarray, clean: Detections, dirty: Detections
) -> None:
    _, report = triangulate_with_report(clean, rig)
    chain = hand[:, 0, [0, 9, 10, 11, 12]]
    length = np.linalg.norm(np.diff(chain, axis=1), axis=-1).sum(-1).mean()
    assert abs(report.hand_length / length - 1) < 0.05
    assert len(report.min_views) == 7
    assert report.hit_rate > triangulate_with_report(dirty, rig)[1].hit_rate > 0.7
    config = TriangulationConfig(unit="finger")
    _, fingers = triangulate_with_report(clean, rig, config)
    assert fingers.tolerance == config.inlier_hand * report.hand_length


def test_unsure_detections_are_no_candidates(rig: Rig, clean: Detections) -> None:
    conf = clean.conf.copy()
    conf[3] = 0.1
    points = triangulate(replace(clean, conf=conf), rig)
    assert not points.inlier[3].any()
    assert points.valid.mean() > 0.95
    kept = triangulate(replace(clean, conf=conf), rig, TriangulationConfig(min_conf=0.05))
    assert kept.inlier[3].any()


def test_more_agreement_demanded_means_fewer_points(rig: Rig, dirty: Detections) -> None:
    shares = [
        triangulate(dirty, rig, TriangulationConfig(min_views=n)).valid.mean() for n in (3, 7, 8)
    ]
    assert shares[0] > shares[1] > shares[2]


def test_what_cannot_be_triangulated_is_refused(rig: Rig, clean: Detections) -> None:
    with pytest.raises(InputError, match="only one camera"):
        triangulate(reordered(clean, [0]), rig)
    with pytest.raises(InputError, match="cam07 is not in the rig"):
        triangulate(clean, rig.select(rig.names[:7]))


def blank(d: Detections) -> Detections:
    return replace(
        d,
        xy_px=np.full(d.xy_px.shape, np.nan),
        conf=np.zeros(d.conf.shape),
        right=np.full(d.right.shape, np.nan),
    )


@pytest.mark.parametrize("hands", [(), ("right",)])
def test_a_take_without_a_hand_has_no_points(
    rig: Rig, clean: Detections, hands: tuple[str, ...]
) -> None:
    assert not triangulate(replace(blank(clean), hands=hands), rig).valid.any()


@pytest.mark.parametrize("hands", [(), ("right",)])
def test_a_hand_that_one_view_alone_saw_has_no_points(
    rig: Rig, clean: Detections, hands: tuple[str, ...]
) -> None:
    xy = np.where(np.arange(8)[:, None, None, None, None] == 2, clean.xy_px, np.nan)
    assert not triangulate(replace(clean, xy_px=xy, hands=hands), rig).valid.any()


@pytest.mark.parametrize("hands", [(), ("right",)])
def test_a_take_without_frames_has_no_points(
    rig: Rig, clean: Detections, hands: tuple[str, ...]
) -> None:
    none = replace(
        clean,
        xy_px=clean.xy_px[:, :0],
        conf=clean.conf[:, :0],
        times=clean.times[:, :0],
        right=clean.right[:, :0],
        frame_ids=clean.frame_ids[:0],
        hands=hands,
    )
    assert len(triangulate(none, rig).xyz_world) == 0


def test_single_keypoints_are_more_and_as_good(rig: Rig, hand: np.ndarray) -> None:
    seen = observe(np.random.default_rng(3), rig, hand, outliers=0.1, missing=0.1).detections
    both = {u: triangulate(seen, rig, TriangulationConfig(unit=u)) for u in ("finger", "keypoint")}
    share = {u: p.valid.mean() for u, p in both.items()}
    assert share["keypoint"] > 0.98 > 0.9 > share["finger"]
    error = np.linalg.norm(both["keypoint"].xyz_world - hand, axis=-1)
    assert np.nanmax(error[both["keypoint"].voted]) < 0.01
    _, report = triangulate_with_report(seen, rig, TriangulationConfig(unit="keypoint"))
    assert abs(report.sigma_px - NOISE_PX) < 0.05
    assert abs(report.hit_rate - 0.9) < 0.03
    # 4.3 standard deviations at the distance of the hand
    assert abs(report.tolerance / (4.3 * NOISE_PX * METRES_PER_PX) - 1) < 0.3


def test_fingers_read_wrong_as_a_whole_make_hardly_a_label(rig: Rig) -> None:
    """In each of four views, 40 % of the fingers are carried off together by 20 to 300 px."""
    rng, frames, rig = np.random.default_rng(0), 200, rig.select(rig.names[:4])
    hand = make_hand_motion(np.random.default_rng(1), frames)
    seen = observe(np.random.default_rng(2), rig, hand, noise_px=1.5).detections
    xy = seen.xy_px.copy()
    wrong = rng.random((4, frames, 5)) < 0.4
    far, way = rng.uniform(20, 300, wrong.shape), rng.uniform(0, 2 * np.pi, wrong.shape)
    off = np.where(wrong, far, 0)[..., None] * np.stack([np.cos(way), np.sin(way)], -1)
    xy[:, :, 0, 1:] += np.repeat(off, 4, axis=2)
    points = triangulate(replace(seen, xy_px=xy), rig)
    error = np.linalg.norm(points.xyz_world - hand, axis=-1)
    use = safe_keypoints(points, LabelConfig())
    assert (error[use] > 0.02).mean() < 0.001
    # three of four views are right in 48 % of the cases, of a wrist in all
    assert use.mean() > 0.4


def test_a_keypoint_astray_is_left_out_of_its_finger(rig: Rig, hand: np.ndarray) -> None:
    seen = observe(np.random.default_rng(2), rig, hand).detections
    xy = seen.xy_px.copy()
    # 20 mm in one tip: the finger's mean stays within 8 mm
    xy[3, :, :, 8] += 0.02 / METRES_PER_PX
    points = triangulate(replace(seen, xy_px=xy), rig)
    carried = points.valid[..., 7] & points.inlier[3, ..., 7]
    assert carried.mean() > 0.5
    assert not points.inlier[3, ..., 8].any()
    assert np.nanmax(np.linalg.norm(points.xyz_world - hand, axis=-1)[..., 8]) < 0.004


def test_a_tolerance_in_millimetres_needs_a_scale(rig: Rig, clean: Detections) -> None:
    config = TriangulationConfig(inlier_mm=8)
    assert triangulate_with_report(clean, rig, config)[1].tolerance == pytest.approx(0.008)
    in_mm = replace(scaled(rig, 1000), unit="mm")
    assert triangulate_with_report(clean, in_mm, config)[1].tolerance == pytest.approx(8)
    with pytest.raises(InputError, match="board square"):
        triangulate(clean, scaled(rig, 37.0), config)


def test_a_doubtful_rig_makes_points_doubtful(rig: Rig, clean: Detections) -> None:
    columns = np.arange(48).reshape(8, 6)
    doubt = RigCovariance(
        matrix=np.eye(48) * 1e-6, pose=columns, lens=np.full((8, 16), -1, np.int64)
    )
    sure, unsure = (triangulate(clean, r) for r in (rig, replace(rig, covariance=doubt)))
    np.testing.assert_array_equal(unsure.xyz_world, sure.xyz_world)
    more = np.trace(unsure.cov - sure.cov, axis1=-2, axis2=-1)
    # 1 mm in every camera moves a point of 8 by 0.35 mm and more in each direction
    assert np.nanmin(more) > 3 * 1e-6 / 8
