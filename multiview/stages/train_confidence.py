"""Confidences of a trained network: fitted to the hands that its training held back.

The peak of a map, or that there is a hand at all, is no probability of a keypoint to be right, and
further training moves it. The hands held back are ones the network did not learn from, so what it
gets right of them tells what its signs are worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multiview._shapes import F64
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.images import read_image
from multiview.models.base import U8
from multiview.models.card import ModelCard, load_card
from multiview.models.confidence import SHIPPED
from multiview.models.fit_confidence import calibration_text
from multiview.models.load import build_detector
from multiview.progress import progress_bar, say
from multiview.stages.calibrate_model import counted, fit_confidences
from multiview.train.hands import TrainingHands

__all__ = ["calibrate_trained", "keep_confidence"]

# Confidences change little with more; a picture takes as long as in detection.
MOST_PICTURES = 300
COMMENT = "Parameters of multiview.models.confidence; `multiview train` wrote them."


def calibrate_trained(
    card: Path, held: TrainingHands, passes: Sequence[int]
) -> list[dict[str, Any]] | None:
    """Write ``confidence.yaml`` beside a trained network's card.

    Parameters
    ----------
    card
        Of the network.
    held
        Hands that it did not learn from.
    passes
        Numbers of extra crops to calibrate for; none: nothing is written.

    Returns
    -------
    list
        For each number of passes what was said and what was right, if half of the hands could be
        judged by the other half; None where they are too few, or all right, or none was found:
        confidences are then the network's own.
    """
    if not passes:
        return None
    detector = build_detector(load_card(str(card)))
    # whole groups after one another, so that the halves that judge each other share none
    names = [name for _, name in sorted(set(zip(held.session, held.picture, strict=True)))]
    some = np.linspace(0, len(names) - 1, min(MOST_PICTURES, len(names))).astype(int)
    about = f"{len(held)} hands held back in training"
    try:
        with progress_bar() as progress:
            pictures = _pictures(held, [names[n] for n in some])
            fitted = fit_confidences(
                detector, counted(pictures, progress, len(some)), passes, about
            )
    except InputError as error:
        say(f"train: confidences stay what the network gives: {error.what}")
        return None
    write_text(
        card.with_name(SHIPPED.name), calibration_text([f.calibration for f in fitted], COMMENT)
    )
    return [{"passes": f.calibration.passes} | f.judged for f in fitted]


def keep_confidence(partner: ModelCard | None, card: Path) -> None:
    """Bring a partner's confidence along with its network, if it has one of its own.

    Parameters
    ----------
    partner
        Card that the network which reads keypoints was taken from.
    card
        Of the pair.
    """
    own = None if partner is None else partner.folder / SHIPPED.name
    if own is not None and own != SHIPPED and own.exists():
        card.with_name(SHIPPED.name).write_bytes(own.read_bytes())


def _pictures(held: TrainingHands, names: Sequence[str]) -> Iterator[tuple[U8, F64]]:
    """Pictures with their labelled hands, (H, K, 2); NaN where a label has no weight."""
    xy = np.where((held.weight > 0)[..., None], held.xy_px, np.nan)
    rows: dict[str, list[int]] = {}
    for n, name in enumerate(held.picture):
        rows.setdefault(name, []).append(n)
    for name in names:
        yield read_image(Path(name)), xy[rows[name]]
