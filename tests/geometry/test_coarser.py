"""Which hands are searched again with more noise, and what is kept."""

from __future__ import annotations

import numpy as np

from multiview.geometry.agreement import GRID, Agreement
from multiview.geometry.coarser import search_coarser
from multiview.geometry.compiled.polish import ALMOST, CANDIDATES, CHI2, INLIERS, STATS

VIEWS, POINTS = 6, 10


def replaced(better: int) -> np.ndarray:
    """Which points change when, with more noise, so many of the first hand's agree in all views."""
    agreement = Agreement(
        rate=0.8,
        rate_of_conf=np.full(GRID + 1, 0.8),
        patch_px=400.0,
        pair_ratio=0.01,
        needed=np.array([0, 1, 2, 3, 3, 3, 3]),
    )
    stats, groups = np.zeros((4 * POINTS, STATS)), np.arange(4 * POINTS) // POINTS
    stats[:, CANDIDATES], stats[:, INLIERS], stats[:, CHI2] = VIEWS, VIEWS, 2 * VIEWS - 3
    stats[:POINTS, INLIERS], stats[:POINTS, ALMOST] = 4, 2

    def run(sigma: np.ndarray, rows: np.ndarray, _: np.ndarray) -> tuple:
        again = stats[rows].copy()
        some = rows < better
        again[some, INLIERS], again[some, CHI2] = VIEWS, (2 * VIEWS - 3) * (2 / sigma[0, 0]) ** 2
        again[~some, INLIERS] = 3  # and the others lose by it
        return np.ones((len(rows), 3)), np.ones((VIEWS, len(rows)), bool), again

    xyz, inlier = np.zeros((4 * POINTS, 3)), np.zeros((VIEWS, 4 * POINTS), bool)
    sigma, limits = np.ones((VIEWS, 1)), (4.3, 0.01)
    level, usual = search_coarser(run, sigma, agreement, limits, xyz, inlier, stats.copy(), groups)
    assert usual == 0
    assert not level.size or (np.isfinite(level) == (xyz[:, 0] == 1)).all()
    return xyz[:, 0] == 1


def test_a_hand_is_noisier_if_most_of_its_points_are() -> None:
    np.testing.assert_array_equal(replaced(better=9), np.arange(4 * POINTS) < POINTS)
    # a finger of it is not enough, however much likelier it becomes
    assert not replaced(better=5).any()
    assert not replaced(better=0).any()
