"""What can be gained by triangulating while detecting? CPU seconds of both, and of both at once.

``python overlap.py [DOME8] [--runtime ort]``: the demo capture, and a rendered one if it is there,
by `multiview.stages`: detect, then triangulate; and detect with a rig, which triangulates the
finished parts beside (``multiview detect TAKE --rig RIG``).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

import multiview as mv
from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import write_rig
from multiview.stages import detect as stage
from multiview.stages.demo import demo_data
from multiview.stages.triangulate import run_triangulate
from multiview.triangulation import TriangulationConfig

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("MULTIVIEW_SHARED", ROOT.parent / "shared"))
CONFIG = TriangulationConfig()
SHARD_SETS = 15  # so that short takes have several parts


def rig_of(folder: Path, target: Path) -> Path:
    """Write the rig of a rendered capture as YAML."""
    cameras = json.loads((folder / "calibration.json").read_text())["cameras"]
    lenses = [
        Intrinsics(K=np.array(c["K"]), dist=np.array(c["dist"]), size_wh=(c["width"], c["height"]))
        for c in cameras
    ]
    poses = [Pose(R=np.array(c["R"]), t=np.array(c["t"])) for c in cameras]
    write_rig(
        Rig(
            cameras=tuple(
                Camera(name=c["name"], intrinsics=lens, cam_from_world=pose)
                for c, lens, pose in zip(cameras, lenses, poses, strict=True)
            )
        ),
        target,
    )
    return target


def timed(work) -> tuple[float, float]:
    """Wall and CPU seconds; what the stages say is not shown."""
    wall, cpu = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Print one line a take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dome8", type=Path, nargs="?", default=SHARED / "data/rendered/dome8")
    parser.add_argument("--runtime", default="ort", choices=("cv2", "ort"))
    options = parser.parse_args()
    stage.SHARD_SETS = SHARD_SETS
    print("| take | sets | detect CPU s (wall) | triangulate | both at once | same 3D |")
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        takes = {"demo": (demo_data() / "take", demo_data() / "rig_truth.yaml")}
        if options.dome8.is_dir():
            takes["dome8"] = (options.dome8 / "images", rig_of(options.dome8, work / "dome8.yaml"))
        for label, (folder, rig) in takes.items():
            take, out = mv.open_capture(folder, sync="index"), work / label
            run = {"runtime": options.runtime}
            first = timed(lambda o=out, t=take, r=run: stage.run_detect(t, o / "a", **r))
            second = timed(lambda o=out, g=rig: run_triangulate(o / "a", g, o / "a-3d", CONFIG))
            both = timed(
                lambda o=out, t=take, g=rig, r=run: stage.run_detect(t, o / "b", rig_path=g, **r)
            )
            one, other = (read_points(out / n / "points.parquet") for n in ("a-3d", "b-3d"))
            same = np.array_equal(one.xyz_world, other.xyz_world, equal_nan=True)
            cells = [f"{cpu:.2f} ({wall:.2f})" for wall, cpu in (first, second, both)]
            print(f"| {label} | {len(take.frame_ids)} | {' | '.join(cells)} | {same} |", flush=True)


if __name__ == "__main__":
    main()
