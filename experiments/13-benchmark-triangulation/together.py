"""Errors that go together, as curves: whole fingers carried off or exchanged, hands swapped.

One job of the runner: ``together.py BENCH OUT``. Defaults of `multiview.triangulate`, with repair
and without; labels are points of which three views carry the whole finger.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
from bench_scene import load
from units import FALSE_M, Case, fingers_wrong

from multiview.bootstrap.labels import LabelConfig, safe_keypoints
from multiview.core import Points3D
from multiview.synth import make_hand_motion, make_rig, observe
from multiview.triangulation import TriangulationConfig, triangulate

VIEWS, RATES, SEEDS, FRAMES = (4, 8, 31), (0.0, 0.1, 0.2, 0.3, 0.4), (0, 1, 2), 100
KINDS = ("carried off", "exchanged", "hands swapped", "hands swapped, unsorted")
WAYS = {
    "repair": TriangulationConfig(),
    "no repair": TriangulationConfig(repair=False),
    "whole fingers": TriangulationConfig(unit="finger", repair=False),
}


def swapped_hands(views: int, seed: int, rate: float, unsorted: bool) -> tuple[Case, np.ndarray]:
    """Two hands that pictures take for one another; truth (F, 2, K, 3).

    Unsorted, association by geometry and time says which is which, as for any detector's output.
    """
    rng = np.random.default_rng([seed, views])
    rig = make_rig(rng, views, view_m=0.8)
    xyz = make_hand_motion(rng, FRAMES, 2)
    seen = observe(rng, rig, xyz, noise_px=1.5, missing=0.1, outliers=0.1, hand_swaps=rate)
    dets = replace(seen.detections, hands=()) if unsorted else seen.detections
    return Case(name="", rig=rig, dets=dets, truth=xyz[:, 0]), xyz


def case(
    bench: ModuleType, kind: str, views: int, seed: int, rate: float
) -> tuple[Case, np.ndarray]:
    """Detections and the truth of all their hands, (F, H, K, 3)."""
    if kind.startswith("hands swapped"):
        return swapped_hands(views, seed, rate, kind.endswith("unsorted"))
    made = fingers_wrong(bench, views, seed, kind, rate=rate, frames=FRAMES)
    return made, made.truth[:, None]


def figures(points: Points3D, truth: np.ndarray) -> dict[str, float]:
    """Shares within 5 mm of all, of points and of labels that are false, and medians."""
    error = np.linalg.norm(points.xyz_world - truth, axis=-1)
    given, labels = points.valid, safe_keypoints(points, LabelConfig())
    return {
        "median": 1000 * float(np.median(error[given])),
        "p95": 1000 * float(np.percentile(error[given], 95)),
        "recall5": float((given & (error < 0.005)).mean()),
        "false": float((error[points.voted] > FALSE_M).mean()),
        "labels": float(labels.mean()),
        "false_labels": float((error[labels] > FALSE_M).mean()) if labels.any() else 0.0,
    }


def main() -> None:
    """Measure all places."""
    bench, out = load(sys.argv[1]), []
    for kind in KINDS:
        for views in VIEWS:
            for rate in RATES:
                for way, config in WAYS.items():
                    found = []
                    for seed in SEEDS:
                        made, truth = case(bench, kind, views, seed, rate)
                        found.append(figures(triangulate(made.dets, made.rig, config), truth))
                    mean = {k: float(np.mean([f[k] for f in found])) for k in found[0]}
                    out.append({"kind": kind, "views": views, "rate": rate, "way": way} | mean)
    Path(sys.argv[2]).write_text(json.dumps(out))


if __name__ == "__main__":
    main()
