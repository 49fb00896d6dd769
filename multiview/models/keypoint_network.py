"""Networks that give one probability map, or one SimCC pair, a keypoint: from crop to keypoints.

Crop pixels follow `multiview.models._crops`: pixel i of n shows ``(i / n - 0.5)`` sides from the
centre. Networks that are higher than wide, or wider, see more than the square of the roi there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.errors import ModelError
from multiview.models._crops import F32, image_from_crop
from multiview.models.base import U8
from multiview.models.card import InputSpec, ModelCard
from multiview.models.confidence import WITHIN
from multiview.models.decode import (
    Method,
    crop_from_map,
    decode_heatmaps,
    decode_simcc,
    mass,
    mass_of_lines,
)
from multiview.models.onnx_file import check_input, inspect_onnx
from multiview.models.runtime import open_network

__all__ = [
    "Decoded",
    "KeypointNetwork",
    "as_input",
    "check_decoding",
    "check_outputs",
    "network_part",
]

BORDERS = {"zero": cv2.BORDER_CONSTANT, "replicate": cv2.BORDER_REPLICATE}
# Input pixels of one forward pass: 4 crops of 368 px, for which OpenPose's network takes 0.4 GB.
MAX_BATCH_PIXELS = 4 * 368 * 368
# float32 sums in another order differ by 1e-5 of the largest value; another sample's by far more.
SAME_OUTPUT = 1e-3
# A finer grid than the 64 x 64 of most networks shows nothing more.
SIMCC_MAP_STRIDE = 4


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the maps of M crops say.

    Parameters
    ----------
    uv
        Keypoints in crop pixels, (M, K, 2).
    peak
        Height of the map there, (M, K).
    mass
        Share of the map that lies within `WITHIN` hand sizes of the peak, (M, K): with the whole
        map a probability, it would be that of being right.
    """

    uv: F64
    peak: F64
    mass: F64


