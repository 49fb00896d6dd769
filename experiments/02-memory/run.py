"""Measure peak memory of the stages on short and long takes: ``python run.py [60 600 ...]``.

Every measured command is a process of its own; its peak is what the kernel reports when it ends.
This process stays small, because on Linux a child starts with the peak of its parent: whatever
needs numpy or PyAV (making the films) runs in children too.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PYTHON = sys.executable
MIB = 1024 * (1024 if sys.platform == "darwin" else 1)  # Linux counts kilobytes, macOS bytes
SETS = (60, 600)
LONG = 2400  # for triangulation alone, which needs no pictures
DETECT_CAMERAS = 2  # of eight: detection time grows with pictures, memory should not

# Repeat a film of 60 pictures: LOOP SOURCE TARGET PICTURES.
LOOP = """
import sys
from fractions import Fraction
import av
source, target, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])
with av.open(source) as film:
    rate = film.streams.video[0].average_rate
    pictures = [f.to_ndarray(format="yuv420p") for f in film.decode(video=0)]
with av.open(target, "w") as out:
    stream = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "18"})
    stream.height, stream.width = pictures[0].shape[0] * 2 // 3, pictures[0].shape[1]
    stream.pix_fmt = "yuv420p"
    for n in range(wanted):
        frame = av.VideoFrame.from_ndarray(pictures[n % len(pictures)], format="yuv420p")
        frame.pts, frame.time_base = n, Fraction(1, 1) / rate
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
"""

# Detections of eight cameras without a network, from the truth: PROJECT DEMO TARGET SETS.
PROJECT = """
import sys
from pathlib import Path
import numpy as np
from multiview.core import HAND_21, Detections
from multiview.formats.detections_parquet import write_detections
from multiview.formats.rig_yaml import read_rig
from multiview.stages.evaluate import read_truth
demo, sets = Path(sys.argv[1]), int(sys.argv[3])
rig, truth = read_rig(demo / "rig_truth.yaml"), read_truth(demo / "truth.npz")
xyz = truth[np.arange(sets) % len(truth)]
xy = rig.project(xyz) + np.random.default_rng(0).normal(0, 1, (len(rig.cameras), *xyz.shape[:3], 2))
conf = np.where(np.isfinite(xy).all(-1), 0.9, 0.0)
right = np.broadcast_to(np.array([0.0, 1.0]), conf.shape[:3]).copy()
right[~(conf > 0).any(-1)] = np.nan
dets = Detections(
    xy_px=xy, conf=conf, camera_names=rig.names, frame_ids=np.arange(sets),
    times=np.broadcast_to(np.arange(sets) / 30, xy.shape[:2]).copy(), skeleton=HAND_21,
    source="truth", right=right,
)
write_detections(dets, sys.argv[2])
"""


def measure(arguments: list[str]) -> tuple[float, float]:
    """Peak memory (MiB) and seconds of ``python ARGUMENTS``."""
    began = time.monotonic()
    child = subprocess.Popen([PYTHON, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"failed with {child.returncode}: {' '.join(arguments[:6])}")
    return usage.ru_maxrss / MIB, time.monotonic() - began


def demo_data() -> Path:
    """Folder of the capture that ships with the package."""
    code = "from multiview.stages.demo import demo_data; print(demo_data())"
    return Path(subprocess.check_output([PYTHON, "-c", code], text=True).strip())


def looped(source: Path, target: Path, sets: int, cameras: int | None = None) -> Path:
    """Make a capture of ``sets`` pictures a camera from the first cameras of another."""
    target.mkdir()
    for film in sorted(source.glob("*.mp4"))[:cameras]:
        measure(["-c", LOOP, str(film), str(target / film.name), str(sets)])
    return target


def films(demo: Path, folder: Path, sets: int) -> dict[str, list[str]]:
    """Make films of ``sets`` frame sets; return the command of each stage that reads them."""
    take = looped(demo / "take", folder / "take", sets, DETECT_CAMERAS)
    board = looped(demo / "board", folder / "board", sets)
    return {
        "detect": ["detect", str(take)],
        "calibrate": ["calibrate", str(board), "--board", str(demo / "board.yaml")],
    }


def table(demo: Path, folder: Path, sets: int) -> dict[str, list[str]]:
    """Make detections of ``sets`` frame sets; return the command that triangulates them."""
    path = folder / "detections.parquet"
    measure(["-c", PROJECT, str(demo), str(path), str(sets)])
    return {"triangulate": ["triangulate", str(path), "--rig", str(demo / "rig_truth.yaml")]}


def rows(demo: Path, folder: Path, sets: int, *, pictures: bool = True) -> None:
    """Measure and print the rows of one number of frame sets."""
    folder.mkdir()
    commands = films(demo, folder, sets) if pictures else {}
    for name, arguments in (commands | table(demo, folder, sets)).items():
        base, _ = measure(["-c", f"import multiview.stages.{name}"])
        peak, seconds = measure(["-m", "multiview", *arguments, "--out", str(folder / name)])
        cameras = DETECT_CAMERAS if name == "detect" else 8
        cells = (name, cameras, sets, f"{peak:.0f}", f"{base:.0f}", f"{seconds:.0f}")
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    shutil.rmtree(folder)


def main() -> None:
    """Print the table."""
    print("| stage | cameras | frame sets | peak MiB | of which imports | seconds |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    root = Path(tempfile.mkdtemp(prefix="multiview-memory-"))
    try:
        demo = Path(shutil.copytree(demo_data(), root / "demo"))
        for sets in [int(a) for a in sys.argv[1:]] or SETS:
            rows(demo, root / str(sets), sets)
        if not sys.argv[1:]:
            rows(demo, root / "long", LONG, pictures=False)
    finally:
        shutil.rmtree(root)
    code = (
        "from multiview.stage import provenance as p; print(', '.join(map(' '.join, p().items())))"
    )
    print(f"\n{os.cpu_count()} processors, {platform.system()}; ", end="", flush=True)
    subprocess.run([PYTHON, "-c", code], check=True)


if __name__ == "__main__":
    main()
