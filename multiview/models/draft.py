"""A first model card for a bare ONNX file: what its shapes say, and defaults for the rest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from multiview.config import parse_config
from multiview.errors import InputError, ModelError
from multiview.models.card import ModelCard, read_weights
from multiview.models.onnx_file import OnnxFile, Tensor, inspect_onnx

__all__ = ["draft_card", "draft_text"]

HAND = 21  # maps of a hand; one more is the background
FREE_SIDE = 256  # px, where the network takes any size
# What MMPose's networks are trained with (RTMPose and others with SimCC): ImageNet's statistics.
MMPOSE = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
UNKNOWN = "  # CHECK: no ONNX file says this"


def draft_card(path: Path, name: str | None = None) -> ModelCard:
    """Draft the card of an ONNX file; see `draft_text`."""
    import yaml

    name = name or path.stem
    fields = yaml.safe_load(draft_text(path, name, path.name))
    card = parse_config(fields, ModelCard, where=f"the card drafted for {path}")
    return card.model_copy(update={"folder": path.parent})


def draft_text(path: Path, name: str, file: str) -> str:
    """Write the YAML of a card for the heatmap backend.

    Parameters
    ----------
    path
        The ONNX file.
    name
        Of the model.
    file
        What the network file is called beside the card.

    Raises
    ------
    ModelError
        If the file cannot be read, see `read_weights` and `inspect_onnx`.
    InputError
        If it has neither maps nor a pair of SimCC vectors.
    """
    data = read_weights(path)
    found = inspect_onnx(data, str(path))
    height, width = _input_size(found, path)
    outputs, count, decoding = _decoding(found, (height, width), path)
    simcc = len(outputs) == 2
    background = count - 1 if count == HAND + 1 and not simcc else None
    keypoints = count - (background is not None)
    lines = [
        "# Drafted by `multiview models convert`. Correct the lines marked CHECK; docs/models.md "
        "explains all.",
        f"name: {json.dumps(name)}",
        "backend: heatmap",
        f"about: {json.dumps(f'{keypoints} keypoints')}{UNKNOWN}",
        f"licence: unknown{UNKNOWN}",
        f"source: {json.dumps(str(path.name))}{UNKNOWN}",
        *_skeleton(keypoints),
        "weights:",
        "  net:",
        f"    file: {json.dumps(file)}",
        f"    sha256: {hashlib.sha256(data).hexdigest()}",
        "input:",
        f"  size_hw: [{height}, {width}]",
        f"  name: {json.dumps(found.inputs[0].name)}",
        f"  channels: RGB{UNKNOWN}",
        f"  scale: {1 / 255!r}  # CHECK: the network sees (value * scale - mean) / std",
        *([f"  {n}: {v}{UNKNOWN}" for n, v in MMPOSE.items()] if simcc else []),
        "crop:",
        f"  scale: 2.2{UNKNOWN}: width in longer sides of the box",
        f"  rotate: false{UNKNOWN}",
        f"  mirror_left: false{UNKNOWN}: true for right hands only",
        f"  border: zero{UNKNOWN}",
        "decoding:",
        f"  kind: {'simcc' if simcc else 'heatmap'}",
        f"  output: {json.dumps(outputs)}",
        *decoding,
        *([f"  background: {background}  # of 22 maps of a hand the last"] if background else []),
        "confidence: height of the peak, 0 to 1, not calibrated",
    ]
    return "\n".join(lines) + "\n"


def _input_size(found: OnnxFile, path: Path) -> tuple[int, int]:
    shape = found.inputs[0].shape if found.inputs else ()
    if len(found.inputs) != 1 or len(shape) != 4 or shape[1] not in (3, None):
        have = ", ".join(map(str, found.inputs)) or "none"
        raise ModelError(
            f"{path} wants the inputs {have}, not one colour image (N, 3, height, width)",
            "export the network with one such input",
        )
    return shape[2] or FREE_SIDE, shape[3] or FREE_SIDE


def _decoding(
    found: OnnxFile, size_hw: tuple[int, int], path: Path
) -> tuple[list[str], int, list[str]]:
    """Find outputs, their channels, and the lines of the card that depend on the kind."""
    maps = [t for t in found.outputs if len(t.shape) == 4 and t.shape[1]]
    vectors = [t for t in found.outputs if len(t.shape) == 3 and t.shape[1] and t.shape[2]]
    if len(maps) == 1:
        lines = [
            f"  blur: 11{UNKNOWN}: 5.5 times the deviation of the blobs, odd",
            f"  grid: half_pixel{UNKNOWN}: index for MMPose without UDP, corners with it",
        ]
        return [maps[0].name], maps[0].shape[1] or 0, lines
    if len(vectors) == 2 and vectors[0].shape[1] == vectors[1].shape[1]:
        x, y, split = _x_and_y(vectors, size_hw, path)
        return [x.name, y.name], x.shape[1] or 0, [f"  simcc_split: {split!r}", "  blur: 1"]
    have = ", ".join(map(str, found.outputs))
    raise InputError(
        f"{path} gives {have}: neither one output of maps (N, K, h, w) nor two of SimCC vectors",
        "write a card by hand and a backend that reads it (docs/models.md)",
    )


def _x_and_y(
    vectors: list[Tensor], size_hw: tuple[int, int], path: Path
) -> tuple[Tensor, Tensor, float]:
    """Tell the axes by their bins, or by their order where the input is square."""
    height, width = size_hw
    for x, y in (vectors, vectors[::-1]):
        split = (x.shape[2] or 0) / width
        if y.shape[2] == round(split * height):
            return x, y, split
    raise InputError(
        f"{path} gives {vectors[0]} and {vectors[1]}, which are no SimCC vectors of {width} x "
        f"{height} px",
        "write the card by hand (docs/models.md)",
    )


def _skeleton(keypoints: int) -> list[str]:
    if keypoints == HAND:
        return ["skeleton: hand21  # CHECK: wrist, then thumb to little finger, base to tip"]
    names = json.dumps([f"keypoint{k}" for k in range(keypoints)])
    return [f"skeleton:{UNKNOWN}", "  name: custom", f"  keypoints: {names}"]
