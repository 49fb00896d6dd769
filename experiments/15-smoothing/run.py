"""Smoothing over time: accuracy, honesty, fast motion, lag, time and memory, beside Anipose."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "09-benchmark-calibration"))

import environments  # noqa: E402
import tables  # noqa: E402

OPENCV_4 = "opencv-python-headless<5"
PEER = "tri-aniposelib"
environments.RECIPES[PEER] = environments.Recipe(("aniposelib==0.8.0",), extra=(OPENCV_4,))
# Anipose's smoother told which detections are right, and its own default.
ANIPOSE = ("optim, oracle inliers, deriv 3", "triangulate_optim")
VIEWS, SEEDS = (4, 8, 31), (0, 1, 2)
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def main() -> None:
    """Run what is asked for and print the tables."""
    args = _arguments()
    cache = Path(args.cache)
    shared = Path(os.environ.get("MULTIVIEW_SHARED", HERE.parents[2] / "shared"))
    bench = shared / "bench" / "bench_triangulation.py"
    if not bench.exists():
        raise SystemExit(f"no {bench}: set MULTIVIEW_SHARED to the folder that has bench/")
    views = [int(v) for v in args.views.split(",")]
    seeds = [int(s) for s in args.seeds.split(",")]
    records: list[dict[str, object]] = []
    kept = cache / "smoothing.json"
    jobs = [("smooth", v, args.frames, seeds[0]) for v in views]
    jobs += [("fast", v, args.frames, 0) for v in views]
    jobs += [("seed", v, args.frames, s) for s in seeds[1:] for v in views]
    if args.long:
        jobs.append(("long", 8, args.long, 0))
    for job in jobs:
        records += _ours(bench, cache, *job, again=args.again)
    if not args.no_peer:
        made = environments.prepare(PEER, cache)
        print(made.describe(), flush=True)
        for v in views:
            for method in ANIPOSE:
                records.append(_anipose(made, bench, cache, v, args, method))
    kept.write_text(json.dumps(records))
    text = tables.page(records)
    print(text)
    if args.write:
        tables.write(HERE / "README.md", text)
        _chart(kept, cache)
        print(f"written on {platform.machine()}, {os.cpu_count()} cores, {sys.version.split()[0]}")


def _chart(kept: Path, cache: Path) -> None:
    made = environments.prepare("charts", cache)
    if made.error:
        print(made.describe())
        return
    subprocess.run([made.python, str(HERE / "chart.py"), str(kept), str(HERE)], check=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", default=",".join(map(str, VIEWS)))
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--long", type=int, default=6000, help="frames of the long take; 0: none")
    parser.add_argument("--again", action="store_true", help="redo what is in the cache")
    parser.add_argument("--no-peer", action="store_true", help="without Anipose")
    parser.add_argument("--budget", type=float, default=20, help="CPU seconds aimed at for Anipose")
    parser.add_argument("--limit", type=float, default=300, help="seconds until it is stopped")
    parser.add_argument("--write", action="store_true", help="put the tables into the README")
    folder = Path.home() / ".cache" / "multiview-triangulation-bench"
    default = os.environ.get("MULTIVIEW_BENCH_CACHE", folder)
    parser.add_argument("--cache", default=default, help="environments, scenes, results")
    args = parser.parse_args()
    Path(args.cache).mkdir(parents=True, exist_ok=True)
    return args


def _variables() -> dict[str, str]:
    return {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}


def _ours(
    bench: Path, cache: Path, job: str, views: int, frames: int, seed: int, *, again: bool
) -> list[dict[str, object]]:
    out = cache / f"smoothing-{job}-{views}-{frames}-{seed}.json"
    if again:
        out.unlink(missing_ok=True)
    given = [job, str(bench), str(views), str(frames), str(seed), str(out)]
    command = [sys.executable, str(HERE / "worker.py"), *given]
    if not out.exists():
        subprocess.run(command, env=_variables(), check=True)
    rows = list(json.loads(out.read_text()))
    for row in rows:
        print(json.dumps(row), flush=True)
    return rows


def _anipose(
    made: environments.Environment,
    bench: Path,
    cache: Path,
    views: int,
    args: argparse.Namespace,
    method: str,
) -> dict[str, object]:
    kept = cache / f"smoothing-peer-{views}-{args.frames}-{ANIPOSE.index(method)}.json"
    if kept.exists() and not args.again:
        return dict(json.loads(kept.read_text()))
    blank: dict[str, object] = {"job": "peer", "views": views, "seed": 0, "method": method}
    if made.error:
        return blank | {"note": made.error}
    scene, out = cache / "scenes" / f"v{views}_t{args.frames}.npz", cache / "smoothing-peer.json"
    if not scene.exists():
        size = ["--cams", str(views), "--frames", str(args.frames), "--out", str(scene)]
        subprocess.run([sys.executable, str(bench), "gen", *size], check=True)
    out.unlink(missing_ok=True)
    given = ["_one", "aniposelib", method, "--scene", str(scene), "--json", str(out)]
    command = [made.python, str(bench), *given, "--budget", str(args.budget)]
    note = ""
    try:
        subprocess.run(command, env=_variables(), timeout=args.limit, capture_output=True)
    except subprocess.TimeoutExpired:
        note = f"stopped after {args.limit:.0f} s"
    found = json.loads(out.read_text()) if out.exists() else {}
    if not found and not note:
        note = "failed"
    row = blank | {k: found[k] for k in ("median", "p95", "frames") if k in found}
    if "cpu_ms_per_pt" in found:
        row["frames_per_cpu_s"] = 1000 / (found["cpu_ms_per_pt"] * 21)
    row |= {"within5": found.get("recall5"), "note": note}
    kept.write_text(json.dumps(row))
    print(json.dumps(row), flush=True)
    return row


if __name__ == "__main__":
    main()
