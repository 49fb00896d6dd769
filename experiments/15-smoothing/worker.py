"""One job of the runner in a process of its own, so that its memory can be read."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
from scipy.stats import chi2

from multiview.core import HAND_21, Detections, Points3D
from multiview.smoothing.config import SmoothingConfig
from multiview.smoothing.live import LiveSmoother
from multiview.smoothing.take import smooth_with_report
from multiview.triangulation import TriangulationConfig, triangulate

# another experiment reads the same scenes
sys.path.append(str(Path(__file__).resolve().parents[1] / "13-benchmark-triangulation"))
from bench_scene import load, rig_of

FPS = 30.0


def make(bench: ModuleType, views: int, frames: int, seed: int) -> SimpleNamespace:
    """The bench's scene."""
    scene = SimpleNamespace(**bench.generate(views, frames, seed), V=views, T=frames)
    scene.R = np.stack([bench.rodrigues(r) for r in scene.rvec])
    scene.P = np.concatenate([scene.R, scene.tvec[:, :, None]], -1)
    scene.flat = lambda: (scene.uv.reshape(views, -1, 2), scene.conf.reshape(views, -1))
    scene.flick = scene.impact = np.zeros(frames, bool)
    return scene


def fast(bench: ModuleType, scene: SimpleNamespace) -> None:
    """Add a flick of 5 m/s out and back every 4 s, and a fall of 1.5 m/s that ends at once."""
    t, rng, moved = np.arange(scene.T) / FPS, np.random.default_rng(5), scene.X.copy()
    flick, impact = np.zeros(scene.T, bool), np.zeros(scene.T, bool)
    for t0 in np.arange(3.01, t[-1] - 1, 4.003):
        way, long = rng.normal(size=3), 0.12
        for begin, sign in ((t0, 1), (t0 + 0.35, -1)):
            u = np.clip((t - begin) / long, 0, 1)
            far = 5.0 * long / 2 * (u - np.sin(2 * np.pi * u) / (2 * np.pi))
            moved += sign * far[:, None, None] * way / np.linalg.norm(way)
            flick |= (t > begin - 0.05) & (t < begin + long + 0.05)
    for t0 in np.arange(5.017, t[-1] - 1, 3.994):
        u = t - t0
        down = np.interp(u, (-0.08, 0, 0.15, 0.45), (0, 0.12, 0.12, 0))
        moved[..., 2] -= down[:, None]
        impact |= (u > -0.12) & (u < 0.07)
    cameras = list(zip(scene.K, scene.dist, scene.R, scene.tvec, strict=True))
    shift = [bench.project(*c, moved) - bench.project(*c, scene.X) for c in cameras]
    scene.uv, scene.X = scene.uv + np.stack(shift), moved
    scene.flick, scene.impact = flick, impact


def detections(scene: SimpleNamespace) -> Detections:
    """The scene's detections as ours."""
    return Detections(
        xy_px=scene.uv[:, :, None],
        conf=scene.conf[:, :, None],
        camera_names=tuple(f"c{v}" for v in range(scene.V)),
        frame_ids=np.arange(scene.T),
        times=np.tile(np.arange(scene.T) / FPS, (scene.V, 1)),
        skeleton=HAND_21,
        source="bench",
        right=np.full((scene.V, scene.T, 1), 0.5),
        hands=("right",),
    )


def live(points: Points3D) -> tuple[np.ndarray, np.ndarray]:
    """The causal filter, frame by frame."""
    run = LiveSmoother()
    pairs = [
        run.update(f / FPS, x, c)
        for f, (x, c) in enumerate(zip(points.xyz_world[:, 0], points.cov[:, 0], strict=True))
    ]
    xyz, cov = (np.stack(x) for x in zip(*pairs, strict=True))
    return xyz, cov


