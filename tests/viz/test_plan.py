"""The map of expected error as drawn: cameras and cells where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from multiview.bootstrap.plan_volume import Box, error_map
from multiview.bootstrap.planner import Detector
from multiview.core import Camera
from multiview.synth import look_at, make_rig
from multiview.viz.plan import NEW, PALE, PANEL, draw_error_map

BOX = Box(low=np.full(3, -0.15), high=np.full(3, 0.15))


def middle_of(picture, colour):
    rows, columns = np.nonzero((picture == colour).all(-1))
    return columns.mean(), rows.mean()


def test_a_proposed_camera_is_drawn_where_it_would_stand():
    """Right and up of the middle from z (x right, y up); right of it from x (y right)."""
    rig = make_rig(np.random.default_rng(0), 6)
    expected = error_map(rig, BOX, Detector(rate=0.7, sigma_px=4, crop_px=100), positions=125)
    pose = look_at(np.array([1.0, 0.8, 0.0]), np.zeros(3))
    new = Camera(name="", intrinsics=rig.cameras[0].intrinsics, cam_from_world=pose)
    picture = draw_error_map(rig, expected, [new], 1000, "mm")
    top, front, side = (picture[30:PANEL, n * PANEL : (n + 1) * PANEL] for n in range(3))
    x, y = middle_of(top, NEW)
    assert x > 0.6 * PANEL
    assert y < 0.4 * PANEL
    assert middle_of(front, NEW)[0] > 0.6 * PANEL
    assert middle_of(side, NEW)[0] > 0.6 * PANEL


def test_cells_where_little_is_found_are_grey():
    rig = make_rig(np.random.default_rng(0), 6)
    expected = error_map(rig, BOX, Detector(rate=0.7, sigma_px=4, crop_px=100), positions=125)
    half = expected.xyz[:, 0] > 0
    found = np.where(half, 0.4, 0.9)
    picture = draw_error_map(rig, replace(expected, found=found), [], 1000, "mm")[30:PANEL, :PANEL]
    full = draw_error_map(rig, replace(expected, found=0 * found + 1), [], 1000, "mm")
    assert not (full == PALE).all(-1).any()
    grey = (picture == PALE).all(-1)
    columns = np.nonzero(grey)[1]
    assert grey.sum() > 100
    assert columns.min() > 0.4 * PANEL
