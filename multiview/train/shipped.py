"""MediaPipe's two networks, of which each can be trained further."""

from __future__ import annotations

from typing import Any, Literal

from multiview.errors import InputError
from multiview.models.card import ModelCard, load_card
from multiview.models.mediapipe import KEYPOINTS

__all__ = ["open_shipped"]


def open_shipped(
    network: str, part: Literal["palm", "hand"], keypoints: int, needs: str
) -> tuple[ModelCard, Any]:
    """Open one network of a shipped pair.

    Parameters
    ----------
    network
        Name of the pair.
    part
        Which of the two.
    keypoints
        How many the labels have.
    needs
        What the network has to do with a hand's keypoints, with their number, for the message.

    Returns
    -------
    tuple
        Its card, and the ONNX model.

    Raises
    ------
    InputError
        If the keypoints are not the 21 of a hand.
    """
    if keypoints != KEYPOINTS:
        raise InputError(
            f"{needs}, the labels have {keypoints}", "train --arch light or --arch cpm"
        )
    import onnx

    card = load_card(network)
    return card, onnx.load_model_from_string(card.read(part))
