"""How long and how much memory a page of a ten-minute take of 8 cameras and two hands needs."""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from multiview.cli import main
from multiview.core import HAND_21, Detections, Points3D
from multiview.formats.detections_parquet import write_detections
from multiview.formats.points_parquet import write_points
from multiview.formats.rig_yaml import write_rig
from multiview.synth import make_rig

CAMERAS, FPS, NOISE_PX, NOISE_M = 8, 30.0, 1.5, 0.001
MANIFEST = (
    '{"stage": "triangulate", "inputs": {}, "figures": {"detections": "../det/detections.parquet"}}'
)


def hands(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Two hands of random shape on smooth ways, (F, 2, 21, 3)."""
    t = np.arange(frames)[:, None, None, None] / FPS
    shape = rng.normal(0, 0.04, (1, 2, 21, 3))
    way = 0.1 * np.sin(t * rng.uniform(0.5, 1.5, (1, 2, 1, 3)) + rng.uniform(0, 6, (1, 2, 1, 3)))
    return shape + way + rng.normal(0, NOISE_M, (frames, 2, 21, 3))


def write_run(folder: Path, frames: int) -> Path:
    """Write detections, points and rig as `detect` and `triangulate` would."""
    rng = np.random.default_rng(0)
    rig, xyz = make_rig(rng, CAMERAS, view_m=1.0), hands(frames, rng)
    names, ids, shape = rig.names, np.arange(frames), (CAMERAS, frames, 2, 21)
    common = {"camera_names": names, "frame_ids": ids, "skeleton": HAND_21}
    common["hands"] = ("left", "right")
    xy = rig.project(xyz)
    dets = Detections(
        xy_px=xy + rng.normal(0, NOISE_PX, xy.shape),
        conf=np.full(shape, 0.9),
        times=np.tile(ids / FPS, (CAMERAS, 1)),
        source="synthetic",
        right=np.full(shape[:3], 0.5),
        **common,
    )
    points = Points3D(
        xyz_world=xyz,
        cov=NOISE_M**2 * np.eye(3) * rng.uniform(0.5, 4, (frames, 2, 21, 1, 1)),
        inlier=np.ones(shape, bool),
        err_px=np.abs(rng.normal(0, NOISE_PX, shape)),
        voted=np.ones(shape[1:], bool),
        rig_digest=rig.digest,
        **common,
    )
    for name in ("det", "tri"):
        (folder / name).mkdir()
    write_detections(dets, folder / "det" / "detections.parquet")
    write_points(points, folder / "tri" / "points.parquet")
    write_rig(rig, folder / "tri" / "rig.yaml")
    (folder / "tri" / "manifest.json").write_text(MANIFEST)
    return folder / "tri"


def measure(run: Path) -> None:
    """Write the page and print its cost; in a process that did nothing else."""
    wall, cpu = time.monotonic(), time.process_time()
    page = run.parent / "run.html"
    assert main(["view", str(run), "--html", str(page)]) == 0
    # getrusage would count the parent's memory, which a new process shares for a moment
    status = dict(r.split(":", 1) for r in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 1024
    print(f"{time.process_time() - cpu:.1f} CPU s, {time.monotonic() - wall:.1f} s, {peak:.0f} MB")


if __name__ == "__main__":
    import subprocess

    if sys.argv[1] == "--measure":
        measure(Path(sys.argv[2]))
        sys.exit()
    with tempfile.TemporaryDirectory() as name:
        made = write_run(Path(name), int(sys.argv[1]))
        subprocess.run([sys.executable, __file__, "--measure", str(made)], check=True)
