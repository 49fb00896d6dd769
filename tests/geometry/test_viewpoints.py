"""Which cameras look from one place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from multiview.core import Pose, Rig
from multiview.geometry.robust import LEAST_ANGLE
from multiview.geometry.viewpoints import count_places, places
from multiview.synth import make_rig


def beside(rig: Rig, v: int, share: float, name: str) -> Rig:
    """Add a camera beside another, ``share`` of the least angle away as seen from the origin."""
    camera = rig.cameras[v]
    pose = camera.cam_from_world
    aside = np.cross(camera.centre_world, [0, 0, 1.0])
    step = aside / np.linalg.norm(aside) * np.linalg.norm(camera.centre_world)
    centre = camera.centre_world + step * np.tan(share * LEAST_ANGLE)
    other = replace(camera, name=name, cam_from_world=Pose(R=pose.R, t=-pose.R @ centre))
    return Rig(cameras=(*rig.cameras, other))


def test_close_cameras_share_a_place_and_others_do_not() -> None:
    rig, origin = make_rig(np.random.default_rng(0), 4), np.zeros((3, 3))
    np.testing.assert_array_equal(places(rig, origin), [0, 1, 2, 3])
    for share, expected in ((0.0, 2), (1e-6, 2), (0.9, 2), (1.1, 4)):
        np.testing.assert_array_equal(
            places(beside(rig, 2, share, "e"), origin), [0, 1, 2, 3, expected]
        )
    # a row of cameras is not one place because neighbours are close
    row = beside(beside(rig, 3, 0.7, "e"), 3, 1.4, "f")
    np.testing.assert_array_equal(places(row, origin), [0, 1, 2, 3, 3, 5])


def test_without_a_point_every_camera_is_its_own() -> None:
    rig = beside(make_rig(np.random.default_rng(0), 2), 0, 0.0, "twin")
    np.testing.assert_array_equal(places(rig, np.full((5, 3), np.nan)), [0, 1, 2])
    np.testing.assert_array_equal(places(rig, np.zeros((0, 3))), [0, 1, 2])


def test_a_camera_at_the_point_itself_is_no_problem() -> None:
    rig = make_rig(np.random.default_rng(0), 3)
    np.testing.assert_array_equal(places(rig, rig.centres_world[1:2]), [0, 1, 2])


def test_places_are_counted() -> None:
    inlier = np.array([[1, 1, 0, 0], [1, 0, 0, 1], [1, 1, 0, 1], [1, 0, 0, 0]], bool)
    np.testing.assert_array_equal(count_places(inlier, np.array([0, 0, 2, 3])), [3, 2, 0, 2])
