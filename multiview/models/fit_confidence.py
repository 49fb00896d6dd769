"""Fit the confidence of a network to pictures in which the hands are known.

What `multiview models calibrate` does. The network searches the pictures as it will later; each
hand that it finds near a known one gives one example a keypoint. Found hands that are near none are
left out: they may be hands that nobody labelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import yaml
from numpy.typing import NDArray

from multiview._shapes import F64, BoolArray
from multiview.errors import InputError
from multiview.models.base import U8, Detector, ImageHands
from multiview.models.confidence import (
    WITHIN,
    Calibration,
    CalibrationFile,
    HasCalibration,
    calibrate,
    reliability,
)
from multiview.models.cues import hand_cues, hand_size, spread_cues
from multiview.models.jitter import Jittered

__all__ = ["Examples", "calibration_text", "collect", "fit", "held_out"]

# A found hand shows a known one if its keypoints are nearer than this, in the mean, in hand sizes:
# beyond, it is another hand or none.
SAME_HAND = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """N hands found in pictures with known ones, in one number of passes.

    Parameters
    ----------
    cues
        As in `multiview.models.confidence.calibrate`, arrays (N, K).
    right, known
        Whether each keypoint was right, and whether that is known, (N, K).
    picture
        Number of the picture of each hand, (N,).
    """

    cues: dict[str, F64]
    right: BoolArray
    known: BoolArray
    picture: NDArray[np.int64]

    def take(self, rows: BoolArray) -> Examples:
        """Choose hands."""
        return Examples(
            cues={n: c[rows] for n, c in self.cues.items()},
            right=self.right[rows],
            known=self.known[rows],
            picture=self.picture[rows],
        )


def collect(
    detector: Detector, pictures: Iterable[tuple[U8, F64]], passes: Sequence[int]
) -> dict[int, Examples]:
    """Read pictures and compare with what is known.

    Parameters
    ----------
    detector
        The network, not `Jittered`.
    pictures
        BGR pictures and their hands, (H, K, 2) [px], NaN where a keypoint is not known.
    passes
        Numbers of extra crops to calibrate for; 0 for none.

    Returns
    -------
    dict
        Examples for each number of passes, over the same hands.

    Raises
    ------
    InputError
        If no hand was found where one is known.
    """
    jittered = {p: Jittered(detector, passes=p) for p in passes if p}
    parts: dict[int, list[Examples]] = {p: [] for p in passes}
    for number, (image, truth) in enumerate(pictures):
        hands = detector.detect(image)
        pairs = list(_pairs(hands.xy_px, truth))
        if not pairs:
            continue
        hands, known = hands.take(np.array([n for n, _ in pairs])), truth[[t for _, t in pairs]]
        for p, rows in parts.items():
            rows.append(_examples(jittered.get(p), detector, (image, hands), known, number))
    if not next(iter(parts.values()), []):
        raise InputError(
            "no known hand was found in any picture",
            "give pictures in which this network finds hands, and labels of the same pictures",
        )
    return {p: _joined(rows) for p, rows in parts.items()}


def fit(detector: Detector, examples: Examples, passes: int, fitted_on: str) -> Calibration:
    """Fit the curves; see `multiview.models.confidence.calibrate`.

    Raises
    ------
    InputError
        If the detector has no weights to name, or all keypoints are right or all wrong.
    """
    if not isinstance(detector, HasCalibration):
        raise InputError(
            f"{detector.name} has no confidence that could be calibrated",
            "calibrate a network of backend mediapipe, heatmap or openpose",
        )
    return calibrate(
        examples.cues,
        examples.right,
        known=examples.known,
        model=detector.name,
        sha256=detector.keypoint_weights,
        passes=passes,
        fitted_on=fitted_on,
    )


def held_out(
    detector: Detector, examples: Examples, passes: int
) -> tuple[float, float, float] | None:
    """Judge each half of the pictures by the other: confidence said, share right, mean gap (ECE).

    None where a half has nothing to be fitted on.
    """
    late = examples.picture > np.median(examples.picture)
    said, came = [], []
    for half in (late, ~late):
        other = examples.take(half)
        try:
            fitted = fit(detector, examples.take(~half), passes, "the other half")
        except InputError:
            return None
        if not len(other.right):
            return None
        said.append(fitted.probability(other.cues)[other.known])
        came.append(other.right[other.known])
    conf, right = np.concatenate(said), np.concatenate(came)
    mean, share, count = reliability(conf, right)
    gap = float(np.nansum(np.abs(mean - share) * count) / count.sum())
    return float(conf.mean()), float(right.mean()), gap


def calibration_text(calibrations: Iterable[Calibration], comment: str) -> str:
    """Text of a ``confidence.yaml``."""
    content = CalibrationFile(version=1, within=WITHIN, calibrations=tuple(calibrations))
    plain = yaml.safe_load(content.model_dump_json())
    body = yaml.safe_dump(plain, sort_keys=False, width=100, default_flow_style=None)
    return f"# {comment}\n{body}"


def _pairs(found: F64, truth: F64) -> Iterator[tuple[int, int]]:
    """Rows of found and known hands that are the same, nearest first."""
    if not len(found) or not len(truth):
        return
    off = np.linalg.norm(found[:, None] - truth[None], axis=-1)
    known = np.isfinite(off)
    mean = np.where(known, off, 0).sum(-1) / np.maximum(known.sum(-1), 1)
    size = hand_size(np.where(np.isfinite(truth[None]), truth[None], found[:, None]))
    share = np.where(known.any(-1) & (size > 0), mean / np.where(size > 0, size, 1), np.inf)
    while share.min() < SAME_HAND:
        n, t = (int(i) for i in np.unravel_index(share.argmin(), share.shape))
        yield n, t
        share[n], share[:, t] = np.inf, np.inf


def _examples(
    jittered: Jittered | None,
    detector: Detector,
    found: tuple[U8, ImageHands],
    truth: F64,
    number: int,
) -> Examples:
    """Cues of the hands of one picture, and which keypoints of the answer are right."""
    image, hands = found
    cues, answer = hand_cues(hands, detector.skeleton, detector.rois_of(hands.xy_px)), hands.xy_px
    if jittered is not None:
        readings, _ = jittered.read([image], [hands])[0]
        answer = np.nanmedian(readings, axis=1)
        cues |= spread_cues(readings, answer)
    size = hand_size(np.where(np.isfinite(truth), truth, answer))
    error = np.linalg.norm(answer - truth, axis=-1) / size[:, None]
    return Examples(
        cues=cues,
        right=np.asarray(error < WITHIN, np.bool_),
        known=np.asarray(np.isfinite(error), np.bool_),
        picture=np.full(len(error), number, np.int64),
    )


def _joined(parts: list[Examples]) -> Examples:
    return Examples(
        cues={n: np.concatenate([p.cues[n] for p in parts]) for n in parts[0].cues},
        right=np.concatenate([p.right for p in parts]),
        known=np.concatenate([p.known for p in parts]),
        picture=np.concatenate([p.picture for p in parts]),
    )
