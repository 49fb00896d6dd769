"""A board carried through a rig as somebody would who wants a good calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation, Slerp

from multiview._shapes import F64, BoolArray
from multiview.core import Pose, Rig
from multiview.errors import InputError

__all__ = ["board_motion", "board_visibility", "shutter_poses"]

# Frames between the random tilts and places that the motion passes through.
TILT_STEP = 3
# In-plane turn of a board held by its stick.
ROLL_DEG = 25.0
# Share of the half field of view that the board's middle leaves the centre by.
REACH = 0.75
# A detector needs the pattern inside the picture with its quiet zone.
MARGIN_PX = 4.0


def board_motion(
    rng: np.random.Generator,
    rig: Rig,
    n_frames: int,
    *,
    board_centre_m: tuple[float, float] = (0.0, 0.0),
    centre_world: tuple[float, float, float] | None = None,
    tilt_deg: float = 40.0,
    laps: float = 2.0,
    reach_m: float | None = None,
) -> tuple[Pose, ...]:
    """Invent a board take: the board is shown to one camera after the other, tilted and moved.

    Between two neighbouring cameras the board turns from one to the other, so that both see it
    there; world z is up.

    Parameters
    ----------
    rng
        Source of randomness.
    rig
        Cameras to show the board to, in the order of their azimuth.
    n_frames
        Length of the take.
    board_centre_m
        Middle of the board in its own frame.
    centre_world
        Middle of the working volume; by default the point nearest to all optical axes.
    tilt_deg
        Largest tilt away from the line of sight that is added at random.
    laps
        Rounds through all cameras.
    reach_m
        Largest excursion from the centre; by default about half the field of view.

    Returns
    -------
    tuple of Pose
        ``world_from_board`` of every frame.

    Raises
    ------
    InputError
        If there is no frame.
    """
    if n_frames < 1:
        raise InputError(f"a board take of {n_frames} frames", "give at least one frame")
    centre = _axes_meet(rig) if centre_world is None else np.asarray(centre_world, np.float64)
    reach = REACH * _half_field(rig, centre) if reach_m is None else reach_m
    facing = _tour(rig, centre, np.linspace(0, laps, n_frames))
    tilt, roll, path = _wander(rng, n_frames, np.radians(tilt_deg))
    R = (facing * tilt * roll).as_matrix()
    middle = np.array([*board_centre_m, 0.0])
    t = centre + reach * path - R @ middle
    return tuple(Pose(R=R[f], t=t[f]) for f in range(n_frames))


def _axes_meet(rig: Rig) -> F64:
    """Point nearest to all optical axes, shape (3,); a single camera's lies 1 m away."""
    R, _ = rig.cam_from_world
    axes, centres = R[:, 2], rig.centres_world
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    # the small pull towards 1 m ahead decides where axes are parallel
    ahead = (centres + axes).mean(0)
    A = across.sum(0) + 1e-6 * np.eye(3)
    return np.asarray(np.linalg.solve(A, (across @ centres[..., None]).sum(0)[:, 0] + 1e-6 * ahead))


def _half_field(rig: Rig, centre: F64) -> float:
    """Half of the smallest field of view at the centre, metres."""
    halves = [
        float(np.linalg.norm(c.centre_world - centre))
        * min(c.intrinsics.size_wh)
        / (2 * c.intrinsics.K[0, 0])
        for c in rig.cameras
    ]
    return float(min(halves))


def _tour(rig: Rig, centre: F64, lap: F64) -> Rotation:
    """Orientation that faces the cameras in turn, upright, at each lap number (F,)."""
    away = centre - rig.centres_world
    z = away / np.linalg.norm(away, axis=-1, keepdims=True)
    order = np.argsort(np.arctan2(z[:, 1], z[:, 0]))
    z = z[order]
    # a camera straight above has no upright board: any will do
    x = np.cross(z, np.array([0.0, 0.0, 1.0])) + 1e-9 * np.array([1.0, 0.0, 0.0])
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    stops = Rotation.from_matrix(np.stack([x, np.cross(z, x), z], -1))
    n = len(z)
    tour = Slerp(np.arange(n + 1) / n, stops[[*range(n), 0]])
    return tour(lap % 1.0)


