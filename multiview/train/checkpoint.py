"""The state of a training as bytes, and weights from those of another."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from multiview.errors import ModelError

__all__ = ["pack", "start_tensors", "unpack", "weights_of_file"]

VERSION = 1
AGAIN = "remove it and run the same command again, or train into another --out folder"


def pack(state: dict[str, Any]) -> bytes:
    """Turn a state (tensors, numbers, texts) into bytes."""
    stream = io.BytesIO()
    torch.save(state | {"version": VERSION}, stream)
    return stream.getvalue()


def unpack(data: bytes, where: str) -> dict[str, Any]:
    """Read what `pack` made; nothing in it is executed.

    Raises
    ------
    ModelError
        If it is damaged, or of another version.
    """
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise ModelError(f"{where} is no checkpoint ({type(error).__name__})", AGAIN) from None
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise ModelError(f"{where} is no checkpoint of this version of multiview", AGAIN)
    return state


def weights_of_file(data: bytes, where: str) -> dict[str, NDArray[np.float32]]:
    """Weights of a PyTorch state file (ImageNet weights as packages ship them), by name."""
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return {n: t.numpy() for n, t in state.items() if t.is_floating_point()}
    except (RuntimeError, ValueError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"{where} holds no weights ({error})", "reinstall its package") from None


def start_tensors(
    given: dict[str, NDArray[np.float32]], wanted: dict[str, tuple[int, ...]], where: str
) -> dict[str, NDArray[np.float32]]:
    """Take the weights of a network from those given, all of them.

    Raises
    ------
    ModelError
        If they are of another architecture, width or number of keypoints: names what differs.
    """
    missing = [n for n in wanted if n not in given]
    if missing:
        raise ModelError(
            f"{where} is of another architecture: it has no tensor {missing[0]!r}"
            + (f" and {len(missing) - 1} others" if len(missing) > 1 else ""),
            "give --init a network of the same --arch and head, or leave it out",
        )
    for name, shape in wanted.items():
        if tuple(given[name].shape) != tuple(shape):
            raise ModelError(
                f"{where} is of another width or skeleton: tensor {name!r} has shape "
                f"{tuple(given[name].shape)}, this network wants {tuple(shape)}",
                "give --init a network of the same keypoints, width and stages, or leave it out",
            )
    return {name: given[name] for name in wanted}
