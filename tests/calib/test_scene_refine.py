"""An older rig checked on today's hands: what moved, by how much, and how sure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scene_takes import take

from multiview.calib.scene_refine import refine_rig
from multiview.calib.so3 import exp_so3
from multiview.core import Pose, Rig


def moved_rig(rig: Rig, view: int, way: np.ndarray, turn: np.ndarray) -> Rig:
    """The rig with one camera elsewhere: its centre by ``way`` in its frame, then turned."""
    cameras = list(rig.cameras)
    pose = cameras[view].cam_from_world
    R = exp_so3(turn) @ pose.R
    centre = cameras[view].centre_world + pose.R.T @ way
    cameras[view] = replace(cameras[view], cam_from_world=Pose(R=R, t=-R @ centre))
    return replace(rig, cameras=tuple(cameras))


def test_a_rig_that_is_still_true_raises_no_alarm():
    quiet = 0
    for seed in range(4):
        rig, seen = take(seed, cameras=5, frames=25)
        result = refine_rig(rig, seen.detections)
        quiet += sum(m.chance > 1e-3 for m in result.moved)
        far = np.linalg.norm(result.rig.centres_world - rig.centres_world, axis=1)
        assert far.max() < 4 * max(m.position_std for m in result.moved)
        assert result.rig.unit == rig.unit
    assert quiet == 4 * 5


@pytest.mark.parametrize(
    ("way_mm", "turn_deg"), [((30.0, 0, 0), (0, 0, 0)), ((0, 0, 0), (0, 0.5, 0))]
)
def test_the_camera_that_moved_is_named_and_measured(way_mm, turn_deg):
    rig, seen = take(2, cameras=5, frames=40)
    way, turn = np.array(way_mm) / 1000, np.deg2rad(turn_deg)
    result = refine_rig(moved_rig(rig, 3, way, turn), seen.detections)
    chance = [m.chance for m in result.moved]
    assert int(np.argmin(chance)) == 3
    assert chance[3] < 1e-6
    assert min(chance[:3] + chance[4:]) > 1e-4
    assert any("cam03" in w for w in result.warnings)
    m = result.moved[3]
    assert m.position == pytest.approx(np.linalg.norm(way), abs=4 * m.position_std)
    assert m.rotation == pytest.approx(np.linalg.norm(turn), abs=4 * m.rotation_std)


def test_a_camera_that_looked_away_is_posed_anew():
    rig, seen = take(1, cameras=5, frames=30)
    wrong = moved_rig(rig, 1, np.array([0.2, 0.0, 0.1]), np.array([0.0, 2.0, 0.0]))
    result = refine_rig(wrong, seen.detections)
    assert result.inlier.sum() > 0.97 * seen.detections.valid.sum()
    assert result.moved[1].rotation == pytest.approx(2, abs=0.02)
