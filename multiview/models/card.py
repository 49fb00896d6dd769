"""Model cards of the shipped networks: what each file is, where it came from, and its digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from multiview.errors import ModelError

DATA = Path(__file__).with_name("data")
CARDS = "models.yaml"
REINSTALL = (
    "reinstall multiview-bootstrapping: the file was changed or cut short after it was built"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One network file.

    Parameters
    ----------
    name, file, sha256
        Name, file name and digest of the ONNX file.
    tflite_path, tflite_sha256
        Where it was converted from: path inside the wheel mediapipe-0.10.21, and digest.
    input_size
        Height and width of the input [px].
    outputs
        Names of the outputs.
    """

    name: str
    file: str
    sha256: str
    tflite_path: str
    tflite_sha256: str
    input_size: int
    outputs: tuple[str, ...]


def load_cards(folder: Path = DATA) -> dict[str, ModelCard]:
    """Read the cards of a folder of networks.

    Raises
    ------
    ModelError
        If ``models.yaml`` is missing or is no such table.
    """
    path = folder / CARDS
    try:
        networks = yaml.safe_load(path.read_text(encoding="utf-8"))["networks"]
        return {name: _card(name, fields) for name, fields in networks.items()}
    except (OSError, LookupError, TypeError, AttributeError, ValueError, yaml.YAMLError) as error:
        raise ModelError(f"{path} cannot be read as model cards ({error})", REINSTALL) from error


def _card(name: str, fields: dict[str, Any]) -> ModelCard:
    return ModelCard(name=name, **{**fields, "outputs": tuple(fields["outputs"])})


def load_net(name: str, folder: Path = DATA) -> cv2.dnn.Net:
    """Load one shipped network into ``cv2.dnn``, after checking its digest.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or refused by OpenCV; names the file.
    """
    card = load_cards(folder)[name]
    path = folder / card.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error})", REINSTALL) from error
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise ModelError(f"{path} is not the file its card describes (sha256 differs)", REINSTALL)
    try:
        return cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    except cv2.error as error:
        raise ModelError(
            f"{path} is refused by OpenCV {cv2.__version__} ({error})", "use OpenCV 4.10 or later"
        ) from error
