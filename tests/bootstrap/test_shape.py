"""Swaps that agree over all views: the 3D hand itself is asked."""

import numpy as np
import pytest
from hands import exchange

from multiview.bootstrap.shape import read_shapes, swap_hypotheses
from multiview.synth import make_hand_motion

# Twenty times as likely, as `SelectConfig.swap_gain`.
GAIN = 3.0


@pytest.fixture(scope="module")
def hands():
    """Four takes of right hands, every tenth frame."""
    return np.concatenate(
        [make_hand_motion(np.random.default_rng(s), 100)[::10, 0] for s in range(4)]
    )


def test_hypotheses_are_all_permutations_and_the_outer_parts_of_neighbours():
    source, moved = swap_hypotheses()
    assert len({tuple(s) for s in source.tolist()}) == len(source) == 120 + 12
    assert (np.sort(source, axis=1) == np.arange(21)).all()
    assert not moved[0].any()
    assert (moved[1:].sum(1) >= 2).all()


def test_a_hand_as_it_is_gains_nothing_by_an_exchange(hands):
    reading = read_shapes(hands, 1)
    assert (reading.finger_gain < GAIN).mean() > 0.95
    assert (reading.mirror_gain < 0).mean() > 0.95


@pytest.mark.parametrize("pair", [(0, 1), (1, 2), (2, 3), (3, 4), (1, 4)])
def test_exchanged_fingers_are_found_and_named(hands, pair):
    reading = read_shapes(exchange(hands, *pair), 1)
    found = reading.finger_gain > GAIN
    assert found.mean() > 0.9
    assert reading.exchanged[found][:, list(pair)].all(1).mean() > 0.9


@pytest.mark.parametrize(("pair", "joint"), [((1, 2), 1), ((2, 3), 2), ((3, 4), 3)])
def test_exchanged_outer_parts_are_found(hands, pair, joint):
    assert (read_shapes(exchange(hands, *pair, joint), 1).finger_gain > GAIN).mean() > 0.7


def test_the_other_hand_is_found_in_either_direction(hands):
    assert (read_shapes(hands, -1).mirror_gain > GAIN).mean() > 0.9
    assert (read_shapes(hands * [-1.0, 1.0, 1.0], 1).mirror_gain > GAIN).mean() > 0.9
    assert (read_shapes(hands, 0).side == 1).mean() > 0.95
    assert (read_shapes(hands, 0).mirror_gain == 0).all()


def test_units_and_missing_keypoints(hands):
    reading, mm = read_shapes(hands, 1), read_shapes(1000 * hands, 1)
    np.testing.assert_allclose(mm.finger_gain, reading.finger_gain, atol=1e-9)
    part = exchange(hands, 1, 2)
    part[:, 17:] = np.nan
    assert (read_shapes(part, 1).finger_gain > GAIN).mean() > 0.9
    part[:, 0] = np.nan  # without a wrist nothing is known
    assert np.isnan(read_shapes(part, 1).finger_gain).all()
