"""`multiview bootstrap`: detect, triangulate, label, train, score, and again.

Every step of every round is a stage in a folder of its own, so a run that was killed anywhere goes
on where it was when the same command is given again, and ends with the same labels and weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from multiview.bootstrap.loop import best_round
from multiview.capture import Capture, open_capture
from multiview.evaluation.held_out import HeldOut
from multiview.formats.atomic import write_text
from multiview.models.card import load_card
from multiview.progress import say
from multiview.stages.detect import run_detect
from multiview.stages.external_trainer import run_external_trainer
from multiview.stages.guide import run_guide
from multiview.stages.held_out import changes_sheet, run_score
from multiview.stages.label import run_label
from multiview.stages.loop_config import Footage, LoopConfig
from multiview.stages.loop_report import loop_report
from multiview.stages.review_folder import awaited_verdicts, write_review
from multiview.stages.round_dataset import run_round_dataset
from multiview.stages.train import train_hands
from multiview.stages.train_start import require_torch
from multiview.stages.triangulate import run_triangulate

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
        ``held-out/``, ``changes.jpg``; beside them ``report.md`` and ``best.yaml``.
    review
        Wait for a person's verdicts on every round's labels before training on them.
    force
        Replace steps that an older configuration made.

    Returns
    -------
    Path
        The card of the best detector; with ``review`` and verdicts missing, the folder that waits
        for them.

    Raises
    ------
    MultiviewError
        What a stage raises; finished stages stay.
    """
    if not config.trainer:
        require_torch()
    loop = _Loop(config, out, review, force)
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
        self.cards = [self._first_detector()]
        self.held = [self._score(0, self.cards[0])]
        self.report()

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
        labels = [self._label(take, folder / take.name, number) for take in self.config.takes]
        if self.review:
            for made in labels:
                write_review(made)
            waiting = awaited_verdicts(labels)
            if waiting:
                return waiting[0]
        card = self._train(folder, labels, f"round-{number}")
        self.cards.append(card)
        self.held.append(self._score(number, card))
        sheet = folder / "changes.jpg"
        if not sheet.exists():
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
            iteration=number,
            force=force,
        )

    def _train(self, folder: Path, labels: Sequence[Path], name: str) -> str:
        """Join labels and start set, train on them; return the new card."""
        config = self.config
        data = run_round_dataset(labels, config.start, folder / "dataset", force=self.force)
        if config.trainer:
            return run_external_trainer(
                config.trainer, config.trainer_format, data.folder, folder / "train", self.force
            )
        init = config.init
        if init == "previous":
            init = self.cards[-1] if labels and self.cards[-1].endswith(".yaml") else "default"
        train_hands(
            data.hands,
            data.digests,
            folder / "train",
            config.train.model_copy(update={"validation": config.validation}),
            init=init,
            name=name,
            force=self.force,
        )
        return str(folder / "train" / f"{name}.yaml")

    def _score(self, number: int, card: str) -> HeldOut:
        folder = self.folder(number) / "held-out"
        return run_score(card, self.config.held_out, folder, force=self.force)


def _open(take: Footage) -> Capture:
    return open_capture(take.capture, sync=take.sync, tolerance_s=take.tolerance_s, fps=take.fps)
