"""Trust in pairs, and confidences told from agreement."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from multiview.geometry.agreement import _rising, pair_trust
from multiview.geometry.compiled.polish import CANDIDATES, CHI2, INLIERS, STATS
from multiview.geometry.compiled.spread import accept_points


def test_the_compiled_trust_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    views, n = 5, 200
    xy, conf = rng.uniform(0, 1000, (views, n, 2)), rng.uniform(-0.1, 1.1, (views, n))
    xy[rng.random((views, n)) < 0.2] = np.nan
    inlier = np.zeros((views, n), bool)
    inlier[:2] = True
    xy[:2], conf[:2] = 1.0, 0.5
    table = np.linspace(0.1, 20, 65)
    distance = rng.chisquare(1, n)
    found, keep, stats = np.empty(n), np.empty(n, bool), np.zeros((n, STATS))
    stats[:, CANDIDATES], stats[:, INLIERS], stats[:, CHI2] = views, 2, distance
    stats[3, CHI2] = 20.0  # too far apart
    least, needed = np.array([0.0, 0.7, 10.8, 0.0]), np.full(views + 1, 3)
    accept_points(xy, conf, least, table, 0.02, needed, stats, inlier, 0, n, found, keep)
    seen = np.isfinite(xy[..., 0]) & (conf >= 0)
    odds = np.where(seen, table[(np.clip(conf, 0, 1) * 64).astype(int)], 0.0)
    expected = pair_trust(odds, inlier, 0.02 * np.exp(distance / 2), chi2.sf(distance, 1))
    expected[3] = np.nan
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_array_equal(keep, expected >= 0.7)
    stats[:, INLIERS] = 3
    accept_points(xy, conf, least, table, 0.02, needed, stats, inlier, 0, n, found, keep)
    assert (found == 1).all()
    assert keep.all()


def test_trust_falls_with_chance_and_with_better_rivals() -> None:
    pair = np.array([True, True, False])[:, None]

    def trust(odds: tuple[float, float, float], ratio: float) -> float:
        return float(pair_trust(np.array(odds)[:, None], pair, ratio, 0.5)[0])

    assert trust((9, 9, 0), 0.01) > trust((9, 9, 0), 0.1) > trust((9, 9, 9), 0.1)
    assert trust((9, 9, 0.1), 0.1) > trust((1, 1, 0.1), 0.1)
    # two detections, right nine times of ten, alone: Bayes' rule by hand
    assert trust((9, 9, 0), 0.01) == pytest.approx(81 / (81 + 0.01 * (1 + 18)))


def test_isotonic_regression() -> None:
    np.testing.assert_allclose(_rising(np.array([1.0, 3, 2, 4])), [1, 2.5, 2.5, 4])
    np.testing.assert_allclose(_rising(np.array([3.0, 2, 1])), [2, 2, 2])
