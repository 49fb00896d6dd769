"""Joint angles and their standard deviations, on synthetic hands of known angles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from multiview.bootstrap.joints import FINGERS, JOINTS, measure_joints
from multiview.core import HAND_21, Points3D
from multiview.errors import InputError
from multiview.synth import hands as synth

# the maker's arithmetic
SAME_DEG = 1e-6
DRAWS = 4000
# a standard deviation of so many draws is known to 1.1 %; five times that
SD_SHARE = 5 / np.sqrt(2 * DRAWS)


def points_of(xyz: np.ndarray, hands: tuple[str, ...] = ("right",), sd: float = 1e-3) -> Points3D:
    xyz = np.asarray(xyz, float).reshape(len(xyz), len(hands), 21, 3)
    shape = xyz.shape[:3]
    return Points3D(
        xyz_world=xyz,
        cov=np.broadcast_to(np.eye(3) * sd**2, (*shape, 3, 3)),
        inlier=np.ones((2, *shape), bool),
        err_px=np.zeros((2, *shape)),
        voted=np.ones(shape, bool),
        frame_ids=np.arange(shape[0]),
        camera_names=("a", "b"),
        hands=hands,
        skeleton=HAND_21,
        rig_digest="x",
    )


def hand_of(flexion_deg: list[float], spread_deg: float = 0.0) -> np.ndarray:
    """A right hand whose palm is flat, so that the angle of each metacarpal is known."""
    flexion = np.tile(np.radians(flexion_deg), (1, 5, 1))
    spread = np.full((1, 5), np.radians(spread_deg))
    xyz = synth._articulate(flexion, spread)
    for finger, base in enumerate(synth.BASE_M):
        xyz[:, 1 + 4 * finger : 5 + 4 * finger, 2] -= base[2]
    return xyz


def expected(bend_deg: float, spread_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Closed form of a finger whose plane is off its metacarpal by ``a``, in a flat palm."""
    metacarpal = np.degrees(np.arctan2(-synth.BASE_M[1:, 0], synth.BASE_M[1:, 1]))
    a = np.radians(synth.REST_DEG[1:] + spread_deg - metacarpal)  # towards the thumb
    f = np.radians(bend_deg)
    flexion = np.arctan2(np.sin(f), np.cos(f) * np.cos(a))
    aside = np.arcsin(np.cos(f) * np.sin(a))
    return np.degrees(flexion), np.degrees(aside) * [1, 1, -1, -1]


@pytest.mark.parametrize(("bend", "spread"), [(0, 0), (30, 0), (80, 5), (-10, -8), (20, 12)])
def test_knuckles_are_those_the_hand_was_made_with(bend: float, spread: float) -> None:
    angles = measure_joints(points_of(hand_of([bend, 0, 0], spread)))
    flexion, abduction = expected(bend, spread)
    np.testing.assert_allclose(angles.flexion_deg[0, 0, 1:, 0], flexion, atol=SAME_DEG)
    np.testing.assert_allclose(angles.abduction_deg[0, 0, 1:], abduction, atol=SAME_DEG)


def test_hinges_are_those_the_hand_was_made_with() -> None:
    angles = measure_joints(points_of(hand_of([0, 65, 25])))
    np.testing.assert_allclose(angles.flexion_deg[0, 0, 1:, 1:], [[65, 25]] * 4, atol=SAME_DEG)
    # the maker's thumb bends about an axis some degrees off the one that is assumed
    np.testing.assert_allclose(angles.flexion_deg[0, 0, 0, 1:], [65, 25], atol=6)


def test_spreading_is_positive_on_both_hands() -> None:
    """Index to the thumb's side, ring and little to the other: away from the middle finger."""
    closed, open_ = hand_of([0, 0, 0]), hand_of([0, 0, 0])
    for finger, turn in ((1, 10.0), (3, -10.0), (4, -10.0)):
        turned = hand_of([0, 0, 0], turn)
        at = slice(1 + 4 * finger, 5 + 4 * finger)
        open_[:, at] = turned[:, at]
    both = [np.stack([x * [-1, 1, 1], x], 1) for x in (closed, open_)]
    a, b = (measure_joints(points_of(x, ("left", "right"))).abduction_deg for x in both)
    np.testing.assert_allclose((b - a)[0, :, [1, 3, 4]], 10, atol=SAME_DEG)
    np.testing.assert_allclose(a[0, 0], a[0, 1], atol=SAME_DEG)  # mirrored: the same angles


def test_standard_deviations_are_those_of_repeats() -> None:
    rng = np.random.default_rng(5)
    xyz, sd = hand_of([25, 40, 20], 4.0), 0.4e-3
    told = measure_joints(points_of(xyz, sd=sd))
    many = xyz + rng.normal(0, sd, (DRAWS, 21, 3))
    seen = measure_joints(points_of(many, sd=sd))
    for name in ("flexion", "abduction"):
        measured = np.std(getattr(seen, f"{name}_deg"), axis=0)
        # 4 %: at 0.4 mm on bones of 20 mm (1.6 degrees) angles are not quite linear
        np.testing.assert_allclose(
            getattr(told, f"{name}_sd_deg")[0], measured, rtol=SD_SHARE + 0.04
        )


def test_what_is_not_determined_is_nan() -> None:
    xyz = hand_of([20, 30, 10])
    xyz[:, 8] = np.nan  # the index fingertip: of its last joint alone
    angles = measure_joints(points_of(xyz))
    missing = np.isnan(angles.flexion_deg[0, 0])
    assert np.argwhere(missing).tolist() == [[1, 2]]
    assert (np.isnan(angles.flexion_sd_deg[0, 0]) == missing).all()
    nameless = measure_joints(points_of(hand_of([20, 30, 10]), ("0",)))
    assert np.isnan(nameless.flexion_deg).all()  # towards the palm: of a left or a right hand?
    points = points_of(hand_of([20, 30, 10]))
    cov = np.array(points.cov)
    cov[0, 0, 8] = np.nan  # the point is there, how well it is known is not
    angles = measure_joints(replace(points, cov=cov))
    assert np.isfinite(angles.flexion_deg).all()
    assert np.argwhere(np.isnan(angles.flexion_sd_deg[0, 0])).tolist() == [[1, 2]]


def test_names_and_other_skeletons() -> None:
    assert FINGERS == ("thumb", "index", "middle", "ring", "little")
    assert JOINTS[0] == ("CMC", "MCP", "IP")
    points = points_of(hand_of([0, 0, 0]))
    other = replace(HAND_21, name="mouse", keypoints=tuple(f"p{i}" for i in range(21)))
    with pytest.raises(InputError, match="'mouse'"):
        measure_joints(replace(points, skeleton=other))
