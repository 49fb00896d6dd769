"""Fingers and hands that one view confused: found where truth says so, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from multiview.association import Repairs, find_repairs
from multiview.association.permutations import View, fingers_of, judge
from multiview.core import HAND_21, Detections, Points3D, Rig, Skeleton
from multiview.synth import Observation, make_hand_motion, make_rig, observe
from multiview.triangulation import TriangulationConfig, triangulate_with_report

FRAMES = 100
OFF = TriangulationConfig(unit="keypoint", repair=False)
ON = TriangulationConfig(unit="keypoint")


def take(seed: int, views: int = 8, hands: int = 1, **errors: float) -> tuple[Rig, Observation]:
    rng = np.random.default_rng(seed)
    rig = make_rig(rng, views, view_m=0.8)
    xyz = make_hand_motion(rng, FRAMES, hands)
    asked = {"noise_px": 1.5, "missing": 0.1, "outliers": 0.1} | errors
    return rig, observe(rng, rig, xyz, **asked)


def solve(rig: Rig, dets: Detections) -> tuple[Points3D, Repairs]:
    points, report = triangulate_with_report(dets, rig, OFF)
    return points, find_repairs(dets, points, rig, np.array(report.sigma_camera_px))


def changed(found: Repairs) -> np.ndarray:
    """Hands in views that were touched, shape (V, F, H)."""
    own = found.source == np.arange(found.source.shape[3])
    return ~own.all(-1) | (found.hand != np.arange(found.hand.shape[2]))


def test_exchanged_fingers_are_found_and_used() -> None:
    rig, seen = take(0, finger_swaps=0.1)
    points, found = solve(rig, seen.detections)
    swapped = seen.finger_swapped.any(-1)
    touched = changed(found)
    assert not (touched & ~swapped).any()
    # the rest shows both fingers at one place, or too few rows that others carry
    assert (touched & swapped).sum() > 0.8 * swapped.sum()
    fixed = found.apply(seen.detections)
    off = np.linalg.norm(fixed.xy_px - seen.xy_true_px, axis=-1)
    xyz = rig.project(points.xyz_world)
    right = touched[..., None] & seen.finger_swapped
    assert np.nanmedian(np.linalg.norm(fixed.xy_px - xyz, axis=-1)[right]) < 3
    assert np.nanmedian(off[right]) > 0
    again, report = triangulate_with_report(seen.detections, rig, ON)
    assert again.inlier[right].mean() > 0.75 > points.inlier[right].mean()
    assert report.repairs == {k: tuple(v.tolist()) for k, v in found.kinds.items()}
    assert set(report.repairs) <= {"index-middle", "middle-ring", "ring-little"}
    # two fingers to an exchange
    assert sum(report.repaired_fingers) == 2 * touched.sum()


def test_exchanged_hands_are_found_and_used() -> None:
    rig, seen = take(1, hands=2, hand_swaps=0.1)
    _, found = solve(rig, seen.detections)
    touched = changed(found)
    # where half of the views are exchanged, which half is cannot be told
    told = (2 * seen.hand_swapped.sum(0) < len(rig.cameras))[..., None]
    swapped = seen.hand_swapped[..., None] & seen.detections.valid.any(-1) & told
    assert not (touched & ~seen.hand_swapped[..., None] & told).any()
    assert touched[swapped].mean() > 0.9
    _, report = triangulate_with_report(seen.detections, rig, ON)
    assert report.swapped_hands == tuple(touched.sum((1, 2)).tolist())


@pytest.mark.parametrize("views", [4, 8])
@pytest.mark.parametrize(
    "errors",
    [
        {},
        {"noise_px": 5.0},
        {"occlusion": 6.0},
        {"outliers": 0.4},
        {"missing": 0.4, "outlier_px": 15.0, "outliers": 0.3},
    ],
)
def test_nothing_is_repaired_where_nothing_is_confused(
    views: int, errors: dict[str, float]
) -> None:
    """1,600 hands in views a case; the bound is one in 10,000."""
    rig, seen = take(2, views, hands=2, **errors)
    _, found = solve(rig, seen.detections)
    assert not found.any


def test_a_view_that_is_off_by_a_finger_is_not_repaired() -> None:
    """Parallel fingers, shifted by their distance; the last has nowhere to go and is missing."""
    at = np.stack([20.0 * ((np.arange(21) + 3) // 4), 25.0 * (np.arange(21) % 4)], -1)[None]
    xy = at + np.array([20.0, 0.0]) + np.random.default_rng(3).normal(size=at.shape)
    xy[:, 17:] = np.nan
    fingers = fingers_of(HAND_21)
    assert fingers is not None
    found = judge(View(xy, at, np.ones((1, 21)), np.array([100.0])), fingers)
    assert not found.fingers.any()


def test_a_shifted_view_of_a_take_is_not_repaired() -> None:
    rig, seen = take(3, outliers=0.0)
    xy = np.array(seen.detections.xy_px)
    xy[0] += [14.0, 9.0]
    points, found = solve(rig, replace(seen.detections, xy_px=xy))
    assert points.inlier[0].mean() < 0.2
    assert not found.any


def test_a_finger_on_its_neighbour_is_no_exchange() -> None:
    rig, seen = take(4, outliers=0.0)
    xy = np.array(seen.detections.xy_px)
    xy[1, :, :, 5:9] = xy[1, :, :, 9:13] + 1.0
    _, found = solve(rig, replace(seen.detections, xy_px=xy))
    assert not found.any


def test_two_views_against_one_decide_nothing() -> None:
    rig, seen = take(5, views=3, hands=2, finger_swaps=0.3, hand_swaps=0.2)
    _, found = solve(rig, seen.detections)
    assert not found.any


def test_a_confused_majority_is_left_alone() -> None:
    """Where most views exchange index and middle, the few that do not are right."""
    rig, seen = take(6, outliers=0.0, missing=0.0, views=6)
    rows = np.arange(21)
    rows[5:9], rows[9:13] = np.arange(9, 13), np.arange(5, 9)
    xy, conf = np.array(seen.detections.xy_px), np.array(seen.detections.conf)
    xy[:4], conf[:4] = xy[:4][..., rows, :], conf[:4][..., rows]
    _, found = solve(rig, replace(seen.detections, xy_px=xy, conf=conf))
    assert not found.any


def test_a_finger_from_tip_to_base_is_turned() -> None:
    rig, seen = take(7, outliers=0.0)
    xy = np.array(seen.detections.xy_px)
    xy[2, :, :, 9:13] = xy[2, :, :, 12:8:-1]
    _, found = solve(rig, replace(seen.detections, xy_px=xy))
    assert set(found.kinds) == {"order"}
    # a bent finger looks much the same from both ends
    assert found.kinds["order"][2] > 0.3 * FRAMES
    assert found.kinds["order"].sum() == found.kinds["order"][2]
    fixed = found.apply(replace(seen.detections, xy_px=xy))
    touched = changed(found)
    np.testing.assert_array_equal(fixed.xy_px[touched], seen.detections.xy_px[touched])


def test_thumb_and_three_fingers_in_a_circle() -> None:
    rng = np.random.default_rng(8)
    at = rng.uniform(0, 200, (1, 21, 2))
    fingers = fingers_of(HAND_21)
    assert fingers is not None
    rows = np.arange(21)
    rows[1:5], rows[5:9], rows[9:13] = np.arange(5, 9), np.arange(9, 13), np.arange(1, 5)
    xy = (at + rng.normal(size=at.shape))[:, rows]
    sigma, box = np.full((1, 21), 1.0), np.array([200.0])
    found = judge(View(xy, at, sigma, box), fingers)
    np.testing.assert_array_equal(rows[found.source[0]], np.arange(21))
    assert found.fingers[0].tolist() == [True, True, True, False, False]


def test_a_skeleton_without_fingers_has_no_permutations() -> None:
    chain = Skeleton(
        name="tail",
        keypoints=("a", "b", "c"),
        edges=((0, 1), (1, 2)),
        groups={"tail": (0, 1, 2)},
        colors=((0, 0, 0),) * 3,
    )
    assert fingers_of(chain) is None
