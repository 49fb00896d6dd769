"""Alignment against scipy, with scale, mirror images and gaps."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from multiview.errors import ShapeError
from multiview.geometry.align import estimate_alignment

sys.path.append(str(Path(__file__).parents[1]))
from oracles import scipy_alignment

# Two SVDs of well-conditioned 3 x 3 matrices of order 1.
ROUNDING = 1e-12


def points(seed: int, n: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3))


@pytest.mark.parametrize("seed", range(5))
def test_rigid_agrees_with_scipy(seed: int) -> None:
    a, turn = points(seed), Rotation.random(random_state=seed).as_matrix()
    b = a @ turn.T + [1.0, 2, 3] + 0.3 * points(seed + 100)
    s, R, t = estimate_alignment(a, b)
    expected_R, expected_t = scipy_alignment(a, b)
    assert s == 1.0
    np.testing.assert_allclose(R, expected_R, atol=ROUNDING)
    np.testing.assert_allclose(t, expected_t, atol=ROUNDING)


def test_similarity_is_recovered() -> None:
    a, turn = points(1), Rotation.from_rotvec([0.3, -2, 1]).as_matrix()
    s, R, t = estimate_alignment(a, 37 * a @ turn.T - 5, with_scale=True)
    np.testing.assert_allclose(s, 37, rtol=ROUNDING)
    np.testing.assert_allclose(R, turn, atol=ROUNDING)
    np.testing.assert_allclose(t, [-5] * 3, atol=37 * ROUNDING)


def test_scale_is_the_least_squares_one() -> None:
    a, b = points(2), 2 * points(2) + 0.3 * points(3)
    s, R, t = estimate_alignment(a, b, with_scale=True)

    def cost(scale: float) -> float:
        moved = scale * a @ R.T
        return float(((moved - moved.mean(0) - (b - b.mean(0))) ** 2).sum())

    assert cost(s) < min(cost(s * 1.001), cost(s * 0.999))
    np.testing.assert_allclose(s * R @ a.mean(0) + t, b.mean(0), atol=ROUNDING)


@pytest.mark.parametrize("flat", [False, True])
def test_a_mirror_image_is_not_turned_inside_out(flat: bool) -> None:
    a = points(4) * ([1, 1, 0] if flat else [1, 1, 1])
    _, R, _ = estimate_alignment(a, a * [-1, 1, 1])
    np.testing.assert_allclose(np.linalg.det(R), 1, atol=ROUNDING)


def test_rows_missing_in_either_are_left_out() -> None:
    a, b = points(5), points(6)
    with_gaps_a, with_gaps_b = a.copy(), b.copy()
    with_gaps_a[2, 1], with_gaps_b[7] = np.nan, np.nan
    keep = np.delete(np.arange(30), [2, 7])
    for got, expected in zip(
        estimate_alignment(with_gaps_a, with_gaps_b),
        estimate_alignment(a[keep], b[keep]),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, atol=ROUNDING)


def test_too_few_points_and_unequal_shapes_are_refused() -> None:
    a = points(0, 4)
    a[:2] = np.nan
    with pytest.raises(ShapeError, match="fewer than three"):
        estimate_alignment(a, points(1, 4))
    with pytest.raises(ShapeError, match=r"target has shape \(5, 3\), expected \(N=4, 3\)"):
        estimate_alignment(points(0, 4), points(1, 5))
