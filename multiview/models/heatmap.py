"""Backend for networks that give one probability map, or one SimCC pair, a keypoint.

Any ONNX file will do: the nets that this project trains, an RTMPose file, another 22-map network.
The card says how a picture goes in and keypoints come out (docs/models.md). Hands of a whole
picture are proposed by the embedded MediaPipe detector, whose keypoints give the crops.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multiview._shapes import F64, as_f64, check_shapes, present
from multiview.errors import InputError
from multiview.models._crops import F32, box_of_points, roi_of_box, rotation_up
from multiview.models.base import U8, ImageHands, as_bgr, as_rois, rois_of_each
from multiview.models.card import ModelCard
from multiview.models.confidence import Calibration, find_calibration
from multiview.models.cues import hand_cues
from multiview.models.decode import Method
from multiview.models.keypoint_network import KeypointNetwork, network_part
from multiview.models.mediapipe import MediaPipeHands

__all__ = ["HeatmapDetector", "from_card"]

WRIST, MIDDLE_BASE = 0, 9
# Fewer keypoints than this share do not tell how large the hand is.
SHARE_FOR_ROI = 0.5


@dataclass(frozen=True, slots=True)
class _Job:
    """One crop to read: which picture, which of its rois, and whether it is mirrored."""

    picture: int
    row: int
    mirrored: bool


class HeatmapDetector:
    """Keypoints from probability maps or SimCC vectors.

    Parameters
    ----------
    card
        Card of the model, with one network file.
    max_hands, min_score, small_hands
        Of the embedded detector that proposes hands; see `MediaPipeHands`.
    min_presence
        Crops whose mean confidence is below hold no hand. 0.2 is what the reconstruction of the
        Panoptic Studio asks of a detection (authors of Simon et al., CVPR 2017).
    flip
        Read every crop mirrored as well and average: slower, a little more exact. Not for networks
        that know one side only.
    method
        ``"dark"`` (sub-pixel) or ``"argmax"`` for maps.
    runtime, provider, threads
        See `multiview.models.runtime.open_network`.

    Raises
    ------
    InputError
        If an option is out of range.
    ModelError
        If the network file is missing, damaged or not what its card promises.
    """

    def __init__(
        self,
        card: ModelCard,
        *,
        max_hands: int = 2,
        min_score: float = 0.5,
        small_hands: bool = False,
        min_presence: float = 0.2,
        flip: bool = False,
        method: Method = "dark",
        runtime: str = "cv2",
        provider: str = "cpu",
        threads: int | None = None,
    ) -> None:
        if not 0 <= min_presence <= 1:
            raise InputError(f"min_presence={min_presence}", "it is between 0 and 1")
        if flip and card.crop.mirror_left:
            raise InputError(
                f"model {card.name} knows right hands only: a mirrored one would be a left hand",
                "leave out flip",
            )
        self.name, self.skeleton = card.name, card.build_skeleton()
        self._card, self._flip, self._method = card, flip, method
        self._min_presence = min_presence
        run: dict[str, Any] = {"runtime": runtime, "provider": provider, "threads": threads}
        hands: dict[str, Any] = {"max_hands": max_hands, "min_score": min_score}
        hands["small_hands"] = small_hands
        own: dict[str, Any] = {"min_presence": min_presence, "flip": flip, "method": method}
        self._rebuild = functools.partial(HeatmapDetector, card, **run, **hands, **own)
        # a search for hands needs two more networks; a pass over known crops does not
        self._proposer = functools.cache(functools.partial(MediaPipeHands, **run, **hands))
        self._network = KeypointNetwork(card, **run)
        self._calibration = self.calibration(passes=0)

    @property
    def calibrated(self) -> bool:
        """Whether confidences are probabilities; else they are the heights of the peaks."""
        return self._calibration is not None

    def calibration(self, passes: int) -> Calibration | None:
        """Calibration of these weights; see `multiview.models.confidence.HasCalibration`.

        None with ``flip`` or another ``method``: their maps and peaks are others than those that
        the parameters were fitted to.
        """
        if self._flip or self._method != "dark":
            return None
        return find_calibration(self.keypoint_weights, passes, self._card.folder)

    @property
    def keypoint_weights(self) -> str:
        """Digest of the network."""
        return self._card.weights[network_part(self._card)].sha256

    def __reduce__(self) -> tuple[Callable[[], HeatmapDetector], tuple[()]]:
        """Travel to worker processes as card and options: a network cannot be pickled."""
        return self._rebuild, ()

    def propose(self, image: U8) -> F64:
        """Search the whole picture by the embedded detector; see `Detector.propose`."""
        return self._propose(as_bgr(image))[0]

    def rois_of(self, xy_px: F64) -> F64:
        """Crops around known keypoints, by the rule of the card; see `Detector.rois_of`.

        Needs half the keypoints, and wrist and middle knuckle where the card turns crops.
        """
        xy_px = as_f64(xy_px, "xy_px")
        check_shapes("rois_of", {"xy_px": (xy_px, f"N {len(self.skeleton.keypoints)} 2")})
        return _rois_around(xy_px, self._card)

    def detect(self, image: U8, rois: F64 | None = None) -> ImageHands:
        """Find the hands of one image; see `Detector.detect`.

        Handedness is that of the embedded detector without ``rois``. With them it is unknown (NaN),
        but for a network that knows right hands only: it reads each crop both ways, and the
        answer is the share of the unmirrored reading in the sum of both readings' confidence.
        """
        return self.detect_batch([image], [rois])[0]

    def detect_batch(
        self, images: Sequence[U8], rois: Sequence[F64 | None] | None = None
    ) -> list[ImageHands]:
        """`detect` for several images; their crops share forward passes."""
        pairs = [(as_bgr(image), rows) for image, rows in rois_of_each(images, rois)]
        found = [
            self._propose(picture) if rows is None else _unknown_side(as_rois(rows))
            for picture, rows in pairs
        ]
        hands = self._read([p for p, _ in pairs], [f[0] for f in found], [f[1] for f in found])
        return [
            h.best_first() if rows is None else h for h, (_, rows) in zip(hands, pairs, strict=True)
        ]

    def maps(self, image: U8, rois: F64) -> F32:
        """Return the probability maps of crops, for display.

        Parameters
        ----------
        image, rois
            As in `detect`.

        Returns
        -------
        ndarray
            Shape (N, K, h, w) with h = w: the square of the roi, corner to corner, turned as the
            roi is. The maps of a SimCC network are the geometric means of its vectors' positive
            parts. A roi that is NaN gives zeros.
        """
        rois = as_rois(rois)
        jobs = self._jobs([rois], [np.full(len(rois), np.nan)])
        outputs = self._run([as_bgr(image)], [rois], jobs)
        maps = self._network.as_maps(outputs)
        result = np.zeros((len(rois), *maps.shape[1:]), np.float32)
        for job in _best(jobs, self._network.decode(outputs, self._method).peak):
            result[jobs[job].row] = maps[job]
        return result

    def _propose(self, picture: U8) -> tuple[F64, F64]:
        """Crops (N, 4) and probabilities (N,) of right hands."""
        hands = self._proposer().detect(picture)
        return _rois_around(hands.xy_px, self._card), hands.handedness

    def _jobs(self, rois: list[F64], right: list[F64]) -> list[_Job]:
        """List the crops to read; both ways where the network needs the side but nobody knows."""
        jobs = []
        for i, (rows, sides) in enumerate(zip(rois, right, strict=True)):
            for row in np.flatnonzero(np.isfinite(rows).all(axis=1)).tolist():
                ways = [False]
                if self._card.crop.mirror_left:
                    ways = [False, True] if np.isnan(sides[row]) else [bool(sides[row] < 0.5)]
                jobs += [_Job(i, row, way) for way in ways]
        return jobs

    def _run(self, pictures: list[U8], rois: list[F64], jobs: list[_Job]) -> tuple[F32, ...]:
        """Run all crops; outputs as if none had been mirrored, in the order of the jobs."""
        mirrored = [job.mirrored for job in jobs]
        if self._flip:
            jobs, mirrored = [*jobs, *jobs], [*mirrored, *(not m for m in mirrored)]
        pairs = list(zip(jobs, mirrored, strict=True))
        crops = [
            self._network.cut(pictures[j.picture], rois[j.picture][j.row], m) for j, m in pairs
        ]
        outputs = self._network.run(crops, np.array(mirrored, np.bool_))
        if not self._flip:
            return outputs
        half = len(jobs) // 2
        return tuple((value[:half] + value[half:]) * np.float32(0.5) for value in outputs)

    def _read(self, pictures: list[U8], rois: list[F64], right: list[F64]) -> list[ImageHands]:
        """Rows of every picture, NaN with confidence 0 where there is no hand."""
        jobs = self._jobs(rois, right)
        count = len(self.skeleton.keypoints)
        xy_px = [np.full((len(r), count, 2), np.nan) for r in rois]
        peak, mass = ([np.zeros((len(r), count)) for r in rois] for _ in range(2))
        right, presence = [side.copy() for side in right], [np.zeros(len(r)) for r in rois]
        found = self._network.decode(self._run(pictures, rois, jobs), self._method)
        rating = np.clip(found.peak, 0, 1)
        for job, share in _best(jobs, rating).items():
            i, row = jobs[job].picture, jobs[job].row
            presence[i][row] = rating[job].mean()
            right[i][row] = share if np.isnan(right[i][row]) else right[i][row]
            if presence[i][row] >= self._min_presence:
                xy_px[i][row] = self._network.to_image(rois[i][row], found.uv[job])
                peak[i][row], mass[i][row] = rating[job], found.mass[job]
        parts = zip(xy_px, peak, mass, right, presence, rois, strict=True)
        return [
            self._rated(
                ImageHands(xy_px=x, conf=k, handedness=s, presence=p, rois=r, peak=k, mass=m)
            )
            for x, k, m, s, p, r in parts
        ]

    def _rated(self, hands: ImageHands) -> ImageHands:
        """Turn peaks into probabilities, if these weights were calibrated."""
        if self._calibration is None:
            return hands
        cues = hand_cues(hands, self.skeleton, self.rois_of(hands.xy_px))
        return replace(hands, conf=self._calibration.probability(cues))


from_card = HeatmapDetector


def _rois_around(xy_px: F64, card: ModelCard) -> F64:
    """Squares `card.crop.scale` times the tight box; NaN for hands that do not tell."""
    rois = np.full((len(xy_px), 4), np.nan)
    for i, xy in enumerate(xy_px):
        seen, angle = present(xy), 0.0
        if card.crop.rotate:
            angle = rotation_up(xy[WRIST], xy[MIDDLE_BASE])  # NaN if one of them is missing
        if seen.mean() < SHARE_FOR_ROI or not np.isfinite(angle):
            continue
        box = box_of_points(xy[seen], angle)
        if box[2:].any():
            rois[i] = roi_of_box(box, angle, 0.0, card.crop.scale)
    return rois


def _best(jobs: list[_Job], rating: F64) -> dict[int, float]:
    """Of the readings of every crop the one with the highest mean.

    Returns
    -------
    dict
        Number of the job, and the unmirrored reading's share in the sum; NaN if there is only one.
    """
    ways: dict[tuple[int, int], list[int]] = {}
    for n, job in enumerate(jobs):
        ways.setdefault((job.picture, job.row), []).append(n)
    means = rating.mean(axis=1)
    best = {}
    for readings in ways.values():
        total = float(means[readings].sum())
        both = len(readings) == 2 and total > 0
        share = float(means[readings[0]] / total) if both else np.nan
        best[max(readings, key=lambda n: means[n])] = share
    return best


def _unknown_side(rois: F64) -> tuple[F64, F64]:
    return rois, np.full(len(rois), np.nan)
