"""Does tracking from frame to frame save time, and what does it cost in accuracy?

``python tracking.py [DOME8] [--detector mediapipe-full]``: the demo capture and a rendered one with
truth, every picture on its own and tracked with a search of the whole picture in every n-th.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import multiview as mv
from multiview.formats.rig_yaml import read_rig
from multiview.stages.demo import demo_data

ROOT = Path(__file__).parents[2]
F64 = NDArray[np.float64]
SEARCH_EVERY = (0, 1, 3, 10, 30)
MAX_HANDS = 2
# A hand counts as found if its keypoints are this near in the median, in sizes of the hand.
FOUND = 0.5
WRONG = 0.1


def scenes(dome8: Path) -> dict[str, tuple[Path, F64]]:
    """Capture and true keypoints (V, F, 21, 2) of each."""
    data = demo_data()
    with np.load(data / "truth.npz") as truth:
        demo = read_rig(data / "rig_truth.yaml").project(truth["xyz_world"])
    result = {"demo": (data / "take", demo)}
    if dome8.is_dir():
        with np.load(dome8 / "truth.npz") as truth:
            result["dome8"] = (dome8 / "images", truth["kp2d"].swapaxes(0, 1))
    else:
        print(f"no {dome8}: only the demo capture")
    return result


def accuracy(dets: mv.Detections, truth: F64) -> str:
    """Views found, median error, share of found hands beyond 10 %, PCK over all views, extras."""
    size = np.ptp(truth, axis=2).max(axis=-1)  # (V, F)
    error = np.linalg.norm(dets.xy_px - truth[:, :, None], axis=-1) / size[..., None, None]
    middle = np.nan_to_num(np.median(error, axis=-1), nan=np.inf)  # (V, F, H)
    best = middle.argmin(axis=-1)
    found = middle.min(axis=-1) < FOUND
    mine = np.take_along_axis(error, best[..., None, None], axis=2)[:, :, 0]  # (V, F, K)
    pck = np.mean((mine < WRONG) & found[..., None])
    extra = np.isfinite(middle).sum() - found.sum()
    hit = mine[found]
    return (
        f"{found.mean():.3f} | {np.median(hit) * 100:.2f} | {np.percentile(hit, 95) * 100:.1f} | "
        f"{np.mean(hit > WRONG):.3f} | {pck:.3f} | {extra}"
    )


def main() -> None:
    """Print one line a scene and way of searching."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = ROOT.parent / "shared/data/rendered/dome8"
    parser.add_argument("dome8", type=Path, nargs="?", default=default)
    parser.add_argument("--detector", default="mediapipe-full")
    parser.add_argument("--runtime", default="ort", choices=("cv2", "ort"))
    options = parser.parse_args()
    print(
        "| take | max hands | search | CPU ms "
        "| found | median % | p95 % | > 10 % | PCK@0.1 | extra |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (folder, truth) in scenes(options.dome8).items():
        take = mv.open_capture(folder, sync="index")
        pictures = int((take.index >= 0).sum())
        for hands in (1, MAX_HANDS):
            for every in SEARCH_EVERY:
                detector = mv.load_detector(
                    options.detector, runtime=options.runtime, threads=1, max_hands=hands
                )
                start = time.process_time()
                dets = mv.detect(take, detector, max_hands=hands, search_every=every)
                took = (time.process_time() - start) / pictures * 1e3
                label = f"every {every}" if every else "each picture anew"
                print(
                    f"| {name} | {hands} | {label} | {took:.1f} | {accuracy(dets, truth)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
