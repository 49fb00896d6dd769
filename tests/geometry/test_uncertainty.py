"""Covariances that are right on average, and how many views make a vote."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import cv2
import numpy as np
import pytest
from scipy.stats import chi2

from multiview.core import Camera, Pose, Rig, RigCovariance
from multiview.geometry.refine import refine_points
from multiview.geometry.uncertainty import (
    min_agreeing_views,
    point_covariance,
    project_sigma,
    rig_part,
    spurious_sets,
)
from multiview.synth import make_rig

DRAWS, POINTS, VIEWS, NOISE_PX = 200, 20, 6, 0.8
# A mean over N draws is known to its standard deviation / sqrt(N); 5 of them fail 1 in a million.
SIGMAS = 5.0
# Inlier threshold over patch width behind the table in METHOD.md: 1.9 sets for 31 views, p = 0.2.
SIGMA, WIDTH = 0.04, 1.0


@pytest.fixture(scope="module")
def drawn() -> tuple[Rig, np.ndarray, np.ndarray, np.ndarray, float]:
    """Rig, truth (N, 3), estimate, covariance, pooled sigma over all draws of noise."""
    rng = np.random.default_rng(11)
    rig = make_rig(rng, VIEWS)
    truth = np.tile(rng.normal(0, 0.05, (POINTS, 3)), (DRAWS, 1))
    xy = rig.project(truth)
    assert np.isfinite(xy).all()
    xy = xy + rng.normal(0, NOISE_PX, xy.shape)
    use = np.ones(xy.shape[:2], bool)
    estimate = refine_points(rig, truth, xy, use)
    cov, sigma = point_covariance(rig, estimate, xy, use)
    return rig, truth, estimate, cov, sigma


def test_pooled_noise_is_the_true_one(drawn: tuple) -> None:
    freedom = DRAWS * POINTS * (2 * VIEWS - 3)
    assert abs(drawn[4] / NOISE_PX - 1) < SIGMAS / np.sqrt(2 * freedom)


def test_normalised_errors_are_chi_square(drawn: tuple) -> None:
    _, truth, estimate, cov, _ = drawn
    error = estimate - truth
    squared = np.einsum("ni,nij,nj->n", error, np.linalg.inv(cov), error)
    # The error is independent of the residuals, so E = 3 E[1 / max(1, s^2)], s^2 ~ chi2_f / f:
    # points whose own residuals say more noise get the larger covariance.
    f = 2 * VIEWS - 3
    q = chi2.ppf((np.arange(100_000) + 0.5) / 100_000, f) / f
    expected = 3 * (1 / np.maximum(1, q)).mean()
    assert abs(squared.mean() - expected) < SIGMAS * squared.std() / np.sqrt(squared.size)
    # and never too sure by more than chance: at most 5 % beyond the 95 % ellipsoid
    share = (squared > chi2.ppf(0.95, 3)).mean()
    assert 0.02 < share < 0.05 + SIGMAS * np.sqrt(0.05 * 0.95 / squared.size)


def test_covariance_is_that_of_the_errors(drawn: tuple) -> None:
    _, truth, estimate, cov, sigma = drawn
    error = (estimate - truth).reshape(DRAWS, POINTS, 3)
    empirical = np.einsum("dni,dnj->nij", error, error) / DRAWS
    smallest = cov.reshape(DRAWS, POINTS, 3, 3).min(0)[:, [0, 1, 2], [0, 1, 2]]
    # the smallest of a point's covariances is the one with the pooled noise
    ratio = np.diagonal(empirical, axis1=1, axis2=2) / smallest
    assert abs(ratio.mean() - 1) < SIGMAS * np.sqrt(2 / DRAWS / ratio.size)
    assert sigma > 0


def test_no_covariance_without_a_point(drawn: tuple) -> None:
    rig = drawn[0]
    xyz = np.array([[0.0, 0, 0], [np.nan] * 3, [0.01, 0, 0]])
    xy = rig.project(xyz) + 0.5
    use = np.isfinite(xy).all(-1)
    use[1:, 2] = False
    cov, _ = point_covariance(rig, xyz, xy, use)
    np.testing.assert_array_equal(np.isfinite(cov).all((-1, -2)), [True, False, False])
    none, sigma = point_covariance(rig, xyz[:0], xy[:, :0], use[:, :0])
    assert none.shape == (0, 3, 3)
    assert np.isnan(sigma)


def test_a_point_with_larger_residuals_gets_a_larger_covariance(drawn: tuple) -> None:
    rig = drawn[0]
    rng = np.random.default_rng(3)
    xyz = np.zeros((50, 3))
    noise = rng.normal(0, 1, (VIEWS, 50, 2))
    noise[:, 0] *= 10
    xy = rig.project(xyz) + noise
    use = np.ones(xy.shape[:2], bool)
    cov, _ = point_covariance(rig, refine_points(rig, xyz, xy, use), xy, use)
    trace = np.trace(cov, axis1=1, axis2=2)
    assert trace[0] > 5 * np.median(trace)


def test_projected_sigma_is_the_scatter_of_reprojections(drawn: tuple) -> None:
    rig = drawn[0]
    A = np.random.default_rng(5).normal(0, 1e-3, (3, 3))
    cov, xyz = A @ A.T, np.array([0.02, -0.01, 0.03])
    sample = xyz + np.random.default_rng(6).normal(size=(20_000, 3)) @ A.T
    xy = rig.project(sample)
    expected = np.sqrt(xy.var(axis=1).mean(-1))
    sigma = project_sigma(rig, xyz, cov)
    assert sigma.shape == (VIEWS,)
    # a standard deviation of N draws is known to 1 / sqrt(2 N); curvature adds 1e-3 / 1 m
    np.testing.assert_allclose(sigma, expected, rtol=SIGMAS / np.sqrt(2 * 20_000) + 2e-3)


def test_a_doubtful_rig_moves_points_as_its_covariance_says() -> None:
    """Draw rigs from a covariance of poses and lenses; triangulate what the true one sees."""
    rng = np.random.default_rng(4)
    rig = make_rig(rng, 4)
    columns = np.arange(4 * 8).reshape(4, 8)
    std = np.array([3e-4] * 3 + [5e-4] * 3 + [1.0, 1.0])
    A = rng.normal(0, 1, (32, 32)) * 0.15 + np.eye(32)
    matrix = A @ A.T * np.outer(np.tile(std, 4), np.tile(std, 4))
    lens = np.full((4, 16), -1)
    lens[:, :2] = columns[:, 6:]
    known = replace(rig, covariance=RigCovariance(matrix=matrix, pose=columns[:, :6], lens=lens))
    xyz = rng.normal(0, 0.05, (5, 3))
    xy, use = rig.project(xyz), np.ones((4, 5), bool)
    use[3, 1] = False
    cov = rig_part(known, xyz, use, np.ones(4))
    moved = []
    for step in rng.multivariate_normal(np.zeros(32), matrix, 150):
        cameras = [stepped(c, step[columns[v]]) for v, c in enumerate(rig.cameras)]
        moved.append(refine_points(replace(rig, cameras=tuple(cameras)), xyz, xy, use) - xyz)
    empirical = np.einsum("dni,dnj->nij", np.array(moved), np.array(moved)) / 150
    whitened = np.linalg.solve(np.linalg.cholesky(cov), empirical)
    whitened = np.linalg.solve(np.linalg.cholesky(cov), np.swapaxes(whitened, 1, 2))
    # a covariance of 400 draws is known to sqrt(2 / 150) = 7 %
    assert np.abs(whitened - np.eye(3)).max() < SIGMAS * np.sqrt(2 / 150)
    assert (rig_part(rig, xyz, use, np.ones(4)) == 0).all()


def stepped(camera: Camera, step: np.ndarray) -> Camera:
    turn, pose, lens = cv2.Rodrigues(step[:3])[0], camera.cam_from_world, camera.intrinsics
    K = lens.K.copy()
    K[[0, 1], [0, 1]] += step[6:8]
    return replace(
        camera,
        cam_from_world=Pose(R=turn @ pose.R, t=turn @ pose.t + step[3:6]),
        intrinsics=replace(lens, K=K),
    )


def hit(views: int, agree: int, p: float) -> float:
    return sum(comb(views, k) * p**k * (1 - p) ** (views - k) for k in range(agree, views + 1))


@pytest.mark.parametrize(
    ("p", "hits", "allowed", "views", "agree"),
    [
        (0.2, 0.9, 0.01, 38, 5),
        (0.2, 0.99, 0.01, 62, 6),
        (0.2, 0.99, 0.001, 69, 7),
        (0.3, 0.9, 0.01, 21, 4),
        (0.3, 0.99, 0.01, 35, 5),
        (0.3, 0.99, 0.001, 40, 6),
        (0.5, 0.9, 0.01, 9, 3),
        (0.5, 0.99, 0.01, 17, 4),
        (0.7, 0.9, 0.01, 6, 3),
        (0.7, 0.99, 0.001, 11, 4),
        (0.8, 0.9, 0.01, 5, 3),
        (0.8, 0.99, 0.01, 7, 3),
    ],
)
def test_table_of_method(p: float, hits: float, allowed: float, views: int, agree: int) -> None:
    """Smallest number of views that finds a keypoint this often (METHOD.md, section 5)."""

    def enough(v: int) -> bool:
        n = min_agreeing_views(v, p, SIGMA, WIDTH, allowed)
        return hit(v, n, p) >= hits and spurious_sets(v, n, p, SIGMA, WIDTH) <= allowed

    assert next(v for v in range(3, 100) if enough(v)) == views
    assert min_agreeing_views(views, p, SIGMA, WIDTH, allowed) == agree


def test_three_of_thirty_one_is_unsafe() -> None:
    # METHOD.md gives 1.9, rounded to a tenth
    assert abs(spurious_sets(31, 3, 0.2, SIGMA, WIDTH) - 1.9) < 0.05
    assert min_agreeing_views(31, 0.2, SIGMA, WIDTH) > 3


def test_third_wrong_view_joins_as_often_as_in_a_simulation() -> None:
    """V = 3, p = 0: all three wrong points uniform in a patch, two lines through it."""
    rng, n, sigma = np.random.default_rng(0), 400_000, 0.04
    # the pair's point is anywhere in the patch; the third detection is uniform
    point, third = rng.uniform(0, 1, (2, n, 2))
    joins = np.linalg.norm((point - third + 0.5) % 1 - 0.5, axis=-1) < sigma
    q2 = 4 * sigma
    expected = spurious_sets(3, 3, 0.0, sigma, 1.0) / q2
    assert abs(joins.mean() - expected) < SIGMAS * np.sqrt(expected / n)


def test_more_views_and_weaker_detectors_need_more_agreement() -> None:
    rates = np.linspace(0.05, 0.95, 10)
    table = np.array(
        [[min_agreeing_views(v, p, SIGMA, WIDTH) for v in range(2, 41)] for p in rates]
    )
    assert (np.diff(table, axis=1) >= 0).all()
    assert (np.diff(table, axis=0) <= 0).all()
    assert (table[:, 0] == 2).all()
    assert (table[:, 1:] >= 3).all()
    assert (table <= np.arange(2, 41)).all()


def test_stricter_means_more_agreement() -> None:
    counts = [min_agreeing_views(20, 0.3, SIGMA, WIDTH, a) for a in (1, 0.1, 0.01, 1e-3, 1e-5)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_chance_agreements_are_the_sum_of_the_formula_and_of_any_number_of_views() -> None:
    for n, agree, rate, sigma in ((2, 2, 0.5, 0.1), (31, 3, 0.2, 0.02), (200, 5, 0.9, 0.3)):
        q2, q3 = min(1, 4 * sigma), min(1, np.pi * sigma**2)
        terms = [comb(n, k) * (1 - rate) ** k * q2 * q3 ** (k - 2) for k in range(agree, n + 1)]
        assert spurious_sets(n, agree, rate, sigma, 1.0) == pytest.approx(sum(terms), rel=1e-9)
    assert spurious_sets(9, 3, 1.0, 0.1, 1.0) == 0
    assert spurious_sets(9, 3, 0.5, 0.0, 1.0) == 0
    # binomials of 2000 are no floats
    assert 10 < min_agreeing_views(2000, 0.2, 0.02, 1.0) < 100


def test_a_doubtful_rig_and_no_point_at_all() -> None:
    rig = make_rig(np.random.default_rng(0), 3)
    doubt = RigCovariance(
        matrix=np.eye(18), pose=np.arange(18).reshape(3, 6), lens=np.full((3, 16), -1)
    )
    part = rig_part(
        replace(rig, covariance=doubt), np.full((4, 3), np.nan), np.zeros((3, 4), bool), np.ones(3)
    )
    assert np.isnan(part).all()
