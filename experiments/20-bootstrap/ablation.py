"""What makes a round gain? One round from the render start, its training varied; scored on multi10.

Run from the repository's root, with the extra `train` installed::

    python experiments/20-bootstrap/ablation.py [--only NAME ...] [--write]

`test8` is not touched: what is chosen here is chosen on `multi10`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from data import fill_readme, frame_of, truth_samples, write_rig, write_takes, write_truth
from run import FOOTAGE, HERE, label_quality

from multiview.core import HandSamples
from multiview.formats.datasets import load_dataset
from multiview.stages.bootstrap import run_bootstrap
from multiview.stages.held_out import run_score
from multiview.stages.loop_config import LoopConfig
from multiview.stages.round_dataset import hands_of_dataset
from multiview.stages.train import train_hands
from multiview.train.config import TrainConfig
from multiview.train.hands import TrainingHands

DEV, EVERY = "multi10", 2  # every other frame: 480 views
BASE = {"mediapipe": {"network": "mediapipe-lite"}, "threads": 1, "validate_every": 100}
SHARP_PX = 0.5  # of a label taken for exact
# name: what is learnt from, what is changed in training, does it go on from the start's weights
VARIANTS: dict[str, tuple[str, dict, bool]] = {
    "start set alone": ("start", {}, False),
    "start set alone, goes on": ("start", {}, True),
    "labels": ("labels", {}, False),
    "labels, goes on": ("labels", {}, True),
    "labels promised 3 %, half the rate": ("promised", {"lr": 5e-4}, False),
    "labels, half the rate": ("labels", {"lr": 5e-4}, False),
    "labels, three times the rate": ("labels", {"lr": 3e-3}, False),
    "labels, taken for exact": ("sharp", {}, False),
    "truth in their place": ("truth", {}, False),
}


def one_round(out: Path, card: str, start: Path, promise: float | None) -> Path:
    """Label the footage by a card, as the first round of a loop does; return its dataset."""
    config = LoopConfig.model_validate(
        {
            "takes": write_takes(FOOTAGE, out / "takes", write_rig(FOOTAGE, out / "rig.yaml")),
            "held_out": dev_set(out),
            "start": start,
            "detector": card,
            "rounds": 1,
            "select": {"max_speed": 1e6},
            "max_false_label_rate": promise,
            "train": BASE | {"steps": 1, "validate_every": 1},
        }
    )
    folder = out / ("promised" if promise else "labelled")
    run_bootstrap(config, folder)
    return folder / "round-1" / "dataset"


def dev_set(out: Path) -> Path:
    """Write the hands that variants are compared on."""
    return write_truth({DEV: range(0, 96, EVERY)}, out / "dev")


def with_truth(hands: TrainingHands, samples: HandSamples, sharp_only: bool) -> TrainingHands:
    """Put the truth in the place of labels, or only claim that they are exact."""
    truth = truth_samples(FOOTAGE)
    rows = {of: n for n, of in enumerate(zip(truth.camera, truth.frame_id, strict=True))}
    made = np.flatnonzero(~hands.start)
    of = [rows[samples.camera[n], frame_of(samples.session[n], samples.frame_id[n])] for n in made]
    xy, sigma, weight = hands.xy_px.copy(), hands.sigma_px.copy(), hands.weight.copy()
    if sharp_only:
        sigma[made] = SHARP_PX
    else:
        xy[made] = truth.xy_px[of]
        weight[made] = np.where(np.isfinite(xy[made]).all(-1), weight[made], 0)
    return replace(hands, xy_px=xy, sigma_px=sigma, weight=weight)


def hands_for(kind: str, folder: Path) -> TrainingHands:
    """What a variant learns from."""
    data = load_dataset(folder)
    hands = hands_of_dataset(data)
    if kind == "start":
        return hands.take(np.flatnonzero(hands.start))
    if kind in ("truth", "sharp"):
        return with_truth(hands, data.samples, kind == "sharp")
    return hands


def main() -> None:
    """Train and score every variant that is not there yet; print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path, default=HERE / "runs" / "ablation")
    parser.add_argument("--write", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    out, start = options.out, write_truth({"start4": None}, options.out / "start")
    config = TrainConfig.model_validate(BASE | {"steps": options.steps})
    first = hands_of_dataset(load_dataset(start))
    first = replace(first, start=np.ones(len(first), np.bool_))
    train_hands(first, {}, out / "first", config, name="first")
    card = str(out / "first" / "first.yaml")
    folders = {"labels": one_round(out, card, start, None)}
    if any(VARIANTS[name][0] == "promised" for name in options.only):
        folders["promised"] = one_round(out, card, start, 0.03)
    lines = [
        "| learnt from | labelled | false | PCK@0.05 | PCK@0.1 | PCK@0.2 | picture | found |",
        "| --- |" + " ---: |" * 7,
        _row("MediaPipe's lite network", "mediapipe-lite", out / "teacher", dev_set(out), None),
    ]
    for name in options.only:
        kind, changed, on = VARIANTS[name]
        folder = folders.get(kind, folders["labels"])
        made = out / name.replace(" ", "-").replace(",", "")
        config = TrainConfig.model_validate(BASE | {"steps": options.steps} | changed)
        init = card if on else "default"
        train_hands(hands_for(kind, folder), {"kind": kind}, made, config, init=init, name="it")
        quality = label_quality(folder) if kind not in ("start", "truth") else None
        lines.append(_row(name, str(made / "it.yaml"), made / "dev", dev_set(out), quality))
    print("\n".join(lines))
    if options.write:
        fill_readme(HERE, "ablation", lines)


def _row(name: str, card: str, made: Path, held_out: Path, quality: dict[str, float] | None) -> str:
    figures = run_score(card, held_out, made).figures()
    measures = ("crop_pck_0.05", "crop_pck_0.1", "crop_pck_0.2", "picture_pck_0.1")
    cells = [f"{quality[key]:.3f}" if quality else "-" for key in ("labelled", "false")]
    cells += [f"{figures[key]:.3f}" for key in (*measures, "detection_rate")]
    return f"| {name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
