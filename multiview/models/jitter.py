"""Read every hand several times in slightly different crops: a steadier answer, and how sure it is.

A first reading says where the hand is; the others are made in crops around that, as the detector
would choose them (`Detector.rois_of`), moved, scaled, turned and mirrored by a fixed balanced
design. What is returned is the median of all readings, and how far they lie apart is the best sign
of a wrong keypoint (``experiments/05-confidence``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.core import Skeleton
from multiview.errors import InputError
from multiview.models.base import U8, Detector, ImageHands, as_bgr
from multiview.models.confidence import Calibration, HasCalibration
from multiview.models.cues import STEP, hand_cues, spread_cues

__all__ = ["PASSES", "Jittered", "crops", "mirrored_rois"]

# Rows: move along x and y, log side, turn, in STEP; then 1 for a mirrored picture.
# The eight are a 2^(5-2) fractional factorial design (turn = x y side, mirror = x side); every
# column of the eight, and of the first four (x = y), sums to zero, and no two columns are equal in
# the eight.
_EIGHT = np.array(
    [
        [+1, +1, +1, +1, 1],
        [+1, +1, -1, -1, 0],
        [-1, -1, +1, +1, 0],
        [-1, -1, -1, -1, 1],
        [+1, -1, +1, -1, 1],
        [+1, -1, -1, +1, 0],
        [-1, +1, +1, -1, 0],
        [-1, +1, -1, +1, 1],
    ],
    np.float64,
)
_MIRROR, _PLAIN = [0.0, 0, 0, 0, 1], [0.0, 0, 0, 0, 0]
DESIGNS = {
    1: np.array([_MIRROR]),
    2: np.array([_PLAIN, _MIRROR]),
    4: _EIGHT[:4],
    8: _EIGHT,
}
PASSES = tuple(DESIGNS)


@dataclass(frozen=True, slots=True)
class _Job:
    """Crops to read in one picture, and where the readings belong."""

    image: int
    picture: U8
    rois: F64
    passes: NDArray[np.int64]
    mirrored_width: int | None

    def store(self, hands: ImageHands, xy_px: F64, right: F64) -> None:
        """Fill in the readings of this job: (N, 1 + passes, K, 2) and (N, 1 + passes)."""
        xy, side = hands.xy_px, hands.handedness
        if self.mirrored_width is not None:
            xy, side = xy * [-1, 1] + [self.mirrored_width - 1, 0], 1 - side
        to = 1 + self.passes
        xy_px[:, to] = xy.reshape(len(xy_px), len(to), *xy.shape[1:])
        right[:, to] = side.reshape(len(right), len(to))


class Jittered:
    """A detector that reads every hand ``1 + passes`` times.

    Nothing is random: the same picture gives the same answer.

    Parameters
    ----------
    detector
        Any detector; it makes the first reading and all others.
    passes
        Extra crops a hand: 1, 2, 4 or 8. Each costs one pass of the keypoint network.
    calibration
        Turns the spread into a probability. None: the shipped one, or the one beside the model's
        card, if there is one for these weights and passes. Without, confidences stay the
        detector's own, and ``calibrated`` is False.

    Raises
    ------
    InputError
        If there is no design for so many passes, or the calibration is for another number.
    """

    def __init__(
        self, detector: Detector, *, passes: int = 2, calibration: Calibration | None = None
    ) -> None:
        if passes not in DESIGNS:
            raise InputError(f"passes={passes}", f"choose one of {', '.join(map(str, PASSES))}")
        if calibration is not None and calibration.passes != passes:
            raise InputError(
                f"passes={passes}, but the calibration is for {calibration.passes}",
                "give a calibration fitted with as many passes",
            )
        self.detector, self.passes = detector, passes
        self.name = f"{detector.name}+{passes}"
        self.skeleton: Skeleton = detector.skeleton
        if calibration is None and isinstance(detector, HasCalibration):
            calibration = detector.calibration(passes)
        self.calibration = calibration

    @property
    def calibrated(self) -> bool:
        """Whether confidences are probabilities."""
        return self.calibration is not None

    def propose(self, image: U8) -> F64:
        """Search the whole picture; see `Detector.propose`."""
        return self.detector.propose(image)

    def rois_of(self, xy_px: F64) -> F64:
        """Crops around known keypoints; see `Detector.rois_of`."""
        return self.detector.rois_of(xy_px)

    def detect(self, image: U8, rois: F64 | None = None) -> ImageHands:
        """Find the hands of one image; see `Detector.detect`."""
        return self.detect_batch([image], None if rois is None else [rois])[0]

    def detect_batch(
        self, images: Sequence[U8], rois: Sequence[F64 | None] | None = None
    ) -> list[ImageHands]:
        """`detect` for several images: one batch of first readings, one of all others."""
        first = self.detector.detect_batch(images, rois)
        return [
            self._combine(hands, *readings)
            for hands, readings in zip(first, self.read(images, first), strict=True)
        ]

    def samples(self, image: U8, rois: F64 | None = None) -> F64:
        """All readings of every hand, shape (N, 1 + passes, K, 2) [px]: a cloud a keypoint.

        The first is the detector's own answer; NaN where a crop showed no hand.
        """
        first = self.detector.detect_batch([image], None if rois is None else [rois])
        return self.read([image], first)[0][0]

    def read(self, images: Sequence[U8], first: Sequence[ImageHands]) -> list[tuple[F64, F64]]:
        """Read the hands of several images again, in one batch.

        Parameters
        ----------
        images, first
            Images, and what the detector found in each.

        Returns
        -------
        list
            For every image all readings, the first one in front: keypoints (N, 1 + passes, K, 2)
            [px] and handedness (N, 1 + passes), NaN where a crop showed no hand.
        """
        jobs = [
            job
            for n, (image, hands) in enumerate(zip(images, first, strict=True))
            if len(hands)
            for job in self._jobs(n, as_bgr(image), hands)
        ]
        read = (
            self.detector.detect_batch([j.picture for j in jobs], [j.rois for j in jobs])
            if jobs
            else []
        )
        readings = [self._blank(hands) for hands in first]
        for job, hands in zip(jobs, read, strict=True):
            job.store(hands, *readings[job.image])
        return readings

    def _jobs(self, image: int, bgr: U8, hands: ImageHands) -> list[_Job]:
        """Make the crops of a picture, and of its mirror image, that the design asks for."""
        rois = crops(self.rois_of(hands.xy_px), self.passes)
        mirrored = DESIGNS[self.passes][:, 4] > 0
        plain, flipped = np.flatnonzero(~mirrored), np.flatnonzero(mirrored)
        jobs = [_Job(image, bgr, rois[:, plain].reshape(-1, 4), plain, None)] if len(plain) else []
        if len(flipped):
            width = bgr.shape[1]
            there = mirrored_rois(rois[:, flipped], width).reshape(-1, 4)
            picture = np.ascontiguousarray(bgr[:, ::-1])
            jobs.append(_Job(image, picture, there, flipped, width))
        return jobs

    def _blank(self, first: ImageHands) -> tuple[F64, F64]:
        """Make the readings of one image, with the first one filled in."""
        xy_px = np.full((len(first), 1 + self.passes, *first.xy_px.shape[1:]), np.nan)
        right = np.full((len(first), 1 + self.passes), np.nan)
        xy_px[:, 0], right[:, 0] = first.xy_px, first.handedness
        return xy_px, right

    def _combine(self, first: ImageHands, xy_px: F64, right: F64) -> ImageHands:
        """Median of the readings, and the confidence that their spread deserves."""
        if not len(first):
            return first
        found = np.isfinite(first.xy_px).all((1, 2))
        centre = np.full(first.xy_px.shape, np.nan)
        centre[found] = np.nanmedian(xy_px[found], axis=1)
        hands = replace(first, xy_px=centre, handedness=_pooled(right, first.handedness))
        if self.calibration is None:
            return hands
        cues = hand_cues(first, self.skeleton, self.rois_of(first.xy_px))
        conf = self.calibration.probability(cues | spread_cues(xy_px, centre))
        return replace(hands, conf=conf)


def crops(rois: F64, passes: int) -> F64:
    """Vary crops by the design for so many passes, shape (N, passes, 4); the picture unmirrored.

    Parameters
    ----------
    rois
        Crops as the detector chooses them, shape (N, 4).
    passes
        One of `PASSES`.
    """
    x, y, log_side, turn = (DESIGNS[passes][:, :4] * STEP).T
    side, cos, sin = rois[:, 2:3], np.cos(rois[:, 3:]), np.sin(rois[:, 3:])
    varied: F64 = np.stack(
        [
            rois[:, :1] + side * (cos * x - sin * y),
            rois[:, 1:2] + side * (sin * x + cos * y),
            side * np.exp(log_side),
            rois[:, 3:] + turn,
        ],
        axis=-1,
    )
    return varied


def mirrored_rois(rois: F64, width: int) -> F64:
    """Crops (..., 4) of a picture, in the same picture mirrored left to right."""
    mirrored = rois * [-1, 1, 1, -1]
    mirrored[..., 0] += width - 1
    return mirrored


def _pooled(right: F64, first: F64) -> F64:
    """Probability of a right hand by the mean log odds of all readings that saw one, shape (N,)."""
    p = np.clip(right, 1e-6, 1 - 1e-6)
    odds = np.where(np.isfinite(p), np.log(p) - np.log1p(-p), 0.0)
    seen = np.isfinite(right).sum(1)
    pooled = 1 / (1 + np.exp(-odds.sum(1) / np.maximum(seen, 1)))
    return np.where(np.isfinite(first), pooled, np.nan)
