"""What a bootstrapping run is asked to do: the YAML of `multiview bootstrap`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from multiview.bootstrap.labels import LabelConfig
from multiview.bootstrap.loop import StopConfig
from multiview.bootstrap.select import SelectConfig
from multiview.config import Config
from multiview.train.config import Share, TrainConfig
from multiview.triangulation import TriangulationConfig

__all__ = ["FinderConfig", "Footage", "LoopConfig"]

# Folders of a round beside those of the takes.
RESERVED = {"dataset", "finder", "train", "held-out", "changes.jpg"}


class Footage(Config):
    """A take without labels and the rig that filmed it."""

    capture: Path
    rig: Path
    name: str = ""
    """Of the session, kept with every label; the take's folder by default."""
    subject: str = ""
    """Whose hands they are: training holds back whole people, where it knows them."""
    sync: Literal["time", "index"] | None = None
    tolerance_s: float | None = None
    fps: float | None = None

    @model_validator(mode="after")
    def _named(self) -> Footage:
        name = self.name or self.capture.name
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError(f"{name!r} cannot name a folder; give name: letters, digits, . _ -")
        object.__setattr__(self, "name", name)
        return self


class FinderConfig(TrainConfig):
    """Training of the network that finds hands; as it was measured in `experiments/17-trainer`."""

    arch: Literal["palm"] = "palm"
    steps: int = Field(100, ge=1)
    batch: int = Field(8, ge=2)
    warmup: Share = 0.2
    ema: float = Field(0.9, ge=0, lt=1)


class LoopConfig(Config):
    """Everything that a bootstrapping run does; `multiview bootstrap` reads it from YAML.

    Paths are relative to the file. All options of the stages have their own defaults.

    Parameters
    ----------
    takes
        Footage without labels.
    held_out
        Labelled dataset that is never trained on: other subjects, cameras, backgrounds.
    start
        Labelled dataset that every round keeps (the paper's T_0); None: the detector brings its
        own start.
    detector
        The first one: a name or a card; ``"start"`` trains it on the start set.
    rounds
        At most.
    guide
        After triangulating, look again where the 3D says that a hand must be, so that the hard
        views are labelled by what the round knows.
    init
        Weights that each round's training begins with: ``"default"`` (those of the architecture,
        so that errors of a round are not inherited), ``"previous"`` (the round's own detector), or
        as in `multiview train`.
    train_finder
        Train the network that finds hands on each round's labels too (`finder`), before the one
        that reads them; the round's card has both. Of MediaPipe's pair only.
    trainer
        Command of another trainer; ``{dataset}`` and ``{out}`` are put in. It reads the dataset
        in `trainer_format` and leaves a card (YAML) and its ONNX file in ``{out}``.
    validation
        Share of the labels that training watches but does not learn from.
    """

    takes: tuple[Footage, ...] = Field(min_length=1)
    held_out: Path
    start: Path | None = None
    detector: str = "hand"
    rounds: int = Field(3, ge=1)
    passes: Literal[0, 1, 2, 4, 8] = 0
    max_hands: int = Field(2, ge=1, le=20)
    guide: bool = True
    ransac: TriangulationConfig = TriangulationConfig()
    label: LabelConfig = LabelConfig()
    select: SelectConfig = SelectConfig()
    max_false_label_rate: float | None = Field(None, gt=0, lt=1)
    train: TrainConfig = TrainConfig()
    train_finder: bool = False
    finder: FinderConfig = FinderConfig()
    init: str = "default"
    trainer: str | None = None
    trainer_format: str = "coco"
    validation: float = Field(0.1, gt=0, lt=1)
    stop: StopConfig = StopConfig()

    @model_validator(mode="after")
    def _check(self) -> LoopConfig:
        names = [take.name for take in self.takes]
        for name in names:
            if name in RESERVED or name.startswith("dataset-"):
                raise ValueError(f"no take can be called {name!r}: a round has such a folder")
        if self.ransac.max_hands > max(2, self.max_hands):
            raise ValueError(
                f"ransac.max_hands is {self.ransac.max_hands}, but the detector may find only "
                f"max_hands: {self.max_hands} in a picture; give both"
            )
        if len(set(names)) < len(names):
            raise ValueError("two takes have the same folder name; labels are named by it")
        if self.detector == "start" and self.start is None:
            raise ValueError("detector: start needs a start set")
        if self.trainer and not all(part in self.trainer for part in ("{dataset}", "{out}")):
            raise ValueError("trainer must name {dataset} and {out}")
        for key, part in (("train", self.train), ("finder", self.finder)):
            if "validation" in part.model_fields_set:
                raise ValueError(
                    f"{key}.validation: both networks are validated on the same hands; give "
                    "validation beside it, not in it"
                )
        if self.train_finder:
            self._check_finder()
        return self

    def _check_finder(self) -> None:
        pair = self.train.arch == "mediapipe" and self.train.mediapipe.head == "regression"
        if self.trainer or not pair:
            raise ValueError("train_finder goes with train.arch mediapipe, head regression, only")
        if self.init.endswith(".pt"):
            raise ValueError(
                f"init: {self.init} is a checkpoint of one network, train_finder trains two; give "
                "the card (YAML) of a pair"
            )

    def below(self, folder: Path) -> LoopConfig:
        """Return the same with paths taken from a folder."""
        takes = tuple(
            t.model_copy(update={"capture": folder / t.capture, "rig": folder / t.rig})
            for t in self.takes
        )
        start = None if self.start is None else folder / self.start
        card = self.detector
        if card.endswith((".yaml", ".yml")):
            card = str(folder / card)
        init = self.init
        if Path(init).suffix:  # a card or a checkpoint, not a word
            init = str(folder / init)
        select, model = self.select, self.select.risk.model
        if model is not None:
            risk = select.risk.model_copy(update={"model": folder / model})
            select = select.model_copy(update={"risk": risk})
        changed = {"takes": takes, "held_out": folder / self.held_out, "start": start}
        changed |= {"init": init, "select": select}
        return self.model_copy(update=changed | {"detector": card})
