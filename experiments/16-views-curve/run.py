"""Error of 3D over the number of views, with and without the guided pass, and what limits it.

Run from the repository's root::

    python experiments/16-views-curve/run.py [CAPTURE ...] [--unit keypoint]

Captures are read from ``$MULTIVIEW_SHARED/data/rendered`` (``../shared`` by default), with their
true calibration; every picture is searched once, results are kept in ``runs/``. The bias is
measured by `lasting.py`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace

import charts
import numpy as np
from scenes import HAND, RUNS, Scene, hand_of, read_scene

import multiview as mv
from multiview.core import Detections, Points3D
from multiview.guided import guide
from multiview.stage import provenance
from multiview.triangulation import TriangulationConfig, triangulate_with_report

VIEWS = (2, 3, 4, 6, 8, 16, 31)
SUBSETS = 8


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One subset of the cameras, with or without the guided pass."""

    error: np.ndarray  # (F, K), metres
    predicted: np.ndarray  # (F, K) root of the trace of the covariance
    views: float  # that carry a point
    sigma_px: float
    metres_per_px: float


def subsets(scene: Scene, count: int) -> list[list[int]]:
    """Random cameras, the same for every way to detect; all of them once."""
    total = len(scene.rig.cameras)
    if count >= total:
        return [list(range(total))]
    rng = np.random.default_rng([count, total])
    return [sorted(rng.permutation(total)[:count].tolist()) for _ in range(SUBSETS)]


def part_of(scene: Scene, views: list[int]) -> tuple[Detections, mv.capture.Capture]:
    """Detections and pictures of some cameras."""
    d, c = scene.dets, scene.capture
    names = tuple(c.names[v] for v in views)
    dets = replace(
        d,
        xy_px=d.xy_px[views],
        conf=d.conf[views],
        right=d.right[views],
        times=d.times[views],
        camera_names=names,
        size_wh=tuple(c.sizes_wh[v] for v in views),
    )
    capture = replace(
        c,
        names=names,
        sizes_wh=dets.size_wh,
        times=c.times[views],
        index=c.index[views],
        sources=tuple(c.sources[v] for v in views),
    )
    return dets, capture


def cell(scene: Scene, points: Points3D, sigma_px: float) -> Cell:
    """Errors of one triangulation."""
    f, h = hand_of(points)
    xyz, rig = points.xyz_world[f, h], scene.rig.select(points.camera_names)
    # far off is another failure than noise: counted, not averaged
    error = np.linalg.norm(xyz - scene.xyz, axis=-1)
    away = np.linalg.norm(rig.centres_world - scene.xyz.mean((0, 1)), axis=-1)
    focal = np.array([c.intrinsics.K[0, 0] for c in rig.cameras])
    valid = np.isfinite(error)
    carried = points.inlier[:, f, h].sum(0)[valid]
    return Cell(
        error=error,
        predicted=np.sqrt(np.trace(points.cov[f, h], axis1=-2, axis2=-1)),
        views=float(carried.mean()) if carried.size else np.nan,
        sigma_px=sigma_px,
        metres_per_px=float((away / focal).mean()),
    )


def curve(scene: Scene, unit: str) -> dict[int, dict[str, list[Cell]]]:
    """All numbers of views, all subsets, without and with the guided pass."""
    network, config = mv.load_detector("hand"), TriangulationConfig(unit=unit)
    out: dict[int, dict[str, list[Cell]]] = {}
    for count in (n for n in VIEWS if n <= len(scene.rig.cameras)):
        rows: dict[str, list[Cell]] = {"one pass": [], "guided": []}
        for views in subsets(scene, count):
            dets, capture = part_of(scene, views)
            rig = scene.rig.select(dets.camera_names)
            points, report = triangulate_with_report(dets, rig, config)
            rows["one pass"].append(cell(scene, points, report.sigma_px))
            more, _ = guide(capture, network, dets, points, rig)
            points, report = triangulate_with_report(more, rig, config)
            rows["guided"].append(cell(scene, points, report.sigma_px))
        out[count] = rows
        print(f"  {scene.name}: {count} views done", flush=True)
    return out


