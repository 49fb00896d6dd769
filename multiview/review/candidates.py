"""Which frames are looked at, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from multiview.core import HandSamples
from multiview.errors import InputError

__all__ = ["ORDERS", "Candidate", "candidates", "in_order"]

ORDERS = ("residual", "score", "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A labelled frame.

    Parameters
    ----------
    frame
        Number of the frame set.
    cameras, images
        Views with a label, and their pictures.
    views_px
        Largest distance of a label from what the detector found in that view, for each of the
        views, pixels; NaN where the detector found nothing.
    score
        Of the selection (the worst hand's); NaN unknown.
    """

    frame: int
    cameras: tuple[str, ...]
    images: tuple[str, ...]
    views_px: tuple[float, ...]
    score: float = float("nan")

    @property
    def worst_px(self) -> float:
        """Largest of all views; NaN where no view says one."""
        return max((px for px in self.views_px if np.isfinite(px)), default=float("nan"))


def candidates(
    samples: HandSamples, scores: Mapping[int, float] | None = None
) -> tuple[Candidate, ...]:
    """Gather the labelled frames of a take, in the order of time."""
    if not len(samples):
        return ()
    scores = scores or {}
    order = np.lexsort((samples.camera, samples.frame_id))
    frames, starts = np.unique(samples.frame_id[order], return_index=True)
    residual = samples.residual_px
    worst = np.where(np.isfinite(residual), residual, -np.inf).max(1)
    found = []
    for frame, rows in zip(frames.tolist(), np.split(order, starts[1:]), strict=True):
        views = dict(zip(samples.camera[rows].tolist(), samples.image[rows].tolist(), strict=True))
        px = dict.fromkeys(views, -np.inf)
        for camera, value in zip(samples.camera[rows].tolist(), worst[rows].tolist(), strict=True):
            px[camera] = max(px[camera], value)
        found.append(
            Candidate(
                frame=frame,
                cameras=tuple(views),
                images=tuple(views.values()),
                views_px=tuple(v if np.isfinite(v) else float("nan") for v in px.values()),
                score=scores.get(frame, float("nan")),
            )
        )
    return tuple(found)


def in_order(found: Sequence[Candidate], order: str) -> tuple[Candidate, ...]:
    """Sort: ``residual`` the worst first, ``score`` the best first, ``time``.

    Raises
    ------
    InputError
        If the order is unknown, or nothing has a score.
    """
    if order not in ORDERS:
        raise InputError(f"no order is called {order!r}", f"one of {', '.join(ORDERS)}")
    if order == "score" and not any(np.isfinite(c.score) for c in found):
        raise InputError(
            "these labels have no scores (no selection.csv beside them)",
            "use --order residual, or run multiview label again",
        )
    key = {
        "residual": lambda c: -np.nan_to_num(c.worst_px, nan=0.0),
        "score": lambda c: -np.nan_to_num(c.score, nan=-np.inf),
        "time": lambda c: float(c.frame),
    }[order]
    return tuple(sorted(found, key=key))
