"""Cut every hand once, wider than the network sees it, so that training never reads a picture.

Crop pixels follow `multiview.models._crops`: index i of n shows ``(i / n - 0.5)`` sides from the
centre. The wider crop has the network's scale, so augmentation neither blurs nor invents pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from multiview._shapes import F64, BoolArray, present
from multiview.errors import InputError
from multiview.models._crops import box_of_points, image_from_crop, roi_of_box, rotation_up, turn
from multiview.models.base import U8
from multiview.models.card import CropSpec
from multiview.models.cues import hand_size
from multiview.models.mediapipe import KEYPOINTS, next_rois
from multiview.train.design import Design
from multiview.train.hands import TrainingHands

__all__ = ["MARGIN", "CropSet", "cut_hands", "training_rois"]

# Side of the stored crop in sides of the network's: a square turned by 45 degrees needs 1.41.
MARGIN = 1.6
# Stored as JPEG, 20 kB each at 224 px, without loss that another camera's JPEG would not have.
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95]
WRIST, MIDDLE_BASE = 0, 9
SHARE_FOR_ROI = 0.5  # as `multiview.models.heatmap`: fewer keypoints do not tell the size
# A crop that shows no hand starts at least this many sides of the hand's crop from its centre.
AWAY = 1.0
TRIES = 20
BORDERS = {"zero": cv2.BORDER_CONSTANT, "replicate": cv2.BORDER_REPLICATE}


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSet:
    """Stored crops and their labels in stored pixels.

    Parameters
    ----------
    jpegs
        The crops, `side` px wide.
    side
        Width of a stored crop [px].
    uv
        Keypoints in stored crops, shape (N, K, 2); NaN where not labelled.
    weight, sigma
        Shape (N, K); sigma in stored pixels, 0 where unknown.
    right
        1, 0 or NaN, shape (N,).
    hand
        Whether the crop shows a hand, shape (N,).
    start
        Of the start set, shape (N,).
    size
        Longer side of the box around the labelled keypoints [stored px], shape (N,).
    """

    jpegs: tuple[bytes, ...]
    side: int
    uv: F64
    weight: F64
    sigma: F64
    right: F64
    hand: BoolArray
    start: BoolArray
    size: F64

    def __len__(self) -> int:
        return len(self.jpegs)

    def image(self, n: int) -> U8:
        """Decode a crop, (side, side, 3) BGR."""
        data = np.frombuffer(self.jpegs[n], np.uint8)
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def training_rois(xy_px: F64, crop: CropSpec, by_landmarks: bool) -> F64:
    """Crops (N, 4) for labelled keypoints; NaN where too few are labelled.

    The rule is that of the backend that will run the network: MediaPipe's own
    (`multiview.models.mediapipe.next_rois`), or the box of the card.
    """
    if by_landmarks:
        return next_rois(xy_px)
    rois = np.full((len(xy_px), 4), np.nan)
    for i, xy in enumerate(xy_px):
        seen, angle = present(xy), 0.0
        if crop.rotate:
            angle = rotation_up(xy[WRIST], xy[MIDDLE_BASE])
        if seen.mean() < SHARE_FOR_ROI or not np.isfinite(angle):
            continue
        box = box_of_points(xy[seen], angle)
        if box[2:].any():
            rois[i] = roi_of_box(box, angle, 0.0, crop.scale)
    return rois


def cut_hands(
    hands: TrainingHands,
    read: Callable[[str], U8],
    design: Design,
    *,
    negatives: int = 0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> CropSet:
    """Cut all hands, and crops that show none.

    Parameters
    ----------
    hands
        Labels.
    read
        Gives the BGR picture of a name in ``hands.picture``; called once a picture.
    design
        The network that they are for.
    negatives
        Crops without a labelled hand that are wanted, at most one a picture; of MediaPipe only.
    seed
        Where those are.
    progress
        Called with the number of pictures read, and of all.

    Raises
    ------
    InputError
        If no hand can be cut, or a side is needed that is not known.
    """
    _check_sides(hands, design)
    use = np.where(hands.weight > 0, 1.0, np.nan)[..., None] * hands.xy_px
    rois = training_rois(use, design.crop, design.by_landmarks)
    good = np.flatnonzero(np.isfinite(rois).all(1))
    if not good.size:
        raise InputError(
            f"none of {len(hands)} hands has enough labelled keypoints for a crop",
            f"MediaPipe's crops need the {KEYPOINTS} of the palm and inner joints, others half"
            if design.by_landmarks
            else "at least half of the keypoints of a hand must be labelled",
        )
    cutter = _Cutter(hands, design, rois)
    pictures: dict[str, list[int]] = {}
    for n in good.tolist():
        pictures.setdefault(hands.picture[n], []).append(n)
    rng = np.random.default_rng([seed, 11])
    empty = set(rng.permutation(len(pictures))[:negatives].tolist())
    rows: list[tuple[bytes, int | None]] = []
    for done, (name, members) in enumerate(pictures.items(), 1):
        picture = read(name)
        rows += [(cutter.cut(picture, n), n) for n in members]
        away = _elsewhere(picture, rois[members], rng) if done - 1 in empty else None
        if away is not None:
            rows.append((_encode(_sample(picture, away, cutter.side, cutter.border)), None))
        if progress is not None:
            progress(done, len(pictures))
    return cutter.gather(rows, use)


def _check_sides(hands: TrainingHands, design: Design) -> None:
    unknown = int(np.isnan(hands.right).sum())
    if unknown and design.crop.mirror_left:
        raise InputError(
            f"{unknown} of {len(hands)} hands are neither left nor right, and this network sees "
            "left hands mirrored",
            "give the sides, or train --arch mediapipe",
        )


class _Cutter:
    """Cuts hands and turns their labels into stored pixels."""

    def __init__(self, hands: TrainingHands, design: Design, rois: F64) -> None:
        self._hands, self._design = hands, design
        self._rois = rois * np.array([1, 1, MARGIN, 1])
        self.side = round(MARGIN * design.size_px)
        self.border = BORDERS[design.crop.border]

    def cut(self, picture: U8, n: int) -> bytes:
        crop = _sample(picture, self._rois[n], self.side, self.border)
        return _encode(np.ascontiguousarray(crop[:, ::-1]) if self._mirrored(n) else crop)

    def _mirrored(self, n: int) -> bool:
        return self._design.crop.mirror_left and self._hands.right[n] == 0

    def gather(self, rows: Sequence[tuple[bytes, int | None]], xy_px: F64) -> CropSet:
        hands, count = self._hands, len(rows)
        uv = np.full((count, *xy_px.shape[1:]), np.nan)
        weight, sigma = np.zeros(uv.shape[:2]), np.zeros(uv.shape[:2])
        right, start = np.full(count, np.nan), np.zeros(count, np.bool_)
        size = np.full(count, np.nan)
        for i, (_, n) in enumerate(rows):
            if n is None:
                continue
            uv[i], weight[i], right[i] = self._uv(xy_px[n], n), hands.weight[n], hands.right[n]
            sigma[i] = np.nan_to_num(hands.sigma_px[n]) * self.side / self._rois[n, 2]
            start[i] = hands.start[n]
            size[i] = hand_size(uv[i][np.isfinite(uv[i]).all(1)])
        return CropSet(
            jpegs=tuple(jpeg for jpeg, _ in rows),
            side=self.side,
            uv=uv,
            weight=weight,
            sigma=sigma,
            right=right,
            hand=np.array([n is not None for _, n in rows], np.bool_),
            start=start,
            size=size,
        )

    def _uv(self, xy: F64, n: int) -> F64:
        roi = self._rois[n]
        uv = ((xy - roi[:2]) @ turn(roi[3]) / roi[2] + 0.5) * self.side
        if self._mirrored(n):
            uv[:, 0] = self.side - 1 - uv[:, 0]
        return np.asarray(uv, np.float64)


def _sample(picture: U8, roi: F64, side: int, border: int) -> U8:
    corners = image_from_crop(roi, np.array([[0.0, 0], [1, 0], [0, 1]]), side)
    origin, x, y = corners
    matrix = np.column_stack([x - origin, y - origin, origin])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(picture, matrix, (side, side), flags=flags, borderMode=border)
    return np.asarray(crop, np.uint8)


def _encode(crop: U8) -> bytes:
    return bytes(cv2.imencode(".jpg", crop, JPEG)[1].tobytes())


def _elsewhere(picture: U8, rois: F64, rng: np.random.Generator) -> F64 | None:
    """Find a crop of a hand's size, turned anyhow, that shows none of these hands."""
    height, width = picture.shape[:2]
    for centre in _draws(rng, width, height):
        side = float(rois[rng.integers(len(rois)), 2])
        away = np.linalg.norm(rois[:, :2] - centre, axis=1)
        if (away > AWAY * (rois[:, 2] + side) / 2).all():
            return np.array([*centre, side * MARGIN, rng.uniform(-np.pi, np.pi)])
    return None


def _draws(rng: np.random.Generator, width: int, height: int) -> Iterator[F64]:
    for _ in range(TRIES):
        yield rng.uniform((0, 0), (width, height))