def figures(cells: list[Cell], scene: Scene) -> dict[str, float]:
    """Summarise subsets: medians over them, of what each says of the take."""
    limit = HAND * scene.length_m[:, None]
    return {name: float(np.nanmedian([one(c, limit)[name] for c in cells])) for name in NAMES}


NAMES = ("recovered", "views", "median", "p95", "rms", "predicted", "sigma", "isotropic", "false")


def one(c: Cell, limit: np.ndarray) -> dict[str, float]:
    """Figures of one subset, millimetres and pixels."""
    ok = np.isfinite(c.error)
    right = ok & (c.error < limit)
    nothing = dict.fromkeys(NAMES, np.nan) | {"recovered": float(ok.mean())}
    if not right.any():
        return nothing
    return {
        "recovered": float(ok.mean()),
        "views": c.views,
        "median": float(np.median(c.error[ok])) * 1e3,
        "p95": float(np.percentile(c.error[ok], 95)) * 1e3,
        "rms": float(np.sqrt(np.mean(c.error[right] ** 2))) * 1e3,
        "predicted": float(np.sqrt(np.mean(c.predicted[right] ** 2))) * 1e3,
        "sigma": c.sigma_px,
        "isotropic": 3 / np.sqrt(2) * c.sigma_px * c.metres_per_px / np.sqrt(c.views) * 1e3,
        "false": float((ok & ~right).sum() / ok.sum()),
    }


def floor_of(rows: dict[int, dict[str, float]]) -> tuple[float, float]:
    """Fit rms^2 = floor^2 + slope^2 / views: what is left of infinitely many, and of one alone."""
    use = [r for n, r in rows.items() if n >= 3 and np.isfinite(r["rms"])]
    A = np.array([[1.0, 1 / r["views"]] for r in use])
    y = np.array([r["rms"] ** 2 for r in use])
    # every row counts alike in relative terms
    fit = np.linalg.lstsq(A / y[:, None], np.ones(len(y)), rcond=None)[0]
    return float(np.sqrt(max(fit[0], 0))), float(np.sqrt(max(fit[1], 0)))


def table(scene: Scene, unit: str, result: dict[int, dict[str, list[Cell]]]) -> dict:
    """Print the table of a capture; return its numbers."""
    sets = f"{SUBSETS} subsets of cameras a row (medians)"
    print(f"\n### {scene.name}, {unit} mode: {len(scene.xyz)} frames, {sets}\n")
    heads = "recovered | carry | median mm | 95 % mm | rms mm | covariance mm | bound mm | false"
    print(f"| views | pass | {heads} |\n| ---: | --- |" + " ---: |" * 8)
    numbers: dict = {"one pass": {}, "guided": {}}
    for count, rows in result.items():
        for name, cells in rows.items():
            r = numbers[name][count] = figures(cells, scene)
            print(
                f"| {count} | {name} | {r['recovered']:.3f} | {r['views']:.1f} | {r['median']:.2f} "
                f"| {r['p95']:.1f} | {r['rms']:.2f} | {r['predicted']:.2f} | {r['isotropic']:.2f} "
                f"| {r['false']:.4f} |"
            )
    for name, rows in numbers.items():
        floor, single = floor_of(rows)
        print(
            f"\n{name}: rms^2 = ({floor:.2f} mm)^2 + ({single:.2f} mm)^2 / views that carry; "
            f"noise of an inlier {rows[max(rows)]['sigma']:.2f} px"
        )
    return numbers


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="*", default=["dome8", "dome31"])
    parser.add_argument("--unit", choices=("finger", "keypoint"), default="finger")
    args = parser.parse_args()
    print(provenance())
    numbers = {}
    for name in args.captures:
        scene = read_scene(name)
        numbers[name] = table(scene, args.unit, curve(scene, args.unit))
    (RUNS / f"curve-{args.unit}.json").write_text(json.dumps(numbers))
    if args.unit == "finger":
        charts.curves(numbers, "views-curve.png")


if __name__ == "__main__":
    main()
