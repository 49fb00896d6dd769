"""What every 2D detector offers, and the form of its answer for one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, as_f64, check_shapes, freeze, present
from multiview.core import Skeleton
from multiview.errors import InputError

U8 = NDArray[np.uint8]

# cv2.remap keeps source coordinates in 16 bits.
MAX_SIDE_PX = 32766
# What only some detectors say of a keypoint.
PER_KEYPOINT = ("z_rel", "peak", "mass")
READ_WITH = "pass what cv2.imread returns: uint8, (H, W, 3) in BGR order, or (H, W) grey"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHands:
    """All the hands of one image, by presence, best first (or in the order of the given rois).

    A row that was asked for by a roi but holds no hand is NaN with confidence 0. Arrays are
    read-only.

    Parameters
    ----------
    xy_px
        Keypoints in pixels of the input image, shape (N, K, 2); the centre of the top-left pixel
        is (0, 0). They may lie outside the image.
    conf
        Confidence in [0, 1], shape (N, K): the probability that the keypoint lies within 10 % of
        the hand's size of the truth, if the detector is calibrated (`multiview.models.confidence`).
    handedness
        Probability of an anatomical right hand, for an ordinary image that is not mirrored,
        shape (N,).
    presence
        Probability that the crop shows a hand at all, shape (N,).
    rois
        Square crop used: centre x, centre y, side [px], rotation [rad, x towards y], shape (N, 4).
    z_rel
        Depth relative to the wrist in about the scale of ``xy_px``, smaller is nearer, shape
        (N, K); None if the detector has none. It is a network's guess, not a measurement.
    peak
        Height of each keypoint's map at its peak, as the network gives it but cut to [0, 1], shape
        (N, K); None if the detector has no maps. ``conf`` is the same until it is calibrated.
    mass
        Share of each keypoint's map that lies near its peak, shape (N, K); None without maps. See
        `multiview.models.decode.mass`.

    Raises
    ------
    ShapeError
        If the shapes do not fit each other.
    """

    xy_px: F64
    conf: F64
    handedness: F64
    presence: F64
    rois: F64
    z_rel: F64 | None = None
    peak: F64 | None = None
    mass: F64 | None = None

    def __post_init__(self) -> None:
        patterns = {"xy_px": "N K 2", "conf": "N K", "handedness": "N", "presence": "N"}
        patterns["rois"] = "N 4"
        patterns |= {n: "N K" for n in PER_KEYPOINT if getattr(self, n) is not None}
        arrays = {name: as_f64(getattr(self, name), name) for name in patterns}
        check_shapes("ImageHands", {n: (arrays[n], p) for n, p in patterns.items()})
        for name, array in arrays.items():
            object.__setattr__(self, name, freeze(array))

    def __len__(self) -> int:
        """Count the rows, found or not."""
        return len(self.presence)

    def take(self, rows: NDArray[np.int64]) -> ImageHands:
        """Choose and order rows."""
        return ImageHands(
            xy_px=self.xy_px[rows],
            conf=self.conf[rows],
            handedness=self.handedness[rows],
            presence=self.presence[rows],
            rois=self.rois[rows],
            **{n: None if (a := getattr(self, n)) is None else a[rows] for n in PER_KEYPOINT},
        )

    def best_first(self) -> ImageHands:
        """Only the rows that hold a hand, by presence."""
        rows = np.argsort(-self.presence, kind="stable")
        return self.take(rows[present(self.xy_px[rows]).any(axis=1)])


@runtime_checkable
class Detector(Protocol):
    """A 2D keypoint detector. Not safe to share between threads; give each worker its own."""

    name: str
    skeleton: Skeleton

    def propose(self, image: U8) -> F64:
        """Search a whole picture for hands.

        Returns
        -------
        ndarray
            Crops to look into, best first, shape (N, 4): centre x, centre y, side [px], rotation
            [rad].
        """
        ...

    def rois_of(self, xy_px: F64) -> F64:
        """Crops that this detector wants for known keypoints.

        Parameters
        ----------
        xy_px
            Keypoints [px], shape (N, K, 2).

        Returns
        -------
        ndarray
            Shape (N, 4); NaN where too many keypoints are missing to tell.
        """
        ...

    def detect(self, image: U8, rois: F64 | None = None) -> ImageHands:
        """Find the hands of one image.

        Parameters
        ----------
        image
            uint8, (H, W, 3) BGR, (H, W) or (H, W, 1) grey, or (H, W, 4) BGRA.
        rois
            Crops to look into, shape (N, 4): centre x, centre y, side [px], rotation [rad].
            Row i of the answer then belongs to roi i; NaN rois give NaN rows. None: search.

        Raises
        ------
        InputError
            If the image or the rois cannot be used.
        """
        ...

    def detect_batch(
        self, images: Sequence[U8], rois: Sequence[F64 | None] | None = None
    ) -> list[ImageHands]:
        """`detect` for several images; ``rois`` has one entry per image."""
        ...


def rois_of_each(
    images: Sequence[U8], rois: Sequence[F64 | None] | None
) -> list[tuple[U8, F64 | None]]:
    """Pair the images of `Detector.detect_batch` with their rois; None: search the image.

    Raises
    ------
    InputError
        If there are more of one than of the other.
    """
    wanted = [None] * len(images) if rois is None else rois
    if len(wanted) != len(images):
        raise InputError(f"{len(images)} images but {len(wanted)} entries of rois", "pass both")
    return list(zip(images, wanted, strict=True))


def as_bgr(image: Any) -> U8:
    """Check an image and return it as (H, W, 3) uint8 BGR; alpha is dropped.

    Raises
    ------
    InputError
        If it is no array (an unreadable file gives None), empty, not uint8, of another shape, or
        larger than 32766 px on a side.
    """
    if not isinstance(image, np.ndarray):
        kind = type(image).__name__
        raise InputError(f"image is {kind}, not an array (was the file readable?)", READ_WITH)
    if image.dtype != np.uint8:
        raise InputError(f"image has dtype {image.dtype}, expected uint8", READ_WITH)
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise InputError(f"image has shape {image.shape}", READ_WITH)
    if image.size == 0 or max(image.shape[:2]) > MAX_SIDE_PX:
        raise InputError(
            f"image has shape {image.shape}; sides must be 1 to {MAX_SIDE_PX} px", "resize it"
        )
    if channels == 1:
        return cv2.cvtColor(image.reshape(image.shape[:2]), cv2.COLOR_GRAY2BGR)  # type: ignore[return-value]
    return np.ascontiguousarray(image[..., :3])


def as_rois(rois: Any) -> F64:
    """Check crops: shape (N, 4), side > 0 where finite.

    Raises
    ------
    InputError
        If they have another shape or a side that is not positive.
    """
    array = as_f64(rois, "rois")
    if array.size == 0:
        return np.empty((0, 4))
    check_shapes("detect", {"rois": (array, "N 4")})
    if np.any(array[:, 2] <= 0):
        raise InputError(
            f"roi {int(np.argmax(array[:, 2] <= 0))} has a side that is not positive",
            "a roi is centre x, centre y, side [px], rotation [rad]",
        )
    return array


def whole_hands(xy_px: F64) -> F64:
    """Put keypoints that are missing in the middle of those known.

    Rules for crops take whole hands: of a part, they make no crop at all.

    Parameters
    ----------
    xy_px
        Hands of any number, shape (..., K, 2); those without any keypoint stay NaN.
    """
    known = np.isfinite(xy_px)
    count = known.sum(-2, keepdims=True)
    middle = np.where(known, xy_px, 0.0).sum(-2, keepdims=True) / np.maximum(count, 1)
    return np.where(known | (count == 0), xy_px, middle)
