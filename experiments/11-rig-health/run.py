"""Spoiled rigs and footage: what `multiview calib check` says of each. See README.md."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "calib"))
from health_scenes import (  # noqa: E402
    BOARD,
    blurred,
    copied,
    exchanged,
    film,
    hands,
    mirrored,
    nudged,
    resized,
    scaled,
)

from multiview import load  # noqa: E402
from multiview.calib import Board, BoardCorners, detect_board, load_board  # noqa: E402
from multiview.calib.health import check_corners, check_detections  # noqa: E402
from multiview.calib.health_result import HealthReport  # noqa: E402
from multiview.capture import open_capture  # noqa: E402
from multiview.core import Camera, Detections, Intrinsics, Pose, Rig  # noqa: E402
from multiview.formats.rig_yaml import read_rig  # noqa: E402
from multiview.stage import provenance  # noqa: E402
from multiview.stages.demo import demo_data  # noqa: E402
from multiview.synth import make_rig  # noqa: E402

# What a rig fresh from calibration is off: degrees and mm of every camera, one sigma.
FRESH_DEG, FRESH_MM = 0.005, 0.1
# Names of one fault: a camera that turned about a far point has moved, and the other way round.
SAME = {"turned": "moved", "drift": "offset"}


@dataclass(frozen=True)
class Case:
    """A rig, its footage, and what is wrong with them."""

    scene: str
    kind: str
    cameras: frozenset[str]
    check: Callable[[], HealthReport]


def fresh(rig: Rig, seed: int) -> Rig:
    """A rig as a good calibration gives it: every camera a little off."""
    for v in range(len(rig.cameras)):
        rng = np.random.default_rng([seed, v])
        deg, mm = abs(rng.normal(0, FRESH_DEG)), abs(rng.normal(0, FRESH_MM))
        rig = nudged(rig, v, deg=deg, mm=mm, seed=seed * 100 + v)
    return rig


def boards(
    scene: str, rig: Rig, board: Board, corners: BoardCorners, times: np.ndarray | None, seed: int
) -> Iterator[Case]:
    """Spoil a board take in every way that needs no new footage."""
    V = len(rig.cameras)
    a, b = (int(v) for v in np.random.default_rng(seed).permutation(V)[:2])
    names = rig.names

    def case(kind: str, views: tuple[int, ...], bad_rig: Rig, bad: BoardCorners) -> Case:
        cameras = frozenset(names[v] for v in views)
        return Case(scene, kind, cameras, lambda: check_corners(bad, board, bad_rig, times=times))

    everyone = tuple(range(V))
    rig = fresh(rig, seed)
    yield case("clean", (), rig, corners)
    yield case("moved", (a,), nudged(rig, a, mm=5, seed=seed), corners)
    yield case("turned", (a,), nudged(rig, a, deg=0.2, seed=seed), corners)
    yield case("zoom", (a,), nudged(rig, a, zoom=1.02), corners)
    yield case("duplicate", (a, b), rig, copied(corners, a, b))
    yield case("swapped", (a, b), rig, exchanged(corners, a, b))
    yield case("unit", everyone, scaled(rig, 1000), corners)
    yield case("scale", everyone, scaled(rig, 1.02), corners)
    yield case("size", everyone, rig, resized(corners, 0.75))
    yield case("mirrored", (a,), rig, mirrored(corners, a))
    yield case("blurred", (a,), rig, blurred(corners, a, 1.5))


def synthetic(seeds: int) -> Iterator[Case]:
    """Moving boards before invented rigs, clocks spoiled too."""
    for seed in range(seeds):
        rig = make_rig(
            np.random.default_rng(seed), 4 + seed % 5, azimuth_deg=120.0 + 40 * (seed % 3)
        )
        corners, times = film(rig, seed, frames=120)
        scene = f"board, {len(rig.cameras)} cameras"
        yield from boards(scene, rig, BOARD, corners, times, seed)
        v = seed % len(rig.cameras)
        for frames in (2.0, -2.0, 0.5):
            late, times = film(rig, seed, frames=120, offset={v: frames})
            bad = fresh(rig, seed)
            yield Case(
                scene,
                f"offset {frames:+g}",
                frozenset({rig.names[v]}),
                lambda bad=bad, late=late, times=times: check_corners(
                    late, BOARD, bad, times=times
                ),
            )


def bench(folder: Path) -> Iterator[Case]:
    """Scenes of the calibration bench: single poses, gross errors, flipped boards."""
    for name in ("arc4", "chain4", "ring8", "dome31"):
        path = folder / f"{name}.npz"
        if not path.exists():
            print(f"{path} is absent: left out (give --bench FOLDER)")
            continue
        z = np.load(path)
        V, F, N = len(z["K"]), int(z["frame"].max()) + 1, len(z["objp"])
        xy = np.full((V, F, N, 2), np.nan)
        xy[z["cam"], z["frame"], z["pid"]] = z["xy"]
        names = tuple(f"cam{v:02d}" for v in range(V))
        sizes = tuple((int(w), int(h)) for w, h in z["sizes"])
        rig = Rig(
            cameras=tuple(
                Camera(
                    name=names[v],
                    intrinsics=Intrinsics(K=z["K"][v], dist=z["d"][v], size_wh=sizes[v]),
                    cam_from_world=Pose(R=z["R"][v], t=z["t"][v]),
                )
                for v in range(V)
            )
        )
        board = Board(kind="chessboard", columns=9, rows=6, square_m=0.06)
        corners = BoardCorners(xy_px=xy, camera_names=names, frame_ids=np.arange(F), sizes_wh=sizes)
        yield from boards(f"bench {name}", rig, board, corners, None, 1)


def demo() -> Iterator[Case]:
    """The board videos that ship: corners from pictures."""
    data = demo_data()
    capture, board = open_capture(data / "board"), load_board(data / "board.yaml")
    corners, rig = detect_board(capture, board), read_rig(data / "rig_truth.yaml")
    yield from boards("demo board", rig, board, corners, capture.times, 1)


def take_of(dets: Detections, view: int, frames: int) -> Detections:
    """Detections of which one camera's pictures come from other instants."""
    F = dets.xy_px.shape[1]
    source = np.arange(F) + frames
    ok = (source >= 0) & (source < F)
    out = {}
    for name, empty in (("xy_px", np.nan), ("conf", 0.0), ("right", np.nan)):
        values = getattr(dets, name).copy()
        values[view] = empty
        values[view, ok] = getattr(dets, name)[view, source[ok]]
        out[name] = values
    return replace(dets, **out)


