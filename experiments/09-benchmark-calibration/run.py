"""All calibrators of the bench and ours on the same footage; see README.md.

    python experiments/09-benchmark-calibration/run.py [--quick] [--only TOOL/SCENE] [--write]

Environments, scenes and results lie in a cache folder outside the repository (``--cache``, or
``$MULTIVIEW_BENCH_CACHE``); a result is made anew when the tool, its versions, the scene or the
bench changed, or with ``--fresh``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tables
from environments import RECIPES, Environment, ours, prepare
from runner import TIMEOUT_S, Cache, digest, machine, measure
from tools import (
    ADJUSTERS,
    BOARD_SCENES,
    OURS,
    QUICK_SCENES,
    REAL_SCENES,
    TOOLS,
    TURNED_SCENES,
    WAND_SCENES,
    reference,
)

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHARED = Path(os.environ.get("MULTIVIEW_SHARED", ROOT / ".." / "shared")).resolve()
CACHE = Path(
    os.environ.get("MULTIVIEW_BENCH_CACHE", Path.home() / ".cache" / "multiview-calibration-bench")
)
PARTS = ("scenes", "adjust", "coverage", "real")
BOARDS, QUICK_BOARDS = 500, 100
REPEATS, QUICK_REPEATS = 100, 10
FIRST_SEED = 1000
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


@dataclass
class Bench:
    """What every part needs."""

    args: argparse.Namespace
    script: Path
    cache: Cache
    environments: dict[str, Environment] = field(default_factory=dict)
    report: list[str] = field(default_factory=list)

    def environment(self, name: str) -> Environment:
        """An environment, made on first use."""
        if name not in self.environments:
            retry = self.args.retry
            made = ours() if name == "ours" else prepare(name, self.args.cache, retry)
            self.environments[name] = made
            print(made.describe(), flush=True)
        return self.environments[name]

    def key(self, name: str, *more: object) -> str:
        """Key of a result of that environment: versions, bench, machine, and our own code."""
        own = [p for p in source_files()] if name == "ours" else []
        versions = self.environment(name).versions
        return digest(self.script, versions, machine(), *own, *more)

    def say(self, text: str) -> None:
        """Print, and keep for the report."""
        self.report.append(text)
        print("\n" + text, flush=True)

    def wants(self, tool: str, scene: str) -> bool:
        """Whether ``--only`` asks for it; the optimum is always wanted beside what was asked."""
        if not self.args.only:
            return True
        for wish in self.args.only:
            by_tool, _, by_scene = wish.partition("/")
            if by_scene in ("", scene) and (by_tool in ("", tool) or tool == reference(scene)):
                return True
        return False

    def folder(self, name: str) -> Path:
        """A folder of the cache."""
        path = self.args.cache / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def source_files() -> list[Path]:
    """Our code that a calibration depends on, of the package that the interpreter imports."""
    found = importlib.util.find_spec("multiview")
    if found is None or found.origin is None:
        sys.exit("multiview is not installed in this interpreter: make .venv/installed")
    package = Path(found.origin).parent
    ours = [p for part in ("calib", "geometry", "core*") for p in package.glob(f"{part}/**/*.py")]
    return sorted([*ours, *package.glob("core.py"), HERE / "worker.py", HERE / "coverage.py"])


def make_scenes(bench: Bench) -> dict[str, Path]:
    """Generate the bench's scenes where they are missing or the bench changed."""
    names = (*BOARD_SCENES, *WAND_SCENES) if not bench.args.quick else QUICK_SCENES
    folder = bench.folder("scenes")
    stamp, key = folder / "key", digest(bench.script)
    fresh = not stamp.exists() or stamp.read_text() != key
    missing = [n for n in names if fresh or not (folder / f"{n}.npz").exists()]
    if missing:
        print(f"generating {', '.join(missing)} ...", flush=True)
        env = bench.environment("bench")
        told = measure([env.python, str(bench.script), "gen", str(folder), *missing], env.variables)
        if "error" in told:
            sys.exit(f"the bench could not generate its scenes: {told['error']}")
        print(told["out"], flush=True)
        turn_back(bench, [n for n in missing if n in TURNED_SCENES])
        stamp.write_text(key)
    return {n: folder / f"{n}.npz" for n in names}


