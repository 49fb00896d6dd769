"""Numbers that hands keep: by prediction, side and size."""

from __future__ import annotations

import numpy as np

from multiview.association.tracks import Look, follow, step_times
from multiview.synth import make_hand_motion

PALM = [0, 1, 5, 9, 13, 17]
FPS = 30.0


def look(
    xyz: np.ndarray, size: float | np.ndarray = 0.0, opinion: float | np.ndarray = 0.0
) -> Look:
    shape = xyz.shape[:2]
    return Look(xyz, PALM, np.broadcast_to(size, shape), np.broadcast_to(opinion, shape))


def moving(frames: int, start: list[float], speed: list[float]) -> np.ndarray:
    """One hand of fixed pose, shape (F, 21, 3)."""
    pose = make_hand_motion(np.random.default_rng(0), 1)[0, 0]
    time = np.arange(frames)[:, None, None] / FPS
    return pose + np.array(start) + np.array(speed) * time


def times(frames: int) -> np.ndarray:
    return np.arange(frames) / FPS


def test_velocity_decides_where_the_nearest_hand_is_the_wrong_one() -> None:
    """Two hands of one pose and side cross at 1.5 m/s: at 30 Hz 5 cm a frame."""
    there = moving(21, [-0.49, 0.0, 0.0], [1.5, 0.0, 0.0])
    back = moving(21, [0.49, 0.02, 0.0], [-1.5, 0.0, 0.0])
    xyz = np.stack([there, back], 1)
    # as found: in no order
    order = np.random.default_rng(1).integers(0, 2, 21)
    mixed = np.where(order[:, None, None, None] == 1, xyz[:, ::-1], xyz)
    track = follow(look(mixed), times(21))
    own = np.where(order[:, None] == 1, track[:, ::-1], track)
    assert (own == own[0]).all()
    assert own[0, 0] != own[0, 1]


def test_a_second_away_is_the_same_hand_and_two_are_not() -> None:
    hand = moving(120, [0.0, 0.0, 0.0], [0.2, 0.0, 0.0])[:, None]
    for away, same in ((30, True), (60, False)):
        seen = np.array(hand)
        seen[20 : 20 + away] = np.nan
        track = follow(look(seen), times(120))[:, 0]
        assert (track[20 : 20 + away] == -1).all()
        assert (track[-1] == track[0]) == same


def test_the_side_tells_returning_hands_apart() -> None:
    """Both leave for a second and return half way between where they were."""
    left, right = moving(60, [0.0, 0.0, 0.0], [0] * 3), moving(60, [0.3, 0.0, 0.0], [0] * 3)
    xyz = np.stack([left, right], 1)
    xyz[20:48] = np.nan
    xyz[48:] = xyz[0].mean(0)
    xyz[48:, 1] += [0.0, 0.02, 0.0]
    opinion = np.tile([-5.0, 5.0], (60, 1))
    opinion[48:] = [5.0, -5.0]  # in the other order
    track = follow(look(xyz, opinion=opinion), times(60))
    np.testing.assert_array_equal(track[50], track[0][::-1])


def test_the_size_tells_returning_hands_apart() -> None:
    child, adult = moving(60, [0.0, 0.0, 0.0], [0] * 3), moving(60, [0.3, 0.0, 0.0], [0] * 3)
    xyz = np.stack([child, adult], 1)
    xyz[20:48] = np.nan
    xyz[48:] = xyz[0].mean(0)
    xyz[48:, 1] += [0.0, 0.02, 0.0]
    size = np.tile([-0.3, 0.3], (60, 1))
    size[48:] = [0.3, -0.3]
    track = follow(look(xyz, size=size), times(60))
    np.testing.assert_array_equal(track[50], track[0][::-1])


def test_gross_errors_of_keypoints_end_no_track() -> None:
    rng = np.random.default_rng(2)
    xyz = moving(60, [0.0, 0.0, 0.0], [0.5, 0.0, 0.0])
    wrong = rng.random((60, 21)) < 0.12
    xyz[wrong] += rng.normal(size=(wrong.sum(), 3))
    assert (follow(look(xyz[:, None]), times(60)) == 0).all()


def test_the_unit_of_the_rig_does_not_matter() -> None:
    xyz = np.stack([moving(40, [0, 0, 0], [1.0, 0, 0]), moving(40, [0.5, 0, 0], [-1.0, 0, 0])], 1)
    xyz[10:20] = np.nan
    track = follow(look(xyz), times(40))
    np.testing.assert_array_equal(follow(look(1000 * xyz), times(40)), track)


def test_times_are_made_up_where_they_are_unknown_or_stand_still() -> None:
    known = np.array([[0.0, np.nan, 0.2], [0.02, np.nan, 0.22]])
    np.testing.assert_allclose(step_times(known), [0.01, 0.11, 0.21])
    for bad in (np.full((2, 3), np.nan), np.zeros((2, 3))):
        assert (np.diff(step_times(bad)) > 0).all()
