"""`load_detector`: detectors by name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from multiview.errors import InputError
from multiview.models.base import Detector
from multiview.models.mediapipe import MediaPipeHands

DETECTORS: dict[str, Callable[..., Detector]] = {
    "hand": functools.partial(MediaPipeHands, model="full"),
    "mediapipe-full": functools.partial(MediaPipeHands, model="full"),
    "mediapipe-lite": functools.partial(MediaPipeHands, model="lite"),
}


def load_detector(name: str = "hand", **options: Any) -> Detector:
    """Load a detector by name.

    Parameters
    ----------
    name
        ``"hand"`` (the default, the same as ``"mediapipe-full"``) or ``"mediapipe-lite"``.
    options
        Options of the detector, for these ``max_hands=2``, ``min_score=0.5``,
        ``min_presence=0.5``, ``threads=None``; see `MediaPipeHands`.

    Raises
    ------
    InputError
        If there is no such detector or option.
    ModelError
        If its network file is missing or damaged.
    """
    if name not in DETECTORS:
        raise InputError(f"there is no detector {name!r}", f"choose one of {', '.join(DETECTORS)}")
    try:
        return DETECTORS[name](**options)
    except TypeError as error:
        raise InputError(
            f"detector {name!r}: {error}", "see the options of load_detector"
        ) from None
