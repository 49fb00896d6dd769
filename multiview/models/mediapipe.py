"""The default hand detector: MediaPipe Hands, run by ``cv2.dnn`` from networks in this package.

Two stages: palms in the whole image, then 21 keypoints in a rotated crop around each. The crops,
thresholds and rules are those of mediapipe 0.10.21 with ``static_image_mode=True``; how closely the
keypoints agree is measured in ``experiments/01-mediapipe-parity``.

Handedness: MediaPipe names the sides for mirrored (selfie) images. Here an ordinary camera image is
assumed, so what MediaPipe calls "Left" is a right hand.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, as_f64, present
from multiview.core import HAND_21, Skeleton
from multiview.errors import InputError, ModelError
from multiview.models._crops import (
    blob,
    box_of_points,
    image_from_crop,
    roi_of_box,
    rotation_up,
    sample,
)
from multiview.models.base import U8, ImageHands, as_bgr, as_rois, rois_of_each
from multiview.models.card import ModelCard, load_card
from multiview.models.confidence import Calibration, find_calibration
from multiview.models.cues import hand_cues
from multiview.models.mediapipe_palm import OUTPUTS as PALM_OUTPUTS
from multiview.models.mediapipe_palm import find_palms
from multiview.models.runtime import F32, open_network, run_each
from multiview.models.tiles import find_small_palms, not_parts

INPUT_SIZE = 224
OUTPUTS = ("landmarks", "presence", "handedness")
Z_SCALE = 0.4  # the network's z is in crop pixels times this
KEYPOINTS = len(HAND_21.keypoints)
# Crops looked into for each hand wanted when tiles were searched: fingers of a large hand look
# like small hands, and false palms come before faint ones.
CANDIDATES = 4
# MediaPipe's landmarks-to-roi rule.
ROI_SHIFT, ROI_SCALE = -0.1, 2.0
# Its source calls these joints PIP, but counts in the shorter list below: they are the knuckles.
WRIST, INDEX_BASE, MIDDLE_BASE, RING_BASE = 0, 5, 9, 13
PALM_AND_PIP = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)  # without the fingers' outer joints


class MediaPipeHands:
    """MediaPipe Hands on the CPU, or on a CUDA device by onnxruntime.

    Parameters
    ----------
    card
        Card of the model; by default that of the full networks.
    max_hands
        At most this many hands of an image; palms beyond are dropped by score.
    min_score
        Palms scored lower are not looked at, 0 to 1.
    min_presence
        Crops in which the hand is less probable are dropped, 0 to 1.
    small_hands
        Search in overlapping tiles too, see `multiview.models.tiles`: finds hands of 40 px, which
        MediaPipe does not, for ten to a hundred times the search.
    runtime, provider, threads
        See `multiview.models.runtime.open_network`.

    Raises
    ------
    InputError
        If an option is out of range.
    ModelError
        If a network file is missing or damaged.
    """

    skeleton: Skeleton = HAND_21

    def __init__(
        self,
        card: ModelCard | None = None,
        *,
        max_hands: int = 2,
        min_score: float = 0.5,
        min_presence: float = 0.5,
        small_hands: bool = False,
        runtime: str = "cv2",
        provider: str = "cpu",
        threads: int | None = None,
    ) -> None:
        if max_hands < 1 or not (0 <= min_score <= 1 and 0 <= min_presence <= 1):
            raise InputError(
                f"max_hands={max_hands}, min_score={min_score}, min_presence={min_presence}",
                "max_hands is at least 1, the thresholds are between 0 and 1",
            )
        card = card or load_card("mediapipe-full")
        _check_card(card)
        self.name = card.name
        self.max_hands, self.min_score, self.min_presence = max_hands, min_score, min_presence
        run: dict[str, Any] = {"runtime": runtime, "provider": provider, "threads": threads}
        search: dict[str, Any] = {"max_hands": max_hands, "min_score": min_score}
        search |= {"min_presence": min_presence, "small_hands": small_hands}
        self._rebuild = functools.partial(MediaPipeHands, card, **search, **run)
        load = functools.partial(
            open_network, card, runtime=runtime, provider=provider, threads=threads
        )
        self._card, self._small_hands = card, small_hands
        self._calibration = self.calibration(passes=0)
        self._palm = load("palm", outputs=PALM_OUTPUTS)
        self._hand = load("hand", outputs=OUTPUTS)

    def __reduce__(self) -> tuple[Callable[[], MediaPipeHands], tuple[()]]:
        """Travel to worker processes as card and options: a network cannot be pickled."""
        return self._rebuild, ()

    def propose(self, image: U8) -> F64:
        """Search the whole picture by the palm network; see `Detector.propose`."""
        return self._search([as_bgr(image)])[0]

    def _search(self, pictures: Sequence[U8]) -> list[F64]:
        """Crops of the hands of BGR pictures, (N, 4) each."""
        if self._small_hands:
            return [self._search_tiles(picture) for picture in pictures]
        return find_palms(self._palm, pictures, self.max_hands, self.min_score)

    def _search_tiles(self, picture: U8) -> F64:
        """Read more candidates than wanted: what is a hand, and whole, shows only then."""
        most = CANDIDATES * self.max_hands
        rois = find_small_palms(self._palm, picture, most, self.min_score)
        hands = self._read_crops([picture], [rois])[0].best_first()
        return hands.rois[not_parts(hands.xy_px)][: self.max_hands]

    @property
    def batch(self) -> int:
        """Pictures worth giving to `detect_batch` at once: 1 on the CPU."""
        return self._hand.batch

    @property
    def calibrated(self) -> bool:
        """Whether confidences are probabilities; else they are the hand's presence."""
        return self._calibration is not None

    def calibration(self, passes: int) -> Calibration | None:
        """Calibration of these weights; see `multiview.models.confidence.HasCalibration`."""
        return find_calibration(self.keypoint_weights, passes, self._card.folder)

    @property
    def keypoint_weights(self) -> str:
        """Digest of the landmark network."""
        return self._card.weights["hand"].sha256

    def rois_of(self, xy_px: F64) -> F64:
        """Crops around known keypoints; see `next_rois`."""
        return next_rois(xy_px)

    def detect(self, image: U8, rois: F64 | None = None) -> ImageHands:
        """Find the hands of one image; see `Detector.detect`.

        Without ``rois`` the palm network proposes crops, and only hands are returned. With ``rois``
        each crop gets one pass of the landmark network and keeps its row.
        """
        return self.detect_batch([image], [rois])[0]

    def detect_batch(
        self, images: Sequence[U8], rois: Sequence[F64 | None] | None = None
    ) -> list[ImageHands]:
        """`detect` for several images; the networks take ``batch`` crops at once."""
        pairs = rois_of_each(images, rois)
        pictures = [as_bgr(image) for image, _ in pairs]
        given = [None if roi is None else as_rois(roi) for _, roi in pairs]
        searched = [p for p, roi in zip(pictures, given, strict=True) if roi is None]
        found = iter(self._search(searched))
        crops = [next(found) if roi is None else roi for roi in given]
        answers = self._read_crops(pictures, crops)
        return [
            hands.best_first() if roi is None else hands
            for hands, roi in zip(answers, given, strict=True)
        ]

    def _read_crops(self, pictures: Sequence[U8], rois: Sequence[F64]) -> list[ImageHands]:
        """One row per roi; NaN with confidence 0 where the network sees no hand."""
        usable = [present(r) for r in rois]
        inputs = (
            blob(sample(picture, roi, INPUT_SIZE, cv2.BORDER_REPLICATE))
            for picture, all_rois, rows in zip(pictures, rois, usable, strict=True)
            for roi in all_rois[rows]
        )
        found = run_each(self._hand, inputs)
        return [self._hands(r, rows, found) for r, rows in zip(rois, usable, strict=True)]

    def _hands(
        self, rois: F64, usable: NDArray[np.bool_], found: Iterator[dict[str, F32]]
    ) -> ImageHands:
        """Take one picture's answers off `found` and bring them to its pixels."""
        count = len(rois)
        xy_px, z_rel = np.full((count, KEYPOINTS, 2), np.nan), np.full((count, KEYPOINTS), np.nan)
        presence, right = np.zeros(count), np.full(count, np.nan)
        for i in np.flatnonzero(usable):
            uvz, presence[i], side = _read(next(found))
            if presence[i] > self.min_presence:
                xy_px[i] = image_from_crop(rois[i], uvz[:, :2], INPUT_SIZE)
                z_rel[i] = uvz[:, 2] / Z_SCALE * rois[i, 2] / INPUT_SIZE
                right[i] = side
        hands = ImageHands(
            xy_px=xy_px,
            conf=np.repeat((presence * present(xy_px).all(axis=1))[:, None], KEYPOINTS, axis=1),
            handedness=right,
            presence=presence,
            rois=rois,
            z_rel=z_rel,
        )
        if self._calibration is None:
            return hands
        cues = hand_cues(hands, self.skeleton, next_rois(xy_px))
        return replace(hands, conf=self._calibration.probability(cues))


