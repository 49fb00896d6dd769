"""Train each architecture for some hundred steps and read other people's hands; see README.md.

``python run.py [--out FOLDER] [--steps-share 1.0] [--only NAME ...] [--write]``: one run after
another; what is done is kept, a run that was killed goes on. ``--write`` fills the README's table.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from data import rendered
from scipy.stats import rankdata

import multiview as mv
from multiview.images import read_image
from multiview.models.card import load_card
from multiview.models.cues import hand_size
from multiview.stages.train import train_hands
from multiview.train.config import TrainConfig
from multiview.train.hands import TrainingHands

HERE = Path(__file__).parent
CPM = {"size_px": 128, "width": 0.25, "stages": 3}
# Steps by what a run costs: about ten CPU minutes at most.
RUNS: dict[str, tuple[int, dict]] = {
    "light": (300, {"arch": "light", "lr": 2e-3, "pretrained_rate": 0.5}),
    "mediapipe-full": (100, {"arch": "mediapipe"}),
    "cpm-small": (200, {"arch": "cpm", "cpm": CPM}),
    "mediapipe-lite": (100, {"mediapipe": {"network": "mediapipe-lite"}}),
    "mediapipe-maps": (100, {"mediapipe": {"network": "mediapipe-lite", "head": "maps"}}),
    "cpm-small-ce": (200, {"arch": "cpm", "cpm": CPM | {"loss": "cross_entropy"}}),
    "light-random": (300, {"arch": "light", "lr": 2e-3}),
}
START = {"light-random": "random"}
SHIPPED = ("mediapipe-full", "mediapipe-lite")
EVERY = 3  # of multi10's frames: one a subject
MARK = "<!-- results -->"
COLUMNS = (
    *("network", "parameters", "steps", "CPU s a step", "held out @0.1"),
    *("crop given @0.1", "@0.2", "searched @0.1", "@0.2", "found", "conf tells", "ms"),
)
COMMON = {"threads": 2, "device": "cpu", "validate_every": 50}


def train(name: str, out: Path, share: float) -> dict:
    """Train a run, and return what it cost and gave."""
    steps, given = RUNS[name]
    config = TrainConfig.model_validate(COMMON | given | {"steps": max(2, round(steps * share))})
    hands = rendered("start4")
    began = time.process_time()
    train_hands(hands, {}, out / name, config, init=START.get(name, "default"), name=name)
    cpu = time.process_time() - began
    note, manifest = (
        out / f"{name}.cpu.json",
        json.loads((out / name / "manifest.json").read_text()),
    )
    if not note.exists():
        note.write_text(json.dumps({"cpu_s": cpu, "steps": manifest["figures"]["steps"]}))
    return manifest["figures"] | json.loads(note.read_text())


def evaluate(card: str, hands: TrainingHands) -> dict:
    """Read every picture twice: in the crop of the truth, and searching the whole picture."""
    detector = mv.load_detector(card, threads=1)
    given, searched, spent, conf = [], [], [], []
    for picture, truth in zip(hands.picture, hands.xy_px, strict=True):
        image = read_image(Path(picture))
        size = float(hand_size(truth[np.isfinite(truth).all(1)]))
        rois = detector.rois_of(truth[None])
        began = time.process_time()
        one = detector.detect(image, rois)
        spent.append(time.process_time() - began)
        given.append(errors(one.xy_px, truth, size))
        known = np.isfinite(truth).all(1)
        conf.append(one.conf[0][known])
        searched.append(errors(detector.detect(image).xy_px, truth, size))
    return {
        "given": scores(np.concatenate(given)),
        "tells": tells(np.concatenate(conf), np.concatenate(given) <= 0.1),
        "searched": scores(np.concatenate(searched)),
        "ms": float(np.median(spent)) * 1e3,
    }


def errors(found: np.ndarray, truth: np.ndarray, size: float) -> np.ndarray:
    """Errors of the nearest found hand, in hand sizes; infinite for what was not found."""
    known = np.isfinite(truth).all(1)
    if not len(found):
        return np.full(known.sum(), np.inf)
    error = np.linalg.norm(found[:, known] - truth[known], axis=-1) / size
    error = np.where(np.isfinite(error), error, np.inf)
    return error[np.median(error, axis=1).argmin()]


def scores(error: np.ndarray) -> dict:
    found = np.isfinite(error)
    return {
        "pck_10": float((error <= 0.1).mean()),
        "pck_20": float((error <= 0.2).mean()),
        "median": float(np.median(error[found])) if found.any() else None,
        "found": float(found.mean()),
    }


def tells(conf: np.ndarray, right: np.ndarray) -> float:
    """Probability that a right keypoint has a higher confidence than a wrong one; 0.5 is chance."""
    ranks = rankdata(conf)
    count = int(right.sum())
    below = ranks[right].sum() - count * (count + 1) / 2
    return float(below / (count * (len(right) - count)))


def parameters(card: str) -> int:
    from multiview.models.onnx_file import inspect_onnx

    model = load_card(card)
    part = "hand" if "hand" in model.weights else next(iter(model.weights))
    return inspect_onnx(model.read(part), str(model.path(part))).parameters


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=HERE / "runs")
    parser.add_argument("--steps-share", type=float, default=1.0)
    parser.add_argument("--only", nargs="*", default=list(RUNS))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    hands = rendered("multi10", every=EVERY)
    results = options.out / "results.json"
    table = json.loads(results.read_text()) if results.exists() else {}
    for name in (*(f"shipped {n}" for n in SHIPPED), *options.only):
        if "tells" in table.get(name, {}):
            continue
        figures, card = {}, name.removeprefix("shipped ")
        if name in RUNS:
            figures = train(name, options.out, options.steps_share)
            card = str(options.out / name / f"{name}.yaml")
        figures |= {"parameters": parameters(card)} | evaluate(card, hands)
        table[name] = figures
        results.write_text(json.dumps(table, indent=1))
        print(row(name, figures), flush=True)
    if options.write:
        write(table)


def write(table: dict) -> None:
    """Replace the table of the README, from its mark to the next empty line after a table."""
    readme = HERE / "README.md"
    before, rest = readme.read_text().split(MARK)
    after = [line for line in rest.splitlines() if not line.startswith("|")]
    head = " | ".join(COLUMNS)
    rule = " | ".join(["---"] + ["---:"] * (len(COLUMNS) - 1))
    lines = [f"| {head} |", f"| {rule} |", *(row(n, f) for n, f in table.items())]
    text = "\n".join(after).strip("\n")
    readme.write_text(f"{before}{MARK}\n\n" + "\n".join(lines) + f"\n\n{text}\n")


def row(name: str, f: dict) -> str:
    """One line of the README's table."""
    held = f"{f['score']['pck_10']:.3f}" if "score" in f else ""
    cost = f"{f['cpu_s'] / f['steps']:.2f}" if "cpu_s" in f else ""
    cells = [name, f"{f['parameters'] / 1e6:.2f} M", str(f.get("steps", "")), cost, held]
    for way in ("given", "searched"):
        cells += [f"{f[way]['pck_10']:.3f}", f"{f[way]['pck_20']:.3f}"]
    cells += [
        f"{f['searched']['found']:.3f}",
        f"{f['tells']:.2f}" if "tells" in f else "",
        f"{f['ms']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
