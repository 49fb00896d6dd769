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
from multiview.models.card import ModelCard
from multiview.progress import progress_bar, say
from multiview.stage import Stage, file_digest, package_version
from multiview.stages.train_confidence import calibrate_trained, keep_confidence
from multiview.stages.train_data import read_training_hands
from multiview.stages.train_partner import join_partner, partner_card
from multiview.stages.train_start import init_file, require_torch, start_from
from multiview.train.config import TrainConfig
from multiview.train.hands import TrainingHands, split_by_session

if TYPE_CHECKING:
    from multiview.train.design import Design
    from multiview.train.loop import Result, Trainer
    from multiview.train.task import AnyScore, Examples

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
    partner: str | None = None,
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
        partner=partner,
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
    partner: str | None = None,
    force: bool = False,
) -> Path:
    """Train; write ``NAME.onnx``, its card ``NAME.yaml``, ``confidence.yaml`` and ``history.csv``.

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
    partner
        Card from which the other of MediaPipe's two networks is taken; None: that of ``init`` if it
        is a card, else the shipped one.
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
    other = partner_card(config, partner, file)
    inputs = digests | {"hands": hands.digest, "init": file_digest(file) if file else init}
    if held is not None:
        inputs["held"] = held.digest
    if partner is not None and other is not None:
        inputs["partner"] = other.digest
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
    card = _card(stage, name, design, check, result, licence or _licence(config, init))
    figures = _write(stage, design, card, other, result)
    written = stage.work / f"{name}.yaml"
    if design.part == "palm":
        # keypoints are read by the other network, which did not change
        keep_confidence(other, written)
    else:
        figures["confidence"] = calibrate_trained(written, parts[1], config.calibrate)
    (stage.work / CHECKPOINT).unlink()
    stage.finish(figures)
    say(
        f"train: step {result.step} of {result.steps} is the best, "
        f"{result.score.text} on {len(check)} held-out {_what(design)} -> {out / name}.yaml"
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
) -> tuple[Design, Examples, Examples]:
    """Build the network, and cut all crops or read all pictures."""
    from multiview.train.design import build_design

    if hold.keypoints != learn.keypoints:
        raise InputError("the hands to validate on have other keypoints", "give both of one kind")
    design = start_from(build_design(config, len(learn.keypoints)), file, learn.keypoints)
    if design.part == "palm":
        return design, *_pictures(learn, hold)
    return design, *_crops(learn, hold, design, config)


def _pictures(learn: TrainingHands, hold: TrainingHands) -> tuple[Examples, Examples]:
    from multiview.train.pictures import store_pictures

    with progress_bar() as progress:
        learnt = store_pictures(
            learn, _read, progress=lambda n, total: progress("pictures", n, total)
        )
        held = store_pictures(hold, _read, enlarged=1.0)
    say(
        f"train: {learnt.hands} hands to learn in {len(learnt)} pictures, {held.hands} in "
        f"{len(held)} held back"
    )
    return learnt, held


def _crops(
    learn: TrainingHands, hold: TrainingHands, design: Design, config: TrainConfig
) -> tuple[Examples, Examples]:
    from multiview.train.crops import cut_hands

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
    return learnt, held


def _what(design: Design) -> str:
    return "pictures" if design.part == "palm" else "hands"


def _read(name: str) -> Any:
    """Read the picture of a name in `TrainingHands.picture`."""
    return read_image(Path(name))


def _trainer(
    stage: Stage,
    design: Design,
    config: TrainConfig,
    learnt: Examples,
    held: Examples,
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

    def __call__(self, step: int, steps: int, loss: float, score: AnyScore | None) -> None:
        self._progress("train", step, steps)
        self._losses.append(loss)
        if score is not None:
            say(f"step {step} of {steps}: loss {np.mean(self._losses):.4f}, held-out {score.text}")
            self._losses.clear()


def _card(
    stage: Stage, name: str, design: Design, held: Examples, result: Result, licence: str
) -> tuple[dict[str, Any], bytes]:
    """Export and check the network; return the fields of its card, and the network."""
    from multiview.train.export import card_fields, check_export, export_onnx
    from multiview.train.task import some_inputs

    data = export_onnx(design, result.tensors)
    apart = check_export(data, design, some_inputs(held, design, CHECKED))
    training = {
        "multiview": package_version(),
        "data": stage.inputs,
        "config": stage.config,
        "steps": result.steps,
        "best_step": result.step,
        "held_out": asdict(result.score) | {_what(design): len(held)},
        "torch_agrees_to": apart,
    }
    return card_fields(design, name, data, licence=licence, training=training), data


def _write(
    stage: Stage,
    design: Design,
    card: tuple[dict[str, Any], bytes],
    partner: ModelCard | None,
    result: Result,
) -> dict[str, Any]:
    """Write the network, its card and the history; return the figures."""
    fields, data = card
    name, training = fields["name"], fields["training"]
    _save_to(stage.work / f"{name}.onnx")(data)
    if partner is not None:
        fields = join_partner(fields, design, partner, _save_to, stage.work)
    parse_config(fields, ModelCard, where=f"the card of {name}")
    write_text(stage.work / f"{name}.yaml", yaml.safe_dump(fields, sort_keys=False, width=100))
    write_text(stage.work / HISTORY, _table(result.history))
    return {
        "score": asdict(result.score),
        "best_step": result.step,
        "steps": result.steps,
        "export": training["torch_agrees_to"],
    }


def _table(rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _licence(config: TrainConfig, init: str) -> str:
    own = init in {"default", "imagenet"} and config.arch != "cpm"
    return LICENCE.format(APACHE if own else "see its card" if init != "random" else "none")
