"""Does `multiview plan` foretell what a take does? Invented detections, and a real detector's."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from multiview.bootstrap.plan_volume import Box, error_map
from multiview.bootstrap.planner import Detector
from multiview.core import Detections, Rig
from multiview.evaluation.keypoints_2d import Truth2D, match_detections, select_detections
from multiview.formats.detections_parquet import read_detections
from multiview.formats.rig_yaml import read_rig
from multiview.geometry.metrics import point_errors
from multiview.stages.demo import demo_data
from multiview.stages.evaluate import read_truth
from multiview.synth import make_hand_motion, make_rig, observe
from multiview.triangulation import TriangulationConfig, triangulate

FRAMES, NOISE_PX, CONFIG = 40, 1.5, TriangulationConfig(unit="keypoint")
# Of the demo: right is within this share of the hand's box (PCK there is the planner's p).
RIGHT_WITHIN = 0.1


def box_of(xyz: np.ndarray) -> Box:
    flat = xyz[np.isfinite(xyz).all(-1)]
    return Box(low=flat.min(0), high=flat.max(0))


def row(name: str, dets: Detections, rig: Rig, xyz: np.ndarray, detector: Detector) -> str:
    """Foretell and try: share found, and root mean square error of what is right within 5 of it."""
    m = error_map(rig, box_of(xyz), detector, positions=300)
    points = triangulate(dets, rig, CONFIG)
    exists = np.isfinite(xyz).all(-1)
    error = 1000 * point_errors(points.xyz_world, xyz)[exists]
    expected = 1000 * np.sqrt(np.nanmean(m.rms**2))
    right = error[error < 5 * expected]
    return (
        f"| {name} | {len(rig.cameras)} | {detector.rate:.2f} | {detector.noise:.1f} | "
        f"{m.found.mean():.3f} | {points.voted[exists].mean():.3f} | "
        f"{np.isfinite(error).mean():.3f} | {right.size / error.size:.3f} | "
        f"{expected:.2f} | {np.sqrt(np.mean(right**2)):.2f} |"
    )


def invented(views: int, rate: float) -> str:
    """Misses and gross errors are independent, as the planner supposes."""
    rng = np.random.default_rng(views)
    rig = make_rig(rng, views)
    xyz = make_hand_motion(rng, FRAMES, 1)
    lost = 1 - np.sqrt(rate)  # a point can be both
    seen = observe(rng, rig, xyz, noise_px=NOISE_PX, missing=lost, outliers=lost)
    dets = seen.detections
    true = np.full((*xyz.shape[:1], dets.conf.shape[2], *xyz.shape[2:]), np.nan)
    true[:, -1] = xyz[:, 0]
    size = float(np.median(np.ptp(rig.project(xyz[:, 0]), axis=2).max(-1)))
    detector = Detector(rate=rate, sigma_px=5 * NOISE_PX, crop_px=size, noise_px=NOISE_PX)
    return row("invented", dets, rig, true, detector)


def demo(folder: Path, views: list[int]) -> str:
    """Cameras of the demo with the shipped detector, whose errors the views share in part."""
    dets = read_detections(folder / "detect" / "detections.parquet")
    rig, xyz = read_rig(demo_data() / "rig_truth.yaml"), read_truth(demo_data() / "truth.npz")
    dets = select_detections(dets, views, np.arange(len(dets.frame_ids)))
    rig = rig.select(dets.camera_names)
    truth = Truth2D(
        xy_px=rig.project(xyz),
        camera_names=rig.names,
        frame_ids=dets.frame_ids,
        skeleton=dets.skeleton,
    )
    matched = match_detections(dets, truth)
    right = matched.error_px <= RIGHT_WITHIN * truth.side_px[..., None]
    side = float(np.nanmedian(truth.side_px))
    detector = Detector(
        rate=float(right[matched.exists].mean()),
        sigma_px=RIGHT_WITHIN * side,
        crop_px=side,
        noise_px=float(np.sqrt(np.mean(matched.error_px[right] ** 2) / 2)),
    )
    return row("demo", dets, rig, xyz, detector)


def main() -> None:
    """Print the table; the demo's part needs the folder that `make demo` wrote."""
    names = "take | V | p | noise px | found: plan | voted | with pairs | right | mm: plan | mm"
    print(f"| {names} |")
    print("| --- |" + " ---: |" * 9)
    for views, rate in ((4, 0.7), (6, 0.7), (8, 0.7), (12, 0.7), (12, 0.4), (31, 0.4)):
        print(invented(views, rate), flush=True)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo")
    if not (folder / "detect").exists():
        print(f"{folder}: no demo run; `make demo` first, or give its folder")
        return
    for views in ([0, 2, 4], [1, 3, 5, 7], [0, 1, 2, 4, 5, 6], list(range(8))):
        print(demo(folder, views), flush=True)


if __name__ == "__main__":
    main()
