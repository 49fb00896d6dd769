"""What a person says of a frame, and what a press of a key makes of it.

A verdict is a word: empty (nobody looked), ``ok``, ``bad`` (the frame is not used) or
``bad CAMERA [CAMERA ...]`` (those views are not).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from multiview.errors import InputError

__all__ = ["BAD", "DEEDS", "GOOD", "Press", "after", "bad_views", "seconds_left", "tidy"]

GOOD, BAD = "ok", "bad"
DEEDS = ("accept", "reject", "view", "undo")
# Pauses longer than this are coffee, not a look at a frame.
PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Press:
    """One press of a key.

    Parameters
    ----------
    name
        Unique; the same press sent twice counts once.
    deed
        One of `DEEDS`.
    frames
        Frames that it is about; empty for ``undo``.
    camera
        The view, for ``view``.
    """

    name: str
    deed: str
    frames: tuple[int, ...] = ()
    camera: str = ""

    def __post_init__(self) -> None:
        if self.deed not in DEEDS or bool(self.camera) != (self.deed == "view"):
            raise InputError(f"{self.deed!r} is no deed", f"one of {', '.join(DEEDS)}")
        if self.camera.split() not in ([], [self.camera]):
            raise InputError(
                f"camera {self.camera!r}: a verdict cannot name it, it has a space",
                "reject the frame, or rename the camera's folder and label again",
            )


def tidy(text: str, cameras: Sequence[str] | None = None) -> str:
    """Return a verdict in its one spelling.

    Parameters
    ----------
    text
        As a person wrote it.
    cameras
        Of the frame; None: not checked.

    Raises
    ------
    InputError
        If it is no verdict, or names a camera that the frame has not.
    """
    word, *views = text.split() or [""]
    word = word.lower()
    unknown = [] if cameras is None else [v for v in views if v not in cameras]
    if word not in ("", GOOD, BAD) or (word != BAD and views) or unknown:
        raise InputError(
            f"{text!r} is no verdict" + (f": no camera {unknown[0]}" if unknown else ""),
            "write ok, bad, or bad CAMERA [CAMERA ...]; keep the columns as they are",
        )
    return " ".join([word, *sorted(set(views))])


def bad_views(verdict: str) -> tuple[str, ...]:
    """Cameras that a verdict rejects; empty where it is about the whole frame."""
    return tuple(verdict.split()[1:])


def after(press: Press, before: Mapping[int, str]) -> dict[int, str]:
    """Return what a press changes.

    Parameters
    ----------
    press
        Anything but ``undo``, which only the store's history answers.
    before
        Verdicts by frame.

    Returns
    -------
    dict[int, str]
        New verdicts of the frames whose verdict is another one now.

    Notes
    -----
    Accepting a frame of which single views are rejected keeps them rejected: it says that the rest
    is right. Naming a rejected view again takes it back, and the last one leaves the frame open.
    """
    new = {frame: _said(press, before[frame]) for frame in press.frames if frame in before}
    return {frame: verdict for frame, verdict in new.items() if verdict != before[frame]}


def _said(press: Press, old: str) -> str:
    if press.deed == "reject":
        return BAD
    if press.deed == "accept":
        return old if bad_views(old) else GOOD
    views = set(bad_views(old)) ^ {press.camera}
    return " ".join([BAD, *sorted(views)]) if views else ""


def seconds_left(times_s: Sequence[float], waiting: int) -> float:
    """Time that the open frames will take at the pace of the last ones.

    Parameters
    ----------
    times_s
        When verdicts were given, ascending.
    waiting
        Number of open frames.

    Returns
    -------
    float
        Seconds; NaN before two verdicts.
    """
    gaps = np.diff(np.asarray(times_s, np.float64))
    gaps = gaps[gaps < PAUSE_S]
    return float(gaps.mean() * waiting) if gaps.size else float("nan")
