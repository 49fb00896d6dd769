"""Joint angles of a take as clinicians read them: flexion, abduction, and how sure each is.

What each angle is, is in docs/export.md; the geometry is `multiview.bootstrap.anatomy`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64
from multiview.bootstrap.anatomy import bone_vectors, is_hand, joint_angles
from multiview.core import HAND_21, Points3D, side_sign
from multiview.errors import InputError
from multiview.geometry.median import median_of

__all__ = ["FINGERS", "JOINTS", "JointAngles", "measure_joints"]

FINGERS = tuple(name for name in HAND_21.groups if name != "wrist")
"""Fingers in the order of the angles' axis."""
JOINTS = (("CMC", "MCP", "IP"), *[("MCP", "PIP", "DIP")] * 4)
"""Names of the three joints of each finger, from base to tip."""
# Away from the middle finger: towards the thumb for these, towards the little finger for the rest;
# the thumb's own leaves the palm.
_AWAY = np.array([1.0, 1.0, 1.0, -1.0, -1.0])
# Share of a bone by which points are moved to differentiate: the error of a central difference is
# its square, 1e-8, and rounding (1e-16 over the step) is smaller still.
_STEP = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class JointAngles:
    """Angles of every hand, degrees; NaN where a keypoint or the side of the hand is not known.

    Parameters
    ----------
    flexion_deg, flexion_sd_deg
        Towards the palm, and its standard deviation, shape (F, H, 5, 3): `FINGERS`, `JOINTS`.
    abduction_deg, abduction_sd_deg
        At the base of each finger, shape (F, H, 5): away from the middle finger; of the middle
        finger towards the thumb; of the thumb out of its flexion plane, away from the palm.
    """

    flexion_deg: F64
    flexion_sd_deg: F64
    abduction_deg: F64
    abduction_sd_deg: F64


def measure_joints(points: Points3D) -> JointAngles:
    """Measure all joints of a take.

    Standard deviations are first order, from the covariances of the points taken as independent.
    What they share (the rig, a detector's bias) is not in them; a shift or turn of the whole hand
    changes no angle.

    Raises
    ------
    InputError
        If the keypoints are not a hand's.
    """
    if not is_hand(points.skeleton):
        raise InputError(
            f"joint angles are those of a hand, this skeleton is {points.skeleton.name!r}",
            "export the points instead: --format csv",
        )
    # of a hand that may be either, "towards the palm" is not known
    sign = np.array([side_sign(name) or np.nan for name in points.hands])
    with np.errstate(invalid="ignore"):
        angles = _angles(points.xyz_world, sign)
        sd = np.sqrt(_variance(points.xyz_world, points.cov, sign))
    sd = np.where(np.isfinite(angles), sd, np.nan)
    return JointAngles(
        flexion_deg=angles[..., :3],
        flexion_sd_deg=sd[..., :3],
        abduction_deg=angles[..., 3],
        abduction_sd_deg=sd[..., 3],
    )


def _angles(xyz: F64, sign: F64) -> F64:
    """Three bends and the abduction of each finger, shape (F, H, 5, 4), degrees."""
    bend, aside = joint_angles(xyz, sign)
    away = aside[..., 0] * sign[:, None] * _AWAY
    return np.concatenate([bend, away[..., None]], axis=-1)


def _variance(xyz: F64, cov: F64, sign: F64) -> F64:
    """Sum of each point's share, ``J cov J^T``, shape (F, H, 5, 4); points are independent."""
    length = np.linalg.norm(bone_vectors(xyz), axis=-1)
    known = median_of(length.reshape(1, -1))[0]
    step = _STEP * (known if known > 0 else 1.0)
    variance = np.zeros((*xyz.shape[:2], len(FINGERS), 4))
    for k in range(xyz.shape[2]):
        columns = []
        for axis in range(3):
            move = np.zeros(xyz.shape[2:])
            move[k, axis] = step
            turn = _angles(xyz + move, sign) - _angles(xyz - move, sign)
            turn = (turn + 180.0) % 360.0 - 180.0  # across the cut of the arctangent
            columns.append(turn / (2 * step))
        J = np.stack(columns, -1)
        part = np.einsum("fhabi,fhij,fhabj->fhab", J, cov[:, :, k], J)
        # an angle that does not depend on a point does not mind that its covariance is unknown
        variance += np.where((J == 0).all(-1), 0.0, part)
    return variance
