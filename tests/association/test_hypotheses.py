"""Sharing candidates among hands, and looking for hands where a track says they are."""

from __future__ import annotations

import numpy as np

from multiview.association.candidates import Candidates, candidates_of
from multiview.association.extract import extract_hands
from multiview.association.fill import fill_gaps
from multiview.association.hypotheses import errors, match
from multiview.synth import make_hand_motion, make_rig, observe


def one_hand(frames: int = 9) -> tuple[Candidates, np.ndarray]:
    rng = np.random.default_rng(0)
    rig = make_rig(rng, 4)
    xyz = make_hand_motion(rng, frames)
    return candidates_of(observe(rng, rig, xyz, ordered=False).detections, rig), xyz


def test_two_hands_that_want_one_candidate_share_by_least_total_cost() -> None:
    cost = np.array([[[[0.1, 0.2], [0.5, 0.9]]]])  # slots by hands
    np.testing.assert_array_equal(match(cost)[0, 0], [1, 0])


def test_beyond_the_tolerance_there_is_no_candidate() -> None:
    cost = np.array([[[[0.1, 0.2], [1.5, 1.2]]]])
    np.testing.assert_array_equal(match(cost)[0, 0], [0, -1])
    np.testing.assert_array_equal(match(np.full((1, 1, 2, 2), np.inf))[0, 0], [-1, -1])


def test_errors_need_three_common_keypoints() -> None:
    cand, xyz = one_hand(1)
    few = np.array(xyz[:, :1])
    few[:, :, 2:] = np.nan
    assert np.isinf(errors(cand, few)).all()
    few[:, :, 2] = xyz[:, 0, 2]
    assert (errors(cand, few)[..., 0] < 0.3).all()


def test_a_hand_behind_the_camera_is_no_match() -> None:
    cand, xyz = one_hand(1)
    centres = -np.einsum("vji,vj->vi", cand.R, cand.t)
    behind = 2 * centres[0] - xyz[:, :1]
    assert np.isinf(errors(cand, behind)[:, 0]).all()


def test_a_gap_of_a_track_is_filled_from_what_is_left() -> None:
    cand, _ = one_hand()
    found = extract_hands(cand, 2)
    assert (found.votes[:, 0] == 4).all()
    missed = found.without(np.arange(9)[:, None] == 4)
    track = np.where(missed.votes >= 2, 0, -1)
    filled, numbers = fill_gaps(cand, missed, track, np.arange(9) / 30)
    assert (numbers[4] >= 0).sum() == 1
    column = numbers[4].argmax()
    np.testing.assert_array_equal(filled.slot[4, :, column], found.slot[4, :, 0])
    # not beyond a second, nor with fewer views than asked for
    assert (fill_gaps(cand, missed, track, np.arange(9.0))[1][4] == -1).all()
    assert (fill_gaps(cand, missed, track, np.arange(9) / 30, 5)[1][4] == -1).all()
