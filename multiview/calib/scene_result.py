"""What a calibration from the scene returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.core import Detections, Rig

__all__ = ["Moved", "SceneCamera", "SceneResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneCamera:
    """Figures of one camera.

    Parameters
    ----------
    name
        As in the rig.
    points, rejected
        Observations of points that at least two cameras saw, and those dropped as outliers.
    rms_px
        Error length of those kept, root mean square.
    noise_px
        Noise of one coordinate.
    rotation_std, position_std
        Standard deviations (all axes together) relative to the first camera, radians and rig units;
        0 for the first camera. The overall scale's error is not in them.
    focal_scale
        By how much the focal length was changed; 1 where it was kept.
    """

    name: str
    points: int
    rejected: int
    rms_px: float
    noise_px: float
    rotation_std: float
    position_std: float
    focal_scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How far a camera is from where an older rig had it.

    Parameters
    ----------
    name
        As in the rig.
    rotation, position
        Angle (radians) and distance (rig units).
    rotation_std, position_std
        Their standard deviations along the found directions.
    chance
        Probability of a difference as large if the camera had not moved.
    """

    name: str
    rotation: float
    position: float
    rotation_std: float
    position_std: float
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneResult:
    """A rig found from the scene, and the evidence for it.

    Parameters
    ----------
    rig
        Cameras in the frame of the first one (or of the given rig). Its unit says whether the
        scale is known.
    covariance
        Of the poses, shape (6 V, 6 V): rotation (left perturbation in the camera's frame, rad) and
        translation (rig units) of each camera; rank 6 V - 7: the first camera is fixed and the
        scale is. Scaled by ``alike`` where that exceeds 1.
    scale_std
        Relative standard deviation of the scale from the take; 0 where the scale was given by
        cameras, NaN where it is unknown.
    alike
        Variance of whole frames' errors relative to independent ones; see
        `multiview.calib.scene_covariance.scene_covariance`.
    rms_px
        Error length of the observations used, root mean square.
    cameras
        Figures.
    xyz_world
        The points, shape (F, H, K, 3); NaN where two cameras do not agree on one.
    inlier
        Observations that carry the rig, shape (V, F, H, K).
    detections
        The detections in the order in which they were used.
    contradicting
        Pairs of cameras whose own relative rotation contradicts the others': names and radians.
    moved
        With a start: how far each camera moved.
    warnings
        What to look at before trusting the rig.
    """

    rig: Rig
    covariance: F64
    scale_std: float
    alike: float
    rms_px: float
    cameras: tuple[SceneCamera, ...]
    xyz_world: F64
    inlier: NDArray[np.bool_]
    detections: Detections
    contradicting: tuple[tuple[str, str, float], ...] = ()
    moved: tuple[Moved, ...] = ()
    warnings: tuple[str, ...] = ()
