"""What a bootstrapping loop of the demo needs: footage, a plan, the command, and a kill."""

import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import yaml

import multiview as mv
from multiview.core.samples import make_samples
from multiview.formats.datasets import save_dataset
from multiview.stages.demo import demo_data

VIEWS, FRAMES = ("cam00", "cam02", "cam04", "cam06"), (5, 15, 25, 35, 45, 55)
PATIENCE_S = 300
TRAINER = """
import pathlib, shutil, sys
from multiview.models.card import DATA
dataset, out = map(pathlib.Path, sys.argv[1:])
assert list(dataset.rglob("*.json")) and list(dataset.rglob("*.jpg"))
text = (DATA / "mediapipe-lite.yaml").read_text().replace("mediapipe-lite", "mine", 1)
for name in ("palm_detection_lite.onnx", "hand_landmark_lite.onnx"):
    shutil.copy(DATA / name, out)
(out / "mine.yaml").write_text(text)
"""


def make_footage(base):
    """Pictures of four cameras of the demo, their rig, and a labelled dataset of two others."""
    take = mv.open_capture(demo_data() / "take")
    rig = mv.load(demo_data() / "rig_truth.yaml")
    with np.load(demo_data() / "truth.npz") as truth:
        xyz = truth["xyz_world"]
    rows = []
    for name in (*VIEWS, "cam01", "cam03"):
        view = take.names.index(name)
        folder = base / ("take" if name in VIEWS else "held") / "images" / name
        folder.mkdir(parents=True)
        for number, frame in enumerate(FRAMES):
            ((_, image),) = take.images(view, frame, frame + 1)
            path = folder / f"{number:06d}.jpg"
            cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
            if name not in VIEWS:
                camera = rig.select((name,))
                hand = xyz[frame].reshape(-1, 21, 3)
                hand = hand[np.isfinite(hand).all((1, 2))][0]
                rows.append((f"images/{name}/{number:06d}.jpg", camera.project(hand)[0]))
    samples = make_samples(
        xy_px=[xy for _, xy in rows],
        visibility=np.full((len(rows), 21), 2),
        image=[image for image, _ in rows],
        size_wh=[(640, 480)] * len(rows),
        right=np.ones(len(rows)),
    )
    save_dataset(samples, base / "held_out", "parquet", pictures=base / "held")
    mv.save(rig.select(VIEWS), base / "rig.yaml")
    (base / "trainer.py").write_text(TRAINER)
    return base


def plan(footage, folder, **changed):
    """Write run.yaml; return its path."""
    config = {
        "takes": [
            {"capture": str(footage / "take" / "images"), "rig": str(footage / "rig.yaml")}
            | {"sync": "index", "fps": 1, "name": "kitchen", "subject": "anna"}
        ],
        "held_out": str(footage / "held_out"),
        "detector": "mediapipe-lite",
        "rounds": 2,
        "select": {"max_speed": 1000.0},
        "trainer": f"{sys.executable} {footage / 'trainer.py'} {{dataset}} {{out}}",
        "stop": {"patience": 2},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.yaml").write_text(yaml.safe_dump(config | changed))
    return folder / "run.yaml"


def command(path, *options):
    return [sys.executable, "-m", "multiview", "bootstrap", str(path), *options]


def run(path, *options):
    return subprocess.run(
        command(path, *options), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def kill_in_new_stage(child, out, killed):
    """Watch for unfinished stages; whether one was met for the first time and killed."""
    began = time.monotonic()
    while child.poll() is None and time.monotonic() - began < PATIENCE_S:
        for stage in unfinished(out) - killed:
            killed.add(stage)
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return True
        time.sleep(0.002)
    return False


def unfinished(out):
    """Names of stages whose folders are partial; a stage that finishes meanwhile is none."""
    # os.walk passes over folders that are renamed under its eyes; rglob fails
    names = {name for _, folders, _ in os.walk(out) for name in folders}
    return {name.removesuffix(".partial") for name in names if name.endswith(".partial")}
