"""Hands that pass each other, are away for a second, are found twice: who is who stays."""

from __future__ import annotations

import numpy as np
import pytest
from crowd_scenes import crossing, hand_in_slot, majority, switches

from multiview.association import associate
from multiview.association.assign import least_votes
from multiview.association.naming import drop_ghosts, keep_most


@pytest.mark.parametrize(("people", "away_s"), [(1, 0.0), (1, 1.0), (2, 1.0)])
def test_identities_survive_crossing_and_absence(people: int, away_s: float) -> None:
    rig, crowd = crossing(3, people, away_s=away_s)
    got = associate(crowd.detections, rig, 2 * people)
    placed = hand_in_slot(got.detections, crowd)
    main = majority(placed)
    assert switches(main, got.track) == 0
    # every hand is one track, before and after
    assert len(np.unique(got.track[got.track >= 0])) == 2 * people
    assert (placed != main[None])[placed >= 0].mean() < 0.01
    could = np.stack([(crowd.hand == h).any(-1).sum(0) >= 2 for h in range(2 * people)], 1)
    found = np.stack([(main == h).any(1) for h in range(2 * people)], 1)
    assert found[could].mean() > 0.98
    side = [name.startswith("right") for name in got.detections.hands]
    assert ((main % 2 == 1) == side)[main >= 0].all()


def test_more_hands_than_two_are_numbered_per_side() -> None:
    rig, crowd = crossing(3, 2)
    got = associate(crowd.detections, rig, 4)
    assert got.detections.hands == ("left-1", "right-1", "left-2", "right-2")
    for h in range(4):
        assert len(np.unique(got.track[:, h][got.track[:, h] >= 0])) == 1


def test_two_hands_keep_their_plain_names_where_more_are_allowed() -> None:
    rig, crowd = crossing(4, 1)
    assert associate(crowd.detections, rig, 6).detections.hands == ("left", "right")


def test_candidates_of_no_hand_are_counted() -> None:
    rig, crowd = crossing(5, 1)
    got = associate(crowd.detections, rig)
    candidates = crowd.detections.valid.any(-1).sum((1, 2))
    placed = got.detections.valid.any(-1).sum((1, 2))
    np.testing.assert_array_equal(got.unassigned, candidates - placed)
    twice = sum((crowd.hand == h).sum(2) > 1 for h in (0, 1))
    assert (got.unassigned >= 0.9 * twice.sum(1)).all()
    assert twice.sum() > 0


def test_the_same_take_gives_the_same_answer() -> None:
    rig, crowd = crossing(6, 2, frames=20)
    first, second = (associate(crowd.detections, rig, 4) for _ in range(2))
    np.testing.assert_array_equal(first.detections.xy_px, second.detections.xy_px)
    np.testing.assert_array_equal(first.track, second.track)


def test_a_flicker_of_few_views_is_no_hand_among_lasting_ones() -> None:
    track = np.array([[0, -1], [0, 1], [0, -1], [0, -1]])
    votes = np.array([[6, 0], [6, 2], [6, 0], [6, 0]])
    np.testing.assert_array_equal(drop_ghosts(track, votes)[:, 1], [-1, -1, -1, -1])
    # of stills nothing lasts, and strong hands are never left out
    np.testing.assert_array_equal(drop_ghosts(track[1:2], votes[1:2]), track[1:2])
    strong = np.where(votes == 2, 5, votes)
    np.testing.assert_array_equal(drop_ghosts(track, strong), track)


def test_the_best_carried_tracks_are_kept() -> None:
    track = np.array([[0, 1, 2], [0, -1, 2]])
    votes = np.array([[3, 5, 4], [3, 0, 4]])
    np.testing.assert_array_equal(keep_most(track, votes, 2), [[0, -1, 2], [0, -1, 2]])


def test_votes_needed_grow_with_the_views() -> None:
    assert least_votes(np.array([4, 3, 4, 0]), 4) == 2
    assert least_votes(np.array([26, 27, 2, 26]), 31) == 5
    assert least_votes(np.zeros(0, np.int64), 31) == 2
