"""The data types: frozen values on arrays that are checked once and then read-only.

Conventions (docs/conventions.md): transforms are ``b_from_a`` applied right to left; camera axes
x right, y down, z forward; pixels with the centre of the top-left one at (0, 0); axes in the order
V views, F frames, H hands, K keypoints, coordinate; metres, pixels, radians, seconds; missing is
NaN with confidence 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import CONVENTIONS, F64, as_f64, check_shapes, freeze, present
from multiview.errors import InputError, ShapeError

__all__ = [
    "HAND_21",
    "HAND_SLOTS",
    "Camera",
    "Detections",
    "Intrinsics",
    "Points3D",
    "Pose",
    "PseudoLabels",
    "Rig",
    "Skeleton",
]

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

# A rotation read from text with 8 digits is off by about 1e-8; one with a typing error by far more.
ROTATION_TOLERANCE = 1e-5
# Labels of the H axis after association.
HAND_SLOTS = ("left", "right")
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
    """

    cameras: tuple[Camera, ...]
    unit: str = "m"
    about: str = ""

    def __post_init__(self) -> None:
        names = [c.name for c in self.cameras]
        twice = sorted({n for n in names if names.count(n) > 1})
        if not names or twice:
            raise InputError(
                f"rig has two cameras named {twice}" if twice else "rig has no camera",
                "give every camera a name of its own, as in the capture",
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
        return replace(self, cameras=tuple(self.cameras[self.names.index(n)] for n in names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """Keypoints, bones, groups that are triangulated together, and their colours.

    Parameters
    ----------
    name, keypoints
        Names; ``keypoints`` is in the order of axis K.
    edges
        Bones as pairs of keypoint numbers, parent first.
    groups
        ``{name: keypoint numbers}`` covering every keypoint once: the fingers.
    colors
        One RGB triple (0-255) per keypoint.
    """

    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    groups: dict[str, tuple[int, ...]]
    colors: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        n = len(self.keypoints)
        covered = sorted(k for group in self.groups.values() for k in group)
        if covered != list(range(n)) or len(self.colors) != n or not n:
            raise InputError(
                f"skeleton {self.name!r}: groups must cover each of its {n} keypoints once and "
                f"colors have {n} entries",
                "check the skeleton file",
            )
        if any(not 0 <= k < n for edge in self.edges for k in edge):
            raise InputError(f"skeleton {self.name!r}: an edge names no keypoint", "check edges")

    @property
    def group_index(self) -> IntArray:
        """Group number of every keypoint, shape (K,)."""
        index = np.empty(len(self.keypoints), np.int64)
        for number, members in enumerate(self.groups.values()):
            index[list(members)] = number
        return index


def _hand_21() -> Skeleton:
    hues = {
        "thumb": (255, 40, 40),
        "index": (255, 215, 0),
        "middle": (50, 205, 50),
        "ring": (45, 120, 255),
        "little": (225, 60, 225),
    }
    joints = ("1", "2", "3", "4")
    keypoints, colors, edges = ["wrist"], [(150, 150, 150)], []
    groups: dict[str, tuple[int, ...]] = {"wrist": (0,)}
    for number, (finger, hue) in enumerate(hues.items()):
        first = 1 + 4 * number
        groups[finger] = tuple(range(first, first + 4))
        edges += [(0, first)] + [(k, k + 1) for k in range(first, first + 3)]
        for joint, shade in zip(joints, (0.55, 0.7, 0.85, 1.0), strict=True):
            keypoints.append(f"{finger}{joint}")
            r, g, b = (round(c * shade) for c in hue)
            colors.append((r, g, b))
    return Skeleton(
        name="hand21",
        keypoints=tuple(keypoints),
        edges=tuple(edges),
        groups=groups,
        colors=tuple(colors),
    )


HAND_21 = _hand_21()
"""Wrist, then thumb, index, middle, ring, little from base to tip (OpenPose and MediaPipe order).

One hue per finger: thumb red, index yellow, middle green, ring blue, little magenta, dark at the
base; wrist grey.
"""


def _set_arrays(value: Any, arrays: dict[str, NDArray[Any]]) -> None:
    for name, array in arrays.items():
        object.__setattr__(value, name, freeze(array))


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """2D keypoints of a take.

    Parameters
    ----------
    xy_px
        Recorded (distorted) pixels, shape (V, F, H, K, 2); NaN where missing.
    conf
        Confidence in [0, 1], shape (V, F, H, K); 0 where missing.
    camera_names
        V names.
    frame_ids
        Number of each frame set, shape (F,), increasing.
    times
        Seconds on the capture's clock, shape (V, F); NaN where a camera has no image.
    skeleton
        Meaning of axis K.
    source
        Detector or file the points come from.
    right
        Probability that the hand is a right one, shape (V, F, H); NaN where unknown.
    hands
        Labels of axis H. ``("left", "right")`` when every view's slot h is the same hand;
        empty while they are one image's candidates, best first, in no common order
        (`multiview.association.assign_hands` orders them).
    size_wh
        Image size of every camera, pixels; empty where the source does not say. Triangulation
        refuses a rig calibrated at another size.
    """

    xy_px: F64
    conf: F64
    camera_names: tuple[str, ...]
    frame_ids: IntArray
    times: F64
    skeleton: Skeleton
    source: str
    right: F64
    hands: tuple[str, ...] = ()
    size_wh: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        xy, conf = as_f64(self.xy_px, "xy_px"), as_f64(self.conf, "conf")
        times, right = as_f64(self.times, "times"), as_f64(self.right, "right")
        ids = np.asarray(self.frame_ids, np.int64)
        sizes = check_shapes(
            "Detections",
            {
                "xy_px": (xy, "V F H K 2"),
                "conf": (conf, "V F H K"),
                "right": (right, "V F H"),
                "times": (times, "V F"),
                "frame_ids": (ids, "F"),
            },
        )
        if sizes["V"] != len(self.camera_names) or sizes["K"] != len(self.skeleton.keypoints):
            raise ShapeError(
                f"Detections has {sizes['V']} views and {sizes['K']} keypoints for "
                f"{len(self.camera_names)} camera names and {len(self.skeleton.keypoints)} "
                "skeleton keypoints",
                CONVENTIONS,
            )
        if self.hands and len(self.hands) != sizes["H"]:
            raise ShapeError(f"Detections.hands names {self.hands} for H={sizes['H']}", CONVENTIONS)
        if len(self.size_wh) not in (0, sizes["V"]):
            raise ShapeError(f"Detections.size_wh has {len(self.size_wh)} entries", CONVENTIONS)
        if np.isinf(xy).any() or not ((conf >= 0) & (conf <= 1)).all():
            raise ShapeError(
                "Detections.xy_px holds infinite values or conf is outside [0, 1]",
                "mark missing points by NaN with confidence 0",
            )
        missing = np.isnan(xy).any(-1)
        if (conf[missing] > 0).any():
            conf = np.where(missing, 0.0, conf)
        _set_arrays(
            self,
            {"xy_px": xy, "conf": conf, "times": times, "right": right, "frame_ids": ids},
        )

    @property
    def valid(self) -> BoolArray:
        """Where a point is present, shape (V, F, H, K)."""
        return present(self.xy_px)


@dataclass(frozen=True, slots=True, kw_only=True)
class Points3D:
    """Triangulated keypoints of a take.

    Parameters
    ----------
    xyz_world
        Shape (F, H, K, 3), metres (or the rig's unit); NaN where not accepted.
    cov
        Covariance of each point, shape (F, H, K, 3, 3), metres squared.
    inlier
        Which views carry the point, shape (V, F, H, K).
    err_px
        Reprojection error in every view that detected the keypoint, inlier or not, shape
        (V, F, H, K), recorded pixels; NaN elsewhere.
    voted
        True where at least three views agree, so that a wrong one could be outvoted, shape
        (F, H, K). A point of two views is geometry without a witness.
    frame_ids, camera_names, hands, skeleton
        As in the detections.
    rig_digest, unit
        The rig's, so that labels of another rig are noticed.
    """

    xyz_world: F64
    cov: F64
    inlier: BoolArray
    err_px: F64
    voted: BoolArray
    frame_ids: IntArray
    camera_names: tuple[str, ...]
    hands: tuple[str, ...]
    skeleton: Skeleton
    rig_digest: str
    unit: str = "m"

    def __post_init__(self) -> None:
        arrays: dict[str, NDArray[Any]] = {
            "xyz_world": as_f64(self.xyz_world, "xyz_world"),
            "cov": as_f64(self.cov, "cov"),
            "err_px": as_f64(self.err_px, "err_px"),
            "inlier": np.asarray(self.inlier, np.bool_),
            "voted": np.asarray(self.voted, np.bool_),
            "frame_ids": np.asarray(self.frame_ids, np.int64),
        }
        patterns = {
            "xyz_world": "F H K 3",
            "cov": "F H K 3 3",
            "inlier": "V F H K",
            "err_px": "V F H K",
            "voted": "F H K",
            "frame_ids": "F",
        }
        check_shapes("Points3D", {n: (arrays[n], p) for n, p in patterns.items()})
        _set_arrays(self, arrays)

    @property
    def valid(self) -> BoolArray:
        """Where a point was accepted, shape (F, H, K)."""
        return present(self.xyz_world)


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoLabels:
    """3D keypoints reprojected into every view: training labels of the next round.

    Parameters
    ----------
    xy_px
        Recorded pixels, shape (V, F, H, K, 2); NaN where the keypoint was not triangulated or
        falls outside the picture.
    visibility
        Shape (V, F, H, K): 2 in views that carry the point, 1 in views it is only reprojected to
        (occluded or missed by the detector: what the next round learns from), 0 where missing.
    weight
        Loss weight in [0, 1], same shape; 0 where missing.
    sigma_px
        Standard deviation of the label from the 3D covariance, same shape, pixels.
    keep
        Which hand in which picture makes a training example, shape (V, F, H).
    iteration
        Round of bootstrapping, 0 for the labels of the first detector.
    source, rig_digest
        Provenance.
    """

    xy_px: F64
    visibility: NDArray[np.int8]
    weight: F64
    sigma_px: F64
    keep: BoolArray
    iteration: int
    source: str
    rig_digest: str
    camera_names: tuple[str, ...]
    frame_ids: IntArray
    hands: tuple[str, ...]
    skeleton: Skeleton
    size_wh: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        arrays: dict[str, NDArray[Any]] = {
            "xy_px": as_f64(self.xy_px, "xy_px"),
            "visibility": np.asarray(self.visibility, np.int8),
            "weight": as_f64(self.weight, "weight"),
            "sigma_px": as_f64(self.sigma_px, "sigma_px"),
            "keep": np.asarray(self.keep, np.bool_),
            "frame_ids": np.asarray(self.frame_ids, np.int64),
        }
        patterns = {
            "xy_px": "V F H K 2",
            "visibility": "V F H K",
            "weight": "V F H K",
            "sigma_px": "V F H K",
            "keep": "V F H",
            "frame_ids": "F",
        }
        check_shapes("PseudoLabels", {n: (arrays[n], p) for n, p in patterns.items()})
        _set_arrays(self, arrays)


def describe(value: Any) -> str:
    """One line per array field of a core type: name, shape, share of finite entries."""
    lines = []
    for field in fields(value):
        array = getattr(value, field.name)
        if isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.size:
            share = np.isfinite(array).mean()
            lines.append(f"{field.name} {array.shape} {share:.0%} finite")
    return "\n".join(lines)
