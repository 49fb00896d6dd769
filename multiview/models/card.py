"""Model cards: one YAML file a model says what its network files are and how to use them.

The cards of the shipped networks lie in ``multiview/models/data``; a workspace keeps its own in
``models/``. The card of model ``NAME`` is the file ``NAME.yaml``; files are named relative to it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from multiview.config import Config, load_yaml, parse_config
from multiview.core import HAND_21, Skeleton
from multiview.errors import ConfigError, InputError, ModelError

__all__ = [
    "DATA",
    "CropSpec",
    "DecodingSpec",
    "InputSpec",
    "ModelCard",
    "SkeletonSpec",
    "WeightFile",
    "find_cards",
    "load_card",
]

DATA = Path(__file__).with_name("data")
WORKSPACE = Path("models")
# ONNX and Caffe files are protobuf messages, whose limit this is.
MAX_WEIGHT_BYTES = 2**31 - 1
# What hides a wrong download: the page that a browser would have shown.
HTML_STARTS = (b"<!doctype", b"<html", b"<?xml", b"<head")
REINSTALL = (
    "reinstall multiview-bootstrapping: the file was changed or cut short after it was built"
)
ALIASES = {"hand": "mediapipe-full"}


def _inside(file: str) -> str:
    path = PurePosixPath(file.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.name or ":" in file:
        raise ValueError("must name a file in the card's folder or below it")
    return file


def _digest(text: str) -> str:
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise ValueError("must be 64 hexadecimal digits (the output of sha256sum)")
    return text


class WeightFile(Config):
    """One network file."""

    file: Annotated[str, AfterValidator(_inside)]
    """File name, relative to the card."""
    sha256: Annotated[str, AfterValidator(_digest)]
    """Digest; checked whenever the file is loaded."""
    source: str = ""
    """Where the file comes from: a release, a path inside a wheel, a training run."""
    source_sha256: str = ""
    """Digest of what it was converted from."""


class InputSpec(Config):
    """What the network sees: ``(value * scale - mean) / std`` of 8-bit pixels."""

    size_hw: tuple[Annotated[int, Field(ge=8, le=4096)], Annotated[int, Field(ge=8, le=4096)]]
    """Height and width [px]."""
    channels: Literal["RGB", "BGR"]
    scale: float = Field(gt=0, allow_inf_nan=False)
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """In the order of ``channels``, after scaling."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    name: str = "image"
    """Name of the network's input."""

    @model_validator(mode="after")
    def _check(self) -> InputSpec:
        if min(self.std) <= 0:
            raise ValueError("std must be positive")
        return self


class CropSpec(Config):
    """Which part of a picture the network wants to see for a hand."""

    scale: float = Field(2.2, gt=0, le=20)
    """Width of the crop in longer sides of the tight box around the keypoints."""
    rotate: bool = False
    """Turn the crop so that the fingers point up."""
    mirror_left: bool = False
    """The network knows right hands only: left ones are shown mirrored."""
    border: Literal["zero", "replicate"] = "zero"
    """What lies outside the picture."""


class DecodingSpec(Config):
    """How keypoints are read from the outputs."""

    kind: Literal["heatmap", "simcc", "regression"]
    output: tuple[str, ...]
    """Names of the outputs: one of maps; x then y of SimCC; those of a regression."""
    background: int | None = Field(None, ge=0)
    """Number of the map that is no keypoint; never decoded nor drawn."""
    simcc_split: float = Field(2.0, gt=0)
    """SimCC bins a pixel."""
    blur: int = Field(11, ge=1, le=63)
    """Width of the Gaussian that DARK decoding smooths the maps with [map px, odd]."""
    grid: Literal["half_pixel", "index", "corners"] = "half_pixel"
    """How map pixels lie on crop pixels, see `multiview.models.decode.crop_from_map`."""


