"""The planner's formulas: the method's table, and simulations of what they promise."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from multiview.bootstrap.planner import (
    Detector,
    Targets,
    expected_error,
    isotropic_error,
    plan_views,
    smallest_rig,
    true_positive_rate,
)
from multiview.errors import InputError
from multiview.geometry.uncertainty import spurious_sets

# The table's threshold over patch width: 4 px in a crop of 100 px.
SIGMA, WIDTH = 4.0, 100.0
# A share of N draws is known to sqrt(p (1 - p) / N); 5 of them fail once in a million runs.
SIGMAS = 5.0
TABLE = {
    0.2: ((38, 5), (62, 6), (69, 7)),
    0.3: ((21, 4), (35, 5), (40, 6)),
    0.5: ((9, 3), (17, 4), (17, 4)),
    0.7: ((6, 3), (9, 3), (11, 4)),
    0.8: ((5, 3), (7, 3), (7, 3)),
}
COLUMNS = ((0.9, 0.01), (0.99, 0.01), (0.99, 0.001))


def detector(rate, **more):
    return Detector(rate=rate, sigma_px=SIGMA, crop_px=WIDTH, **more)


@pytest.mark.parametrize("rate", TABLE)
@pytest.mark.parametrize("column", range(3))
def test_table_of_the_method(rate, column):
    found, spurious = COLUMNS[column]
    plan = smallest_rig(detector(rate), Targets(found=found, spurious=spurious))
    assert (plan.views, plan.agree) == TABLE[rate][column]
    assert plan.found >= found
    assert plan.spurious <= spurious


def test_true_positive_rate_is_that_of_a_simulation():
    rng, draws = np.random.default_rng(0), 200_000
    for views, agree, rate in ((6, 3, 0.7), (9, 3, 0.5), (21, 4, 0.3)):
        hits = (rng.random((draws, views)) < rate).sum(1)
        expected = true_positive_rate(views, agree, rate)
        off = abs((hits >= agree).mean() - expected)
        assert off < SIGMAS * np.sqrt(expected * (1 - expected) / draws)


def views_on_a_sphere(rng, n):
    """Distant cameras: rows (n, 2, 3) that give a point's two coordinates in each picture."""
    turns = np.linalg.qr(rng.normal(size=(n, 3, 3)))[0]
    return turns[:, :2]


def reached_from_a_pair(P, x, seed, others):
    """Share of draws in which the other views are within sigma of the pair's own good point."""
    A = np.concatenate([P[i] for i in seed])
    point = np.concatenate([x[:, i] for i in seed], axis=1) @ np.linalg.pinv(A).T
    error = np.linalg.norm(np.einsum("vab,nb->nva", P, point) - x, axis=-1)
    return (error[:, [*seed, *others]] < SIGMA).all(1)


def test_chance_sets_of_wrong_detections_in_a_simulated_rig():
    """Formula: a set is entered from one pair. Trying all its pairs finds it up to 3 times."""
    rng, draws, V = np.random.default_rng(3), 40_000, 6
    P = views_on_a_sphere(rng, V)
    x = rng.uniform(-WIDTH / 2, WIDTH / 2, (draws, V, 2))
    once = anyhow = pairs = 0.0
    for seed in combinations(range(V), 2):
        pairs += reached_from_a_pair(P, x, seed, ()).mean()
    for a, b, c in combinations(range(V), 3):
        ways = [
            reached_from_a_pair(P, x, (i, j), (k,)) for i, j, k in ((a, b, c), (a, c, b), (b, c, a))
        ]
        once += np.mean([w.mean() for w in ways])
        anyhow += np.any(ways, axis=0).mean()
    sets = {n: spurious_sets(V, n, 0, SIGMA, WIDTH) for n in (2, 3, 4)}
    of_two, of_three = sets[2] - sets[3], sets[3] - sets[4]
    # strips and discs that reach over the edge of the patch are not in the formula: up to 20 %
    assert 0.8 * of_two < pairs < of_two
    assert 0.7 * of_three < once < of_three
    assert of_three < anyhow < 3 * of_three


def test_whole_finger_is_the_volume_of_mean_distances():
    """Two points: their mean distance to a place is within sigma as often as drawn."""
    rng, draws, sigma = np.random.default_rng(1), 2_000_000, 20.0
    distance = np.linalg.norm(rng.uniform(-WIDTH / 2, WIDTH / 2, (draws, 2, 2)), axis=-1)
    share = (distance.mean(1) < sigma).mean()
    q2 = 4 * sigma / WIDTH
    expected = spurious_sets(3, 3, 0.0, sigma, WIDTH, 2) / q2
    assert abs(share - expected) < SIGMAS * np.sqrt(expected / draws)
    assert spurious_sets(9, 3, 0.5, SIGMA, WIDTH, 4) < spurious_sets(9, 3, 0.5, SIGMA, WIDTH)
    assert smallest_rig(detector(0.3, points=4), Targets()).views < 21


def test_error_is_that_of_simulated_rigs():
    """Pixels with noise, least squares, RMS over rigs; the formula is a bound that views near."""
    rng, views, agree, rate, noise, draws = np.random.default_rng(2), 40, 8, 0.5, 0.5, 4000
    squares, counts = [], []
    for _ in range(draws):
        use = rng.random(views) < rate
        if use.sum() < agree:
            continue
        A = views_on_a_sphere(rng, use.sum()).reshape(-1, 3)
        off = np.linalg.lstsq(A, rng.normal(0, noise, len(A)), rcond=None)[0]
        squares.append(off @ off)
        counts.append(use.sum())
    inliers, error = expected_error(views, agree, rate, noise)
    # about 20 views of random directions fall short of evenly spread ones by some per cent
    assert 1.0 < np.sqrt(np.mean(squares)) / error < 1.06
    assert abs(np.mean(counts) - inliers) < SIGMAS * np.std(counts) / np.sqrt(len(counts))


def test_error_of_three_axes_is_exact():
    """Cameras along x, y and z: every coordinate is measured twice, variance s^2 / 2 each."""
    assert isotropic_error(3, 2.0) == pytest.approx(np.sqrt(3 * 2.0**2 / 2), rel=1e-12)


def test_fixed_three_of_many_is_unsafe_and_the_plan_says_more():
    assert detector(0.2).spurious(31, 3) > 1
    plan = plan_views(detector(0.2), 31)
    assert plan.agree > 3
    assert plan.spurious <= 0.01


def test_noise_follows_from_the_threshold():
    rng = np.random.default_rng(5)
    off = rng.normal(0, detector(0.5).noise, (100_000, 2))
    share = (np.linalg.norm(off, axis=1) > SIGMA).mean()
    assert abs(share - 0.01) < SIGMAS * np.sqrt(0.01 / 100_000)
    assert detector(0.5, noise_px=2.0).noise == 2.0


def test_what_cannot_be():
    for bad in (
        {"rate": 1.0},
        {"rate": 0.0},
        {"sigma_px": 100.0},
        {"points": 0},
        {"noise_px": 0.0},
    ):
        with pytest.raises(InputError):
            Detector(**({"rate": 0.5, "sigma_px": 4.0, "crop_px": 100.0} | bad))
    with pytest.raises(InputError, match="1 views"):
        plan_views(detector(0.5), 1)
    assert smallest_rig(Detector(rate=0.02, sigma_px=40, crop_px=100), Targets()) is None
