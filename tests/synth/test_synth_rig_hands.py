"""Invented rigs and hands."""

from __future__ import annotations

import numpy as np
import pytest

from multiview.core import HAND_21
from multiview.errors import InputError
from multiview.synth import look_at, make_hand_motion, make_rig


def test_same_seed_same_rig_and_hands() -> None:
    rigs = [make_rig(np.random.default_rng(s), 6) for s in (1, 1, 2)]
    assert rigs[0].digest == rigs[1].digest != rigs[2].digest
    takes = [make_hand_motion(np.random.default_rng(s), 20, 2) for s in (1, 1, 2)]
    np.testing.assert_array_equal(takes[0], takes[1])
    assert not np.allclose(takes[0], takes[2])


@pytest.mark.parametrize("size_wh", [(640, 480), (1280, 720), (720, 1280)])
@pytest.mark.parametrize("azimuth_deg", [360.0, 90.0])
def test_rig_looks_at_its_centre(size_wh: tuple[int, int], azimuth_deg: float) -> None:
    centre = (0.3, -2.0, 1.1)
    rig = make_rig(
        np.random.default_rng(3),
        9,
        size_wh=size_wh,
        centre_world=centre,
        aim_m=0.0,
        azimuth_deg=azimuth_deg,
    )
    xy = rig.project(np.array(centre))
    principal = np.stack([c.intrinsics.K[:2, 2] for c in rig.cameras])
    # a point on the axis falls on the principal point whatever the lens: only rounding remains
    np.testing.assert_allclose(xy, principal, atol=1e-9)
    # 1.2 m, give or take 5 %
    distance = np.linalg.norm(rig.centres_world - centre, axis=-1)
    assert (np.abs(distance / 1.2 - 1) <= 0.05 + 1e-12).all()
    gaps = np.linalg.norm(rig.centres_world[:, None] - rig.centres_world, axis=-1)
    assert gaps[~np.eye(9, dtype=bool)].min() > 0.05


def test_cameras_are_upright() -> None:
    rig = make_rig(np.random.default_rng(0), 8)
    below, above = rig.project(np.array([[0.0, 0.0, -0.05], [0.0, 0.0, 0.05]])).transpose(1, 0, 2)
    assert (above[:, 1] < below[:, 1]).all()


def test_look_at_straight_down_and_at_itself() -> None:
    pose = look_at(np.array([0.0, 0.0, 2.0]), np.zeros(3))
    np.testing.assert_allclose(pose.apply(np.zeros(3)), [0.0, 0.0, 2.0], atol=1e-12)
    with pytest.raises(InputError, match="looks at itself"):
        look_at(np.ones(3), np.ones(3))


def test_bones_keep_their_length_and_hands_mirror_each_other() -> None:
    xyz = make_hand_motion(np.random.default_rng(5), 200, 2)
    parent, child = np.array(HAND_21.edges).T
    bones = np.linalg.norm(xyz[:, :, child] - xyz[:, :, parent], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(bones[0, 1], bones.shape), atol=1e-12)
    # wrist to the tip of the straight middle finger of an adult: 17 to 20 cm
    assert 0.17 < bones[0, 0, [8, 9, 10, 11]].sum() < 0.20


def test_left_hand_is_left() -> None:
    """The thumb side, finger direction and palm form a left- or a right-handed frame."""
    xyz = make_hand_motion(np.random.default_rng(5), 300, 2)
    fingers = xyz[:, :, 9] - xyz[:, :, 0]
    to_thumb_side = xyz[:, :, 5] - xyz[:, :, 17]
    # with the right hand up and its palm to you, the thumb points to your right: the palm looks
    # along thumb side x fingers; bent fingertips lie on the palm's side of the knuckles
    palm = np.cross(to_thumb_side, fingers)
    bent = (xyz[:, :, 12] - xyz[:, :, 9]) - fingers * 0
    towards = np.einsum("fhi,fhi->fh", palm, bent).mean(0)
    assert towards[0] < 0 < towards[1]


def test_motion_is_smooth_and_stays_in_reach() -> None:
    xyz = make_hand_motion(np.random.default_rng(6), 600, 1, reach_m=0.05)
    # A fingertip does not exceed 6 m/s: 0.2 m in a thirtieth of a second.
    step = np.linalg.norm(np.diff(xyz, axis=0), axis=-1)
    assert step.max() < 0.2
    # the knuckle of the middle finger is what is carried along the path
    assert np.abs(xyz[:, 0, 9]).max() <= 0.05 + 1e-12


def test_impossible_motion_is_refused() -> None:
    with pytest.raises(InputError, match="3 hands"):
        make_hand_motion(np.random.default_rng(0), 10, 3)
    with pytest.raises(InputError, match="0 cameras"):
        make_rig(np.random.default_rng(0), 0)
