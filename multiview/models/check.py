"""Check a model: its files, its shapes, both runtimes against each other, and a real picture."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from multiview._shapes import F64
from multiview.errors import ModelError
from multiview.models._crops import F32, letterbox
from multiview.models.base import U8, Detector
from multiview.models.card import ModelCard
from multiview.models.keypoint_network import as_input
from multiview.models.load import build_detector
from multiview.models.onnx_file import OnnxFile, check_input, inspect_onnx
from multiview.models.runtime import RUNTIMES, check_runtime, open_network

__all__ = ["Finding", "check_model", "installed_runtimes"]

# Of the largest value of an output. float32 sums in another order, layer after layer, differ by
# about 1e-5; a layer that a runtime computes wrongly by over 1e-2.
SAME = 1e-3
TIMED_S = 1.0  # long enough for a median; networks that take longer run three times
TIMED_RUNS = (3, 30)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked, and what was found."""

    what: str
    result: str


def installed_runtimes() -> tuple[str, ...]:
    """Names of the runtimes that can be used here."""
    have = importlib.util.find_spec("onnxruntime") is not None
    return RUNTIMES if have else ("cv2",)


def check_model(
    card: ModelCard,
    picture: U8,
    *,
    runtimes: tuple[str, ...] | None = None,
    provider: str = "cpu",
) -> Iterator[Finding]:
    """Check a model step by step.

    Parameters
    ----------
    card
        The model.
    picture
        BGR picture that the networks are run on.
    runtimes
        Those to run; all that are installed by default.
    provider
        Of onnxruntime.

    Yields
    ------
    Finding
        What is in order.

    Raises
    ------
    ModelError
        At the first thing that is not: a missing, damaged or wrong file, shapes other than the
        card promises, values that are not finite, runtimes that disagree.
    InputError
        If a runtime, a provider or the card's backend is not there.
    """
    wanted = runtimes or installed_runtimes()
    for runtime in wanted:
        check_runtime(runtime, provider if runtime == "ort" else "cpu")
    for part in card.weights:
        yield from _check_part(card, part, picture, wanted, provider)
    for runtime in wanted:
        options = {"provider": provider} if runtime == "ort" else {}
        detector = build_detector(card, runtime=runtime, **options)
        yield Finding(f"{runtime}: a picture", _time_crop(detector, picture))


def _check_part(
    card: ModelCard, part: str, picture: U8, runtimes: tuple[str, ...], provider: str
) -> Iterator[Finding]:
    data, path = card.read(part), card.path(part)
    yield Finding(f"{part}: file", f"{path}, {len(data) / 1e6:.1f} MB, sha256 as in the card")
    found = inspect_onnx(data, str(path))
    yield Finding(f"{part}: network", f"{found.parameters:,} finite values, opset {found.opset}")
    promised = _is_promised(card, part)
    _check_shapes(card, found, path, promised)
    shapes = f"{', '.join(map(str, found.inputs))} to {', '.join(map(str, found.outputs))}"
    yield Finding(f"{part}: shapes", shapes)
    names = tuple(t.name for t in found.outputs)
    batch = _batch(card, found, picture)
    results: dict[str, dict[str, F32]] = {}
    for runtime in runtimes:
        network = open_network(
            card,
            part,
            outputs=names,
            runtime=runtime,
            provider=provider if runtime == "ort" else "cpu",
        )
        results[runtime] = network(batch)
    yield Finding(f"{part}: outputs", f"finite in {', '.join(runtimes)}")
    if len(runtimes) > 1:
        worst = _compare(results, path)
        yield Finding(f"{part}: runtimes", f"differ by {worst:.1g} of the largest value")


def _is_promised(card: ModelCard, part: str) -> bool:
    """Whether the card's input and decoding are about this file (not the palm network's)."""
    return not (card.backend == "mediapipe" and part == "palm")


def _check_shapes(card: ModelCard, found: OnnxFile, path: Path, promised: bool) -> None:
    image = check_input(found, (3, *card.input.size_hw) if promised else (3, None, None), path)
    names = [t.name for t in found.outputs]
    missing = [n for n in card.decoding.output if n not in names] if promised else []
    if missing or (promised and image.name != card.input.name):
        what = f"output {', '.join(missing)}" if missing else f"input {card.input.name!r}"
        raise ModelError(
            f"{path} has no {what}; it has {image.name} and {', '.join(names)}",
            "correct decoding.output or input.name in the card",
        )


def _batch(card: ModelCard, found: OnnxFile, picture: U8) -> F32:
    """Scale the whole picture to one input of the network."""
    shape = found.inputs[0].shape
    height, width = (n or own for n, own in zip(shape[2:], card.input.size_hw, strict=True))
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return as_input(np.asarray(small, np.uint8)[None], card.input)


def _compare(results: dict[str, dict[str, F32]], path: Path) -> float:
    """Return the largest difference of two runtimes, in units of the output's largest value."""
    (first, one), (second, other) = list(results.items())[:2]
    worst = 0.0
    for name, value in one.items():
        if value.size != other[name].size:
            raise ModelError(
                f"{path}: output {name!r} has shape {value.shape} in {first} and "
                f"{other[name].shape} in {second}",
                "a runtime does not support this network; export it anew with a lower opset",
            )
        scale = max(float(np.abs(value).max()), 1e-6)
        worst = max(worst, float(np.abs(value - other[name].reshape(value.shape)).max()) / scale)
        if worst > SAME:
            raise ModelError(
                f"{path}: output {name!r} differs by {worst:.2g} of its largest value between "
                f"{first} and {second} (at most {SAME:g} is rounding)",
                "a runtime computes a layer wrongly: use the other one, or export the network anew",
            )
    return worst


def _time_crop(detector: Detector, picture: U8) -> str:
    """Read one crop again and again; return what it took in words."""
    roi: F64 = letterbox(picture.shape[1], picture.shape[0])[None]
    hands = detector.detect(picture)
    detector.detect(picture, roi)
    seconds: list[float] = []
    low, high = TIMED_RUNS
    while len(seconds) < low or (sum(seconds) < TIMED_S and len(seconds) < high):
        began = time.perf_counter()
        detector.detect(picture, roi)
        seconds.append(time.perf_counter() - began)
    hands_found = "1 hand" if len(hands) == 1 else f"{len(hands)} hands"
    return f"{hands_found}, {np.median(seconds) * 1e3:.1f} ms a crop"
