"""Measure the CPU time of both stages: ``python timing.py`` (median of 40, 640 x 480 image)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from multiview.models import MediaPipeHands
from multiview.models.card import load_card

PHOTO = "2021-02-01_13-52-53_532.jpg"
RUNS = 40


def milliseconds(work: Callable[[], object]) -> str:
    """CPU and wall time of one call, after one to warm up."""
    work()
    times = []
    for _ in range(RUNS):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = np.median(times, axis=0) * 1e3
    return f"{cpu:.0f} / {wall:.0f}"


def main() -> None:
    """Print one line a model and number of threads."""
    photos = Path(__file__).parents[2] / "tests" / "data" / "photos"
    photo = cv2.resize(cv2.imread(str(photos / PHOTO)), (268, 480))
    image = cv2.copyMakeBorder(photo, 0, 0, 186, 186, cv2.BORDER_REPLICATE)
    for model in ("lite", "full"):
        for threads in (1, 2):
            detector = MediaPipeHands(load_card(f"mediapipe-{model}"), threads=threads)
            rois = detector.detect(image).rois
            crop = milliseconds(lambda d=detector, r=rois: d.detect(image, r))
            whole = milliseconds(lambda d=detector: d.detect(image))
            print(f"| {cv2.__version__} | {model} | {threads} | {crop} | {whole} |")


if __name__ == "__main__":
    main()
