"""`multiview train`: from labels to a network, its card and its scores; goes on after a kill."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from multiview.config import parse_config
from multiview.errors import InputError
from multiview.formats.atomic import replacing, write_text
from multiview.images import read_image
from multiview.models.card import ModelCard, load_card
from multiview.progress import progress_bar, say
from multiview.stage import Stage, file_digest, package_version
from multiview.stages.train_data import read_training_hands
from multiview.stages.train_start import init_file, require_torch, start_from
from multiview.train.config import TrainConfig
from multiview.train.hands import TrainingHands, split_by_session

if TYPE_CHECKING:
    from multiview.train.crops import CropSet
    from multiview.train.design import Design
    from multiview.train.loop import Result, Trainer
    from multiview.train.validate import Score

__all__ = ["run_train", "train_hands"]

CHECKPOINT, HISTORY = "checkpoint.pt", "history.csv"
CHECKED = 4  # validation crops on which the exported network is compared with torch
LICENCE = "of the start: {}; of the training data: not stated (--licence)"
APACHE = "Apache-2.0"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"  # as in ModelCard


def run_train(
    labels: Sequence[Path],
    out: Path,
    config: TrainConfig,
    *,
    start: Sequence[Path] = (),
    init: str = "default",
    name: str | None = None,
    licence: str | None = None,
    checkpoint_s: float = 30.0,
    force: bool = False,
) -> Path:
    """Train on folders of labels and data sets; see `train_hands`.

    Parameters
    ----------
    labels, start
        Folders of `multiview label` or data sets: new labels, and the start set that every round
        keeps.

    Raises
    ------
    InputError
        If torch is not installed, labels or pictures are missing, or ``init`` is unknown.
    """
    require_torch()
    data = read_training_hands(labels, start)
    return train_hands(
        data.hands,
        data.digests,
        out,
        config,
        held=data.held,
        init=init,
        name=name,
        licence=licence,
        checkpoint_s=checkpoint_s,
        force=force,
    )


def train_hands(
    hands: TrainingHands,
    digests: dict[str, str],
    out: Path,
    config: TrainConfig,
    *,
    held: TrainingHands | None = None,
    init: str = "default",
    name: str | None = None,
    licence: str | None = None,
    checkpoint_s: float = 30.0,
    force: bool = False,
) -> Path:
    """Train and write ``NAME.onnx``, its card ``NAME.yaml`` and ``history.csv`` into ``out``.

    A run that was killed goes on from its last checkpoint and ends with the same weights.

    Parameters
    ----------
    hands
        Labelled hands; ``hands.picture`` are paths.
    digests
        Of what they were read from, for the manifest.
    out
        Output folder.
    config
        Architecture and training.
    held
        Hands to validate on; None: `config.validation` of the hands, in whole sessions.
    init
        ``default``, ``random``, ``imagenet``, or the path of a card or checkpoint.
    name
        Of the model; by default that of the folder.
    licence
        Of the trained weights, for the card.
    checkpoint_s
        Seconds between checkpoints.
    force
        Replace an older, different result.

    Raises
    ------
    ModelError
        If the weights of ``init`` do not fit, the loss is no number any more, or the exported
        network differs from torch.
    InputError
        If the labels cannot be trained on.
    """
    require_torch()
    file = init_file(config.arch, init)
    name = _checked_name(name or out.name)
    inputs = digests | {"hands": hands.digest, "init": file_digest(file) if file else init}
    if held is not None:
        inputs["held"] = held.digest
    settings = config.model_dump(mode="json") | {"name": name, "licence": licence}
    stage = Stage("train", settings, inputs, out, force)
    if stage.done:
        say(f"train: {out} is up to date")
        return out
    with stage.cleared():
        parts = _split(hands, config) if held is None else (hands, held)
        design, learnt, check = _prepare(*parts, config, file)
    trainer = _trainer(stage, design, config, learnt, check, hands.keypoints)
    with progress_bar() as progress:
        report = _Report(progress)
        result = trainer.run(_save_to(stage.work / CHECKPOINT), report, every_s=checkpoint_s)
    figures = _write(stage, name, design, check, result, licence or _licence(config, init))
    (stage.work / CHECKPOINT).unlink()
    stage.finish(figures)
    say(
        f"train: step {result.step} of {result.steps} is the best, PCK@0.1 "
        f"{result.score.pck_10:.3f} on {len(check)} held-out hands -> {out / name}.yaml"
    )
    return out


def _checked_name(name: str) -> str:
    if not re.fullmatch(NAME, name):
        raise InputError(
            f"a model cannot be called {name!r}",
            "--name with letters, digits, dots, dashes and underscores, a letter or digit first",
        )
    return name


def _split(hands: TrainingHands, config: TrainConfig) -> tuple[TrainingHands, TrainingHands]:
    """Hold whole sessions back; say so where there is only one."""
    learn, hold = split_by_session(hands, config.validation, config.seed)
    if len(set(hands.session)) == 1:
        say("train: one session only: its last frames are held back, which flatters the scores")
    return hands.take(learn), hands.take(hold)


def _prepare(
    learn: TrainingHands, hold: TrainingHands, config: TrainConfig, file: Path | None
) -> tuple[Design, CropSet, CropSet]:
    """Build the network, and cut all crops."""
    from multiview.train.crops import cut_hands
    from multiview.train.design import build_design

    if hold.keypoints != learn.keypoints:
        raise InputError("the hands to validate on have other keypoints", "give both of one kind")
    design = start_from(build_design(config, len(learn.keypoints)), file, learn.keypoints)
    negatives = 0
    if design.by_landmarks:
        negatives = round(config.mediapipe.negatives * len(learn))
    with progress_bar() as progress:
        learnt = cut_hands(
            learn,
            _read,
            design,
            negatives=negatives,
            seed=config.seed,
            progress=lambda n, total: progress("crops", n, total),
        )
        held = cut_hands(hold, _read, design)
    say(
        f"train: {int(learnt.hand.sum())} of {len(learn)} hands to learn, {len(held)} of "
        f"{len(hold)} held back"
    )
    return design, learnt, held


def _read(name: str) -> Any:
    """Read the picture of a name in `TrainingHands.picture`."""
    return read_image(Path(name))


def _trainer(
    stage: Stage,
    design: Design,
    config: TrainConfig,
    learnt: CropSet,
    held: CropSet,
    keypoints: Sequence[str],
) -> Trainer:
    """Set up the training, from its checkpoint if there is one."""
    from multiview.train.loop import Trainer

    plan = json.dumps([stage.config, stage.inputs], sort_keys=True)
    key = hashlib.sha256(plan.encode()).hexdigest()
    trainer = Trainer(design, config, learnt, held, key, keypoints=tuple(keypoints))
    checkpoint = stage.work / CHECKPOINT
    if checkpoint.exists():
        step = trainer.restore(checkpoint.read_bytes(), str(checkpoint))
        say(f"train: goes on after step {step} of {config.steps}")
    return trainer


def _save_to(path: Path) -> Callable[[bytes], None]:
    """Return what replaces a file in one step; a full disk leaves the one before."""

    def save(data: bytes) -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(data)

    return save


class _Report:
    """Shows steps as a bar, scores as lines."""

    def __init__(self, progress: Callable[[str, int, int], None]) -> None:
        self._progress, self._losses = progress, list[float]()

    def __call__(self, step: int, steps: int, loss: float, score: Score | None) -> None:
        self._progress("train", step, steps)
        self._losses.append(loss)
        if score is not None:
            say(
                f"step {step} of {steps}: loss {np.mean(self._losses):.4f}, held-out PCK@0.1 "
                f"{score.pck_10:.3f}, PCK@0.2 {score.pck_20:.3f}, error {score.error:.3f} hands"
            )
            self._losses.clear()


def _write(
    stage: Stage, name: str, design: Design, held: CropSet, result: Result, licence: str
) -> dict[str, Any]:
    """Export, check, and write the network, its card and the history; return the figures."""
    from multiview.train.batches import plain_batches
    from multiview.train.export import card_fields, check_export, export_onnx

    data = export_onnx(design, result.tensors)
    some = next(plain_batches(held, design.size_px, design.input, CHECKED))
    apart = check_export(data, design, some.image)
    score = asdict(result.score)
    training = {
        "multiview": package_version(),
        "data": stage.inputs,
        "config": stage.config,
        "steps": result.steps,
        "best_step": result.step,
        "held_out": score | {"hands": len(held)},
        "torch_agrees_to": apart,
    }
    fields = card_fields(design, name, data, licence=licence, training=training)
    _save_to(stage.work / f"{name}.onnx")(data)
    if design.by_landmarks:
        fields["weights"] |= _palm(stage)
    parse_config(fields, ModelCard, where=f"the card of {name}")
    write_text(stage.work / f"{name}.yaml", yaml.safe_dump(fields, sort_keys=False, width=100))
    write_text(stage.work / HISTORY, _table(result.history))
    return {"score": score, "best_step": result.step, "steps": result.steps, "export": apart}


def _palm(stage: Stage) -> dict[str, Any]:
    """Copy the palm network beside the card: backend `mediapipe` finds hands by it."""
    shipped = load_card(stage.config["mediapipe"]["network"])
    part = shipped.weights["palm"]
    _save_to(stage.work / part.file)(shipped.read("palm"))
    return {"palm": part.model_dump(mode="json")}


def _table(rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _licence(config: TrainConfig, init: str) -> str:
    own = init in {"default", "imagenet"} and config.arch in {"light", "mediapipe"}
    return LICENCE.format(APACHE if own else "see its card" if init != "random" else "none")