class KeypointNetwork:
    """The network of a card, from crops of pictures to keypoints in crop pixels.

    Parameters
    ----------
    card
        Card of the model, with one network file.
    runtime, provider, threads
        See `multiview.models.runtime.open_network`.

    Raises
    ------
    ModelError
        If the card does not suit maps or SimCC vectors, the network is not what it promises, or its
        weights are not finite.
    """

    def __init__(
        self,
        card: ModelCard,
        *,
        runtime: str = "cv2",
        provider: str = "cpu",
        threads: int | None = None,
    ) -> None:
        self._card, self._size_hw = card, card.input.size_hw
        check_decoding(card)
        part = network_part(card)
        # OpenCV takes any size that its layers can work with, and makes zeros of weights that are
        # no numbers: both would look like pictures without hands
        found = inspect_onnx(card.read(part), str(card.path(part)))
        check_input(found, (3, *self._size_hw), card.path(part))
        self._network = open_network(
            card,
            part,
            outputs=card.decoding.output,
            runtime=runtime,
            provider=provider,
            threads=threads,
        )
        self._batches: bool | None = None  # unknown until several crops come at once
        outputs = self._forward(np.zeros((1, *self._size_hw, 3), np.uint8))
        check_outputs(card, tuple(value.shape for value in outputs))
        self._empty = tuple(value[:0] for value in outputs)
        self._channels = _keypoint_channels(card)
        self._mirror_sum = _mirror_sum(card, outputs)

    def cut(self, picture: U8, roi: F64, mirrored: bool) -> U8:
        """Cut a crop (h, w, 3) of a BGR picture, bilinear."""
        unit = np.array([[0.0, 0], [1, 0], [0, 1]])
        if mirrored:
            unit[:, 0] = self._mirror_sum - unit[:, 0]
        origin, x, y = self.to_image(roi, unit)
        matrix = np.column_stack([x - origin, y - origin, origin])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size_wh, border = self._size_hw[::-1], BORDERS[self._card.crop.border]
        crop = cv2.warpAffine(picture, matrix, size_wh, flags=flags, borderMode=border)
        return np.asarray(crop, np.uint8)

    def to_image(self, roi: F64, uv: F64) -> F64:
        """Take crop pixels (..., 2) to the image; the roi is the largest centred square."""
        side = min(self._size_hw)
        margin = (np.array(self._size_hw[::-1]) - side) / 2
        return image_from_crop(roi, uv - margin, side)

    def run(self, crops: list[U8], mirrored: NDArray[np.bool_]) -> tuple[F32, ...]:
        """Return the keypoints' outputs for the crops, those of mirrored ones turned back."""
        step = max(1, MAX_BATCH_PIXELS // (self._size_hw[0] * self._size_hw[1]))
        batches = [crops[i : i + step] for i in range(0, len(crops), step)]
        parts = [self._empty, *(self._forward_all(np.stack(batch)) for batch in batches)]
        outputs = tuple(
            np.concatenate(values)[:, self._channels] for values in zip(*parts, strict=True)
        )
        # maps and x vectors run along x; y vectors do not change
        outputs[0][mirrored] = outputs[0][mirrored][..., ::-1]
        return outputs

    def decode(self, outputs: tuple[F32, ...], method: Method) -> Decoded:
        """Find keypoints, and how well their maps tell them."""
        spec = self._card.decoding
        near = WITHIN * min(self._size_hw) / self._card.crop.scale  # crop px
        if spec.kind == "simcc":
            uv, peak = decode_simcc(outputs[0], outputs[1], spec.simcc_split, blur_px=spec.blur)
            radius, (x, y) = near * spec.simcc_split, np.moveaxis(uv * spec.simcc_split, -1, 0)
            share = mass_of_lines(outputs[0], x, radius) * mass_of_lines(outputs[1], y, radius)
            return Decoded(uv, peak, share)
        xy, peak = decode_heatmaps(outputs[0], method=method, blur_px=spec.blur)
        height, width = outputs[0].shape[2:]
        share = mass(outputs[0], xy, max(1.0, near * width / self._size_hw[1]))
        return Decoded(crop_from_map(xy, (height, width), self._size_hw, spec.grid), peak, share)

    def as_maps(self, outputs: tuple[F32, ...]) -> F32:
        """Return maps (M, K, n, n) of the roi's square."""
        maps = outputs[0]
        if self._card.decoding.kind == "simcc":
            x, y = (_thin(v, self._card.decoding.simcc_split) for v in outputs)
            maps = np.sqrt(y[..., :, None] * x[..., None, :])
        side = min(maps.shape[2:])
        top, left = ((n - side) // 2 for n in maps.shape[2:])
        return maps[..., top : top + side, left : left + side]

    def _forward_all(self, crops: U8) -> tuple[F32, ...]:
        """One pass where the network takes batches, else one a crop."""
        if len(crops) > 1 and self._batches is None:
            self._batches = self._takes_batches(crops)
        if len(crops) == 1 or self._batches:
            return self._forward(crops)
        single = [self._forward(crop[None]) for crop in crops]
        return tuple(np.concatenate(values) for values in zip(*single, strict=True))

    def _takes_batches(self, crops: U8) -> bool:
        """Whether several crops at once give each one's own outputs.

        A network exported for one picture may refuse two, or mix them up without an error.
        """
        try:
            together = self._forward(crops)
        except ModelError:
            return False
        alone = self._forward(crops[-1:])
        return all(
            t.shape == (len(crops), *a.shape[1:])
            and np.abs(t[-1] - a[0]).max() <= SAME_OUTPUT * max(np.abs(a).max(), 1e-6)
            for t, a in zip(together, alone, strict=True)
        )

    def _forward(self, crops: U8) -> tuple[F32, ...]:
        found = self._network(as_input(crops, self._card.input))
        return tuple(found[name] for name in self._card.decoding.output)


def as_input(crops: U8, spec: InputSpec) -> F32:
    """Scale BGR crops (N, h, w, 3) to a network's input (N, 3, h, w)."""
    pixels = crops[..., ::-1] if spec.channels == "RGB" else crops
    scaled = pixels.astype(np.float32) * np.float32(spec.scale)
    values = (scaled - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def network_part(card: ModelCard) -> str:
    """Return the key of the one network file."""
    if len(card.weights) != 1:
        raise ModelError(
            f"model {card.name}: its card lists {len(card.weights)} network files "
            f"({', '.join(card.weights)}); backend heatmap runs one",
            "leave one in the card",
        )
    return next(iter(card.weights))


def check_decoding(card: ModelCard) -> None:
    """Check that a card describes maps or SimCC vectors, and a crop that its keypoints give.

    Raises
    ------
    ModelError
        If not.
    """
    spec = card.decoding
    wanted = {"heatmap": 1, "simcc": 2}.get(spec.kind)
    if wanted is None:
        raise ModelError(
            f"model {card.name}: backend heatmap reads maps or SimCC vectors, its card says "
            f"{spec.kind}",
            "correct decoding.kind",
        )
    if len(spec.output) != wanted:
        raise ModelError(
            f"model {card.name}: decoding.output names {len(spec.output)} outputs, {spec.kind} has "
            f"{wanted}",
            "name the maps, or the x and then the y vectors",
        )
    if spec.kind == "heatmap" and spec.blur % 2 == 0:
        raise ModelError(f"model {card.name}: decoding.blur is {spec.blur}", "give an odd number")
    if card.crop.rotate and card.skeleton != "hand21":
        raise ModelError(
            f"model {card.name}: crop.rotate needs the keypoints of a hand (skeleton: hand21)",
            "set rotate: false",
        )


def check_outputs(card: ModelCard, shapes: tuple[tuple[int, ...], ...]) -> None:
    """Compare the shapes of the outputs for one crop with what the card promises.

    Raises
    ------
    ModelError
        Naming the file, the output, and both shapes.
    """
    spec, (height, width) = card.decoding, card.input.size_hw
    for axis, (name, shape) in enumerate(zip(spec.output, shapes, strict=True)):
        if spec.kind == "heatmap":
            promise, fits = "(1, maps, height, width)", len(shape) == 4 and 0 not in shape
        else:
            bins = round((height if axis else width) * spec.simcc_split)
            promise, fits = f"(1, keypoints, {bins} bins)", len(shape) == 3 and shape[2] == bins
        if not fits or shape[0] != 1:
            raise ModelError(
                f"{card.path(network_part(card))}: output {name!r} has shape {shape}, its card "
                f"promises {promise}",
                "correct input.size_hw, decoding.kind, output or simcc_split in the card",
            )
        _check_channels(card, name, shape[1])


def _check_channels(card: ModelCard, name: str, have: int) -> None:
    keypoints, background = len(card.keypoints), card.decoding.background
    if card.order is not None:
        fits, promise = max(card.order) < have, f"at least {max(card.order) + 1} (order)"
    else:
        wanted = keypoints + (background is not None)
        extra = "" if background is None else ", one of them the background"
        fits, promise = have == wanted, f"{wanted} for {keypoints} keypoints{extra}"
    if fits and (background is None or background < have):
        return
    raise ModelError(
        f"{card.path(network_part(card))}: output {name!r} has {have} channels, its card promises "
        f"{promise}",
        "correct skeleton, order or decoding.background in the card (22 maps of a hand have the "
        "background last: background: 21)",
    )


def _keypoint_channels(card: ModelCard) -> NDArray[np.int64]:
    """Output channel of every keypoint."""
    background = card.decoding.background
    if card.order is not None:
        if background in card.order:
            raise ModelError(
                f"model {card.name}: order uses map {background}, the background", "correct one"
            )
        return np.array(card.order)
    channels = [c for c in range(len(card.keypoints) + 1) if c != background]
    return np.array(channels[: len(card.keypoints)])


def _mirror_sum(card: ModelCard, outputs: tuple[F32, ...]) -> float:
    """Sum of the crop columns of the first and the last map column (or SimCC bin).

    A crop mirrored so that column u shows what ``sum - u`` showed gives maps that are mirrored in
    whole map pixels, on every kind of grid; mirrored about its centre it would be off by a
    fraction of one (the shift that flip tests elsewhere correct by hand).
    """
    spec = card.decoding
    if spec.kind == "simcc":
        return float((outputs[0].shape[-1] - 1) / spec.simcc_split)
    map_hw = outputs[0].shape[2], outputs[0].shape[3]
    ends = np.array([[0.0, 0], [map_hw[1] - 1, 0]])
    return float(crop_from_map(ends, map_hw, card.input.size_hw, spec.grid)[:, 0].sum())


def _thin(vectors: F32, split: float) -> F32:
    """Positive parts of SimCC vectors, the largest of every `SIMCC_MAP_STRIDE` pixels."""
    stride = max(round(split * SIMCC_MAP_STRIDE), 1)
    kept = vectors[..., : vectors.shape[-1] // stride * stride]
    pooled = kept.reshape(*kept.shape[:-1], -1, stride).max(axis=-1)
    return np.asarray(np.maximum(pooled, 0), np.float32)
