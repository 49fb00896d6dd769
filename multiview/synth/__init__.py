"""Invented captures with exact truth: rigs, hands, detections with errors, filmed boards.

For tests and the demo. Everything random comes from the `numpy.random.Generator` that is handed
in: the same seed gives the same capture. Errors invented here are not errors on people.
"""

from __future__ import annotations

from multiview.synth.boards import board_motion, board_visibility, shutter_poses
from multiview.synth.crowd import Crowd, join_candidates, pass_by
from multiview.synth.hands import make_hand_motion
from multiview.synth.noise import Observation, observe, occluded
from multiview.synth.render import render_board
from multiview.synth.rigs import look_at, make_rig
from multiview.synth.room import render_room

__all__ = [
    "Crowd",
    "Observation",
    "board_motion",
    "board_visibility",
    "join_candidates",
    "look_at",
    "make_hand_motion",
    "make_rig",
    "observe",
    "occluded",
    "pass_by",
    "render_board",
    "render_room",
    "shutter_poses",
]
