"""Triangulation beside its peers, the limits of the data, and curves over outliers and views."""

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
import rows  # noqa: E402
from environments import Environment, Recipe, prepare  # noqa: E402

NUMPY, OPENCV = "numpy==2.4.6", "opencv-python-headless==5.0.0.93"
# Written for OpenCV 4, whose constants 5 renamed.
OPENCV_4 = "opencv-python-headless<5"
RECIPES = {
    "tri-plain": Recipe((NUMPY, "scipy==1.17.1", OPENCV)),
    "tri-aniposelib": Recipe(("aniposelib==0.8.0",), extra=(OPENCV_4,)),
    "tri-aniposelib-torch": Recipe(("aniposelib-pytorch==1.0.0",), extra=("numpy", OPENCV_4)),
    "tri-pycolmap": Recipe(("pycolmap==4.2.1", "numpy", OPENCV)),
    "tri-caliscope": Recipe(("caliscope==0.11.8",)),
    "tri-pose2sim": Recipe(("pose2sim==0.10.49",)),
    "tri-freemocap": Recipe(  # without its trackers and windows
        alone=("freemocap==1.8.2",),
        extra=("aniposelib==0.8.0", "tabulate", "pydantic", "pandas", "toml", "tqdm", OPENCV_4),
    ),
    "tri-pyba": Recipe(("nely-pyba==0.13.1",)),
    "tri-mavis": Recipe(("mavis-track==0.1.0",), extra=("numpy", OPENCV_4)),
    "tri-pymvg": Recipe(("pymvg==2.1.0",), extra=("numpy", OPENCV_4)),
}
# Peer of the bench, its environment, its methods.
PEERS = [
    ("numpy", "tri-plain", ("DLT all views", "DLT conf-weighted")),
    ("opencv", "tri-plain", ("triangulatePoints, 2 best conf",)),
    ("scipy", "tri-plain", ("least_squares soft_l1",)),
    ("aniposelib", "tri-aniposelib", ("triangulate fast", "triangulate_ransac")),
    ("aniposelib-torch", "tri-aniposelib-torch", ("triangulate linear", "robust msac")),
    ("aniposelib-torch", "tri-aniposelib-torch", ("robust msac tau6", "robust reject")),
    ("pycolmap", "tri-pycolmap", ("estimate_triangulation 2deg", "estimate_triangulation tau6")),
    ("caliscope", "tri-caliscope", ("ImagePoints.triangulate",)),
    ("pose2sim", "tri-pose2sim", ("best_cameras thr15", "best_cameras tau6")),
    ("freemocap", "tri-freemocap", ("triangulate", "outlier_rejection")),
    ("pyba", "tri-pyba", ("triangulate",)),
    ("mavis", "tri-mavis", ("ransac", "ransac tau6")),
    ("pymvg", "tri-pymvg", ("find3d",)),
]
# On no package index: its checkout, if there is one.
EASYMOCAP = "MULTIVIEW_EASYMOCAP"
EASYMOCAP_METHODS = ("batch_triangulate", "iterative_triangulate", "iterative_triangulate tau6")
LIMITS = ("oracle ML (GN)", "oracle DLT numba", "ref MSAC numba tau6")
OURS = ("keypoint", "keypoint, no confidences")
VIEWS = (4, 8, 31)
CURVE_RATES, CURVE_VIEWS = (0.0, 0.15, 0.3, 0.45, 0.6), (2, 3, 4, 6, 8, 16, 31)
CURVE_SIGMAS = (0.5, 1.5, 4.0)
# Views, share of outliers, noise in pixels.
PLACES = [(v, rate, 1.5) for v in (4, 8, 31) for rate in CURVE_RATES]
PLACES += [(v, 0.15, 1.5) for v in CURVE_VIEWS]
PLACES += [(v, 0.15, s) for v in (4, 8) for s in CURVE_SIGMAS]
SCALE = ((100_000, 1), (1_000_000, 1), (1_000_000, 2))
ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


def main() -> None:
    """Run what is asked for and print the rows."""
    args = _arguments()
    cache = Path(args.cache)
    shared = Path(os.environ.get("MULTIVIEW_SHARED", HERE.parents[2] / "shared"))
    bench = shared / "bench" / "bench_triangulation.py"
    if not bench.exists():
        raise SystemExit(f"no {bench}: set MULTIVIEW_SHARED to the folder that has bench/")
    environments.RECIPES.update(RECIPES)
    ours = environments.ours()
    views = [int(v) for v in args.views.split(",")]
    path = cache / "records.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    for part in filter(None, args.parts.split(",")):
        if part == "peers":
            new = _peers(ours, bench, cache, views, args)
            anew = {r["scene"] for r in new}
            kept[part] = [r for r in kept.get(part, []) if r["scene"] not in anew] + new
            kept[part].sort(key=lambda r: int(r["scene"].split("_")[0][1:]))
        elif part == "curves":
            kept[part] = _curves(ours, bench, cache)
        elif part == "together":
            kept[part] = _together(ours, bench, cache)
        else:
            kept[part] = _scale(ours, bench, cache)
        path.write_text(json.dumps(kept))
    text = rows.page(kept, _machine())
    print(text)
    if args.write:
        rows.write(HERE / "README.md", text)
        charts = prepare("charts", cache)
        subprocess.run([charts.python, str(HERE / "charts.py"), str(path), str(HERE)], check=True)


