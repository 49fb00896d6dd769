"""Cameras: pose, lens, camera, rig."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from multiview._shapes import F64, as_f64, check_shapes, freeze
from multiview.core.covariance import RigCovariance
from multiview.core.record import RigRecord
from multiview.errors import InputError, ShapeError

# A rotation read from text with 8 digits is off by about 1e-8; one with a typing error by far more.
ROTATION_TOLERANCE = 1e-5
DISTORTION_SIZES = {"brown": (0, 4, 5, 8, 12), "fisheye": (4,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """A rigid transform ``b_from_a``: ``x_b = R @ x_a + t``.

    Parameters
    ----------
    R
        Rotation, shape (3, 3), det +1.
    t
        Translation, shape (3,), metres.
    """

    R: F64
    t: F64

    def __post_init__(self) -> None:
        R, t = as_f64(self.R, "Pose.R"), as_f64(self.t, "Pose.t")
        check_shapes("Pose", {"R": (R, "3 3"), "t": (t, "3")})
        finite = bool(np.isfinite(R).all() and np.isfinite(t).all())
        off = np.abs(R @ R.T - np.eye(3)).max() if finite else np.inf
        det = float(np.linalg.det(R)) if finite else float("nan")
        if not (finite and off < ROTATION_TOLERANCE and det > 0):
            raise ShapeError(
                f"Pose.R is not a rotation or Pose.t not finite (|R R^T - 1| = {off:.2g}, "
                f"det = {det:.3g})",
                "check for a transposed, mirrored or scaled matrix",
            )
        object.__setattr__(self, "R", freeze(R.copy()))
        object.__setattr__(self, "t", freeze(t.copy()))

    @classmethod
    def identity(cls) -> Pose:
        """Return the transform that changes nothing."""
        return cls(R=np.eye(3), t=np.zeros(3))

    @property
    def inv(self) -> Pose:
        """The inverse transform ``a_from_b``."""
        return Pose(R=self.R.T, t=-self.R.T @ self.t)

    def __matmul__(self, other: Pose) -> Pose:
        """Compose: ``c_from_a = c_from_b @ b_from_a``."""
        return Pose(R=self.R @ other.R, t=self.R @ other.t + self.t)

    def apply(self, xyz: F64) -> F64:
        """Transform points of shape (..., 3)."""
        return np.asarray(xyz @ self.R.T + self.t, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intrinsics:
    """A lens and sensor.

    Parameters
    ----------
    K
        Camera matrix, shape (3, 3), pixels; zero skew.
    dist
        Distortion, OpenCV order: 0, 4, 5, 8 or 12 coefficients for ``model="brown"``, 4 for
        ``model="fisheye"``.
    size_wh
        Image width and height, pixels.
    model
        ``"brown"`` (OpenCV's pinhole with polynomial or rational distortion) or ``"fisheye"``
        (OpenCV's equidistant model after Kannala and Brandt, PAMI 2006).
    """

    K: F64
    dist: F64
    size_wh: tuple[int, int]
    model: Literal["brown", "fisheye"] = "brown"

    def __post_init__(self) -> None:
        K, dist = as_f64(self.K, "Intrinsics.K"), as_f64(self.dist, "Intrinsics.dist").ravel()
        check_shapes("Intrinsics", {"K": (K, "3 3")})
        if self.model not in DISTORTION_SIZES or dist.size not in DISTORTION_SIZES[self.model]:
            raise ShapeError(
                f"Intrinsics has {dist.size} distortion coefficients for model {self.model!r}",
                f"give one of {DISTORTION_SIZES} coefficients; tilted sensors (14) are unsupported",
            )
        template = np.array([[K[0, 0], 0, K[0, 2]], [0, K[1, 1], K[1, 2]], [0, 0, 1]])
        finite = bool(np.isfinite(K).all() and np.isfinite(dist).all())
        if not finite or K[0, 0] <= 0 or K[1, 1] <= 0 or not np.array_equal(K, template):
            raise ShapeError(
                "Intrinsics.K is not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with fx, fy > 0, or a "
                "coefficient is not finite",
                "check for a transposed matrix (MATLAB stores the transpose) or a skew term",
            )
        width, height = (int(s) for s in self.size_wh)
        if width <= 0 or height <= 0:
            raise ShapeError(f"Intrinsics.size_wh is {self.size_wh}", "give (width, height) in px")
        object.__setattr__(self, "K", freeze(K.copy()))
        object.__setattr__(self, "dist", freeze(dist.copy()))
        object.__setattr__(self, "size_wh", (width, height))


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A posed camera; there is no half-calibrated one.

    Parameters
    ----------
    name
        As in the capture: the folder or video it records to.
    intrinsics
        Lens and sensor.
    cam_from_world
        Pose of the world in the camera's frame (as in OpenCV and COLMAP).
    """

    name: str
    intrinsics: Intrinsics
    cam_from_world: Pose

    @property
    def centre_world(self) -> F64:
        """Optical centre, shape (3,), metres."""
        return self.cam_from_world.inv.t

    def project(self, xyz_world: F64) -> F64:
        """Project (..., 3) points in metres to (..., 2) recorded pixels; NaN behind the camera."""
        from multiview.geometry.project import project  # core stays importable on its own

        return project(
            self.cam_from_world.apply(as_f64(xyz_world, "xyz_world")),
            self.intrinsics.K,
            self.intrinsics.dist,
            self.intrinsics.model,
        )

    def undistort(self, xy_px: F64) -> F64:
        """Turn (..., 2) recorded pixels into (..., 2) normalised coordinates (z = 1)."""
        from multiview.geometry.project import unproject

        i = self.intrinsics
        return unproject(as_f64(xy_px, "xy_px"), i.K, i.dist, i.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """Cameras in the order of axis V.

    Parameters
    ----------
    cameras
        At least one camera; names are unique.
    unit
        ``"m"``, or another name where the source did not state the scale (``"board square"``).
    about
        How the rig was made; carried into its file.
    covariance
        How well its parameters are known; None where nobody said.
    world
        Origin and axes of the world in words; empty where the source did not state them.
    made
        Provenance and accuracy, where known; no part of the digest.
    """

    cameras: tuple[Camera, ...]
    unit: str = "m"
    about: str = ""
    covariance: RigCovariance | None = None
    world: str = ""
    made: RigRecord | None = None

    def __post_init__(self) -> None:
        names = [c.name for c in self.cameras]
        twice = sorted({n for n in names if names.count(n) > 1})
        if not names or twice:
            raise InputError(
                f"rig has two cameras named {twice}" if twice else "rig has no camera",
                "give every camera a name of its own, as in the capture",
            )
        if self.covariance is not None and len(self.covariance.pose) != len(names):
            raise ShapeError(
                f"rig has {len(names)} cameras, its covariance {len(self.covariance.pose)}",
                "give one row of columns per camera",
            )
        object.__setattr__(self, "cameras", tuple(self.cameras))

    @property
    def names(self) -> tuple[str, ...]:
        """Camera names in the order of axis V."""
        return tuple(c.name for c in self.cameras)

    @property
    def centres_world(self) -> F64:
        """Optical centres, shape (V, 3), metres."""
        return np.stack([c.centre_world for c in self.cameras])

    @property
    def cam_from_world(self) -> tuple[F64, F64]:
        """Rotations (V, 3, 3) and translations (V, 3) of all cameras."""
        poses = [c.cam_from_world for c in self.cameras]
        return np.stack([p.R for p in poses]), np.stack([p.t for p in poses])

    @property
    def digest(self) -> str:
        """Content hash: results carry it, so that labels of another rig are noticed."""
        sha = hashlib.sha256()
        for c in self.cameras:
            i = c.intrinsics
            sha.update(f"{c.name} {i.model} {i.size_wh}".encode())
            for array in (i.K, i.dist, c.cam_from_world.R, c.cam_from_world.t):
                sha.update(np.ascontiguousarray(array).tobytes())
        return sha.hexdigest()[:16]

    def project(self, xyz_world: F64) -> F64:
        """Project (..., 3) points to (V, ..., 2) recorded pixels; NaN behind a camera."""
        xyz_world = as_f64(xyz_world, "xyz_world")
        return np.stack([c.project(xyz_world) for c in self.cameras])

    def undistort(self, xy_px: F64) -> F64:
        """Turn (V, ..., 2) recorded pixels into (V, ..., 2) normalised coordinates."""
        xy_px = as_f64(xy_px, "xy_px")
        if len(xy_px) != len(self.cameras) or xy_px.shape[-1] != 2:
            raise ShapeError(
                f"xy_px has shape {xy_px.shape} for a rig of {len(self.cameras)} cameras",
                "give (V, ..., 2) with one entry per camera of the rig, in its order",
            )
        return np.stack([c.undistort(xy) for c, xy in zip(self.cameras, xy_px, strict=True)])

    def check_sizes(self, size_wh: Sequence[tuple[int, int]]) -> None:
        """Check that pictures have the size the cameras were calibrated at.

        Raises
        ------
        InputError
            Naming the camera and both sizes.
        """
        for camera, size in zip(self.cameras, size_wh, strict=True):
            if camera.intrinsics.size_wh != tuple(size):
                raise InputError(
                    f"camera {camera.name}: its pictures are {size[0]} x {size[1]}, the rig was "
                    "calibrated at {} x {}".format(*camera.intrinsics.size_wh),
                    "record at the size of the calibration, or calibrate again at this size",
                )

    def select(self, names: Sequence[str]) -> Rig:
        """Return the rig of these cameras, in this order.

        Raises
        ------
        InputError
            If a name is not in the rig.
        """
        unknown = [n for n in names if n not in self.names]
        if unknown:
            raise InputError(
                f"camera {', '.join(unknown)} is not in the rig, which has {', '.join(self.names)}",
                "rename the folder or video, or calibrate with the camera present",
            )
        views = [self.names.index(n) for n in names]
        return replace(
            self,
            cameras=tuple(self.cameras[v] for v in views),
            covariance=self.covariance and self.covariance.select(views),
        )
