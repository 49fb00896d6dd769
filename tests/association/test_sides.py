"""Left and right by the way fingers bend, by votes, and in two slots."""

from __future__ import annotations

import numpy as np
import pytest

from multiview.association import associate
from multiview.association.sides import BENT, bend, sides_of_tracks
from multiview.core import HAND_21, Skeleton
from multiview.synth import make_hand_motion, make_rig, observe


@pytest.mark.parametrize("seed", range(3))
def test_fingers_bend_to_the_palm(seed: int) -> None:
    hands = make_hand_motion(np.random.default_rng(seed), 200, 2)
    said = bend(hands, HAND_21)
    assert (said[:, 0] < 0).all()
    assert (said[:, 1] > 0).all()
    noisy = hands + 0.004 * np.random.default_rng(seed).normal(size=hands.shape)
    said = bend(noisy, HAND_21)
    clear = np.abs(said) > BENT
    assert clear.mean() > 0.5
    assert ((said > 0) == [False, True])[clear].all()


def test_a_skeleton_without_fingers_has_no_bend() -> None:
    tail = Skeleton(
        name="tail",
        keypoints=("a", "b"),
        edges=((0, 1),),
        groups={"tail": (0, 1)},
        colors=((0, 0, 0),) * 2,
    )
    np.testing.assert_array_equal(bend(np.zeros((5, 2, 3)), tail), np.zeros(5))


def test_geometry_decides_where_the_detector_says_nothing() -> None:
    rng = np.random.default_rng(4)
    rig = make_rig(rng, 6, view_m=0.8)
    seen = observe(rng, rig, make_hand_motion(rng, 30, 2), ordered=False).detections
    unknown = associate(
        type(seen)(
            **{f: getattr(seen, f) for f in seen.__slots__ if f != "right"},
            right=np.full(seen.right.shape, np.nan),
        ),
        rig,
    )
    told = associate(seen, rig)
    np.testing.assert_array_equal(unknown.detections.xy_px, told.detections.xy_px)


def test_of_two_hands_at_once_the_surer_decides() -> None:
    track = np.array([[0, 1], [0, 1]])
    opinion = np.array([[3.0, 2.0], [3.0, 2.0]])
    side = sides_of_tracks(track, opinion, one_person=True)
    np.testing.assert_array_equal(side, [[1, 0], [1, 0]])
    crowd = sides_of_tracks(track, opinion, one_person=False)
    np.testing.assert_array_equal(crowd, [[1, 1], [1, 1]])


def test_one_frame_never_has_two_hands_of_a_side() -> None:
    """Track 1 meets a left and a right hand at different times: one frame must give way."""
    track = np.array([[0, 1], [1, 2]])
    opinion = np.array([[9.0, 0.5], [0.5, -9.0]])
    side = sides_of_tracks(track, opinion, one_person=True)
    assert (side[:, 0] != side[:, 1]).all()
    assert side[0, 0] == 1
    assert side[1, 1] == 0
