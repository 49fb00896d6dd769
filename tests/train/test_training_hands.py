from dataclasses import replace

import numpy as np
import pytest
from drawn import drawn_hands

from multiview.errors import InputError, ShapeError
from multiview.train.hands import join_hands, split_by_session


def test_validation_shares_no_session_with_training():
    hands, _ = drawn_hands(40, sessions=8)
    for seed in range(5):
        learn, held = split_by_session(hands, 0.2, seed)
        assert not {hands.session[n] for n in learn} & {hands.session[n] for n in held}
        assert sorted([*learn, *held]) == list(range(40))
        assert 8 <= len(held) <= 12


def test_which_sessions_are_held_back_depends_on_the_seed():
    hands, _ = drawn_hands(40, sessions=8)
    assert len({tuple(split_by_session(hands, 0.1, seed)[1]) for seed in range(8)}) > 2


def test_of_one_session_the_last_hands_are_held_back():
    hands, _ = drawn_hands(20, sessions=1)
    learn, held = split_by_session(hands, 0.1, 0)
    assert (learn.max(), held.tolist()) == (17, [18, 19])


def test_a_single_hand_cannot_be_split():
    hands, _ = drawn_hands(1)
    with pytest.raises(InputError, match="1 labelled hands"):
        split_by_session(hands, 0.1, 0)


def test_a_weight_needs_a_label():
    hands, _ = drawn_hands(3)
    xy = hands.xy_px.copy()
    xy[1, 4] = np.nan
    with pytest.raises(InputError, match="without a label"):
        replace(hands, xy_px=xy)


def test_shapes_are_checked():
    hands, _ = drawn_hands(3)
    with pytest.raises(ShapeError):
        replace(hands, weight=hands.weight[:2])
    with pytest.raises(InputError, match="3 hands of 21 keypoints, but 2 pictures"):
        replace(hands, picture=hands.picture[:2])


def test_data_sets_of_other_keypoints_are_not_joined():
    hands, _ = drawn_hands(3)
    other = replace(hands, keypoints=tuple(f"k{n}" for n in range(21)))
    with pytest.raises(InputError, match="different keypoints"):
        join_hands([hands, other])
    with pytest.raises(InputError, match="no labelled hand"):
        join_hands([])


@pytest.mark.parametrize("name", ["xy_px", "weight", "sigma_px", "right", "start"])
def test_the_digest_covers_every_label(name):
    hands, _ = drawn_hands(3)
    array = getattr(hands, name).copy()
    array.flat[0] = 1 - array.flat[0]
    assert replace(hands, **{name: array}).digest != hands.digest