def _read(found: dict[str, F32]) -> tuple[F64, float, float]:
    """Landmarks (21, 3) in crop pixels, presence, and probability of a right hand."""
    uvz, presence, side = (found[name] for name in OUTPUTS)
    return np.asarray(uvz, np.float64).reshape(-1, 3), presence.item(), side.item()


def next_rois(xy_px: F64) -> F64:
    """Crops for a second look or for the next frame, from keypoints: MediaPipe's tracking rule.

    Parameters
    ----------
    xy_px
        Keypoints of `HAND_21` [px], shape (N, 21, 2).

    Returns
    -------
    ndarray
        Rois, shape (N, 4): centre x, centre y, side [px], rotation [rad]; NaN where one of the 12
        keypoints of the rule (palm and inner finger joints) is missing.

    Raises
    ------
    InputError
        If there are not 21 keypoints.
    """
    xy_px = as_f64(xy_px, "xy_px")
    if xy_px.ndim != 3 or xy_px.shape[1:] != (KEYPOINTS, 2):
        raise InputError(
            f"xy_px has shape {xy_px.shape}, expected (N, {KEYPOINTS}, 2)",
            "pass the keypoints of HAND_21, one row a hand",
        )
    rois = np.full((len(xy_px), 4), np.nan)
    for i, xy in enumerate(xy_px):
        if np.isfinite(xy[list(PALM_AND_PIP)]).all():
            rois[i] = _roi_of_keypoints(xy)
    return rois


def _roi_of_keypoints(xy: F64) -> F64:
    """Rotate so that the knuckles are above the wrist, then frame palm and middle joints."""
    fingers = ((xy[INDEX_BASE] + xy[RING_BASE]) / 2 + xy[MIDDLE_BASE]) / 2
    angle = rotation_up(xy[WRIST], fingers)
    return roi_of_box(box_of_points(xy[list(PALM_AND_PIP)], angle), angle, ROI_SHIFT, ROI_SCALE)


def _check_card(card: ModelCard) -> None:
    """Refuse a card that promises other crops or inputs than these networks are fed."""
    spec = card.input
    if spec.size_hw != (INPUT_SIZE, INPUT_SIZE) or spec.channels != "RGB" or card.order:
        raise ModelError(
            f"model {card.name}: backend mediapipe feeds RGB of {INPUT_SIZE} x {INPUT_SIZE} px and "
            "reads the 21 keypoints in order; its card says otherwise",
            "use backend heatmap for networks of your own",
        )


from_card = MediaPipeHands
