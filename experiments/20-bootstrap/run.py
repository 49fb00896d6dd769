"""Does the loop gain on people, cameras and rooms it never saw? Three starts, rounds, seeds.

Run from the repository's root, with the extra `train` installed::

    python experiments/20-bootstrap/run.py [--quick] [--write]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from data import RENDERED, fill_readme, frame_of, truth_samples, write_rig, write_takes, write_truth

from multiview.formats.datasets import load_dataset
from multiview.stage import provenance
from multiview.stages.bootstrap import run_bootstrap
from multiview.stages.held_out import run_score
from multiview.stages.loop_config import LoopConfig
from multiview.stages.round_dataset import run_round_dataset
from multiview.stages.train import train_hands

HERE = Path(__file__).parent
NAN = float("nan")
FOOTAGE, HELD_OUT = "train12", "test8"
STEPS = 300
STARTS = ("render", "manual", "mix")
MANUAL_FRAMES = 12  # of multi10, ten views each: an afternoon of clicking
MEASURES = {
    "crop_pck_0.1": "PCK@0.1",
    "crop_pck_0.2": "PCK@0.2",
    "crop_auc": "AUC 0-0.3",
    "picture_pck_0.1": "PCK@0.1, picture",
    "detection_rate": "hands found",
    "labelled": "labelled by it",
    "false": "of these false",
}
FALSE = 0.1  # of the longer side of the hand's box: a label that teaches the wrong place


def start_set(start: str, seed: int, out: Path) -> Path:
    """Write the labelled start set: easy single views, a few frames of many views, or both."""
    rng = np.random.default_rng([seed, 20])
    with np.load(RENDERED / "multi10" / "truth.npz") as truth:
        frames = len(truth["side"])
    manual = sorted(rng.choice(frames, MANUAL_FRAMES, replace=False).tolist())
    parts = {
        "render": {"start4": None},
        "manual": {"multi10": manual},
        "mix": {"start4": None, "multi10": manual},
    }
    return write_truth(parts[start], out / f"start-{start}-{seed}")


def plan(start: str, seed: int, out: Path, options: argparse.Namespace) -> LoopConfig:
    """Write down one run of the loop."""
    given = {
        "takes": write_takes(FOOTAGE, out / "takes", write_rig(FOOTAGE, out / "rig.yaml")),
        "held_out": write_truth({HELD_OUT: None}, out / "held-out"),
        "start": start_set(start, seed, out),
        "detector": "start",
        "rounds": options.rounds,
        # every fourth frame is another person in another pose: no motion to judge
        "select": {"max_speed": 1e6},
        "train": {
            "arch": "mediapipe",
            "mediapipe": {"network": "mediapipe-lite"},
            "steps": options.steps,
            "validate_every": max(25, options.steps // 4),
            # labels are many and a little wrong, the start set is small and exact
            "start_share": 0.5,
            "seed": seed,
            "threads": 1,
        },
        # goes on from the last round's weights: short trainings add up
        "init": "previous",
        "stop": {"patience": options.rounds},
    }
    return LoopConfig.model_validate(given)


def figures_of(folder: Path) -> list[dict[str, float]]:
    """Held-out figures of every detector of a run, and what its labels of the footage are worth."""
    found = sorted(folder.glob("round-*/held-out/manifest.json"), key=lambda p: p.parts[-3])
    figures = [json.loads(path.read_text())["figures"] for path in found]
    for number, each in enumerate(figures, start=1):
        made = folder / f"round-{number}" / "dataset"
        # the last detector labels nothing more
        each |= label_quality(made) if made.is_dir() else dict.fromkeys(("labelled", "false"), NAN)
    return figures


def label_quality(made: Path) -> dict[str, float]:
    """Share of the footage's keypoints that are labelled, and how many of these are false."""
    truth, labels = truth_samples(FOOTAGE), load_dataset(made).samples
    labels = labels.take(np.flatnonzero(labels.round > 0))
    rows = {
        (camera, frame): n
        for n, (camera, frame) in enumerate(zip(truth.camera, truth.frame_id, strict=True))
    }
    frames = [frame_of(*of) for of in zip(labels.session, labels.frame_id, strict=True)]
    mine = truth.xy_px[[rows[of] for of in zip(labels.camera, frames, strict=True)]]
    size = (np.nanmax(mine, axis=1) - np.nanmin(mine, axis=1)).max(-1)
    error = np.linalg.norm(labels.xy_px - mine, axis=-1) / size[:, None]
    known = np.isfinite(error) & (labels.weight > 0)
    every = np.isfinite(truth.xy_px).all(-1).sum()
    return {"labelled": known.sum() / every, "false": float((error[known] > FALSE).mean())}


