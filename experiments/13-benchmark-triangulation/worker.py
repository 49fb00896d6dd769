"""Our triangulation on the bench's scenes: time, accuracy, and curves."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
from bench_scene import load, rig_of
from scipy.stats import chi2

from multiview.core import Rig
from multiview.geometry.robust import RobustPoints, Search, triangulate_points
from multiview.geometry.stream import PointArrays, triangulate_blocks

# The gate of `multiview triangulate`; nothing else is chosen.
MIN_CONF = 0.2
KEYPOINTS = 21
REPEATS = 7
CURVE_FRAMES = 200
SEEDS = (0, 1, 2)
# Frames of the take that --scale repeats, and points of one block on disk.
SCALE_FRAMES = 2000


def triangulate(scene: SimpleNamespace, rig: Rig, confidences: bool) -> RobustPoints:
    """Triangulate the scene with the defaults on one thread."""
    shape = (scene.V, -1)
    uv = scene.uv.reshape(*shape, 2)
    conf = scene.conf.reshape(shape) if confidences else None
    search = Search(min_conf=MIN_CONF if confidences else 0.0, workers=1)
    hands = np.repeat(np.arange(uv.shape[1] // KEYPOINTS), KEYPOINTS)
    return triangulate_points(rig, uv, conf, search, groups=hands)


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
    squared = mahalanobis(points, truth)
    some = squared[np.isfinite(squared)]
    return {f"within{p}": float((some < chi2.ppf(p / 100, 3)).mean()) for p in (68, 95)}


def mahalanobis(points: RobustPoints, truth: np.ndarray) -> np.ndarray:
    """Squared errors in units of their own covariances; NaN without a point."""
    ok = np.isfinite(points.xyz[:, 0])
    out, off = np.full(len(ok), np.nan), (points.xyz - truth)[ok]
    out[ok] = np.einsum("ni,nij,nj->n", off, np.linalg.inv(points.cov[ok]), off)
    return out


def redrawn(
    bench: ModuleType, views: int, outliers: float, sigma: float, seed: int
) -> SimpleNamespace:
    """The bench's scene with another share of outliers and another noise."""
    data = bench.generate(views, CURVE_FRAMES, seed)
    rng = np.random.default_rng([views, round(100 * outliers), round(10 * sigma), seed])
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
    uv = uv + rng.normal(0, sigma, uv.shape) + np.moveaxis(off, 0, -1)
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


def curve_point(bench: ModuleType, views: int, outliers: float, sigma: float) -> dict[str, float]:
    """One point of the curves, three seeds: ours and the oracle on the points that both have."""
    error, least, weak, trust, squared = [], [], [], [], []
    for seed in SEEDS:
        scene = redrawn(bench, views, outliers, sigma, seed)
        points, best = triangulate(scene, rig_of(scene), True), oracle(bench, scene)
        truth = scene.X.reshape(-1, 3)
        error.append(1000 * np.linalg.norm(points.xyz - truth, axis=-1))
        least.append(1000 * np.linalg.norm(best - truth, axis=-1))
        weak.append(points.inlier.sum(0) == 2)
        trust.append(points.trust)
        squared.append(mahalanobis(points, truth))
    error, least, weak, trust, squared = map(np.concatenate, (error, least, weak, trust, squared))
    both, ok = np.isfinite(error) & np.isfinite(least), np.isfinite(error)
    some = squared[ok]
    return {
        "views": views,
        "outliers": outliers,
        "sigma": sigma,
        "median": float(np.median(error[both])),
        "oracle_median": float(np.median(least[both])),
        "p95": float(np.percentile(error[both], 95)),
        "oracle_p95": float(np.percentile(least[both], 95)),
        "returned": float(ok.mean()),
        "oracle_returned": float(np.isfinite(least).mean()),
        # 5 mm at 1.5 px
        "recall5": float((error < 5 * sigma / bench.SIGMA).mean()),
        "oracle_recall5": float((least < 5 * sigma / bench.SIGMA).mean()),
        "wrong": float((error[ok & ~weak] > 30).mean()) if (ok & ~weak).any() else float("nan"),
        "two_view_wrong": float((error[weak] > 30).mean()) if weak.any() else float("nan"),
        "two_view_told": float(1 - trust[weak].mean()) if weak.any() else float("nan"),
        **{f"within{p}": float((some < chi2.ppf(p / 100, 3)).mean()) for p in (68, 95)},
    }


def scale(bench: ModuleType, folder: str, frames: str, workers: str, out: str) -> None:
    """Triangulate a take of so many frames and 8 views, from and to files."""
    place, n = Path(folder), int(frames) * bench.J
    place.mkdir(parents=True, exist_ok=True)
    scene = redrawn(bench, 8, 0.15, bench.SIGMA, 0)
    rig = rig_of(scene)
    xy, conf = scene.uv.reshape(8, -1, 2), scene.conf.reshape(8, -1)
    shapes = {"xyz": (n, 3), "cov": (n, 3, 3), "inlier": (8, n), "trust": (n,)}
    given = [
        memory_map(place / "xy.npy", (8, n, 2), xy),
        memory_map(place / "conf.npy", (8, n), conf),
    ]
    arrays = PointArrays(
        **{k: memory_map(place / f"{k}.npy", s, bool_=k == "inlier") for k, s in shapes.items()}
    )
    search = Search(min_conf=MIN_CONF, workers=int(workers))
    triangulate_blocks(rig, xy, conf, search, group=bench.J)  # loads the code
    peak, over = [_own_mb()], threading.Event()
    watch = threading.Thread(target=_watch, args=(peak, over))
    watch.start()
    began, spent = time.perf_counter(), time.process_time()
    triangulate_blocks(rig, *given, search, group=bench.J, out=arrays)
    record = {
        "frames": int(frames),
        "workers": int(workers),
        "wall": time.perf_counter() - began,
        "cpu": time.process_time() - spent,
        # memory of its own, without pages of the files
        "own_mb": peak[0],
        "returned": float(np.isfinite(arrays.xyz[::97, 0]).mean()),
    }
    over.set()
    watch.join()
    for path in place.glob("*.npy"):
        path.unlink()
    Path(out).write_text(json.dumps(record))


def _watch(peak: list[float], over: threading.Event) -> None:
    """Keep the highest memory, twenty times a second."""
    while not over.wait(0.05):
        peak[0] = max(peak[0], _own_mb())


def _own_mb() -> float:
    text = Path("/proc/self/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) / 1024


def memory_map(
    path: Path, shape: tuple[int, ...], tile: np.ndarray | None = None, *, bool_: bool = False
) -> np.ndarray:
    """Make a file; fill it with repetitions of a tile along its second axis."""
    kind = np.bool_ if bool_ else np.float64
    array = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
    if tile is not None:
        for start in range(0, shape[1], tile.shape[1]):
            stop = min(start + tile.shape[1], shape[1])
            array[:, start:stop] = tile[:, : stop - start]
        array.flush()
    return array


def main() -> None:
    """Do one job of the runner."""
    bench = load(sys.argv[2])
    if sys.argv[1] == "time":
        timed(bench, *sys.argv[3:6])
    elif sys.argv[1] == "scale":
        scale(bench, *sys.argv[3:7])
    else:
        places = [tuple(p) for p in json.loads(sys.argv[3])]
        Path(sys.argv[4]).write_text(json.dumps([curve_point(bench, *p) for p in places]))


if __name__ == "__main__":
    main()
