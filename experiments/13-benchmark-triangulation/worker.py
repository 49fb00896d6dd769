"""Our triangulation on the bench's scenes: time, accuracy, and curves."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
from scipy.stats import chi2

from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.geometry.robust import RobustPoints, Search, triangulate_points

# The gate of `multiview triangulate`; nothing else is chosen.
MIN_CONF = 0.2
REPEATS = 7
CURVE_FRAMES = 200


def load(path: str) -> ModuleType:
    """Import the bench from its file."""
    spec = importlib.util.spec_from_file_location("bench", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rig_of(scene: SimpleNamespace) -> Rig:
    """The scene's cameras as ours."""
    return Rig(
        cameras=tuple(
            Camera(
                name=f"c{v}",
                intrinsics=Intrinsics(
                    K=scene.K[v], dist=scene.dist[v], size_wh=tuple(map(int, scene.size))
                ),
                cam_from_world=Pose(R=scene.R[v], t=scene.tvec[v]),
            )
            for v in range(scene.V)
        )
    )


def triangulate(scene: SimpleNamespace, rig: Rig, confidences: bool) -> RobustPoints:
    """Triangulate the scene with the defaults on one thread."""
    shape = (scene.V, -1)
    uv = scene.uv.reshape(*shape, 2)
    conf = scene.conf.reshape(shape) if confidences else None
    search = Search(min_conf=MIN_CONF if confidences else 0.0, workers=1)
    return triangulate_points(rig, uv, conf, search)


def timed(bench: ModuleType, path: str, method: str, out: str) -> None:
    """Time the whole call: noise, undistortion, search, refit, covariance."""
    scene = bench.Scene(path)
    rig, confidences, yard = rig_of(scene), method == "keypoint", bench.yardstick()
    wall, cpu = [], []
    for _ in range(REPEATS + 1):
        began, spent = time.perf_counter(), time.process_time()
        points = triangulate(scene, rig, confidences)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - spent)
    n = scene.T * bench.J
    record = {
        "V": scene.V,
        "T": scene.T,
        "frames": scene.T,
        "first_s": wall[0],
        "pts_per_s": n / min(wall),
        "cpu_ms_per_pt": 1000 * min(cpu) / n,
        "yard": min(yard, bench.yardstick()),
        **bench.score(points.xyz, scene.X.reshape(-1, 3)),
        **coverage(points, scene.X.reshape(-1, 3)),
    }
    Path(out).write_text(json.dumps(record))


def coverage(points: RobustPoints, truth: np.ndarray) -> dict[str, float]:
    """Share of points within their own 68 and 95 % ellipsoids."""
    ok = np.isfinite(points.xyz[:, 0])
    off = (points.xyz - truth)[ok]
    squared = np.einsum("ni,nij,nj->n", off, np.linalg.inv(points.cov[ok]), off)
    return {f"within{p}": float((squared < chi2.ppf(p / 100, 3)).mean()) for p in (68, 95)}


def redrawn(bench: ModuleType, views: int, outliers: float) -> SimpleNamespace:
    """The bench's scene with another share of outliers."""
    data = bench.generate(views, CURVE_FRAMES)
    rng = np.random.default_rng([views, round(100 * outliers)])
    R = np.stack([bench.rodrigues(r) for r in data["rvec"]])
    scene = SimpleNamespace(**data, R=R, V=views, T=CURVE_FRAMES)
    uv = np.stack(
        [
            bench.project(scene.K[v], scene.dist[v], R[v], scene.tvec[v], scene.X)
            for v in range(views)
        ]
    )
    shape = uv.shape[:3]
    wrong, missing = rng.random(shape) < outliers, rng.random(shape) < 0.2
    far, way = rng.uniform(20, 300, shape), rng.uniform(0, 2 * np.pi, shape)
    off = np.where(wrong, far, 0) * np.stack([np.cos(way), np.sin(way)])
    uv = uv + rng.normal(0, bench.SIGMA, uv.shape) + np.moveaxis(off, 0, -1)
    conf = np.where(wrong, rng.beta(2, 4, shape), rng.beta(8, 2, shape))
    scene.uv = np.where(missing[..., None], np.nan, uv)
    scene.conf, scene.inlier = np.where(missing, 0.0, conf), ~wrong & ~missing
    return scene


def oracle(bench: ModuleType, scene: SimpleNamespace) -> np.ndarray:
    """Maximum likelihood on the true inliers."""
    scene.flat = lambda: (scene.uv.reshape(scene.V, -1, 2), scene.conf.reshape(scene.V, -1))
    scene.P = np.concatenate([scene.R, scene.tvec[:, :, None]], -1)
    with np.errstate(all="ignore"):
        return np.asarray(bench.lim_oracle_ml(scene)())


def curve_point(bench: ModuleType, views: int, outliers: float) -> dict[str, float]:
    """One point of the curves: ours and the oracle on the points that both have."""
    scene = redrawn(bench, views, outliers)
    points, best = triangulate(scene, rig_of(scene), True), oracle(bench, scene)
    truth = scene.X.reshape(-1, 3)
    error, least = (1000 * np.linalg.norm(x - truth, axis=-1) for x in (points.xyz, best))
    both = np.isfinite(error) & np.isfinite(least)
    weak = points.inlier.sum(0) == 2
    return {
        "views": views,
        "outliers": outliers,
        "median": float(np.median(error[both])),
        "oracle_median": float(np.median(least[both])),
        "p95": float(np.percentile(error[both], 95)),
        "oracle_p95": float(np.percentile(least[both], 95)),
        "returned": float(np.isfinite(error).mean()),
        "oracle_returned": float(np.isfinite(least).mean()),
        "recall5": float((error < 5).mean()),
        "oracle_recall5": float((least < 5).mean()),
        "wrong": float((error[np.isfinite(error) & ~weak] > 30).mean()),
        "two_view_wrong": float((error[weak] > 30).mean()) if weak.any() else float("nan"),
        "two_view_told": float(1 - points.trust[weak].mean()) if weak.any() else float("nan"),
        **coverage(points, truth),
    }


def main() -> None:
    """Do one job of the runner."""
    bench = load(sys.argv[2])
    if sys.argv[1] == "time":
        timed(bench, *sys.argv[3:6])
        return
    rates, views = json.loads(sys.argv[3]), json.loads(sys.argv[4])
    places = [(8, rate) for rate in rates] + [(31, rate) for rate in rates]
    places += [(v, 0.15) for v in views]
    Path(sys.argv[5]).write_text(json.dumps([curve_point(bench, *p) for p in places]))


if __name__ == "__main__":
    main()
