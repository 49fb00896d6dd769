"""The other of MediaPipe's two networks: one finds hands, one reads them, a card holds both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from multiview.errors import InputError
from multiview.models.card import ModelCard, load_card
from multiview.train.config import TrainConfig
from multiview.train.design import Design

__all__ = ["join_partner", "partner_card"]

OTHER = {"hand": "palm", "palm": "hand"}


def partner_card(config: TrainConfig, partner: str | None, init: Path | None) -> ModelCard | None:
    """Find the card that the other network comes from; None where there is only one.

    Parameters
    ----------
    config
        Says what is trained.
    partner
        Name or path of a card; None: that of ``init`` if it is one, else the shipped network's.
    init
        File that the weights in training start from.

    Raises
    ------
    InputError
        If the card has not the two networks, or what is trained needs no other.
    """
    pair = config.arch == "palm" or (
        config.arch == "mediapipe" and config.mediapipe.head == "regression"
    )
    if not pair:
        if partner is not None:
            raise InputError(
                "--partner is for MediaPipe's pair of networks only",
                "leave it out, or train --arch palm or --arch mediapipe",
            )
        return None
    shipped = config.palm.network if config.arch == "palm" else config.mediapipe.network
    if partner is None and init is not None and init.suffix in {".yaml", ".yml"}:
        card = load_card(init)
        # weights of another architecture are refused where they are read
        return card if _is_pair(card) else load_card(shipped)
    card = load_card(partner or shipped)
    if not _is_pair(card):
        raise InputError(
            f"{card.name} has not MediaPipe's two networks, palm and hand",
            "give --partner the card of a model of `multiview train --arch palm` or "
            "`--arch mediapipe`, or a shipped one",
        )
    return card


def _is_pair(card: ModelCard) -> bool:
    return card.backend == "mediapipe" and set(OTHER) <= set(card.weights)


def join_partner(
    fields: dict[str, Any],
    design: Design,
    partner: ModelCard,
    save: Callable[[Path], Callable[[bytes], None]],
    folder: Path,
) -> dict[str, Any]:
    """Put the other network's file beside the trained one, and what it needs on the card.

    Parameters
    ----------
    fields
        Of the trained network's card.
    design
        What was trained.
    partner
        Where the other network is from.
    save
        Gives what writes a file.
    folder
        Of the card.
    """
    part = OTHER[design.part]
    file, name = partner.weights[part], fields["name"]
    own = PurePosixPath(file.file).name
    if own == f"{name}.onnx":  # both were trained under one name
        own = f"{name}-{part}.onnx"
    save(folder / own)(partner.read(part))
    weights = fields["weights"] | {part: file.model_dump(mode="json") | {"file": own}}
    training = fields["training"] | {"partner": {"name": partner.name, "digest": partner.digest}}
    joined = fields | {"weights": weights, "training": training}
    if part == "hand":  # a card describes the network that reads the keypoints
        keep = {"input", "crop", "decoding", "confidence"}
        joined |= partner.model_dump(mode="json", include=keep)
    return joined
