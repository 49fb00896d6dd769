"""The yardstick: hands along their bones, other things by their extent, from few pairs of views."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from multiview.core import HAND_21, Rig
from multiview.geometry.scale import bone_lengths, hand_length, subject_length
from multiview.synth import make_hand_motion, make_rig

# Noise-free points of pairs of views: cofactors lose some digits at flat angles.
SAME = 1e-6


@pytest.fixture(scope="module")
def rig() -> Rig:
    return make_rig(np.random.default_rng(0), 6)


def truth(hand: np.ndarray) -> np.ndarray:
    a, b = np.array(HAND_21.edges).T
    return np.linalg.norm(hand[:, a] - hand[:, b], axis=-1)


def test_bones_of_a_hand(rig: Rig) -> None:
    hand = make_hand_motion(np.random.default_rng(1), 30)[:, 0]
    xy = rig.undistort(rig.project(hand))
    bones = bone_lengths(rig, xy, HAND_21)
    np.testing.assert_allclose(bones, np.median(truth(hand), axis=0), rtol=0.02)
    assert subject_length(rig, xy, HAND_21) == hand_length(bones, HAND_21)


def test_a_fifth_of_wrong_hands_changes_little(rig: Rig) -> None:
    hand, rng = make_hand_motion(np.random.default_rng(1), 60)[:, 0], np.random.default_rng(2)
    xy = rig.undistort(rig.project(hand))
    wrong = rng.random(xy.shape[:2]) < 0.2
    xy = np.where(wrong[..., None, None], xy + rng.normal(0, 0.1, (*xy.shape[:2], 1, 2)), xy)
    thing = replace(HAND_21, keypoints=tuple(f"p{k}" for k in range(21)))
    extent = np.linalg.norm(hand[:, :, None] - hand[:, None], axis=-1)
    assert abs(subject_length(rig, xy, thing) / np.median(extent, axis=0).max() - 1) < 0.03


def test_hundreds_of_views_need_no_more_than_some() -> None:
    rig = make_rig(np.random.default_rng(0), 300)
    hand = make_hand_motion(np.random.default_rng(1), 100)[:, 0]
    xy = rig.undistort(rig.project(hand))
    few = xy.copy()
    few[2:] = np.nan  # two that any fixed choice of pairs would miss
    for seen in (xy, few):
        assert np.isfinite(bone_lengths(rig, seen, HAND_21)).all()


def test_nothing_has_no_length(rig: Rig) -> None:
    nothing = np.full((6, 4, 21, 2), np.nan)
    assert np.isnan(bone_lengths(rig, nothing, HAND_21)).all()
    assert subject_length(rig, nothing, HAND_21) == 0
    assert subject_length(rig, nothing[:, :0], HAND_21) == 0