def _wander(rng: np.random.Generator, n_frames: int, tilt: float) -> tuple[Rotation, Rotation, F64]:
    """Smooth random tilt and in-plane turn (F rotations each) and place (F, 3) within [-1, 1]."""
    n = n_frames // TILT_STEP + 2
    angle = rng.uniform(0, 2 * np.pi, n)
    size = tilt * np.sqrt(rng.uniform(0.1, 1, n))
    knots = np.column_stack(
        [size * np.cos(angle), size * np.sin(angle), rng.uniform(-1, 1, (n, 4))]
    )
    curve = PchipInterpolator(TILT_STEP * np.arange(n), knots, axis=0)(np.arange(n_frames))
    rotvec = np.zeros((n_frames, 3))
    rotvec[:, :2] = curve[:, :2]
    turn = Rotation.from_rotvec(np.radians(ROLL_DEG) * curve[:, 2:3] * [0.0, 0.0, 1.0])
    return Rotation.from_rotvec(rotvec), turn, np.asarray(curve[:, 3:])


def shutter_poses(
    world_from_board: Sequence[Pose], frame: int, open_share: float, n: int = 3
) -> tuple[Pose, ...]:
    """Poses while the shutter is open, for motion blur, symmetric about the frame's own pose.

    Parameters
    ----------
    world_from_board
        Poses of all frames.
    frame
        Which one is exposed.
    open_share
        Exposure as a share of the time between two frames.
    n
        Number of poses.

    Returns
    -------
    tuple of Pose
        ``n`` poses whose middle is the frame's.
    """
    here = world_from_board[frame]
    before = world_from_board[max(frame - 1, 0)]
    after = world_from_board[min(frame + 1, len(world_from_board) - 1)]
    steps = max(min(frame + 1, len(world_from_board) - 1) - max(frame - 1, 0), 1)
    turn = Rotation.from_matrix(after.R @ before.R.T).as_rotvec() / steps
    shift = (after.t - before.t) / steps
    when = open_share * ((np.arange(n) + 0.5) / n - 0.5)
    R = Rotation.from_rotvec(when[:, None] * turn).as_matrix() @ here.R
    return tuple(Pose(R=R[i], t=here.t + when[i] * shift) for i in range(n))


def board_visibility(
    rig: Rig,
    xyz_board: F64,
    world_from_board: Sequence[Pose],
    *,
    max_tilt_deg: float = 60.0,
) -> BoolArray:
    """Which corners a camera can see: printed side towards it, not too oblique, in the picture.

    Parameters
    ----------
    rig
        Cameras.
    xyz_board
        Corners, shape (C, 3), metres, z = 0.
    world_from_board
        F poses.
    max_tilt_deg
        Angle between the board's normal and the line of sight beyond which detectors give up.

    Returns
    -------
    NDArray[bool]
        Shape (V, F, C).
    """
    xyz = np.stack([pose.apply(xyz_board) for pose in world_from_board])
    # the printed side looks along -z of the board's frame (x right, y down as one reads it)
    normal = np.stack([-pose.R[:, 2] for pose in world_from_board])[:, None]
    sight = rig.centres_world[:, None, None] - xyz
    cosine = (sight * normal).sum(-1) / np.linalg.norm(sight, axis=-1)
    xy = rig.project(xyz)
    size = np.array([c.intrinsics.size_wh for c in rig.cameras])[:, None, None]
    inside = ((xy >= MARGIN_PX) & (xy <= size - 1 - MARGIN_PX)).all(-1)
    return np.asarray(inside & (cosine > np.cos(np.radians(max_tilt_deg))))
