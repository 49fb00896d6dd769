"""Can a detector surpass the one that labelled its data? From MediaPipe, without a single label.

Run from the repository's root, with the extra `train` installed::

    python experiments/23-beat-the-teacher/run.py [--quick] [--write]
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

import multiview as mv
from multiview.images import read_image
from multiview.stage import provenance
from multiview.stages.bootstrap import run_bootstrap
from multiview.stages.held_out import read_score
from multiview.stages.loop_config import LoopConfig

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "20-bootstrap"))
from data import RENDERED, fill_readme, write_rig, write_takes, write_truth  # noqa: E402

TAKE, TEST = "train12", "test8"
NETWORKS = ("mediapipe-full", "mediapipe-lite")  # the teacher's own, and a smaller one
FINE = 0.1  # of the longer side of the hand's box: PCK@0.1
BACK_DEG = 120  # between palm normal and camera: such views see the back of the hand
FOUND = 0.5  # a detection belongs to a hand if its median keypoint is within half the hand's box
TEACHER = "MediaPipe (full)"


def plan(network: str, options: argparse.Namespace) -> LoopConfig:
    """Write down the loop: MediaPipe labels, its own networks learn, nobody annotates."""
    work = options.out
    return LoopConfig.model_validate(
        {
            "takes": write_takes(TAKE, work / "takes", write_rig(TAKE, work / "rig.yaml")),
            "held_out": write_truth({TEST: None}, work / "held-out"),
            "detector": options.teacher,
            "rounds": options.rounds,
            "init": "previous",
            "train_finder": True,
            # every fourth frame is another person in another pose: no motion to judge
            "select": {"max_speed": 1e6},
            "train": {
                "arch": "mediapipe",
                "mediapipe": {"network": network},
                "steps": options.steps,
                "validate_every": max(25, options.steps // 4),
                "seed": options.seed,
                "threads": 1,
            },
            "finder": {
                "steps": options.palm_steps,
                "validate_every": options.palm_steps,
                "threads": 1,
                "seed": options.seed,
            },
            "stop": {"patience": options.rounds},
        }
    )


@dataclass(frozen=True)
class Kinds:
    """Which views of the test are hard, and why; one row a view of a frame."""

    holding: np.ndarray
    back: np.ndarray
    hidden: np.ndarray

    def masks(self) -> dict[str, np.ndarray]:
        everything = np.ones(len(self.holding), bool)
        return {
            "all": everything,
            "holding an object": self.holding,
            "empty hand": ~self.holding,
            "back of the hand": self.back,
            "half of the keypoints hidden": self.hidden,
        }


def kinds_of(name: str) -> Kinds:
    """Read who holds an object, and what each camera sees of the hand."""
    about = json.loads((RENDERED / name / "info.json").read_text())
    holds = {s["subject"]: s["holds_object"] for s in about["subjects"]}
    with np.load(RENDERED / name / "truth.npz") as truth:
        angle, subject = truth["palm_angle"], truth["subject"]
        seen = truth["visible"].mean(-1)
    holding = np.array([holds[int(s)] for s in subject])[:, None] & np.ones(angle.shape, bool)
    return Kinds(holding.ravel(), (angle > BACK_DEG).ravel(), (seen < 0.5).ravel())


def table(folders: dict[str, Path], kinds: Kinds) -> list[str]:
    """PCK@0.1 in given crops and from bare pictures, and hands found, by kind of view and round."""
    lines = ["| views | hands | detector | PCK@0.1, crop given | PCK@0.1, picture | hands found |"]
    lines.append("| --- | ---: | --- | ---: | ---: | ---: |")
    scores = {name: read_score(folder / "held-out") for name, folder in folders.items()}
    for kind, mask in kinds.masks().items():
        for name, score in scores.items():
            crop, picture = score.crop_error[mask], score.error[mask]
            known = ~np.isnan(crop)
            cells = (
                f"{(crop[known] <= FINE).mean():.3f}",
                f"{(picture[known] <= FINE).mean():.3f}",
                f"{score.found[mask].mean():.3f}",
            )
            lines.append(f"| {kind} | {mask.sum()} | {name} | " + " | ".join(cells) + " |")
    return lines


def costs(cards: dict[str, str]) -> list[str]:
    """CPU time a picture, detectors in turn on every picture, and hands that are none."""
    detectors = [mv.load_detector(card, threads=1) for card in cards.values()]
    cv2.setNumThreads(1)
    with np.load(RENDERED / TEST / "truth.npz") as truth:
        points = truth["kp2d"]
    spent = [[] for _ in cards]
    wrong = np.zeros(len(cards), int)
    for frame, view in np.ndindex(points.shape[:2]):
        image = read_image(RENDERED / TEST / "images" / f"cam{view:02d}" / f"{frame:06d}.jpg")
        true = points[frame, view]
        side = np.ptp(true, axis=0).max()
        for number, detector in enumerate(detectors):
            began = time.process_time()
            found = detector.detect(image).xy_px
            spent[number].append(time.process_time() - began)
            apart = np.median(np.linalg.norm(found - true, axis=-1), axis=-1)
            wrong[number] += int((apart > FOUND * side).sum())
    pictures = points.shape[0] * points.shape[1]
    base = np.sum(spent[0])
    lines = ["| detector | CPU ms a picture | of MediaPipe's | false hands a picture |"]
    lines.append("| --- | ---: | ---: | ---: |")
    for number, (name, times) in enumerate(zip(cards, spent, strict=True)):
        ms, ratio = 1e3 * np.mean(times), np.sum(times) / base
        lines.append(f"| {name} | {ms:.1f} | {ratio:.2f} | {wrong[number] / pictures:.3f} |")
    return lines


def main() -> None:
    """Run the loop where it is not finished, print the tables, write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of few steps")
    parser.add_argument("--teacher", default="hand", help="a card; MediaPipe's full network")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--palm-steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "runs")
    parser.add_argument("--write", action="store_true", help="put the tables into the README")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.steps, options.palm_steps = 1, 60, 20
    if not RENDERED.is_dir():
        raise SystemExit(f"{RENDERED} is not there: set MULTIVIEW_SHARED to the shared folder")
    began = time.process_time()
    folders: dict[str, Path] = {}
    cards = {TEACHER: options.teacher}
    for network in options.networks:
        folder = options.out / f"{network}-{options.steps}-{options.seed}"
        run_bootstrap(plan(network, options), folder)
        folders.setdefault(TEACHER, folder / "round-0")
        for number in range(1, options.rounds + 1):
            name, made = f"{network}, round {number}", folder / f"round-{number}"
            folders[name], cards[name] = made, str(made / "train" / f"{made.name}.yaml")
    loop_s = time.process_time() - began
    lines = [*table(folders, kinds_of(TEST)), "", *costs(cards)]
    about = ", ".join(f"{k} {v}" for k, v in provenance().items())
    lines += ["", f"{options.rounds} rounds of {options.steps} steps, {options.palm_steps} of the"]
    lines += [f"palm network; {platform.machine()}, {about};", f"{loop_s:.0f} CPU s of this call."]
    print("\n".join(lines))
    if options.write:
        fill_readme(HERE, "results", lines)


if __name__ == "__main__":
    main()