class SkeletonSpec(Config):
    """Keypoints other than the 21 of a hand."""

    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    groups: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Points triangulated together; each alone by default."""
    colors: tuple[tuple[int, int, int], ...] = ()

    def build(self) -> Skeleton:
        """Make the skeleton; points without a colour are yellow."""
        return Skeleton(
            name=self.name,
            keypoints=self.keypoints,
            edges=self.edges,
            groups=self.groups or {name: (k,) for k, name in enumerate(self.keypoints)},
            colors=self.colors or ((255, 215, 0),) * len(self.keypoints),
        )


class ModelCard(Config):
    """One model: its files, what they expect, what they give, and under which licence."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    backend: str
    """Which file of `multiview.models` runs it; see `multiview.models.load.BACKENDS`."""
    about: str
    licence: str
    source: str
    """Where the weights come from."""
    skeleton: Literal["hand21"] | SkeletonSpec = "hand21"
    order: tuple[int, ...] | None = None
    """For every keypoint of the skeleton the number of the network's output; None: the same."""
    weights: dict[str, WeightFile]
    input: InputSpec
    crop: CropSpec = CropSpec()
    decoding: DecodingSpec
    confidence: str = ""
    """What the network's own confidence is."""
    notes: str = ""
    training: dict[str, Any] = Field(default_factory=dict)
    """How `multiview train` made it: data, configuration, scores on hands held back."""
    folder: Path = Path()
    """Set when the card is read."""

    @model_validator(mode="after")
    def _check(self) -> ModelCard:
        count = len(self.keypoints)
        if self.order is not None and len(self.order) != count:
            raise ValueError(f"order has {len(self.order)} entries for {count} keypoints")
        if self.order is not None and (min(self.order) < 0 or len(set(self.order)) != count):
            raise ValueError("order must hold different numbers from 0")
        return self

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Names in the order of axis K."""
        return HAND_21.keypoints if self.skeleton == "hand21" else self.skeleton.keypoints

    def build_skeleton(self) -> Skeleton:
        """Return the skeleton of axis K."""
        return HAND_21 if self.skeleton == "hand21" else self.skeleton.build()

    def path(self, part: str) -> Path:
        """Return the path of a network file."""
        return self.folder / self.weights[part].file

    @property
    def digest(self) -> str:
        """Digest of the card and, by their digests, of its files, 16 hex digits."""
        unset = set() if self.training else {"training"}
        text = self.model_dump_json(exclude={"folder"} | unset)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def read(self, part: str) -> bytes:
        """Read a network file and check that it is the one of the card.

        Parameters
        ----------
        part
            Key in ``weights``.

        Raises
        ------
        ModelError
            If the card has no such part, or the file is missing, empty, too big, a web page, or
            another file than the card describes.
        """
        if part not in self.weights:
            raise ModelError(
                f"model {self.name}: its card lists no weights {part!r}, only "
                f"{', '.join(self.weights)}",
                f"add them to {self.folder / (self.name + '.yaml')}",
            )
        path = self.path(part)
        data = read_weights(path, _get_again(self))
        if hashlib.sha256(data).hexdigest() != self.weights[part].sha256:
            raise ModelError(
                f"{path} is not the file its card describes (sha256 differs)", _get_again(self)
            )
        return data


def read_weights(path: Path, next_step: str = "get the file again") -> bytes:
    """Read a network file of a stranger: size first, and no web page.

    Raises
    ------
    ModelError
        If it cannot be read, is empty, larger than 2 GiB, or HTML.
    """
    try:
        size = path.stat().st_size
        if not path.is_file() or not 0 < size <= MAX_WEIGHT_BYTES:
            what = f"has {size} bytes" if path.is_file() else "is no file"
            raise ModelError(f"{path} {what}; a network has 1 byte to 2 GiB", next_step)
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})", next_step) from None
    if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(HTML_STARTS):
        raise ModelError(
            f"{path} is a web page, not a network", "download the file itself, not its page"
        )
    return data


def _get_again(card: ModelCard) -> str:
    if card.folder == DATA:
        return REINSTALL
    return f"get the file again ({card.source}), or correct the card"


def load_card(name: str | Path = "hand") -> ModelCard:
    """Read a card by the name of its model, or by its path.

    Parameters
    ----------
    name
        ``"hand"`` (the default detector), a shipped model, a model of ``./models``, or the path of
        a card (``.yaml``).

    Raises
    ------
    InputError
        If there is no such model.
    ConfigError
        If the card is misspelt.
    ModelError
        If a card of the package is missing or damaged.
    """
    text = str(name)
    if isinstance(name, Path) or text.endswith((".yaml", ".yml")) or "/" in text:
        return _read_card(Path(name))
    stem = ALIASES.get(text, text)
    own, shipped = WORKSPACE / f"{stem}.yaml", DATA / f"{stem}.yaml"
    if shipped.exists():
        if own.exists():
            raise ConfigError(
                f"{own}: a shipped model has the name {stem!r} too", "rename the card and its name"
            )
        return _read_card(shipped)
    if own.exists():
        return _read_card(own)
    raise InputError(
        f"there is no detector {text!r}",
        f"choose one of {', '.join([*ALIASES, *_stems()])}, or give the path of a model card",
    )


def find_cards() -> dict[str, ModelCard]:
    """Read all cards: the shipped ones, then those of ``./models``.

    Raises
    ------
    ConfigError
        If a card is misspelt.
    """
    return {stem: load_card(stem) for stem in _stems()}


def _stems() -> list[str]:
    """Names of the models at hand; YAML files of a workspace that are no cards are passed over."""
    own = [p.stem for p in sorted(WORKSPACE.glob("*.yaml")) if b"backend:" in p.read_bytes()]
    return [p.stem for p in sorted(DATA.glob("*.yaml")) if _is_card(p)] + own


def _is_card(path: Path) -> bool:
    return b"backend:" in path.read_bytes()


def _read_card(path: Path) -> ModelCard:
    try:
        card = parse_config(load_yaml(path), ModelCard, where=str(path))
    except ConfigError as error:
        if path.parent == DATA:
            raise ModelError(error.what, REINSTALL) from None
        raise
    if card.name != path.stem:
        raise ConfigError(
            f"{path}: the model's name is {card.name!r}", f"rename the file to {card.name}.yaml"
        )
    return card.model_copy(update={"folder": path.parent})