def hand_cases(scene: str, rig: Rig, dets: Detections, seed: int) -> Iterator[Case]:
    """Spoil a take of hands."""
    V = len(rig.cameras)
    a, b = (int(v) for v in np.random.default_rng(seed).permutation(V)[:2])

    def case(kind: str, views: tuple[int, ...], bad_rig: Rig, bad: Detections) -> Case:
        cameras = frozenset(rig.names[v] for v in views)
        return Case(scene, kind, cameras, lambda: check_detections(bad, bad_rig))

    yield case("clean", (), rig, dets)
    for mm in (5, 10, 20, 50):
        yield case(f"moved {mm} mm", (a,), nudged(rig, a, mm=mm, seed=seed), dets)
    for deg in (0.2, 0.5, 1.0):
        yield case(f"turned {deg} deg", (a,), nudged(rig, a, deg=deg, seed=seed), dets)
    yield case("offset +2", (a,), rig, take_of(dets, a, 2))
    yield case("duplicate", (a, b), rig, copied(dets, a, b))
    yield case("swapped", (a, b), rig, exchanged(dets, a, b))
    yield case("unit", tuple(range(V)), scaled(rig, 1000), dets)
    yield case("size", tuple(range(V)), rig, resized(dets, 0.5))


def all_hands(folder: Path | None) -> Iterator[Case]:
    """Invented hands, and what the shipped detector found in a rendered take."""
    for seed in range(3):
        rig = make_rig(np.random.default_rng(seed), 5 + seed)
        yield from hand_cases("hands, synthetic", rig, hands(rig, seed, frames=90), seed)
    if folder is None:
        print("hands of a real detector: left out (give --hands FOLDER with rig.yaml and table)")
        return
    dets, rig = load(folder / "detections.parquet"), read_rig(folder / "rig.yaml")
    for seed in range(3):
        yield from hand_cases("hands, detector", rig, dets, seed)


def verdict(case: Case, report: HealthReport) -> str:
    """One word: clean, right, or what it was called instead."""
    wanted = case.kind.split()[0]
    if wanted == "clean":
        return "clean" if report.healthy else "ALARM " + report.findings[0].kind
    if report.healthy:
        return "missed"
    kinds = [(SAME.get(f.kind, f.kind), frozenset(f.cameras)) for f in report.findings]
    if kinds == [(SAME.get(wanted, wanted), case.cameras)]:
        return "right"
    if (SAME.get(wanted, wanted), case.cameras) in kinds:
        return "right, and more"
    return "called " + "+".join(sorted({k for k, _ in kinds}))


def main() -> None:
    """Run all cases and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--clean", type=int, default=100)
    parser.add_argument("--bench", type=Path, default=Path(os.environ.get("BENCH", "scenes")))
    parser.add_argument("--hands", type=Path)
    parser.add_argument("--groups", nargs="*", default=["synthetic", "demo", "bench", "hands"])
    options = parser.parse_args()
    table: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    began = time.process_time()
    groups = {
        "synthetic": lambda: synthetic(options.seeds),
        "demo": demo,
        "bench": lambda: bench(options.bench),
        "hands": lambda: all_hands(options.hands),
    }
    for name in options.groups:
        for case in groups[name]():
            word = verdict(case, case.check())
            scene = case.scene.split(",")[0] if case.scene.startswith("board") else case.scene
            table[scene, case.kind][word] += 1
            print(f"# {case.scene}: {case.kind} {sorted(case.cameras)[:2]}: {word}", flush=True)
    print("\n| footage | spoiled | said |\n| --- | --- | --- |")
    for (scene, kind), words in table.items():
        said = ", ".join(f"{word} {n}" for word, n in words.most_common())
        print(f"| {scene} | {kind} | {said} |")
    alarms = 0
    for seed in range(1000, 1000 + options.clean):
        rig = make_rig(np.random.default_rng(seed), 4 + seed % 5, azimuth_deg=160.0)
        corners, times = film(rig, seed, frames=80)
        report = check_corners(corners, BOARD, fresh(rig, seed), times=times)
        alarms += not report.healthy
        if not report.healthy:
            print(f"# seed {seed}: {[(f.kind, f.cameras, f.text) for f in report.findings]}")
    print(f"\nfalse alarms on clean rigs: {alarms} of {options.clean}")
    versions = ", ".join(f"{k} {v}" for k, v in provenance().items())
    print(f"{time.process_time() - began:.0f} CPU s; {platform.machine()}; {versions}")


if __name__ == "__main__":
    main()
