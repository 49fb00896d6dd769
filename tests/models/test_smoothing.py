"""One-Euro filter: less jitter, a lag that is the one stated, nothing carried over a gap."""

from __future__ import annotations

import numpy as np
import pytest

from multiview.errors import InputError
from multiview.models.smoothing import OneEuro, smooth

SIZE = 150.0  # px, longer side of the hand
HAND = np.random.default_rng(1).uniform(0, 1, (21, 2))
HAND = (HAND - HAND.min(0)) / np.ptp(HAND, axis=0) * [SIZE * 0.7, SIZE]
FPS = 30.0


def moving(times, speed, angle=0.3):
    """A rigid hand of constant velocity [hand lengths / s], (F, 1, 21, 2)."""
    way = SIZE * speed * np.array([np.cos(angle), np.sin(angle)])
    return HAND + (np.asarray(times)[:, None] * way)[:, None, None]


def irregular(n, rng):
    return np.cumsum(rng.uniform(0.2, 2.0, n)) / FPS


def test_still_hand_loses_two_thirds_of_its_jitter():
    rng = np.random.default_rng(0)
    times = np.arange(600) / FPS
    noise = rng.normal(0, 0.005 * SIZE, (600, 1, 21, 2))
    found = smooth(times, HAND + noise) - HAND
    kept = found[60:].std() / noise[60:].std()
    # first-order low-pass of white noise: sqrt(a / (2 - a)), a = T / (T + tau) = 0.173 at 1 Hz;
    # the jitter itself raises the cutoff a little
    assert 0.3 < kept < 0.4
    assert abs(found[60:].mean()) < 0.01 * noise.std()


@pytest.mark.parametrize("speed", [0.05, 0.5, 1.0, 5.0])
@pytest.mark.parametrize("even", [True, False])
def test_lag_at_constant_velocity_is_the_stated_one(speed, even):
    times = np.arange(900) / FPS if even else irregular(900, np.random.default_rng(0))
    run = OneEuro()
    truth = moving(times, speed)
    found = smooth(times, truth, run)
    behind = np.linalg.norm(truth - found, axis=-1)[-1] / (speed * SIZE)
    np.testing.assert_allclose(behind, run.lag_s(speed), rtol=1e-6)
    assert behind.max() * speed < 1 / (2 * np.pi * run.beta)


def test_lag_is_printed_in_milliseconds():
    assert OneEuro().lag_text == "159 ms at rest, 14 ms at 1 hand length a second"


def test_resolution_does_not_matter():
    rng = np.random.default_rng(2)
    times = irregular(80, rng)
    xy = HAND + np.cumsum(rng.normal(0, 5, (80, 1, 21, 2)), axis=0)
    np.testing.assert_allclose(smooth(times, 7.5 * xy), 7.5 * smooth(times, xy), rtol=1e-12)


def test_turned_picture_gives_turned_points():
    rng = np.random.default_rng(3)
    times = irregular(50, rng)
    xy = HAND + np.cumsum(rng.normal(0, 5, (50, 1, 21, 2)), axis=0)
    np.testing.assert_allclose(smooth(times, xy[..., ::-1]), smooth(times, xy)[..., ::-1])


def test_nothing_crosses_a_gap():
    rng = np.random.default_rng(4)
    times = irregular(60, rng)
    xy = HAND + rng.normal(0, 3, (60, 2, 21, 2))
    xy[30:, 1] += 500
    xy[25:30] = np.nan
    xy[10, 0, 4] = np.nan
    found = smooth(times, xy)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(xy))
    np.testing.assert_array_equal(found[30], xy[30])
    np.testing.assert_array_equal(found[30:], smooth(times[30:], xy[30:]))
    np.testing.assert_array_equal(found[11, 0, 4], xy[11, 0, 4])


def test_hand_in_one_slot_is_not_touched_by_the_other():
    rng = np.random.default_rng(5)
    times = irregular(40, rng)
    xy = HAND + np.cumsum(rng.normal(0, 3, (40, 2, 21, 2)), axis=0)
    np.testing.assert_array_equal(smooth(times, xy)[:, :1], smooth(times, xy[:, :1]))


def test_no_picture_no_hand():
    assert smooth(np.empty(0), np.empty((0, 2, 21, 2))).shape == (0, 2, 21, 2)
    assert smooth(np.arange(3.0), np.full((3, 1, 21, 2), np.nan)).shape == (3, 1, 21, 2)


def test_wrong_use_is_refused():
    run = OneEuro()
    run(0.0, HAND)
    with pytest.raises(InputError, match="last picture"):
        run(0.0, HAND)
    with pytest.raises(InputError, match="shape"):
        run(1.0, HAND[:5])
    for bad in ({"min_cutoff_hz": 0}, {"beta": -1}, {"speed_cutoff_hz": np.nan}):
        with pytest.raises(InputError, match=next(iter(bad))):
            OneEuro(**bad)
