"""The table of all rounds, for people."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multiview.bootstrap.loop import best_round
from multiview.evaluation.held_out import HeldOut
from multiview.stage import MANIFEST, read_manifest
from multiview.stages.loop_config import LoopConfig

__all__ = ["loop_report"]

COLUMNS = (
    ("crop_pck_0.05", "PCK@0.05"),
    ("crop_pck_0.1", "PCK@0.1"),
    ("crop_pck_0.2", "PCK@0.2"),
    ("crop_auc", "AUC 0-0.3"),
    ("picture_pck_0.1", "PCK@0.1, bare picture"),
    ("detection_rate", "hands found"),
)


def loop_report(
    config: LoopConfig,
    out: Path,
    cards: Sequence[str],
    figures: Sequence[dict[str, float]],
    held: Sequence[HeldOut],
) -> str:
    """Markdown: scores of every detector, and what each round's labels were.

    Parameters
    ----------
    config, out
        The run.
    cards, figures, held
        Of the first detector and of every round.
    """
    best = best_round([f[config.stop.measure] for f in figures], config.stop).best
    lines = [
        "# Multiview bootstrapping",
        "",
        f"Held-out: {config.held_out}, {len(held[0].error)} hands. Best: round {best} "
        f"({config.stop.measure}). PCK: share of the keypoints within a part of the longer side of "
        "the hand's box, the crop given, or from the bare picture.",
        "",
        "| round | detector | " + " | ".join(title for _, title in COLUMNS) + " | sure, right |",
        "| ---: | --- |" + " ---: |" * (len(COLUMNS) + 1),
    ]
    for number, (card, row) in enumerate(zip(cards, figures, strict=True)):
        cells = " | ".join(f"{row[name]:.3f}" for name, _ in COLUMNS)
        mark = "**" if number == best else ""
        shown = os.path.relpath(card, out) if card.endswith(".yaml") else card
        lines.append(f"| {mark}{number}{mark} | {shown} | {cells} | {_sure(card, config.passes)} |")
    lines += [
        "",
        "Sure, right: mean confidence on hands that the training held back, and the share of their "
        "keypoints that agreed with their labels, each half told by the other.",
        "",
        "| round | take | frames | hands | pictures | of their keypoints only reprojected "
        "| 3D labels | estimated false |",
    ]
    lines.append("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for number in range(1, len(cards)):
        for take in config.takes:
            lines.append(_labels_row(out / f"round-{number}" / take.name, number, take.name))
    lines += [
        "",
        "Beside each round: `changes.jpg`, the held-out hands it changed most (rings: labels); "
        "`TAKE/labels/report.md`, which label was rejected and why; `train/history.csv`.",
    ]
    return "\n".join(lines) + "\n"


def _sure(card: str, passes: int) -> str:
    """Say what training found the confidences of its network to be worth; - if it did not."""
    folder = Path(card).parent
    if not card.endswith(".yaml") or not (folder / MANIFEST).exists():
        return "-"
    for judged in read_manifest(folder)["figures"].get("confidence") or []:
        if judged["passes"] == passes and "said" in judged:
            return f"{judged['said']:.3f}, {judged['right']:.3f}"
    return "-"


def _labels_row(folder: Path, number: int, take: str) -> str:
    made: dict[str, Any] = {}
    if (folder / "labels" / MANIFEST).exists():
        made = read_manifest(folder / "labels")["figures"]
    only = made.get("only_reprojected")
    shown = "-" if only is None else f"{only:.0%}"
    cells = (
        made.get("frames_selected", "-"),
        made.get("hands", "-"),
        made.get("pictures", "-"),
        shown,
        made.get("labels_3d", "-"),
        "-" if made.get("estimated_false") is None else f"{made['estimated_false']:.1%}",
    )
    return f"| {number} | {take} | " + " | ".join(map(str, cells)) + " |"
