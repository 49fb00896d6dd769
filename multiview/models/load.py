"""`load_detector`: detectors by the name of their model card."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

from multiview.errors import InputError
from multiview.models.base import Detector
from multiview.models.card import ModelCard, load_card

# A backend is one module with ``from_card(card, **options) -> Detector``, imported when needed.
BACKENDS = {
    "mediapipe": "multiview.models.mediapipe",
    "heatmap": "multiview.models.heatmap",
    "openpose": "multiview.models.openpose",
}


def load_detector(name: str | Path = "hand", *, passes: int = 0, **options: Any) -> Detector:
    """Load a detector by the name or the path of its model card.

    Parameters
    ----------
    name
        ``"hand"`` (the default, the same as ``"mediapipe-full"``), ``"mediapipe-lite"``, a model of
        ``./models``, or a path of a card.
    passes
        Read every hand so many times more (1, 2, 4 or 8) in slightly different crops: a smaller
        error and a sharper confidence; see `multiview.models.jitter.Jittered`.
    options
        Options of the backend. All have ``runtime="cv2"`` (or ``"ort"``), ``provider="cpu"``,
        ``threads=None`` and ``max_hands=2``; see `MediaPipeHands` for the default's.

    Raises
    ------
    InputError
        If there is no such detector or option.
    ModelError
        If its network file is missing or damaged.
    """
    detector = build_detector(load_card(name), **options)
    if not passes:
        return detector
    from multiview.models.jitter import Jittered

    return Jittered(detector, passes=passes)


def build_detector(card: ModelCard, **options: Any) -> Detector:
    """Build the detector of a card; see `load_detector`."""
    if card.backend not in BACKENDS:
        raise InputError(
            f"model {card.name}: there is no backend {card.backend!r}",
            f"choose one of {', '.join(BACKENDS)} in its card",
        )
    build = importlib.import_module(BACKENDS[card.backend]).from_card
    valid = list(inspect.signature(build).parameters)[1:]
    unknown = [o for o in options if o not in valid]
    if unknown:
        raise InputError(
            f"detector {card.name}: there is no option {', '.join(unknown)}",
            f"its options are {', '.join(valid)}",
        )
    detector: Detector = build(card, **options)
    return detector
