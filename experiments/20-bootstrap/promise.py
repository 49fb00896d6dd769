"""Is a promised rate of false labels kept by detectors that the loop trained?

Run from the repository's root after `run.py`, whose runs are read::

    python experiments/20-bootstrap/promise.py [--write]

Every round's labels are chosen again under promises, with confidences as training fitted them, and
with the network's own, which is what a loop without that step would have. `--loops 0.03` runs loops
that promise so much from their first round on.
"""

from __future__ import annotations

import argparse
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from data import RENDERED, fill_readme, frame_of
from run import FALSE, FOOTAGE, HERE, STARTS, STEPS, plan

import multiview as mv
from multiview.association import as_triangulated
from multiview.bootstrap.anatomy import hand_scale
from multiview.bootstrap.labels import LabelConfig, safe_keypoints
from multiview.bootstrap.select import SelectConfig, select_labels
from multiview.formats.detections_parquet import read_detections
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import read_rig
from multiview.models.confidence import SHIPPED
from multiview.stages.bootstrap import run_bootstrap
from multiview.stages.detect import run_detect
from multiview.stages.guide import run_guide
from multiview.stages.loop_config import Footage
from multiview.stages.triangulate import run_triangulate
from multiview.stages.triangulated import hands_at_a_time
from multiview.triangulation import TriangulationConfig

RATES = (None, 0.01, 0.03, 0.1)
KINDS = ("fitted", "the network's own")


@dataclass(frozen=True)
class Count:
    """3D labels of the footage under one promise."""

    labels: int
    false: int
    expected: float

    @property
    def cell(self) -> str:
        """Realised rate, what was estimated, and recall."""
        if not self.labels:
            return "none kept"
        right = (self.labels - self.false) / every_keypoint()
        return f"{self.false / self.labels:.3f} ({self.expected:.3f}), {right:.2f}"


def truth_3d() -> np.ndarray:
    """Keypoints of the hand of every frame, (F, 21, 3) [m]."""
    with np.load(RENDERED / FOOTAGE / "truth.npz") as truth:
        return truth["kp3d"]


def every_keypoint() -> int:
    """How many 3D labels there could be."""
    return int(np.isfinite(truth_3d()).all(-1).sum())


def look(take: Footage, folder: Path, card: Path) -> None:
    """Detect and triangulate twice, as a round of the loop does."""
    capture = mv.open_capture(take.capture, sync=take.sync, fps=take.fps)
    steps = ("detect", "triangulate", "guide", "triangulate-guided")
    found, points, looked, again = (folder / name for name in steps)
    run_detect(capture, found, detector=str(card))
    run_triangulate(found, take.rig, points, TriangulationConfig())
    run_guide(capture, points, looked, detector=str(card))
    run_triangulate(looked, take.rig, again, TriangulationConfig())


def count(folder: Path, take: str, rate: float | None) -> tuple[int, int, float]:
    """Labels of a take that a promise keeps, how many are false, and their summed risk."""
    points_dir = folder / "triangulate-guided"
    points = read_points(points_dir / "points.parquet")
    rig = read_rig(points_dir / "rig.yaml")
    dets = read_detections(folder / "guide" / "detections.parquet")
    dets = as_triangulated(dets, points, rig, hands_at_a_time(points_dir))
    chosen = select_labels(
        points,
        dets,
        rig.select(points.camera_names),
        SelectConfig(max_speed=1e6),
        max_false_label_rate=rate,
        safe=safe_keypoints(points, LabelConfig()),
    )
    true = truth_3d()[[frame_of(take, frame) for frame in points.frame_ids.tolist()]]
    off = np.linalg.norm(points.xyz_world - true[:, None], axis=-1)
    # a hand on the other side's slot is where it should be, and counts as that
    false = off > FALSE * hand_scale(true)[:, None, None]
    kept = chosen.labels
    return int(kept.sum()), int((kept & false).sum()), float(chosen.risk.risk[kept].sum())


def one(start: str, number: int, seed: int, options: argparse.Namespace) -> list[list[Count]]:
    """Counts by kind of confidence and promise of the labels that a round's detector makes."""
    run = options.out / f"{start}-{seed}-{options.steps}"
    made = run / f"round-{number}" / "train"
    own = options.out / "own-confidence" / f"{start}-{seed}-{number}"
    card = own / "card" / ("start.yaml" if number == 0 else f"round-{number}.yaml")
    if not card.exists():
        shutil.copytree(made, card.parent, ignore=shutil.ignore_patterns(SHIPPED.name))
    takes = plan(start, seed, options.out, options).takes
    for take in takes:
        look(take, own / take.name, card)
    folders = (run / f"round-{number + 1}", own)
    return [[_sum(folder, takes, rate) for rate in RATES] for folder in folders]


def promised(
    start: str, rate: float, seed: int, options: argparse.Namespace
) -> list[tuple[int, Count]]:
    """Run a loop that keeps a promise in every round; counts of its rounds."""
    config = plan(start, seed, options.out, options)
    config = config.model_copy(update={"max_false_label_rate": rate})
    run = options.out / f"{start}-{seed}-{options.steps}-promised-{rate:g}"
    run_bootstrap(config, run)
    numbers = range(1, options.rounds + 1)
    return [(n, _sum(run / f"round-{n}", config.takes, rate)) for n in numbers]


def _sum(folder: Path, takes: tuple[Footage, ...], rate: float | None) -> Count:
    rows = [count(folder / take.name, take.name, rate) for take in takes]
    labels, false, risk = (sum(column) for column in zip(*rows, strict=True))
    return Count(labels, false, risk / labels if labels else float("nan"))


def main() -> None:
    """Count under every promise, and write the table where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", nargs="+", default=STARTS, choices=STARTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--loops", nargs="*", type=float, default=(), choices=RATES[1:])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "runs")
    parser.add_argument("--write", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    titles = ["no promise" if r is None else f"promised {r:g}" for r in RATES]
    lines = [f"| start | labels of round | confidence | {' | '.join(titles)} |"]
    lines.append("| --- | ---: | --- |" + " ---: |" * len(RATES))
    todo = [(start, number) for start in options.starts for number in range(options.rounds)]
    with ProcessPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(one, s, n, options.seed, options) for s, n in todo]
        for (start, number), job in zip(todo, jobs, strict=True):
            for kind, counts in zip(KINDS, job.result(), strict=True):
                cells = " | ".join(c.cell for c in counts)
                lines.append(f"| {start} | {number + 1} | {kind} | {cells} |")
        loops = [(s, r) for s in options.starts for r in options.loops]
        more = [pool.submit(promised, s, r, options.seed, options) for s, r in loops]
        for (start, rate), job in zip(loops, more, strict=True):
            for number, counts in job.result():
                cells = " | ".join(counts.cell if r == rate else "-" for r in RATES)
                lines.append(f"| {start} | {number} | fitted, promised in every round | {cells} |")
    print("\n".join(lines))
    if options.write:
        fill_readme(HERE, "promise", lines)


if __name__ == "__main__":
    main()