def errors(xyz: np.ndarray, scene: SimpleNamespace) -> dict[str, float]:
    """Errors in mm, over all and where it is fast, and the lag along the true motion."""
    off = xyz - scene.X
    size, v = 1000 * np.linalg.norm(off, axis=-1), np.gradient(scene.X, 1 / FPS, axis=0)
    out: dict[str, float] = {}
    every = np.ones(scene.T, bool)
    calm = ~scene.flick & ~scene.impact
    parts = {"": every, "calm_": calm, "flick_": scene.flick, "impact_": scene.impact}
    for name, frames in parts.items():
        on = np.isfinite(size) & frames[:, None]
        if not on.any():
            continue
        out[f"{name}median"] = float(np.median(size[on]))
        out[f"{name}p95"] = float(np.percentile(size[on], 95))
        out[f"{name}lag_ms"] = float(-1000 * (off[on] * v[on]).sum() / (v[on] ** 2).sum())
    out["within5"] = float((size < 5).mean())
    return out


def within(xyz: np.ndarray, cov: np.ndarray, scene: SimpleNamespace) -> dict[str, float]:
    """Share of points within their own 68 and 95 % ellipsoids."""
    ok = np.isfinite(xyz[..., 0])
    off = (xyz - scene.X)[ok]
    square = np.einsum("ni,nij,nj->n", off, np.linalg.inv(cov[ok]), off)
    return {f"within{p}": float((square < chi2.ppf(p / 100, 3)).mean()) for p in (68, 95)}


def rows(bench: ModuleType, scene: SimpleNamespace, both: bool) -> list[dict[str, object]]:
    """Every method on one scene."""
    rig, dets = rig_of(scene), detections(scene)
    with np.errstate(all="ignore"):
        best = bench.lim_oracle_ml(scene)().reshape(scene.T, -1, 3)
    # as the points of two views: fewer true inliers determine nothing
    best[scene.inlier.sum(0) < 2] = np.nan
    points = triangulate(dets, rig, TriangulationConfig(unit="keypoint"))
    raw = points.xyz_world[:, 0]
    out: list[dict[str, object]] = [
        {"method": "oracle ML, every point by itself", **errors(best, scene)},
        {
            "method": "triangulated",
            **errors(raw, scene),
            **within(raw, points.cov[:, 0], scene),
        },
    ]
    for bones in (False, True) if both else (True,):
        began = time.process_time()
        smoothed, report = smooth_with_report(points, dets, rig, SmoothingConfig(bones=bones))
        spent = time.process_time() - began
        xyz = smoothed.xyz_world[:, 0]
        own = {
            "method": "smoothed" if bones else "smoothed, without bones",
            "frames_per_cpu_s": scene.T / spent,
            "frames_used": report.hands[0].frames_used,
            "free": report.hands[0].free,
        }
        out.append(own | errors(xyz, scene) | within(xyz, smoothed.cov[:, 0], scene))
    began = time.process_time()
    xyz, cov = live(points)
    spent = time.process_time() - began
    own = {"method": "live filter", "frames_per_cpu_s": scene.T / spent}
    out.append(own | errors(xyz, scene) | within(xyz, cov, scene))
    return out


def long(bench: ModuleType, scene: SimpleNamespace) -> list[dict[str, object]]:
    """Time and memory of a long take; what triangulation took is in the memory too."""
    rig, dets = rig_of(scene), detections(scene)
    points = triangulate(dets, rig, TriangulationConfig(unit="keypoint"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began, wall = time.process_time(), time.perf_counter()
    smoothed, _ = smooth_with_report(points, dets, rig)
    spent, wall = time.process_time() - began, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    own = {"method": "smoothed", "frames": scene.T, "cpu_s": spent, "wall_s": wall}
    told = own | {"peak_mb": peak, "peak_before_mb": before}
    return [told | errors(smoothed.xyz_world[:, 0], scene)]


def main() -> None:
    """Do one job: ``smooth``, ``seed`` (less of it), ``fast`` or ``long``."""
    job, views, frames, seed = sys.argv[1], *map(int, sys.argv[3:6])
    bench = load(sys.argv[2])
    scene = make(bench, views, frames, seed)
    if job == "fast":
        fast(bench, scene)
    found = long(bench, scene) if job == "long" else rows(bench, scene, both=job == "smooth")
    about = {"job": job, "views": views, "frames": frames, "seed": seed}
    Path(sys.argv[6]).write_text(json.dumps([about | row for row in found]))


if __name__ == "__main__":
    main()
