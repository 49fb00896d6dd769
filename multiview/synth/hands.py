"""An articulated hand of 21 keypoints that moves smoothly within the limits of its joints.

Bone lengths are those of an adult (hand length about 0.19 m); joint limits are the usual clinical
ranges of motion, rounded. A right hand in its own frame: the wrist at 0, fingers along +y, the palm
looks to -z, the thumb points to -x (as one sees the back of one's own right hand). The left hand is
its mirror image in x. Fingers may touch one another: nothing stops them.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation

from multiview._shapes import F64
from multiview.core import HAND_SLOTS
from multiview.errors import InputError

__all__ = ["make_hand_motion"]

# First joint of thumb, index, middle, ring, little in the hand's frame, metres.
BASE_M = np.array(
    [
        [-0.028, 0.026, -0.010],
        [-0.026, 0.088, 0.000],
        [-0.004, 0.091, 0.003],
        [0.016, 0.085, 0.000],
        [0.034, 0.076, -0.005],
    ]
)
# The three bones after it.
BONES_M = np.array(
    [
        [0.044, 0.033, 0.027],
        [0.043, 0.026, 0.021],
        [0.047, 0.030, 0.022],
        [0.044, 0.028, 0.022],
        [0.034, 0.020, 0.019],
    ]
)
# Bending of the three joints from first to last, degrees: (5 fingers, 3 joints, low and high).
FLEXION_DEG = np.array(
    [
        [[-10, 35], [-5, 50], [-10, 70]],
        *[[[-15, 85], [0, 100], [0, 70]]] * 4,
    ],
    np.float64,
)
# The last two joints of a finger share a tendon: the last bends about two thirds of the one before.
TENDON = 2 / 3
SPREAD_DEG = np.array([20.0, 12.0, 5.0, 8.0, 14.0])
# Direction of a straight finger, degrees from +y towards -x.
REST_DEG = np.array([42.0, 6.0, 1.0, -5.0, -11.0])
# The thumb bends across the palm: its palmar direction is turned by this about its own length.
THUMB_TWIST_DEG = 60.0
# Seconds between the random poses that a motion passes through, and between wrist positions.
POSE_STEP_S = 0.5
PATH_STEP_S = 0.8
WRIST_DEG = 60.0


def make_hand_motion(
    rng: np.random.Generator,
    n_frames: int,
    n_hands: int = 1,
    *,
    fps: float = 30.0,
    centre_world: tuple[float, float, float] = (0.0, 0.0, 0.0),
    reach_m: float = 0.06,
    apart_m: float = 0.16,
) -> F64:
    """Invent a take of hands.

    Parameters
    ----------
    rng
        Source of randomness.
    n_frames
        Length of the take.
    n_hands
        1: a right hand; 2: left and right, in the order of axis H.
    fps
        Frames a second.
    centre_world
        Middle of the working volume, shape (3,), metres.
    reach_m
        Largest excursion of a hand from its place, along each axis.
    apart_m
        Distance between the places of two hands, along world x.

    Returns
    -------
    F64
        ``xyz_world``, shape (n_frames, n_hands, 21, 3), metres.

    Raises
    ------
    InputError
        If there is no frame or not one or two hands.
    """
    if n_frames < 1 or n_hands not in (1, 2):
        raise InputError(
            f"a motion of {n_frames} frames and {n_hands} hands cannot be made",
            "give at least one frame and one or two hands",
        )
    times = np.arange(n_frames) / fps
    sides = HAND_SLOTS if n_hands == 2 else ("right",)
    hands = []
    for h, side in enumerate(sides):
        xyz = _articulate(*_joint_angles(rng, times))
        if side == "left":
            xyz = xyz * [-1.0, 1.0, 1.0]
        place = np.add(centre_world, (apart_m * (h - (n_hands - 1) / 2), 0.0, 0.0))
        hands.append(_carry(rng, times, xyz, place, reach_m))
    return np.stack(hands, axis=1)


def _smooth(rng: np.random.Generator, times: F64, step_s: float, shape: tuple[int, ...]) -> F64:
    """Random curves within [0, 1], shape (F, *shape).

    Monotone between their knots, so that a limit kept at the knots is kept everywhere.
    """
    n = int(np.ceil(times[-1] / step_s)) + 2
    knots = rng.uniform(0, 1, (n, *shape))
    return np.asarray(PchipInterpolator(step_s * np.arange(n), knots, axis=0)(times))


def _joint_angles(rng: np.random.Generator, times: F64) -> tuple[F64, F64]:
    """Flexion (F, 5, 3) and spread (F, 5), radians."""
    together = _smooth(rng, times, POSE_STEP_S, (1, 1))
    own = _smooth(rng, times, POSE_STEP_S, (5, 3))
    bend = 0.5 * together + 0.5 * own
    low, high = np.radians(FLEXION_DEG[..., 0]), np.radians(FLEXION_DEG[..., 1])
    flexion = low + bend * (high - low)
    flexion[:, 1:, 2] = np.minimum(TENDON * flexion[:, 1:, 1], high[1:, 2])
    spread = (2 * _smooth(rng, times, POSE_STEP_S, (5,)) - 1) * np.radians(SPREAD_DEG)
    # bent fingers cannot be spread: the side ligaments of the first joint are taut
    spread[:, 1:] *= 1 - bend[:, 1:, 0]
    return flexion, spread


def _articulate(flexion: F64, spread: F64) -> F64:
    """Keypoints of a right hand in its own frame, shape (F, 21, 3), metres."""
    turn = np.radians(REST_DEG) + spread
    along = np.stack([-np.sin(turn), np.cos(turn), np.zeros_like(turn)], -1)
    across = np.stack([np.cos(turn), np.sin(turn), np.zeros_like(turn)], -1)
    twist = np.radians([THUMB_TWIST_DEG, 0, 0, 0, 0])[:, None]
    palmar = np.sin(twist) * across - np.cos(twist) * np.array([0.0, 0.0, 1.0])
    angle = np.cumsum(flexion, axis=-1)[..., None]
    bones = np.cos(angle) * along[..., None, :] + np.sin(angle) * palmar[..., None, :]
    joints = np.cumsum(BONES_M[..., None] * bones, axis=-2) + BASE_M[:, None]
    base = np.broadcast_to(BASE_M[:, None], (*joints.shape[:2], 1, 3))
    fingers = np.concatenate([base, joints], axis=-2).reshape(len(flexion), 20, 3)
    return np.concatenate([np.zeros((len(flexion), 1, 3)), fingers], axis=1)


def _carry(rng: np.random.Generator, times: F64, xyz_hand: F64, place: F64, reach: float) -> F64:
    """Move and turn a hand through the world: fingers point up, give or take."""
    upright = Rotation.from_euler("x", 90, degrees=True)
    facing = Rotation.from_euler("z", rng.uniform(-180, 180), degrees=True)
    sway = (2 * _smooth(rng, times, PATH_STEP_S, (3,)) - 1) * np.radians(WRIST_DEG)
    R = (Rotation.from_rotvec(sway) * facing * upright).as_matrix()
    path = place + reach * (2 * _smooth(rng, times, PATH_STEP_S, (3,)) - 1)
    # the middle of the hand, not the wrist, stays in the working volume
    centred = xyz_hand - BASE_M[2]
    return np.asarray(np.einsum("fij,fkj->fki", R, centred) + path[:, None])
