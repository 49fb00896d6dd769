"""Training data: one hand in one picture a row, with everything that says where it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import CONVENTIONS, F64, BoolArray, IntArray, check_shapes, freeze, present
from multiview.core.cameras import Camera
from multiview.core.skeleton import HAND_21, Skeleton
from multiview.errors import InputError, ShapeError

__all__ = ["HandSamples", "concatenate", "hand_box", "make_samples", "pack_views"]

# Half a finger (8 mm) beyond the joints' centres, of the long side of an open hand (160 mm).
BOX_MARGIN = 0.05
TEXTS = ("image", "session", "camera", "subject", "source", "rig_digest", "split")
FLOATS = {
    "xy_px": "N K 2",
    "weight": "N K",
    "sigma_px": "N K",
    "residual_px": "N K",
    "box_xywh": "N 4",
    "right": "N",
    "time_s": "N",
    "xyz_world": "N K 3",
}
INTEGERS = {"size_wh": "N 2", "frame_id": "N", "round": "N", "lens": "N"}
BYTES = {"visibility": (np.int8, "N K"), "inlier": (np.uint8, "N K B")}


@dataclass(frozen=True, slots=True, kw_only=True)
class HandSamples:
    """N labelled hands, each in one picture; made by `make_samples` or a reader.

    Parameters
    ----------
    xy_px
        Recorded (distorted) pixels, shape (N, K, 2); NaN where not labelled.
    visibility
        Shape (N, K): 2 seen in this picture, 1 labelled from other views only, 0 not labelled.
    weight
        Loss weight in [0, 1], shape (N, K); 0 where not labelled.
    sigma_px, residual_px
        Standard deviation of the label, and its distance from what the detector found in this
        very view, shape (N, K), pixels; NaN where unknown.
    box_xywh
        Left, top, width, height of the hand, shape (N, 4), in the pixels of `xy_px`: a whole
        picture is ``(-0.5, -0.5, w, h)``.
    right
        1 a right hand, 0 a left one, NaN unknown, shape (N,).
    image, size_wh
        Path of the picture from the dataset's folder, with ``/``, shape (N,), and its width and
        height, shape (N, 2).
    session, camera, frame_id, time_s
        Which take, camera, frame set and when (seconds on the take's clock; NaN unknown), (N,).
    subject, source, round, rig_digest
        Whose hand, what labelled it (a detector, a person), in which round of bootstrapping, and
        with which rig, shape (N,); empty where unknown.
    split
        ``train``, ``val``, ``test`` or empty, shape (N,).
    xyz_world
        Keypoints in the world of the rig, shape (N, K, 3), `unit`; NaN where unknown.
    lens
        Entry of `cameras` that took the picture, shape (N,); -1 unknown.
    cameras
        Lenses and poses.
    inlier
        The views whose detections made the 3D point, as bits, shape (N, K, B): view v of
        ``views[rig_digest]`` is bit v of the bytes, lowest first.
    views
        Camera names by rig digest.
    skeleton
        Meaning of axis K.
    unit
        Of `xyz_world` and the cameras' poses.
    """

    xy_px: F64
    visibility: NDArray[np.int8]
    weight: F64
    sigma_px: F64
    residual_px: F64
    box_xywh: F64
    right: F64
    image: NDArray[np.str_]
    size_wh: IntArray
    session: NDArray[np.str_]
    camera: NDArray[np.str_]
    frame_id: IntArray
    time_s: F64
    subject: NDArray[np.str_]
    source: NDArray[np.str_]
    round: IntArray
    rig_digest: NDArray[np.str_]
    split: NDArray[np.str_]
    xyz_world: F64
    lens: IntArray
    inlier: NDArray[np.uint8]
    cameras: tuple[Camera, ...] = ()
    views: dict[str, tuple[str, ...]]
    skeleton: Skeleton = HAND_21
    unit: str = "m"

    def __post_init__(self) -> None:
        arrays, patterns = {}, {}
        for name, pattern in (FLOATS | INTEGERS).items():
            kind: Any = np.float64 if name in FLOATS else np.int64
            arrays[name], patterns[name] = np.ascontiguousarray(getattr(self, name), kind), pattern
        for name, (small, pattern) in BYTES.items():
            arrays[name], patterns[name] = np.ascontiguousarray(getattr(self, name), small), pattern
        for name in TEXTS:
            arrays[name], patterns[name] = np.asarray(getattr(self, name), np.str_), "N"
        sizes = check_shapes("HandSamples", {n: (arrays[n], p) for n, p in patterns.items()})
        if sizes["K"] != len(self.skeleton.keypoints):
            raise ShapeError(
                f"HandSamples has {sizes['K']} keypoints for {len(self.skeleton.keypoints)} of "
                f"skeleton {self.skeleton.name!r}",
                CONVENTIONS,
            )
        for name, array in arrays.items():
            object.__setattr__(self, name, freeze(array))
        self._check_values()

    def _check_values(self) -> None:
        labelled = self.labelled
        if not np.isin(self.visibility, (0, 1, 2)).all():
            raise ShapeError("HandSamples.visibility is not 0, 1 or 2", CONVENTIONS)
        if not np.array_equal(labelled, present(self.xy_px)):
            raise ShapeError(
                "HandSamples.xy_px is missing where visibility is above 0, or there where it is 0",
                "mark keypoints without a label by NaN and visibility 0",
            )
        if not ((self.weight >= 0) & (self.weight <= 1) & ((self.weight == 0) | labelled)).all():
            raise ShapeError(
                "HandSamples.weight is outside [0, 1], or above 0 without a label", CONVENTIONS
            )
        if not ((self.lens >= -1) & (self.lens < len(self.cameras))).all():
            raise ShapeError("HandSamples.lens names no camera", "give an entry of cameras, or -1")

    def __len__(self) -> int:
        return len(self.xy_px)

    @property
    def labelled(self) -> BoolArray:
        """Where there is a label, shape (N, K)."""
        return np.asarray(self.visibility > 0, np.bool_)

    @property
    def n_inlier(self) -> IntArray:
        """Number of views that made each point, shape (N, K); 0 where unknown."""
        return np.asarray(np.bitwise_count(self.inlier).sum(-1), np.int64)

    def take(self, index: Any) -> HandSamples:
        """Return the samples of these numbers, or where this mask is True."""
        chosen = {n: getattr(self, n)[index] for n in (*FLOATS, *INTEGERS, *BYTES, *TEXTS)}
        return replace(self, **chosen)

    def views_of(self, n: int, k: int) -> tuple[str, ...]:
        """Names of the views that made keypoint k of sample n."""
        names = self.views.get(str(self.rig_digest[n]), ())
        bits = np.unpackbits(self.inlier[n, k], bitorder="little")
        return tuple(name for name, bit in zip(names, bits, strict=False) if bit)

    @property
    def digest(self) -> str:
        """Hash of the whole table (sha256): same digest, same labels and provenance."""
        sha = hashlib.sha256(repr((self.unit, self.skeleton)).encode())
        for name in (*FLOATS, *INTEGERS, *BYTES):
            array = getattr(self, name)
            if array.dtype == np.float64:  # one zero and one NaN
                array = np.where(np.isnan(array), np.nan, array + 0.0)
            sha.update(f"{name}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
        for name in TEXTS:
            sha.update("\0".join([name, *getattr(self, name).tolist()]).encode())
        sha.update(repr(sorted(self.views.items())).encode())
        for c in self.cameras:
            lens, pose = c.intrinsics, c.cam_from_world
            sha.update(f"{c.name} {lens.model} {lens.size_wh}".encode())
            for array in (lens.K, lens.dist, pose.R, pose.t):
                sha.update(np.ascontiguousarray(array).tobytes())
        return sha.hexdigest()


def hand_box(xy_px: F64, size_wh: IntArray, margin: float = BOX_MARGIN) -> F64:
    """Box around labelled keypoints with a margin, within the picture.

    Parameters
    ----------
    xy_px
        Shape (N, K, 2); NaN where missing.
    size_wh
        Shape (N, 2).
    margin
        On every side, as a share of the longer side; half a pixel at least, so that one labelled
        keypoint has a box of its pixel.

    Returns
    -------
    ndarray
        Left, top, width, height, shape (N, 4); NaN without a keypoint.
    """
    seen = np.isfinite(xy_px)
    low, high = np.where(seen, xy_px, np.inf).min(1), np.where(seen, xy_px, -np.inf).max(1)
    empty = np.logical_not(seen.any((1, 2)))
    low, high = (np.where(empty[:, None], np.nan, side) for side in (low, high))
    pad = np.maximum(margin * (high - low).max(-1, keepdims=True), 0.5)
    low = np.maximum(low - pad, -0.5)
    high = np.minimum(high + pad, np.asarray(size_wh) - 0.5)
    return np.concatenate([low, high - low], axis=1)


def pack_views(inlier: BoolArray) -> NDArray[np.uint8]:
    """Pack which views carry a point, shape (..., V), into bits (..., B)."""
    return np.packbits(inlier, axis=-1, bitorder="little")


def make_samples(
    *, xy_px: Any, visibility: Any, image: Any, size_wh: Any, **given: Any
) -> HandSamples:
    """Make samples; what is not given is unknown, the box is that of the keypoints.

    Parameters
    ----------
    xy_px, visibility, image, size_wh
        As in `HandSamples`.
    given
        Any other field.

    Raises
    ------
    ShapeError
        If shapes or values do not fit.
    """
    xy, seen = np.asarray(xy_px, np.float64), np.asarray(visibility, np.int8)
    n, k = seen.shape
    sizes = np.asarray(size_wh, np.int64).reshape(n, 2)
    blank: dict[str, Any] = {
        "weight": (seen > 0).astype(np.float64),
        "sigma_px": np.full((n, k), np.nan),
        "residual_px": np.full((n, k), np.nan),
        "right": np.full(n, np.nan),
        "time_s": np.full(n, np.nan),
        "xyz_world": np.full((n, k, 3), np.nan),
        "frame_id": np.arange(n),
        "round": np.zeros(n, np.int64),
        "lens": np.full(n, -1),
        "inlier": np.zeros((n, k, 0), np.uint8),
        "views": {},
    }
    blank |= {name: np.full(n, "") for name in TEXTS if name != "image"}
    if "box_xywh" not in given:
        blank["box_xywh"] = hand_box(xy, sizes)
    return HandSamples(xy_px=xy, visibility=seen, image=image, size_wh=sizes, **(blank | given))


def concatenate(parts: Sequence[HandSamples]) -> HandSamples:
    """Join samples of several sessions.

    Raises
    ------
    InputError
        If there are none, or their skeletons or units differ.
    """
    if not parts:
        raise InputError("there are no samples to join", "give one dataset at least")
    first = parts[0]
    other = next((p for p in parts if (p.skeleton, p.unit) != (first.skeleton, first.unit)), None)
    if other is not None:
        raise InputError(
            f"samples of skeleton {first.skeleton.name!r} in {first.unit!r} and of "
            f"{other.skeleton.name!r} in {other.unit!r} cannot be joined",
            "make one dataset of each kind",
        )
    width = max(p.inlier.shape[-1] for p in parts)
    joined: dict[str, Any] = {
        n: np.concatenate([getattr(p, n) for p in parts])
        for n in (*FLOATS, *INTEGERS, *TEXTS, "visibility")
    }
    pads = [((0, 0), (0, 0), (0, width - p.inlier.shape[-1])) for p in parts]
    joined["inlier"] = np.concatenate(
        [np.pad(p.inlier, pad) for p, pad in zip(parts, pads, strict=True)]
    )
    starts = np.cumsum([0, *(len(p.cameras) for p in parts)])
    joined["lens"] = np.concatenate(
        [np.where(p.lens < 0, -1, p.lens + s) for p, s in zip(parts, starts, strict=False)]
    )
    joined["cameras"] = tuple(c for p in parts for c in p.cameras)
    joined["views"] = {d: v for p in parts for d, v in p.views.items()}
    return HandSamples(**joined, skeleton=first.skeleton, unit=first.unit)