def turn_back(bench: Bench, names: list[str]) -> None:
    """Write scenes whose turned boards are numbered right, for their optimum."""
    env, folder = bench.environment("bench"), bench.folder("scenes")
    for name in names:
        files = [str(folder / f"{name}.npz"), str(folder / f"{name}-turned.npz")]
        worker = [str(HERE / "worker.py"), str(bench.script), "turn", *files]
        told = measure([env.python, *worker], env.variables)
        if "error" in told:
            sys.exit(f"{name}: its boards could not be turned back: {told['error']}")


def calibrate(bench: Bench, tool: str, name: str, scene: Path, test: Path) -> dict:
    """Run one tool on one scene and score it; from the cache where nothing changed."""
    entry = TOOLS[tool]
    env = bench.environment(entry.environment)
    if env.error:
        return {"error": f"not installed: {env.error[:120]}", "date": time.strftime("%Y-%m-%d")}
    label, key = f"{tool.replace(' ', '_')}--{name}", bench.key(entry.environment, scene, test)
    put_off = name in entry.slow and not bench.args.slow
    known = bench.cache.get(label, key, any_time=put_off)
    if known is not None:
        return known
    if put_off:
        return {"error": "not measured (--slow)", "date": ""}
    out = bench.folder("outputs") / f"{label}.json"
    out.unlink(missing_ok=True)
    print(f"{tool} on {name} ...", end=" ", flush=True)
    if tool in OURS:
        rig = [str(SHARED / "data/pyxy3d_4cam_holistic/config.toml")] * (tool == "ours_given")
        command = [str(HERE / "worker.py"), str(bench.script), "run", str(scene), str(out), *rig]
    else:
        command = [str(bench.script), "run", entry.adaptor or tool, str(scene), str(out)]
    told = measure([env.python, *command], env.variables, bench.args.timeout)
    print(f"{told['wall_s']:.1f} s", told.get("error", ""), flush=True)
    return bench.cache.put(label, key, scored(bench, told, out, test))


def scored(bench: Bench, told: dict, out: Path, test: Path) -> dict:
    """Add the output's figures and the bench's score to what was measured."""
    record = {k: told.get(k) for k in ("wall_s", "others")}
    if "error" in told:
        return {**record, "error": told["error"]}
    if not out.exists():
        return {**record, "error": "failed: wrote nothing"}
    output = json.loads(out.read_text())
    if "error" in output:
        return {**record, "error": "failed: " + output["error"].replace("\n", " ")[:160]}
    judge = bench.environment("bench")
    command = [str(HERE / "worker.py"), str(bench.script), "eval", str(test), str(out)]
    score = measure([judge.python, *command], judge.variables)
    if "error" in score:
        return {**record, "error": f"could not be scored: {score['error']}"}
    small = {k: v for k, v in output.items() if k not in ("K", "d", "R", "t")}
    return {**record, "output": small, "score": json.loads(score["out"])}


def part_scenes(bench: Bench) -> None:
    """Synthetic scenes with known truth."""
    paths, records = make_scenes(bench), {}
    for name, path in paths.items():
        mine = [t for t, e in TOOLS.items() if name in e.scenes and bench.wants(t, name)]
        turned = path.with_name(f"{name}-turned.npz")
        records[name] = {
            t: calibrate(bench, t, name, turned if t == "oracle_turned" else path, path)
            for t in mine
        }
    for name, found in records.items():
        if found:
            bench.say(tables.scene_table(name, found))
    text = tables.kept_table(records)
    if text:
        bench.say("What ours did with corners whose truth is known\n\n" + text)
    draw(bench, tables.chart_rows(records, {n: len(np.load(p)["cam"]) for n, p in paths.items()}))


