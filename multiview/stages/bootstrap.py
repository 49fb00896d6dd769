"""`multiview bootstrap`: detect, triangulate, label, train, score, and again.

Every step of every round is a stage in a folder of its own, so a run that was killed anywhere goes
on where it was when the same command is given again, and ends with the same labels and weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from multiview.bootstrap.loop import best_round
from multiview.bootstrap.risk import load_risk_model
from multiview.capture import Capture, open_capture
from multiview.errors import InputError, NoLabelError
from multiview.evaluation.held_out import HeldOut
from multiview.formats.atomic import write_text
from multiview.formats.datasets import load_dataset
from multiview.formats.rig_yaml import read_rig
from multiview.models.card import load_card
from multiview.progress import say
from multiview.stages.detect import run_detect
from multiview.stages.external_trainer import check_trainer, run_external_trainer
from multiview.stages.guide import run_guide
from multiview.stages.held_out import changes_sheet, run_score
from multiview.stages.label import run_label
from multiview.stages.loop_config import Footage, LoopConfig
from multiview.stages.loop_report import loop_report
from multiview.stages.review_folder import awaited_verdicts, write_review
from multiview.stages.round_dataset import RoundData, run_round_dataset
from multiview.stages.train import train_hands
from multiview.stages.train_start import init_file, require_torch
from multiview.stages.triangulate import run_triangulate
from multiview.train.config import TrainConfig

__all__ = ["run_bootstrap"]

REPORT = "report.md"


def run_bootstrap(
    config: LoopConfig, out: Path, *, review: bool = False, force: bool = False
) -> Path:
    """Run rounds until the held-out score no longer rises.

    Parameters
    ----------
    config
        What to do, paths resolved.
    out
        One folder a round: ``TAKE/`` with detections, points and labels, ``dataset/``, ``train/``,
        ``held-out/``, ``changes.jpg``; beside them ``report.md``, which names the best card.
    review
        Wait for a person's verdicts on every round's labels before training on them.
    force
        Replace steps that an older configuration made.

    Returns
    -------
    Path
        The card of the best detector; with ``review`` and verdicts missing, the first table that
        waits for them.

    Raises
    ------
    MultiviewError
        What a stage raises; finished stages stay.
    """
    _check(config)
    loop = _Loop(config, out, review, force)
    loop.begin()
    for number in range(1, config.rounds + 1):
        waiting = loop.run_round(number)
        if waiting is not None:
            return waiting
        loop.report()
        if best_round(loop.scores, config.stop).stop:
            say(f"bootstrap: {config.stop.measure} no longer rises")
            break
    return loop.finish()


class _Loop:
    """The detectors so far, and what they are worth."""

    def __init__(self, config: LoopConfig, out: Path, review: bool, force: bool) -> None:
        self.config, self.out, self.review, self.force = config, out, review, force
        self.cards: list[str] = []
        self.held: list[HeldOut] = []
        self.datasets: list[Path] = []

    def begin(self) -> None:
        """Score the first detector, trained on the start set if that is asked for."""
        self._add(0, self._first_detector())
        self.report()

    def _add(self, number: int, card: str) -> None:
        self.cards.append(card)
        self.held.append(self._score(number, card))

    @property
    def scores(self) -> list[float]:
        """The measure that stops the loop, of every detector."""
        return [held.figures()[self.config.stop.measure] for held in self.held]

    def folder(self, number: int) -> Path:
        """Folder of a round; that of the first detector is 0."""
        return self.out / f"round-{number}"

    def run_round(self, number: int) -> Path | None:
        """Label by the newest detector, train the next; return a folder that awaits a person."""
        say(f"bootstrap: round {number} of at most {self.config.rounds}")
        folder = self.folder(number)
        labels = self._labels(folder, number)
        if self.review:
            for made in labels:
                write_review(made)
            waiting = awaited_verdicts(labels)
            if waiting:
                return waiting[0]
        self._add(number, self._train(folder, labels, f"round-{number}"))
        sheet = folder / "changes.jpg"
        if self.force or not sheet.exists():
            changes_sheet(self.held[-2], self.held[-1], self.config.held_out, sheet)
        return None

    def finish(self) -> Path:
        """Name the best detector."""
        best = best_round(self.scores, self.config.stop).best
        card = self.cards[best]
        say(
            f"bootstrap: round {best} is the best, {self.config.stop.measure} "
            f"{self.scores[0]:.3f} -> {self.scores[best]:.3f} -> {card}"
        )
        return Path(card)

    def report(self) -> None:
        """Write the table of all rounds so far."""
        figures = [held.figures() for held in self.held]
        text = loop_report(self.config, self.out, self.cards, figures, self.held)
        write_text(self.out / REPORT, text)

    def _first_detector(self) -> str:
        config = self.config
        if config.detector != "start":
            load_card(config.detector)
            return config.detector
        assert config.start is not None
        return self._train(self.folder(0), [], "start")

    def _labels(self, folder: Path, number: int) -> list[Path]:
        """Label every take; one of which nothing passes is left out of this round."""
        made, refused = [], None
        for take in self.config.takes:
            try:
                made.append(self._label(take, folder / take.name, number))
            except NoLabelError as error:
                refused = NoLabelError(
                    f"take {take.name}, round {number}: {error.what}",
                    f"{error.next_step} (in the YAML: a.b for --a.b)",
                )
                say(f"bootstrap: left out of this round: {refused.what}")
        if refused is not None and not made:
            raise refused
        return made

    def _label(self, take: Footage, folder: Path, number: int) -> Path:
        """Detect, triangulate, look again, label; return the folder of the labels."""
        config, card, force = self.config, self.cards[-1], self.force
        capture = _open(take)
        found, points = folder / "detect", folder / "triangulate"
        run_detect(
            capture,
            found,
            detector=card,
            passes=config.passes,
            max_hands=config.max_hands,
            force=force,
        )
        run_triangulate(found, take.rig, points, config.ransac, force=force)
        if config.guide:
            looked = folder / "guide"
            run_guide(capture, points, looked, detector=card, passes=config.passes, force=force)
            found, points = looked, folder / "triangulate-guided"
            run_triangulate(found, take.rig, points, config.ransac, force=force)
        return run_label(
            capture,
            found,
            points,
            folder / "labels",
            config.label,
            select=config.select,
            max_false_label_rate=config.max_false_label_rate,
            session=take.name,
            subject=take.subject,
            iteration=number,
            force=force,
        )

    def _train(self, folder: Path, labels: Sequence[Path], name: str) -> str:
        """Join labels and start set, train on them; return the new card."""
        config = self.config
        data = run_round_dataset(
            labels,
            config.start,
            folder / "dataset",
            share=config.validation,
            seed=config.train.seed,
            earlier=self.datasets,
            force=self.force,
        )
        self.datasets.append(data.folder)
        if config.trainer:
            return run_external_trainer(
                config.trainer, config.trainer_format, data.folder, folder / "train", self.force
            )
        init = config.init
        if init == "previous":
            init = self.cards[-1] if labels and self.cards[-1].endswith(".yaml") else "default"
        finder = None
        if config.train_finder:
            # the other network is trained next, and only then is there something to calibrate
            part = config.finder.model_copy(update={"calibrate": ()})
            finder = self._train_network(data, folder / "finder", part, init, name)
        passes = {config.passes, *config.train.calibrate} if config.train.calibrate else ()
        train = config.train.model_copy(update={"calibrate": tuple(sorted(passes))})
        return self._train_network(data, folder / "train", train, init, name, finder)

    def _train_network(
        self,
        data: RoundData,
        out: Path,
        train: TrainConfig,
        init: str,
        name: str,
        partner: str | None = None,
    ) -> str:
        """Train one network on a round's dataset; return its card."""
        train_hands(
            data.hands,
            data.digests,
            out,
            train,
            held=data.held,
            init=init,
            name=name,
            partner=partner,
            force=self.force,
        )
        return str(out / f"{name}.yaml")

    def _score(self, number: int, card: str) -> HeldOut:
        folder = self.folder(number) / "held-out"
        return run_score(card, self.config.held_out, folder, force=self.force)


def _check(config: LoopConfig) -> None:
    """Refuse before the first round begins what would end a later one."""
    if not config.trainer:
        if config.init != "previous":
            for part in (config.train, *([config.finder] if config.train_finder else [])):
                init_file(part.arch, config.init)
        require_torch()
    else:
        check_trainer(config.trainer, config.trainer_format)
    load_risk_model(config.select.risk.model)
    for key, folder in (("held_out", config.held_out), ("start", config.start)):
        if folder is not None:
            try:
                load_dataset(folder)
            except InputError as error:
                raise InputError(f"{key}: {error.what}", error.next_step) from None
    for take in config.takes:
        _check_take(take)


def _check_take(take: Footage) -> None:
    capture = _open(take)
    read_rig(take.rig).select(capture.names).check_sizes(capture.sizes_wh)


def _open(take: Footage) -> Capture:
    return open_capture(take.capture, sync=take.sync, tolerance_s=take.tolerance_s, fps=take.fps)
