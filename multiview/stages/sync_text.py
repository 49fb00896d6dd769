"""What a stage says of the synchronisation of its capture."""

from __future__ import annotations

from multiview.capture import Capture

__all__ = ["sync_text"]


def sync_text(capture: Capture) -> str:
    """One line if every set is complete, else a line for each camera too."""
    text = capture.sync.summary()
    if capture.sync.n_complete == capture.sync.n_sets:
        return text.splitlines()[0]
    return text
