"""OpenPose's hand network (Simon et al., CVPR 2017), from the user's own files.

``multiview models convert`` makes its ONNX file and card, see `multiview.models.caffe_to_onnx`.
The network sees one right hand, upright, in a square crop of 2.2 longer sides of the tight keypoint
box, 368 x 368 BGR pixels as ``x / 256 - 0.5`` with black beyond the picture, and answers with 22
maps: 21 keypoints and the background, which is neither decoded nor drawn. The card says all that,
so `HeatmapDetector` does most of the work: it mirrors left hands, and where nobody knows the side
it reads the crop both ways and keeps the better mean peak. (OpenPose takes crop and side from a
body's arm; here the embedded MediaPipe detector gives them.) This file adds several scales, and
the recipe of the LearnOpenCV post for comparison.

Where a map pixel lies: the network's convolutions keep the size (pad = kernel // 2), so they shift
nothing. Each of the three poolings makes pixel j of pixels 2 j and 2 j + 1, whose middle is
2 j + 0.5. Hence the centre of map pixel j is crop pixel 8 j + 0.5 + 1 + 2 = 8 j + 3.5: edge to
edge, ``(j + 0.5) * 8 - 0.5``, which the card calls the grid ``half_pixel``. CPM's training puts its
targets there too.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal, get_args

import cv2
import numpy as np

from multiview._shapes import F64
from multiview.errors import InputError
from multiview.models._crops import F32
from multiview.models.base import U8, Detector
from multiview.models.card import ModelCard
from multiview.models.confidence import Calibration
from multiview.models.decode import crop_from_map
from multiview.models.heatmap import HeatmapDetector, _Job

__all__ = ["OpenPoseHands", "average_scales", "from_card"]

Mode = Literal["crop", "seed"]
# Beyond, a crop shows a part of the hand, or mostly something else.
SCALES = (0.5, 2.0)


def from_card(
    card: ModelCard,
    *,
    mode: str = "crop",
    scales: Sequence[float] = (1.0,),
    max_hands: int = 2,
    min_score: float = 0.5,
    small_hands: bool = False,
    min_presence: float = 0.2,
    runtime: str = "cv2",
    provider: str = "cpu",
    threads: int | None = None,
) -> Detector:
    """Build the detector of a card.

    Parameters
    ----------
    card
        Card of the converted network.
    mode
        ``"crop"``: see `OpenPoseHands`. ``"seed"``: the whole picture as the LearnOpenCV post does
        it, for comparison only, see `multiview.models.openpose_seed`; the options that follow, but
        those of the runtime, mean nothing there.
    scales, max_hands, min_score, small_hands, min_presence, runtime, provider, threads
        See `OpenPoseHands`.

    Raises
    ------
    InputError
        If the mode is unknown or an option out of range.
    ModelError
        If the network file is missing, damaged or not what its card promises.
    """
    run: dict[str, Any] = {"runtime": runtime, "provider": provider, "threads": threads}
    if mode == "seed":
        from multiview.models.openpose_seed import OpenPoseSeed

        return OpenPoseSeed(card, **run)
    if mode != "crop":
        raise InputError(f"unknown mode {mode!r}", f"choose one of {', '.join(get_args(Mode))}")
    hands: dict[str, Any] = {"max_hands": max_hands, "min_score": min_score}
    hands["small_hands"] = small_hands
    return OpenPoseHands(card, scales=scales, min_presence=min_presence, **hands, **run)


class OpenPoseHands(HeatmapDetector):
    """OpenPose's hand network on square crops of hands.

    Parameters
    ----------
    card
        Card of the converted network.
    scales
        Sizes of the crop in units of the card's, 0.5 to 2; each costs one pass of the network. The
        maps are averaged where the crops overlap, in the crop of scale 1. (OpenPose's runtime reads
        up to six over 0.8 to 1.2 and keeps the one with the best mean peak, so its answer jumps
        from one crop to another between two frames; an average does not.)
    options
        ``max_hands``, ``min_score``, ``small_hands``, ``min_presence``, ``runtime``, ``provider``
        and ``threads`` of `HeatmapDetector`.

    Raises
    ------
    InputError
        If an option is out of range.
    ModelError
        If the network file is missing, damaged or not what its card promises.
    """

    def __init__(
        self, card: ModelCard, *, scales: Sequence[float] = (1.0,), **options: Any
    ) -> None:
        self._scales = tuple(float(s) for s in scales)
        low, high = SCALES
        if not self._scales or not all(low <= s <= high for s in self._scales):
            raise InputError(
                f"scales are {list(scales)}", f"give one or more numbers from {low} to {high}"
            )
        super().__init__(card, **options)
        self._rebuild = functools.partial(  # type: ignore[assignment]
            OpenPoseHands, card, scales=self._scales, **options
        )

    def calibration(self, passes: int) -> Calibration | None:
        """Calibration of these weights; None at other scales than 1, whose peaks are lower."""
        return super().calibration(passes) if self._scales == (1.0,) else None

    def _run(self, pictures: list[U8], rois: list[F64], jobs: list[_Job]) -> tuple[F32, ...]:
        """Run all crops at every scale and average."""
        if self._scales == (1.0,):
            return super()._run(pictures, rois, jobs)
        maps = []
        for scale in self._scales:
            resized = [roi * np.array([1, 1, scale, 1]) for roi in rois]
            maps.append(super()._run(pictures, resized, jobs)[0])
        spec = self._card
        return (average_scales(maps, self._scales, spec.input.size_hw, spec.decoding.grid),)


def average_scales(
    maps: Sequence[F32],
    scales: Sequence[float],
    crop_hw: tuple[int, int],
    grid: Literal["half_pixel", "index", "corners"] = "half_pixel",
) -> F32:
    """Average maps of crops of the same hands that have one centre but different sizes.

    Parameters
    ----------
    maps
        For every scale maps of shape (M, K, h, w).
    scales
        Sizes of the crops in units of the one wanted.
    crop_hw
        Height and width of the network's input.
    grid
        See `multiview.models.decode.crop_from_map`.

    Returns
    -------
    ndarray
        Maps over the crop of scale 1, shape (M, K, h, w); every pixel is the mean of the crops that
        show it, 0 where none does.
    """
    height, width = maps[0].shape[2:]
    ends = crop_from_map(np.array([[0.0, 0], [1, 1]]), (height, width), crop_hw, grid)
    start, step = ends[0], ends[1] - ends[0]
    centre = np.array(crop_hw[::-1]) / 2  # of the crop, in its own pixels (`image_from_crop`)
    total, shown = np.zeros_like(maps[0]), np.zeros((height, width), np.float32)
    for values, scale in zip(maps, scales, strict=True):
        x, y = (
            ((start[a] + step[a] * np.arange(n) - centre[a]) / scale + centre[a] - start[a])
            / step[a]
            for a, n in ((0, width), (1, height))
        )
        inside_x, inside_y = ((v >= -0.5) & (v <= n - 0.5) for v, n in ((x, width), (y, height)))
        inside = (inside_y[:, None] & inside_x).astype(np.float32)
        total += _resampled(values, x, y) * inside
        shown += inside
    return np.asarray(total / np.maximum(shown, 1), np.float32)


def _resampled(maps: F32, x: F64, y: F64) -> F32:
    """Values (M, K, len(y), len(x)) of maps at columns x and rows y, bicubic as in OpenPose."""
    at_x, at_y = (a.astype(np.float32) for a in np.meshgrid(x, y))
    flat = maps.reshape(-1, *maps.shape[2:])
    moved = [
        cv2.remap(m, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE) for m in flat
    ]
    return np.asarray(moved, np.float32).reshape(*maps.shape[:2], len(y), len(x))
