"""What a ten-minute take of 8 cameras and two hands costs to write, and to open in each viewer."""

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from multiview.capture import open_capture
from multiview.cli import main
from multiview.core import HAND_21, Detections, Points3D
from multiview.formats.detections_parquet import write_detections
from multiview.formats.points_parquet import write_points
from multiview.formats.rig_yaml import write_rig
from multiview.formats.scan import points_meta
from multiview.stages.demo import demo_data
from multiview.stages.run_folder import find_run, open_scene
from multiview.synth import make_rig
from multiview.viz import rerun_log
from multiview.viz.rerun_video import av1

sys.path.append(str(Path(__file__).parents[2] / "tests"))  # its browser

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


def cost(what: str, start: tuple[float, float]) -> None:
    """Print what this process, which did nothing else, has used."""
    # getrusage would count the parent's memory, which a new process shares for a moment
    status = dict(r.split(":", 1) for r in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 1024
    wall, cpu = time.monotonic() - start[0], time.process_time() - start[1]
    print(f"{what}: {cpu:.1f} CPU s, {wall:.1f} s, {peak:.0f} MB", flush=True)


def write_page(run: Path) -> None:
    """`view --html`."""
    assert main(["view", str(run), "--html", str(run.parent / "run.html")]) == 0


def write_films(run: Path) -> None:
    """`render` of 300 frames near the end."""
    frames = read_number_of_frames(run)
    given = ["--frames", str(frames - 400), str(frames - 100), "--out", str(run.parent / "film")]
    assert main(["render", str(run), *given]) == 0


def read_number_of_frames(run: Path) -> int:
    """Frames of the run."""
    return len(points_meta(run / "points.parquet")["frames"])


def write_rrd(run: Path) -> None:
    """`view --no-show`, with the encoded pictures of the demo over and over."""
    take = open_capture(demo_data() / "take")
    count = take.index.shape[1]
    packets = [[d for _, d in av1(take.pick(v, np.arange(count)))] for v in range(CAMERAS)]
    # a picture stands for its camera, so that none is encoded twice
    rerun_log.av1 = lambda film: ((f, packets[v][f % count]) for f, v in film)
    scene = replace(open_scene(find_run(run)), pictures=lambda v, at: ((int(f), v) for f in at))
    rerun_log.write_recording(scene, run.with_suffix(".rrd"))


def show_rrd(run: Path) -> None:
    """Time to the first picture and memory of rerun's viewer, at the start and near the end."""
    import psutil
    import rerun_window

    def memory() -> str:
        viewers = psutil.Process().children(recursive=True)
        return f"{max(p.memory_info().rss for p in viewers) / 1e6:.0f} MB"

    began = time.monotonic()
    with rerun_window.viewer() as client:
        rerun_window.picture(client)
        empty, up = memory(), time.monotonic() - began
        seconds = rerun_window.open_recording(client, run.with_suffix(".rrd"))
        print(f"rerun: empty window {up:.1f} s, {empty}; first picture {seconds:.1f} s, {memory()}")
        began = time.monotonic()
        last = read_number_of_frames(run) - 100
        client.set_time(timeline="frame", sequence=last, play_state="paused")
        rerun_window.wait_for_a_hand(client)
        print(f"rerun: frame {last} {time.monotonic() - began:.1f} s, {memory()}")
        client.set_time(timeline="frame", sequence=0, play_state="playing")
        time.sleep(30)
        print(f"rerun: after playing 30 s {memory()}; complaints {rerun_window.complaints(client)}")
        (run.parent / "long.png").write_bytes(client.take_screenshot())


def show_page(run: Path) -> None:
    """Time to the first picture and memory of the page in chromium."""
    import psutil
    from browser import browser

    with browser() as driver:
        chrome = psutil.Process(driver.service.process.pid).children(recursive=True)
        before = sum(p.memory_info().rss for p in chrome if p.is_running())
        began = time.monotonic()
        driver.get((run.parent / "run.html").as_uri())
        while not driver.execute_script("return document.body.dataset.ready"):
            time.sleep(0.02)
        seconds = time.monotonic() - began
        chrome = psutil.Process(driver.service.process.pid).children(recursive=True)
        grown = sum(p.memory_info().rss for p in chrome) - before
        draw = driver.execute_script(
            "const t = performance.now();"
            " for (let i = 0; i < 50; i++) { frame = i*300 % F; draw(); }"
            " return (performance.now() - t)/50"
        )
        print(f"page: first picture {seconds:.1f} s, +{grown / 1e6:.0f} MB, {draw:.1f} ms a frame")


WRITE = {"page": write_page, "rrd": write_rrd, "film": write_films}
SHOW = {"rerun": show_rrd, "browser": show_page}


def step(name: str, run: Path) -> None:
    """Measure one step."""
    if name in SHOW:
        SHOW[name](run)
        return
    start = time.monotonic(), time.process_time()
    WRITE[name](run)
    cost(name, start)


if __name__ == "__main__":
    if sys.argv[1] == "--step":
        step(sys.argv[2], Path(sys.argv[3]))
        sys.exit()
    with tempfile.TemporaryDirectory() as name:
        made = write_run(Path(name), int(sys.argv[1]))
        for part in sys.argv[2:] or (*WRITE, *SHOW):
            subprocess.run([sys.executable, __file__, "--step", part, str(made)], check=True)
        for path in (*made.parent.glob("*.rrd"), *made.parent.glob("*.html")):
            print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
