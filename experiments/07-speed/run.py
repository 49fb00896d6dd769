"""CPU milliseconds an image of every backend, beside MediaPipe 0.10.21 on the same images.

``python run.py --mediapipe PYTHON [--opencv4 PYTHON] [--photos DIR] [--rounds 3]``: PYTHON are
interpreters of environments of their own, the first with ``mediapipe==0.10.21``, the second with
``opencv-python-headless<5``. Without ``--mediapipe`` there are no ratios.

CPU time is user and system time of the whole process. A shared machine changes its speed from
second to second, so the backends take turns on pieces of 20 images, and a ratio is the median over
pieces and rounds of (this backend / MediaPipe on the same piece, within the same seconds).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import multiview as mv
from multiview.stages.demo import demo_data

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PIECE = 20  # images
EVERY = 4  # frame sets of the demo take
REFERENCE = "mediapipe"


@dataclass
class Worker:
    """A backend's process and its times: (round, piece) seconds an image."""

    label: str
    backend: str
    model: str
    process: subprocess.Popen[str]
    version: str = ""
    cpu: list[list[float]] = field(default_factory=list)
    wall: list[list[float]] = field(default_factory=list)
    hands: dict[int, int] = field(default_factory=dict)

    def answer(self) -> dict[str, float | str]:
        """Read one line of the worker."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            sys.exit(f"{self.label} {self.model} stopped; run worker.py by hand to see why")
        return dict(json.loads(line))

    def take(self, first: int, last: int) -> None:
        """Time one piece."""
        assert self.process.stdin is not None
        print(first, last, file=self.process.stdin, flush=True)
        answer = self.answer()
        self.cpu[-1].append(float(answer["cpu"]) / (last - first))
        self.wall[-1].append(float(answer["wall"]) / (last - first))
        self.hands[first] = int(answer["hands"])


def photos(folder: Path) -> list[NDArray[np.uint8]]:
    """The photos of experiment 01, in its order."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg"})
    return [np.asarray(cv2.imread(str(p)), np.uint8) for p in paths]


def demo_frames() -> list[NDArray[np.uint8]]:
    """Every fourth frame set of the demo capture, all cameras."""
    take = mv.open_capture(demo_data() / "take")
    frames = [
        image
        for view in range(len(take.names))
        for f, image in take.images(view, 0, len(take.frame_ids))
        if f % EVERY == 0
    ]
    return frames


def start(python: Path, label: str, backend: str, model: str, images: Path) -> Worker:
    """Start a worker and wait until it has loaded the images."""
    command = [str(python), str(HERE / "worker.py"), str(images), backend, model]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    worker = Worker(label, backend, model, process)
    worker.version = str(worker.answer()["version"])
    return worker


def row(worker: Worker, reference: Worker | None, pieces: slice, count: int) -> str:
    """One line of the table for a range of pieces."""
    cpu, wall = (np.array(t)[:, pieces] for t in (worker.cpu, worker.wall))
    hands = sum(list(worker.hands.values())[pieces])
    cells = [worker.version, worker.model, f"{np.median(cpu) * 1e3:.1f}"]
    if reference is None:
        cells.append("-")
    else:
        ratios = cpu / np.array(reference.cpu)[:, pieces]
        low, mid, high = np.percentile(ratios, [10, 50, 90])
        cells.append(f"{mid:.2f} ({low:.2f} to {high:.2f})")
    cells += [f"{np.median(wall) * 1e3:.1f}", f"{hands} in {count}"]
    return "| " + " | ".join(cells) + " |"


def report(workers: list[Worker], groups: dict[str, tuple[slice, int]]) -> None:
    """Print a table for each group of images."""
    for name, (pieces, count) in groups.items():
        print(f"\n{name}, {count} images\n")
        print("| runtime | model | CPU ms | x MediaPipe (p10 to p90) | wall ms | hands |")
        print("| --- | --- | --- | --- | --- | --- |")
        for worker in workers:
            same = [w for w in workers if w.backend == REFERENCE and w.model == worker.model]
            print(row(worker, same[0] if same else None, pieces, count))


def main() -> None:
    """Start all workers, let them take turns, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mediapipe", type=Path, help="python with mediapipe 0.10.21")
    parser.add_argument("--opencv4", type=Path, help="python with OpenCV 4")
    parser.add_argument("--photos", type=Path, default=ROOT.parent / "shared/data/hand_photos")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sets = {"Photos": photos(options.photos), "Demo capture": demo_frames()}
    if not sets["Photos"]:
        print(f"no photos in {options.photos}: only the demo capture is measured")
    images = [image for group in sets.values() for image in group]
    ends = np.cumsum([len(group) for group in sets.values()]).tolist()
    starts = [0, *ends[:-1]]
    spans = [
        [(a, min(a + PIECE, last)) for a in range(first, last, PIECE)]
        for first, last in zip(starts, ends, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npz"
        np.savez(file, *images)
        here = Path(sys.executable)
        wanted = [(options.mediapipe, "MediaPipe", REFERENCE), (here, "onnxruntime", "ort")]
        wanted += [(here, "OpenCV", "cv2"), (options.opencv4, "OpenCV 4", "cv2")]
        workers = [
            start(python, label, backend, model, file)
            for model in ("full", "lite")
            for python, label, backend in wanted
            if python is not None
        ]
        for _ in range(options.rounds):
            for worker in workers:
                worker.cpu.append([])
                worker.wall.append([])
            for first, last in [span for group in spans for span in group]:
                for worker in workers:
                    worker.take(first, last)
        for worker in workers:
            worker.process.communicate()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    sizes = np.cumsum([0, *(len(group) for group in spans)]).tolist()
    slices = [slice(a, b) for a, b in itertools.pairwise(sizes)]
    named = zip(sets, slices, sets.values(), strict=True)
    report(workers, {name: (part, len(group)) for name, part, group in named if group})


if __name__ == "__main__":
    main()