def draw(bench: Bench, rows: list[dict]) -> None:
    """Draw the charts in their own environment."""
    if bench.args.only:
        return
    env = bench.environment("charts")
    if env.error:
        return
    data = bench.args.out / "charts.json"
    data.write_text(json.dumps(rows))
    folder = HERE if bench.args.write else bench.args.out
    told = measure([env.python, str(HERE / "charts.py"), str(data), str(folder)], env.variables)
    print(f"charts: {told.get('error') or folder}", flush=True)


def part_adjust(bench: Bench) -> None:
    """Bundle adjusters on the bench's 31 cameras."""
    boards = QUICK_BOARDS if bench.args.quick else BOARDS
    records = {}
    for method, where in ADJUSTERS.items():
        if not bench.wants(method, "adjust"):
            continue
        env = bench.environment(where)
        if env.error:
            records[method] = {"error": f"not installed: {env.error[:120]}", "date": ""}
            continue
        label, key = f"adjust-{method}--{boards}", bench.key(where, boards)
        known = bench.cache.get(label, key)
        if known is None:
            print(f"adjuster {method} ...", end=" ", flush=True)
            worker = [str(HERE / "worker.py"), str(bench.script), "ba", str(boards)]
            theirs = [str(bench.script), "ba", method, str(boards)]
            command = worker if method == "ours" else theirs
            told = measure([env.python, *command], env.variables, bench.args.timeout)
            print(f"{told['wall_s']:.1f} s", told.get("error", ""), flush=True)
            known = bench.cache.put(label, key, adjusted(told))
        records[method] = known
    if records:
        bench.say(
            f"**Bundle adjustment**, 31 cameras x {boards} boards\n\n{tables.adjust_table(records)}"
        )


def adjusted(told: dict) -> dict:
    """The JSON line that an adjuster prints last."""
    record = {k: told.get(k) for k in ("wall_s", "others")}
    if "error" in told:
        return {**record, "error": told["error"]}
    return {**record, "output": json.loads(told["out"].strip().splitlines()[-1])}


def part_coverage(bench: Bench) -> None:
    """Repeats on new rigs: do the intervals hold?"""
    if not bench.wants("ours", "coverage"):
        return
    count = QUICK_REPEATS if bench.args.quick else REPEATS
    env, label = bench.environment("ours"), f"coverage--{count}"
    key = bench.key("ours", count)
    known = bench.cache.get(label, key)
    if known is None:
        print(f"coverage, {count} repeats ...", end=" ", flush=True)
        worker = [str(HERE / "coverage.py"), str(bench.script), str(FIRST_SEED), str(count)]
        told = measure([env.python, *worker], env.variables, 2 * bench.args.timeout)
        print(f"{told['wall_s']:.1f} s", told.get("error", ""), flush=True)
        if "error" in told:
            return bench.say(f"**Uncertainty**: failed: {told['error']}")
        record = {"runs": json.loads(told["out"]), "others": told["others"]}
        known = bench.cache.put(label, key, record)
    bench.say(f"**Uncertainty** ({known['date']})\n\n{tables.coverage_table(known['runs'])}")
    return None


def part_real(bench: Bench) -> None:
    """Real footage, frames held out."""
    if not (SHARED / "data" / "opencv_stereo").is_dir():
        return bench.say(f"**Real footage**: skipped, no captures in {SHARED.name}/data")
    folder, env = bench.folder("real"), bench.environment("ours")
    if bench.args.fresh or not (folder / "webcams-published.json").exists():
        told = measure([env.python, str(HERE / "real.py"), str(SHARED), str(folder)], env.variables)
        if "error" in told:
            return bench.say(f"**Real footage**: failed: {told['error']}")
        print(told["out"], flush=True)
    for name in REAL_SCENES:
        train, test = folder / f"{name}-train.npz", folder / f"{name}-test.npz"
        mine = [t for t, e in TOOLS.items() if name in e.scenes and bench.wants(t, name)]
        found = {t: calibrate(bench, t, f"{name}-train", train, test) for t in mine}
        if name == "webcams" and found:
            found["published"] = published(bench, folder, test)
        if found:
            bench.say(tables.real_table(name, found))
    if bench.wants("ours", "stereo"):
        whole(bench, folder)
    return None


