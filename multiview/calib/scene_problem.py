r"""Cameras and free points as one least-squares problem: residuals and their derivatives.

Lenses are known, so a pixel is turned into a ray once. The residual in recorded pixels is then
:math:`r = A (\pi(R X + t) - n)`, with the ray :math:`n` of the observation and the derivative
:math:`A` of the lens there: exact to first order, hence for every inlier, and no lens is evaluated
while cameras and points move. A refined focal length :math:`f e^g` about the principal point gives
:math:`r = e^g (A (\pi - n) + q) - q` with :math:`q` the pixel from the principal point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.calib.so3 import exp_so3
from multiview.core import Rig
from multiview.geometry.lens import distort_jacobian

__all__ = ["POSE", "Observations", "SceneState", "Tracks", "linearise", "residuals"]

Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

# Parameters of a camera: rotation (3), translation (3), and the logarithm of its focal scale.
POSE, CAMERA = 6, 7
# An observation that a camera cannot have made (its point is behind) counts as this many px off.
LOST_PX = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """Points seen by several cameras, without order among them.

    Parameters
    ----------
    names
        V cameras.
    xy_px
        Recorded pixels, shape (V, N, 2); NaN where not seen.
    xy_norm
        The same undistorted, z = 1.
    px_from_norm
        Derivative of the pixel by the undistorted coordinate there, shape (V, N, 2, 2).
    from_centre_px
        The pixel from the principal point, shape (V, N, 2).
    frame
        Number of the frame each point belongs to, shape (N,): errors within a frame may be alike.
    """

    names: tuple[str, ...]
    xy_px: F64
    xy_norm: F64
    px_from_norm: F64
    from_centre_px: F64
    frame: Ints

    @classmethod
    def of(cls, rig: Rig, xy_px: F64, frame: Ints) -> Tracks:
        """Undistort pixels (V, N, 2) with the lenses of a rig; its poses do not matter."""
        norm, slope, centred = [], [], []
        for camera, xy in zip(rig.cameras, xy_px, strict=True):
            i = camera.intrinsics
            ray = camera.undistort(xy)
            A = distort_jacobian(ray, i.dist, i.model)[1]
            norm.append(ray)
            slope.append(np.diag(i.K)[:2, None] * A)
            centred.append(xy - i.K[:2, 2])
        return cls(
            names=rig.names,
            xy_px=xy_px,
            xy_norm=np.stack(norm),
            px_from_norm=np.stack(slope),
            from_centre_px=np.stack(centred),
            frame=frame,
        )

    @property
    def seen(self) -> Bools:
        """Where there is a ray, shape (V, N)."""
        return np.asarray(np.isfinite(self.xy_norm).all(-1), np.bool_)

    def take(self, points: Ints | Bools) -> Tracks:
        """Keep only these points."""
        return replace(
            self,
            xy_px=self.xy_px[:, points],
            xy_norm=self.xy_norm[:, points],
            px_from_norm=self.px_from_norm[:, points],
            from_centre_px=self.from_centre_px[:, points],
            frame=self.frame[points],
        )

    def observations(self, use: Bools) -> Observations:
        """List the observations (V, N) that are used, point by point."""
        point, view = np.nonzero((use & self.seen).T)
        return Observations(
            view=view,
            point=point,
            xy_norm=self.xy_norm[view, point],
            px_from_norm=self.px_from_norm[view, point],
            from_centre_px=self.from_centre_px[view, point],
            frame=self.frame[point],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """M single observations in the order of their points; arrays as in `Tracks`, flattened."""

    view: Ints
    point: Ints
    xy_norm: F64
    px_from_norm: F64
    from_centre_px: F64
    frame: Ints

    def take(self, rows: Ints | Bools) -> Observations:
        """Keep only these observations, in their order."""
        return Observations(
            view=self.view[rows],
            point=self.point[rows],
            xy_norm=self.xy_norm[rows],
            px_from_norm=self.px_from_norm[rows],
            from_centre_px=self.from_centre_px[rows],
            frame=self.frame[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneState:
    """Cameras R (V, 3, 3), t (V, 3), focal scales exp(g) (V,), and points (N, 3)."""

    R: F64
    t: F64
    log_focal: F64
    xyz: F64

    def moved(self, cameras: F64, points: F64) -> SceneState:
        """Add steps of cameras (V, 7) and points (N, 3)."""
        return SceneState(
            R=exp_so3(cameras[:, :3]) @ self.R,
            t=self.t + cameras[:, 3:6],
            log_focal=self.log_focal + cameras[:, 6],
            xyz=self.xyz + points,
        )

    def in_camera(self, view: int) -> SceneState:
        """Move the world in the frame of a camera."""
        R0, t0 = self.R[view], self.t[view]
        R = self.R @ R0.T
        return replace(self, R=R, t=self.t - R @ t0, xyz=self.xyz @ R0.T + t0)


def residuals(state: SceneState, obs: Observations) -> F64:
    """Predicted minus observed, shape (M, 2), pixels; `LOST_PX` where the point is behind."""
    return _predict(state, obs)[0]


def _predict(state: SceneState, obs: Observations) -> tuple[F64, F64, F64, F64]:
    """Residual, rotated point, projection (M, 2) and inverse depth (0 where behind)."""
    turned = np.einsum("mij,mj->mi", state.R[obs.view], state.xyz[obs.point])
    cam = turned + state.t[obs.view]
    front = cam[:, 2] > 0
    inverse = np.where(front, 1 / np.where(front, cam[:, 2], 1.0), 0.0)
    ahead = cam[:, :2] * inverse[:, None]
    off = np.einsum("mij,mj->mi", obs.px_from_norm, ahead - obs.xy_norm)
    scale = np.exp(state.log_focal)[obs.view][:, None]
    res = scale * (off + obs.from_centre_px) - obs.from_centre_px
    return np.where(front[:, None], res, LOST_PX), turned, ahead, inverse


def linearise(state: SceneState, obs: Observations) -> tuple[F64, F64, F64]:
    """Residuals (M, 2) with derivatives by the camera (M, 2, 7) and by the point (M, 2, 3)."""
    res, turned, ahead, inverse = _predict(state, obs)
    scale = np.exp(state.log_focal)[obs.view]
    A = obs.px_from_norm * (scale * inverse)[:, None, None]
    by_cam = np.empty((len(res), 2, 3))
    by_cam[..., :2] = A
    by_cam[..., 2] = -np.einsum("mij,mj->mi", A, ahead)
    J = np.empty((len(res), 2, CAMERA))
    # d(exp(w) y)/dw = -[y]x, so each row a of by_cam gives y x a
    J[..., :3] = np.cross(turned[:, None], by_cam)
    J[..., 3:6] = by_cam
    J[..., 6] = np.where(inverse[:, None] > 0, res + obs.from_centre_px, 0.0)
    return res, J, by_cam @ state.R[obs.view]
