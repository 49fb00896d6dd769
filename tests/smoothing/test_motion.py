"""The bank of filters: it finds the level of motion, and bursts, whatever the direction."""

from __future__ import annotations

import numpy as np
import pytest

from multiview.smoothing.motion import LEVELS, Bank, Habit, measure_motion

FRAMES, POINTS = 200, 6


def walk(level: float, rng: np.random.Generator) -> np.ndarray:
    """Paths whose third differences vary at random, in units of the noise, (F, N, 3)."""
    jerk = rng.normal(size=(FRAMES, POINTS, 3)) * np.sqrt(level)
    return jerk.cumsum(0).cumsum(0).cumsum(0)


@pytest.mark.parametrize("level", [1e-5, 1e-2, 1e1])
def test_the_level_of_a_random_path_is_found(level: float) -> None:
    rng = np.random.default_rng(0)
    z = walk(level, rng) + rng.normal(size=(FRAMES, POINTS, 3))
    found = measure_motion(np.ones(FRAMES - 1), z, np.ones_like(z), 8.0)
    # levels are decades; 64 frames tell them apart to half of one
    assert abs(np.median(found.usual) - np.log10(level)) < 0.7
    assert abs(np.median(found.level) - np.log10(level)) < 0.7


def test_a_burst_raises_the_level_there_and_then() -> None:
    rng = np.random.default_rng(1)
    z = walk(1e-5, rng)
    z[100:] += 20.0  # at once, for one frame interval
    z += rng.normal(size=z.shape)
    level = measure_motion(np.ones(FRAMES - 1), z, np.ones_like(z), 8.0).level
    assert (level[99] > 1).all()
    assert np.median(level[:90]) < -3
    assert np.median(level[110:]) < -3


def test_backwards_is_the_same() -> None:
    rng = np.random.default_rng(2)
    z = walk(1e-3, rng) + rng.normal(size=(FRAMES, POINTS, 3))
    z[50:54] = np.nan
    steps, r = rng.uniform(0.7, 1.3, FRAMES - 1), np.ones_like(z)
    there = measure_motion(steps, z, r, 8.0)
    back = measure_motion(steps[::-1], z[::-1], r[::-1], 8.0)
    # stretches are counted from the beginning
    np.testing.assert_allclose(back.habit.share, there.habit.share, atol=1e-9)
    both = np.maximum(there.usual, back.usual)
    a, b = np.maximum(there.level, both), np.maximum(back.level[::-1], both)
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_one_level_is_the_plain_kalman_filter() -> None:
    """A bank that never changes its level is so many filters; one is written out here."""
    rng = np.random.default_rng(3)
    bank, level = Bank(1, Habit(change=0.0)), 9
    x, P = np.zeros(3), np.zeros((3, 3))
    for frame in range(12):
        dt, r = float(rng.uniform(0.5, 2)), float(rng.uniform(0.5, 2))
        z = float(rng.normal())
        bank.step(dt, np.full((1, 3), z), np.full((1, 3), r))
        if frame == 0:
            x, P = np.array([z, 0, 0]), np.diag([r, 1e6, 1e6])
            continue
        F = np.array([[1, dt, dt**2 / 2], [0, 1, dt], [0, 0, 1]])
        q = np.array([[dt**5 / 20, dt**4 / 8, dt**3 / 6], [0, dt**3 / 3, dt**2 / 2], [0, 0, dt]])
        q = np.triu(q) + np.triu(q, 1).T
        x, P = F @ x, F @ P @ F.T + LEVELS[level] * q
        gain = P[:, 0] / (P[0, 0] + r)
        x, P = x + gain * (z - x[0]), P - np.outer(gain, P[0])
    np.testing.assert_allclose(bank.mean[level, 0, 1], x, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(bank.cov[level, 0, 1], P, rtol=1e-5, atol=1e-6)
