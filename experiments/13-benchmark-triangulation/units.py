"""Single keypoints or whole fingers: points and labels under errors that go together.

Run from the repository's root::

    python experiments/13-benchmark-triangulation/units.py BENCH [--detections FOLDER] [CAPTURE ...]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "06-guided-pass"))  # its run, not ours

from bench_scene import load, rig_of  # noqa: E402
from run import cached, hand_slots, read_truth  # noqa: E402

import multiview as mv  # noqa: E402
from multiview.association import assign_hands  # noqa: E402
from multiview.bootstrap.labels import LabelConfig, safe_keypoints  # noqa: E402
from multiview.core import HAND_21, Detections, Points3D, Rig  # noqa: E402
from multiview.triangulation import TriangulationConfig, triangulate  # noqa: E402

# A tenth of a hand.
FALSE_M = 0.02
FRAMES, WRONG = 500, 0.4
VIEWS = (4, 8, 31)
WAYS = (
    ("keypoint", TriangulationConfig(unit="keypoint")),
    ("keypoint, 3 views", TriangulationConfig(unit="keypoint", min_views=3)),
    ("finger", TriangulationConfig(unit="finger")),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Detections of one right hand, and where it is."""

    name: str
    rig: Rig
    dets: Detections
    truth: np.ndarray  # (F, K, 3)


def fingers_wrong(
    bench: ModuleType,
    views: int,
    seed: int,
    kind: str,
    *,
    rate: float = WRONG,
    frames: int = FRAMES,
) -> Case:
    """Whole fingers wrong in 40 % of the views: carried off together, or read as another finger."""
    data = bench.generate(views, frames, seed)
    R = np.stack([bench.rodrigues(r) for r in data["rvec"]])
    scene = SimpleNamespace(**data, R=R, V=views, T=frames)
    rng = np.random.default_rng([seed, views, len(kind)])
    uv = np.stack(
        [
            bench.project(scene.K[v], scene.dist[v], R[v], scene.tvec[v], scene.X)
            for v in range(views)
        ]
    )
    groups = [list(g) for g in HAND_21.groups.values() if len(g) > 1]
    out = uv.copy()
    wrong = rng.random((views, frames, len(groups))) < rate
    far, way = rng.uniform(20, 300, wrong.shape), rng.uniform(0, 2 * np.pi, wrong.shape)
    off = far[..., None] * np.stack([np.cos(way), np.sin(way)], -1)
    other = (np.arange(len(groups)) + rng.integers(1, len(groups), wrong.shape)) % len(groups)
    for g, members in enumerate(groups):
        if kind == "carried off":
            moved = uv[:, :, members] + off[:, :, g, None]
        else:
            index = np.array(groups)[other[:, :, g]]
            moved = np.take_along_axis(uv, index[..., None], axis=2)
        out[:, :, members] = np.where(wrong[:, :, g, None, None], moved, uv[:, :, members])
    out += rng.normal(0, bench.SIGMA, out.shape)
    gone = rng.random((views, frames)) < 0.1
    # a network that reads a finger wrong does not know: confidences say little
    conf = np.where(gone[..., None], 0.0, rng.beta(5, 2, out.shape[:3]))
    scene.uv = np.where(gone[..., None, None], np.nan, out)
    return case_of(f"{views} views, {100 * rate:.0f} % of fingers {kind}", scene, conf)


def independent(bench: ModuleType, views: int, seed: int) -> Case:
    """The bench's own scene."""
    data = bench.generate(views, FRAMES, seed)
    R = np.stack([bench.rodrigues(r) for r in data["rvec"]])
    scene = SimpleNamespace(**data, R=R, V=views, T=FRAMES)
    return case_of(f"{views} views, 15 % of keypoints", scene, scene.conf)


def case_of(name: str, scene: SimpleNamespace, conf: np.ndarray) -> Case:
    """Detections of a scene."""
    shape = conf.shape[:2]
    dets = Detections(
        xy_px=scene.uv[:, :, None],
        conf=conf[:, :, None],
        camera_names=tuple(f"c{v}" for v in range(shape[0])),
        frame_ids=np.arange(shape[1]),
        times=np.tile(np.arange(shape[1]) / 30.0, (shape[0], 1)),
        skeleton=HAND_21,
        source="bench",
        right=np.ones((*shape, 1)),
        hands=("right",),
    )
    return Case(name=name, rig=rig_of(scene), dets=dets, truth=scene.X)


def rendered(name: str, shared: Path, cache: Path) -> Case:
    """A rendered capture as the shipped detector sees it."""
    truth = read_truth(shared / "data" / "rendered" / name)
    cache.mkdir(parents=True, exist_ok=True)
    network = mv.load_detector("hand")
    raw, _ = cached(cache / f"{name}-0-1.parquet", lambda: mv.detect(truth.capture, network))
    return Case(name=name, rig=truth.rig, dets=assign_hands(raw, truth.rig)[0], truth=truth.xyz)


def measure(case: Case) -> None:
    """Print a row a way."""
    for name, config in WAYS:
        points = triangulate(case.dets, case.rig, config)
        frames, slot = hand_slots(points)
        error = np.linalg.norm(points.xyz_world[frames, slot] - case.truth, axis=-1)
        voted = points.voted[frames, slot]
        rows = [(name, np.isfinite(error)), (f"{name}: voted", voted)]
        rows += [
            (f"{name}: labels, {unit}", _safe(points, unit)[frames, slot])
            for unit in ("keypoint", "finger")
            if (name, unit) != ("finger", "keypoint")
        ]
        for what, use in rows:
            if what.endswith("labels, keypoint"):
                continue  # the same as voted
            print(f"| {case.name} | {what} | {' | '.join(figures(error, use))} |", flush=True)


def _safe(points: Points3D, unit: str) -> np.ndarray:
    return safe_keypoints(points, LabelConfig.model_validate({"unit": unit}))


def figures(error: np.ndarray, use: np.ndarray) -> list[str]:
    """Share given, within 5 mm and 10 mm of all, median, 95 %, and false of those given."""
    some = error[use]
    if not some.size:
        return ["0"] + ["-"] * 5
    false = int((some > FALSE_M).sum())
    return [
        f"{use.mean():.3f}",
        f"{(use & (error < 0.005)).mean():.3f}",
        f"{(use & (error < 0.01)).mean():.3f}",
        f"{1000 * np.median(some):.2f}",
        f"{1000 * np.percentile(some, 95):.1f}",
        f"{false / some.size:.3%} ({false})",
    ]


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", help="bench_triangulation.py")
    parser.add_argument("captures", nargs="*")
    parser.add_argument("--cache", type=Path, default=HERE / "runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--views", default=",".join(map(str, VIEWS)))
    args = parser.parse_args()
    bench = load(args.bench)
    heads = "given | < 5 mm | < 10 mm | median mm | 95 % mm | > 20 mm of given"
    print(f"| scene | way | {heads} |\n| --- | --- |" + " ---: |" * 6)
    for v in map(int, filter(None, args.views.split(","))):
        measure(independent(bench, v, args.seed))
        measure(fingers_wrong(bench, v, args.seed, "carried off"))
        measure(fingers_wrong(bench, v, args.seed, "exchanged"))
    for name in args.captures:
        measure(rendered(name, Path(args.bench).resolve().parents[1], args.cache))


if __name__ == "__main__":
    main()
