"""Smoothing of the demo capture: a real detector, whose bias all views share."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from multiview.formats.detections_parquet import read_detections
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import read_rig
from multiview.smoothing.config import SmoothingConfig
from multiview.smoothing.take import smooth_with_report
from multiview.stages.demo import demo_data
from multiview.stages.evaluate import evaluate, read_truth


def main() -> None:
    """Print errors before and after, and their constant part."""
    out = Path(sys.argv[1])
    points = read_points(out / "triangulate" / "points.parquet")
    rig = read_rig(out / "triangulate" / "rig.yaml")
    dets = read_detections(out / "detect" / "detections.parquet")
    truth, true_rig = (
        read_truth(demo_data() / "truth.npz"),
        read_rig(demo_data() / "rig_truth.yaml"),
    )
    smoothed, report = smooth_with_report(points, dets, rig)
    plain, _ = smooth_with_report(points, dets, rig, SmoothingConfig(bones=False))
    head = "points | median mm | 95 % mm | error / predicted, median (1.54 ideal)"
    print(f"| {head} | second difference, median mm |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, p in (("triangulated", points), ("without bones", plain), ("smoothed", smoothed)):
        found = evaluate(p, rig, truth, true_rig)
        jump = np.linalg.norm(np.diff(p.xyz_world, 2, axis=0), axis=-1)
        print(
            f"| {name} | {found.median_mm:.2f} | {found.p95_mm:.2f} "
            f"| {found.normalised_error:.2f} | {1000 * np.nanmedian(jump):.2f} |"
        )
    print(report)


if __name__ == "__main__":
    main()