def _peers(
    ours: Environment, bench: Path, cache: Path, views: list[int], args: argparse.Namespace
) -> list[dict[str, object]]:
    records = []
    for v in views:
        scene = _scene(ours.python, bench, cache, v, args.frames)
        for name in OURS:
            records.append(_ours(ours, bench, scene, name, args))
        for name in LIMITS:
            records.append(_peer(ours, bench, scene, "limits", name, cache, args))
        for peer, environment, methods in PEERS:
            if args.only and peer not in args.only.split(","):
                continue
            made = prepare(environment, cache)
            for name in methods:
                records.append(_peer(made, bench, scene, peer, name, cache, args))
        records += _easymocap(bench, scene, cache, args)
    return records


def _easymocap(
    bench: Path, scene: Path, cache: Path, args: argparse.Namespace
) -> list[dict[str, object]]:
    source = os.environ.get(EASYMOCAP)
    if args.only and "easymocap" not in args.only.split(","):
        return []
    if not source:
        blank = {"peer": "easymocap", "method": "iterative_triangulate", "scene": scene.stem}
        return [blank | {"status": f"not packaged: set {EASYMOCAP} to a checkout"}]
    made, more = prepare("tri-plain", cache), ("--src", source)
    return [
        _peer(made, bench, scene, "easymocap", name, cache, args, more)
        for name in EASYMOCAP_METHODS
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default="peers,curves,together,scale", help="what to run anew")
    parser.add_argument("--only", help="comma list of peers; default all")
    parser.add_argument("--views", default=",".join(map(str, VIEWS)), help="scenes")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--budget", type=float, default=6, help="CPU seconds aimed at per method")
    parser.add_argument("--limit", type=float, default=90, help="seconds until one is stopped")
    parser.add_argument("--write", action="store_true", help="put the tables into the README")
    folder = Path.home() / ".cache" / "multiview-triangulation-bench"
    default = os.environ.get("MULTIVIEW_BENCH_CACHE", folder)
    parser.add_argument("--cache", default=default, help="environments, scenes, results")
    return parser.parse_args()


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _scene(python: str, bench: Path, cache: Path, views: int, frames: int) -> Path:
    path = cache / "scenes" / f"v{views}_t{frames}.npz"
    if not path.exists():
        given = ["--cams", str(views), "--frames", str(frames), "--out", str(path)]
        subprocess.run([python, str(bench), "gen", *given], check=True)
    return path


def _run(command: list[str], limit: float) -> tuple[str, float]:
    """Run alone with one thread per library; returns what went wrong and peak memory in MB."""
    variables = {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}
    guarded = [sys.executable, str(HERE / "guard.py"), str(limit), *command]
    done = subprocess.run(guarded, env=variables, capture_output=True, text=True, check=False)
    told = (
        json.loads(done.stdout.splitlines()[-1]) if done.stdout else {"error": done.stderr[-200:]}
    )
    return told["error"], told.get("peak_mb", float("nan"))


def _peer(
    made: Environment,
    bench: Path,
    scene: Path,
    peer: str,
    method: str,
    cache: Path,
    args: argparse.Namespace,
    more: tuple[str, ...] = (),
) -> dict[str, object]:
    blank: dict[str, object] = {"peer": peer, "method": method, "scene": scene.stem}
    if made.error:
        return blank | {"status": made.error}
    out = cache / "one.json"
    out.unlink(missing_ok=True)
    given = ["_one", peer, method, "--scene", str(scene), "--json", str(out)]
    command = [made.python, str(bench), *given, "--budget", str(args.budget), *more]
    error, peak = _run(command, args.limit)
    record = json.loads(out.read_text()) if out.exists() else {}
    record = blank | record | {"status": error, "peak_mb": peak, "versions": made.versions}
    print(rows.line(record), flush=True)
    return record


def _ours(
    made: Environment, bench: Path, scene: Path, method: str, args: argparse.Namespace
) -> dict[str, object]:
    out = Path(args.cache) / "one.json"
    out.unlink(missing_ok=True)
    worker = [made.python, str(HERE / "worker.py"), "time", str(bench), str(scene), method]
    error, peak = _run([*worker, str(out)], args.limit)
    record = json.loads(out.read_text()) if out.exists() else {}
    record = {"peer": "ours", "method": method, "scene": scene.stem} | record
    record |= {"status": error, "peak_mb": peak, "versions": made.versions}
    print(rows.line(record), flush=True)
    return record


def _curves(ours: Environment, bench: Path, cache: Path) -> list[dict[str, float]]:
    out, places = cache / "curves.json", json.dumps(list(dict.fromkeys(PLACES)))
    worker = [ours.python, str(HERE / "worker.py"), "curves", str(bench), places, str(out)]
    error, _ = _run(worker, 1800)
    if error:
        print(f"curves: {error}")
        return []
    return list(json.loads(out.read_text()))


def _together(ours: Environment, bench: Path, cache: Path) -> list[dict[str, object]]:
    out = cache / "together.json"
    error, _ = _run([ours.python, str(HERE / "together.py"), str(bench), str(out)], 3600)
    if error:
        print(f"together: {error}")
        return []
    return list(json.loads(out.read_text()))


def _scale(ours: Environment, bench: Path, cache: Path) -> list[dict[str, float]]:
    """Takes of up to a million frames, one thread and two."""
    records = []
    for frames, workers in SCALE:
        out = cache / "one.json"
        out.unlink(missing_ok=True)
        given = [str(bench), str(cache / "scale"), str(frames), str(workers), str(out)]
        error, _ = _run([ours.python, str(HERE / "worker.py"), "scale", *given], 3600)
        if error:
            print(f"scale: {error}")
            continue
        records.append(json.loads(out.read_text()))
        print(records[-1], flush=True)
    return records


if __name__ == "__main__":
    main()
