"""Is a converted OpenPose network what Caffe's files say? See README.md.

``python run.py [--opencv4 PYTHON] [--folder DIR] [--repeats N]``: PYTHON is the interpreter of an
environment with OpenCV 4 (any 4.10 or later) and numpy; without it the comparison with OpenCV's own
Caffe importer is left out. DIR keeps the 147 MB files; by default they are deleted at the end.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

SHAPES = {"crop": (368, 368), "odd": (368, 491)}  # 491: Caffe rounds poolings up
LIMIT = 1e-4  # of the range of the output


def network_input(shape: tuple[int, int]) -> np.ndarray:
    """Smooth noise in the network's range, -0.5 to 0.5."""
    noise = np.random.default_rng(1).normal(size=(*shape, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    scaled = (smooth - smooth.min()) / np.ptp(smooth) - 0.5
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def run_cv2(net: cv2.dnn.Net, name: str) -> dict[str, np.ndarray]:
    """Outputs for all inputs, and milliseconds of the second pass."""
    found = {}
    for key in SHAPES:
        net.setInput(np.load(f"{name}_{key}.npy"), "image")
        found[key] = net.forward("net_output").copy()
    start = time.perf_counter()
    net.setInput(np.load(f"{name}_crop.npy"), "image")
    net.forward("net_output")
    found["ms"] = np.array((time.perf_counter() - start) * 1e3)
    return found


def child(folder: Path) -> None:
    """In the environment of OpenCV 4: its Caffe importer, and our ONNX file."""
    os.chdir(folder)
    caffe = cv2.dnn.readNetFromCaffe("net.prototxt", "net.caffemodel")
    np.savez("caffe.npz", version=cv2.__version__, **run_cv2(caffe, "input"))
    onnx = cv2.dnn.readNetFromONNX("models/openpose-hand.onnx")
    np.savez("onnx4.npz", version=cv2.__version__, **run_cv2(onnx, "input"))


def compare(folder: Path, python4: str | None) -> None:
    """Print how far the runtimes are from OpenCV 4's Caffe importer."""
    import onnxruntime

    here = os.getcwd()
    for key, shape in SHAPES.items():
        np.save(folder / f"input_{key}.npy", network_input(shape))
    os.chdir(folder)
    net = cv2.dnn.readNetFromONNX("models/openpose-hand.onnx")
    results = {f"our ONNX, cv2 {cv2.__version__}": run_cv2(net, "input")}
    session = onnxruntime.InferenceSession("models/openpose-hand.onnx")
    outputs = {k: session.run(None, {"image": np.load(f"input_{k}.npy")})[0] for k in SHAPES}
    results[f"our ONNX, onnxruntime {onnxruntime.__version__}"] = outputs
    os.chdir(here)
    truth, label = next(iter(results.values())), "our ONNX in this OpenCV (no --opencv4)"
    if python4:
        subprocess.run([python4, __file__, "--child", str(folder)], check=True)
        loaded = dict(np.load(folder / "caffe.npz"))
        truth, label = loaded, f"OpenCV {loaded['version']}'s Caffe importer"
        onnx4 = dict(np.load(folder / "onnx4.npz"))
        results[f"our ONNX, cv2 {onnx4['version']}"] = onnx4
        print(f"OpenCV {loaded['version']}: {loaded['ms']:.0f} ms a crop from Caffe's files")
    print(f"\nagainst {label}:\n")
    print("| runtime | input | output range | largest difference | of the range |")
    print("| --- | --- | --- | --- | --- |")
    worst = 0.0
    for name, result in results.items():
        for key, shape in SHAPES.items():
            difference, spread = np.abs(result[key] - truth[key]).max(), np.ptp(truth[key])
            worst = max(worst, difference / spread)
            print(
                f"| {name} | {shape[1]} x {shape[0]} | {truth[key].min():.3f} to "
                f"{truth[key].max():.3f} | {difference:.1e} | {difference / spread:.1e} |"
            )
    verdict = "ok" if worst <= LIMIT else "FAILED"
    print(f"\nlargest {worst:.1e} of the range, limit {LIMIT:.0e}: {verdict}")


def timing(card: Path, repeats: int) -> None:
    """Print milliseconds of the modes, a 640 x 480 picture, one hand in a given crop.

    Where the side is known a crop is read once, so it costs half; every scale more costs as much
    again.
    """
    from multiview.models import load_detector

    image = np.random.default_rng(2).integers(0, 255, (480, 640, 3), np.uint8)
    roi = np.array([[320.0, 240, 300, 0]])
    rows = {
        "seed (whole picture, 490 x 368)": ({"mode": "seed"}, None),
        "crop, side unknown (two readings)": ({}, roi),
    }
    print("\n| runtime | threads | mode | CPU ms | wall ms |\n| --- | --- | --- | --- | --- |")
    for runtime in ("cv2", "ort"):
        for threads in (1, 2):
            for name, (options, rois) in rows.items():
                found = load_detector(card, runtime=runtime, threads=threads, **options)
                found.detect(image, rois)
                wall, cpu = time.perf_counter(), time.process_time()
                for _ in range(repeats):
                    found.detect(image, rois)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                print(
                    f"| {runtime} | {threads} | {name} | {cpu / repeats * 1e3:.0f} | "
                    f"{wall / repeats * 1e3:.0f} |",
                    flush=True,
                )


def main(folder: Path, python4: str | None, repeats: int) -> None:
    """Build, count, convert, compare, time."""
    import architecture

    from multiview.models.caffe import read_caffe
    from multiview.models.caffe_to_onnx import convert_openpose

    paths = architecture.write(folder)
    start = time.perf_counter()
    net = read_caffe(*paths)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"read in {time.perf_counter() - start:.1f} s")
    count, work = architecture.parameters(net), architecture.gflop(net, 368)
    print(
        f"{count} parameters, {4 * count} bytes; our caffemodel {paths[1].stat().st_size}, the "
        f"published one {architecture.PUBLISHED_BYTES} "
        f"({architecture.PUBLISHED_BYTES - 4 * count} bytes of names and shapes)"
    )
    print(f"{work:.1f} GFLOP at 368 x 368, published {architecture.PUBLISHED_GFLOP}")
    for _ in range(2):
        start = time.perf_counter()
        done = convert_openpose(*paths, folder / "models")
        took = time.perf_counter() - start
        print(f"convert: {took:.1f} s, cached {done.cached}, warnings {len(done.warnings)}")
    compare(folder, python4)
    if repeats:
        timing(done.card, repeats)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--opencv4")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
    elif arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        main(arguments.folder.resolve(), arguments.opencv4, arguments.repeats)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary), arguments.opencv4, arguments.repeats)