def published(bench: Bench, folder: Path, test: Path) -> dict:
    """Score the rig that came with the footage; it had seen the held-out frames."""
    told = {"wall_s": None, "others": None, "out": ""}
    return {**scored(bench, told, folder / "webcams-published.json", test), "date": "-"}


def whole(bench: Bench, folder: Path) -> None:
    """All stereo pairs: rms and baseline, as published (0.28 px; 3.31 squares)."""
    scene = folder / "stereo-all.npz"
    record = calibrate(bench, "ours", "stereo-all", scene, scene)
    if "error" in record:
        return bench.say(f"stereo, all pairs: {record['error']}")
    rig = json.loads((bench.folder("outputs") / "ours--stereo-all.json").read_text())
    R, t = np.array(rig["R"]), np.array(rig["t"])
    between = np.linalg.norm(R[1].T @ t[1] - R[0].T @ t[0]) / float(np.load(scene)["sq"])
    text = f"stereo, all pairs: rms {rig['rms']:.3f} px, baseline {between:.3f} squares"
    return bench.say(f"{text} (published with the samples: 0.28 px, 3.31 squares)")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="two scenes, small problems")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TOOL/SCENE", help="also TOOL or /SCENE"
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="by default all")
    parser.add_argument("--fresh", action="store_true", help="measure anew what is asked for")
    parser.add_argument(
        "--redo-busy", action="store_true", help="measure anew what was timed beside other programs"
    )
    parser.add_argument("--slow", action="store_true", help="peers that take minutes too")
    parser.add_argument("--retry", action="store_true", help="try again to install what failed")
    parser.add_argument("--timeout", type=int, default=TIMEOUT_S, help="seconds a run")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--out", type=Path, default=HERE / "runs")
    parser.add_argument("--write", action="store_true", help="replace the README's results")
    args = parser.parse_args()
    tools, scenes = {*TOOLS, *ADJUSTERS}, {*BOARD_SCENES, *WAND_SCENES, *REAL_SCENES, *PARTS}
    for wish in args.only:
        tool, _, scene = wish.partition("/")
        if tool not in {*tools, ""} or scene not in {*scenes, ""}:
            parser.error(f"--only {wish}: tools {sorted(tools)}, scenes {sorted(scenes)}")
    return args


def header(bench: Bench, start: float) -> str:
    """Machine, versions and what could not be had."""
    minutes = (time.time() - start) / 60
    lines = [
        f"{machine()}; Python {platform.python_version()}; {time.strftime('%Y-%m-%d')}",
        "",
        *(f"- {e.describe()}" for e in bench.environments.values()),
        "",
        f"This run took {minutes:.1f} minutes; results from the cache took none of it.",
    ]
    return "\n".join(lines)


def write(bench: Bench, text: str) -> None:
    """Put the results into the README, or a file that git does not see."""
    (bench.args.out / "results.md").write_text(text, encoding="utf-8")
    if bench.args.write:
        readme = HERE / "README.md"
        before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
        after = rest.split(END)[1]
        readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    args = parse()
    script = SHARED / "bench" / "bench_calibration.py"
    if not script.exists():
        sys.exit(f"skipped: no {script} (set MULTIVIEW_SHARED)")
    args.out.mkdir(parents=True, exist_ok=True)
    start = time.time()
    bench = Bench(args, script, Cache(args.cache / "results", args.fresh, args.redo_busy))
    bench.environment("ours")
    if not args.only:
        for name in RECIPES:
            bench.environment(name)
    parts = {
        "scenes": part_scenes,
        "real": part_real,
        "adjust": part_adjust,
        "coverage": part_coverage,
    }
    for name, part in parts.items():
        if name in (args.part or PARTS):
            part(bench)
    write(bench, "\n".join([header(bench, start), "", *bench.report]))


if __name__ == "__main__":
    main()