def table(runs: dict[str, list[list[dict[str, float]]]]) -> list[str]:
    """Mean over seeds, and their range, for every start and round."""
    lines = ["| start | round | seeds | " + " | ".join(MEASURES.values()) + " |"]
    lines.append("| --- | ---: | ---: |" + " ---: |" * len(MEASURES))
    for start, seeds in runs.items():
        for number in range(min(map(len, seeds))):
            cells = []
            for name in MEASURES:
                values = np.array([seed[number][name] for seed in seeds])
                spread = f" ({values.min():.3f}-{values.max():.3f})" if len(values) > 1 else ""
                cells.append("-" if np.isnan(values).any() else f"{values.mean():.3f}{spread}")
            lines.append(f"| {start} | {number} | {len(seeds)} | " + " | ".join(cells) + " |")
    return lines


def run_one(start: str, seed: int, options: argparse.Namespace) -> list[dict[str, float]]:
    """Run one loop to its end, or find it done; return the figures of its rounds."""
    folder = options.out / f"{start}-{seed}-{options.steps}"
    run_bootstrap(plan(start, seed, options.out, options), folder)
    return figures_of(folder)


def control(start: str, seed: int, options: argparse.Namespace) -> list[dict[str, float]]:
    """Train as often on the start set alone: what steps give without any footage."""
    config = plan(start, seed, options.out, options)
    folder = options.out / f"{start}-{seed}-{options.steps}"
    figures = figures_of(folder)[:1]
    card = str(folder / "round-0" / "train" / "start.yaml")
    data = run_round_dataset(
        [],
        config.start,
        folder / "round-0" / "dataset",
        share=config.validation,
        seed=config.train.seed,
    )
    for number in range(1, options.rounds + 1):
        out = folder / f"control-{number}"
        train_hands(
            data.hands,
            data.digests,
            out / "train",
            config.train,
            held=data.held,
            init=card,
            name="more",
        )
        card = str(out / "train" / "more.yaml")
        figures.append(run_score(card, config.held_out, out / "held-out").figures())
    return [f | {"labelled": NAN, "false": NAN} for f in figures]


def run_all(options: argparse.Namespace) -> dict[str, list[list[dict[str, float]]]]:
    """Run every start and seed, and the controls, so many at a time; figures by start and seed."""
    jobs = [(run_one, start, start, seed) for seed in options.seeds for start in options.starts]
    more = [(control, f"{s}, no footage", s, options.seeds[0]) for s in options.controls]
    for start, seed in ((start, seed) for *_, start, seed in jobs):
        plan(start, seed, options.out, options)  # writes what the runs share
    runs: dict[str, list[list[dict[str, float]]]] = {}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=spawn) as pool:
        for part in (jobs, more):
            done = [(name, pool.submit(work, s, seed, options)) for work, name, s, seed in part]
            for name, future in done:
                runs.setdefault(name, []).append(future.result())
    return runs


def main() -> None:
    """Run everything that is not there yet, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one start, one seed, two rounds")
    parser.add_argument("--starts", nargs="+", default=STARTS, choices=STARTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--controls", nargs="*", default=STARTS, choices=STARTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--jobs", type=int, default=2, help="loops at a time, a core each")
    parser.add_argument("--out", type=Path, default=HERE / "runs")
    parser.add_argument("--write", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    if options.quick:
        options.starts, options.controls, options.seeds = ("mix",), (), (0,)
        options.rounds, options.steps = 2, 60
    if not RENDERED.is_dir():
        raise SystemExit(f"{RENDERED} is not there: set MULTIVIEW_SHARED to the shared folder")
    began = time.monotonic()
    runs = run_all(options)
    lines = table(runs)
    about = ", ".join(f"{k} {v}" for k, v in provenance().items())
    lines += ["", f"{options.steps} steps a training, {options.jobs} loops at a time; "]
    lines[-1] += f"{platform.machine()}, {about}; {(time.monotonic() - began) / 60:.0f} min."
    print("\n".join(lines))
    if options.write:
        fill_readme(HERE, "results", lines)


if __name__ == "__main__":
    main()
