"""The recipe of the post that this project grew from, for comparison with the correct one.

LearnOpenCV, "Hand Keypoint Detection using Deep Learning and OpenCV": the whole picture at a height
of 368 px and a width by aspect ratio, pixels times 1/255 without a mean (the network was trained on
``x / 256 - 0.5``), the largest value of each map resized to the picture, threshold 0.1, one hand,
left ones not mirrored. The post draws the background map as a 22nd point; here it is left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from multiview._shapes import F64
from multiview.errors import InputError
from multiview.models._crops import F32, letterbox
from multiview.models.base import U8, ImageHands, as_bgr, rois_of_each
from multiview.models.card import ModelCard
from multiview.models.keypoint_network import check_decoding, check_outputs, network_part
from multiview.models.runtime import open_network

__all__ = ["OpenPoseSeed"]

HEIGHT = 368
THRESHOLD = 0.1
# 11 : 1; the network's memory grows with the width.
MAX_WIDTH = 4096
NO_CROPS = "use mode='crop', the correct one, for crops"


class OpenPoseSeed:
    """OpenPose's hand network on whole pictures: at most one hand, to whole pixels.

    Parameters
    ----------
    card
        Card of the converted network; its input and crop are not used.
    runtime, provider, threads
        See `multiview.models.runtime.open_network`.

    Raises
    ------
    ModelError
        If the network file is missing, damaged or not what its card promises.

    Notes
    -----
    Confidence is the height of the map at its peak; keypoints at or below 0.1 are missing. The side
    is not known.
    """

    def __init__(
        self,
        card: ModelCard,
        *,
        runtime: str = "cv2",
        provider: str = "cpu",
        threads: int | None = None,
    ) -> None:
        check_decoding(card)
        self.name, self.skeleton = f"{card.name}-seed", card.build_skeleton()
        self._card, self._output = card, card.decoding.output[0]
        self._rebuild = functools.partial(
            OpenPoseSeed, card, runtime=runtime, provider=provider, threads=threads
        )
        self._network = open_network(
            card,
            network_part(card),
            outputs=(self._output,),
            runtime=runtime,
            provider=provider,
            threads=threads,
        )

    def __reduce__(self) -> tuple[Callable[[], OpenPoseSeed], tuple[()]]:
        """Travel to worker processes as card and options: a network cannot be pickled."""
        return self._rebuild, ()

    def propose(self, image: U8) -> F64:
        """Return the square around the whole picture, shape (1, 4)."""
        height, width = as_bgr(image).shape[:2]
        return letterbox(width, height)[None]

    def rois_of(self, xy_px: F64) -> F64:
        """Return NaN, shape (N, 4): this recipe knows no crops."""
        return np.full((len(xy_px), 4), np.nan)

    def detect(self, image: U8, rois: F64 | None = None) -> ImageHands:
        """Find one hand; see `Detector.detect`.

        Raises
        ------
        InputError
            If rois are given, or the picture is wider than 11 times its height.
        """
        if rois is not None:
            raise InputError("the seed's recipe reads whole pictures only", NO_CROPS)
        bgr = as_bgr(image)
        xy, peak = self._read(bgr)
        keep = peak > THRESHOLD
        rows = np.flatnonzero([keep.any()])
        hands = ImageHands(
            xy_px=np.where(keep[:, None], xy, np.nan)[None],
            conf=np.where(keep, np.minimum(peak, 1), 0)[None],
            handedness=np.array([np.nan]),
            presence=np.clip([peak.mean()], 0, 1),
            rois=self.propose(bgr),
        )
        return hands.take(rows)

    def detect_batch(
        self, images: Sequence[U8], rois: Sequence[F64 | None] | None = None
    ) -> list[ImageHands]:
        """`detect` for several images, one after another."""
        return [self.detect(image, roi) for image, roi in rois_of_each(images, rois)]

    def _read(self, bgr: U8) -> tuple[F64, F64]:
        """Peaks (K, 2) [px] and their values (K,)."""
        height, width = bgr.shape[:2]
        # the post's rounding: to whole pixels, whatever it means to do with the 8
        net_width = int((width / height * HEIGHT) * 8) // 8
        if not 0 < net_width <= MAX_WIDTH:
            raise InputError(
                f"image is {width} x {height} px; the seed's recipe takes pictures up to "
                f"{MAX_WIDTH // HEIGHT} times wider than high",
                NO_CROPS,
            )
        blob = cv2.dnn.blobFromImage(bgr, 1 / 255, (net_width, HEIGHT), (0, 0, 0), swapRB=False)
        maps = self._network(np.asarray(blob, np.float32))[self._output]
        check_outputs(self._card, (maps.shape,))
        count = len(self.skeleton.keypoints)
        channels = self._card.order or [
            c for c in range(maps.shape[1]) if c != self._card.decoding.background
        ]
        peaks = [_peak(maps[0, c], (width, height)) for c in list(channels)[:count]]
        return np.array([p[:2] for p in peaks]), np.array([p[2] for p in peaks])


def _peak(probability: F32, size_wh: tuple[int, int]) -> tuple[float, float, float]:
    """Largest value of a map resized to the picture: x, y, value."""
    _, value, _, (x, y) = cv2.minMaxLoc(cv2.resize(probability, size_wh))
    return float(x), float(y), float(value)
