"""A trainer of the user's own: a dataset goes in, a card and its ONNX file come out."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from multiview.errors import InputError
from multiview.formats.datasets import LAYOUTS, load_dataset, save_dataset
from multiview.models.card import load_card
from multiview.models.confidence import SHIPPED
from multiview.progress import say
from multiview.stage import Stage

__all__ = ["check_trainer", "run_external_trainer"]

DATASET, OUT = "{dataset}", "{out}"


def check_trainer(command: str, format: str) -> None:
    """Refuse a trainer that cannot be started, or a layout that there is not.

    Raises
    ------
    InputError
        If so.
    """
    if format not in LAYOUTS:
        raise InputError(
            f"trainer_format: there is no layout {format!r}", f"choose one of {', '.join(LAYOUTS)}"
        )
    program = shlex.split(command)[0]
    if shutil.which(program) is None:
        raise InputError(
            f"trainer {program}: there is no such program",
            "give the full path of the program in `trainer`",
        )


def run_external_trainer(
    command: str, format: str, dataset: Path, out: Path, force: bool = False
) -> str:
    """Convert the dataset, run the command, and check the card that it leaves.

    Parameters
    ----------
    command
        Split like a shell's line, without a shell; ``{dataset}`` and ``{out}`` are put in. A run
        that was killed finds its files in ``{out}`` again.
    format
        Layout of the dataset the command reads.
    dataset
        The round's dataset.
    out
        Output folder.
    force
        Replace an older, different result.

    Returns
    -------
    str
        The card.

    Raises
    ------
    InputError
        If the command cannot be run or fails, or leaves not one card.
    ModelError
        If the card's network is not what it says.
    """
    data = load_dataset(dataset)
    plan = {"trainer": command, "format": format}
    stage = Stage("trainer", plan, {"dataset": data.digest}, out, force)
    if not stage.done:
        converted = out.with_name(f"dataset-{format}")
        save_dataset(data.samples, converted, format, pictures=data.pictures, force=True)
        _run(command, converted, stage.work)
        card = _card(stage.work)
        load_card(str(card))
        stage.finish({"card": card.name})
    return str(_card(out))


def _run(command: str, dataset: Path, out: Path) -> None:
    places = {DATASET: str(dataset.resolve()), OUT: str(out.resolve())}
    words = []
    for word in shlex.split(command):
        for name, value in places.items():
            word = word.replace(name, value)
        words.append(word)
    say(f"trainer: {shlex.join(words)}")
    try:
        done = subprocess.run(words, check=False, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    except OSError as error:
        raise InputError(
            f"trainer {words[0]}: cannot be run ({error.strerror})",
            "give the full path of the program in `trainer`",
        ) from None
    if done.returncode:
        raise InputError(
            f"the trainer ended with exit code {done.returncode}: {shlex.join(words)}",
            "see its messages above; the same command goes on when it works",
        )


def _card(folder: Path) -> Path:
    cards = sorted(c for c in folder.glob("*.yaml") if c.name != SHIPPED.name)
    if len(cards) != 1:
        names = ", ".join(c.name for c in cards) or "none"
        raise InputError(
            f"{folder}: the trainer must leave one card (YAML) beside its ONNX file, not {names}",
            "write it as docs/models.md says; `multiview models check CARD` checks it",
        )
    return cards[0]
