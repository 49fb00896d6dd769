"""Differences of two runs: exact values, and intervals that hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from multiview.evaluation.paired import block_length, paired_difference


def test_means_count_keypoints_not_frames():
    d = paired_difference(np.array([0.0, 6, 0]), np.array([2.0, 6, 9]), np.array([1.0, 3, 0]))
    assert (d.first, d.second, d.value, d.frames) == (1.5, 2.0, 0.5, 2)
    assert np.isnan(d.low)
    none = paired_difference(np.zeros(3), np.zeros(3), np.zeros(3))
    assert none.frames == 0
    assert not none.certain


def smooth(rng, n, rho):
    x = np.empty(n)
    x[0] = rng.normal()
    for i in range(1, n):
        x[i] = rho * x[i - 1] + np.sqrt(1 - rho**2) * rng.normal()
    return x


@pytest.mark.parametrize(("rho", "n"), [(0.0, 300), (0.8, 60), (0.8, 300)])
def test_interval_holds_the_true_difference(rho, n, monkeypatch):
    """In 95 % of takes, however alike neighbouring frames are: few blocks make it wider."""
    monkeypatch.setattr("multiview.evaluation.paired.DRAWS", 400)
    rng, takes = np.random.default_rng(0), 200
    hits = 0
    for _ in range(takes):
        d = paired_difference(np.zeros(n), 0.3 + smooth(rng, n, rho), np.ones(n))
        hits += d.low <= 0.3 <= d.high
    # 200 takes tell a share of 0.95 to 0.015; 5 of these
    assert 0.95 - 5 * 0.015 < hits / takes < 1


def test_a_common_ground_cancels():
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 10, 200)
    weight = rng.integers(1, 9, 200).astype(float)
    d = paired_difference(hard * weight, (hard + 0.1) * weight, weight)
    assert d.low == pytest.approx(0.1)
    assert d.high == pytest.approx(0.1)
    assert d.certain


def test_block_length_of_known_series():
    rng = np.random.default_rng(2)
    assert np.mean([block_length(rng.normal(size=2000))[0] for _ in range(20)]) < 6
    # autocorrelation time of an AR(1) series is (1 + rho) / (1 - rho) = 9
    lengths = [block_length(smooth(rng, 5000, 0.8))[0] for _ in range(20)]
    assert 21 < np.mean(lengths) < 36
    assert block_length(np.ones(50)) == (1, 0)
    assert block_length(np.arange(50.0))[0] <= 10
