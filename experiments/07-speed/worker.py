"""One detector in a process of its own: reads "first last" from stdin, answers with one JSON line.

``python worker.py IMAGES.npz BACKEND MODEL``; BACKEND is mediapipe, cv2 or ort, MODEL full or lite.
Started by `run.py`. With BACKEND mediapipe it needs only ``mediapipe==0.10.21``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

MAX_HANDS = 2


def mediapipe_hands(model: str) -> tuple[str, Callable[[Any], int]]:
    """MediaPipe's own runtime, every image on its own; it wants RGB."""
    import mediapipe as mp

    net = mp.solutions.hands.Hands(
        static_image_mode=True, max_num_hands=MAX_HANDS, model_complexity=int(model == "full")
    )
    version = f"MediaPipe {mp.__version__}"
    return version, lambda image: len(net.process(image).multi_hand_landmarks or [])


def our_hands(runtime: str, model: str) -> tuple[str, Callable[[Any], int]]:
    """This project's detector, one thread."""
    import cv2

    from multiview.models import load_detector

    detector = load_detector(f"mediapipe-{model}", runtime=runtime, threads=1, max_hands=MAX_HANDS)
    version = f"OpenCV {cv2.__version__}"
    if runtime == "ort":
        import onnxruntime

        version = f"onnxruntime {onnxruntime.__version__}"
        cv2.setNumThreads(1)
    return version, lambda image: len(detector.detect(image))


def main(path: str, backend: str, model: str) -> None:
    """Load the images, say hello, then time the ranges asked for."""
    with np.load(path) as file:
        images = [file[name] for name in file.files]
    if backend == "mediapipe":
        images = [np.ascontiguousarray(image[..., ::-1]) for image in images]
        version, count = mediapipe_hands(model)
    else:
        version, count = our_hands(backend, model)
    count(images[0])
    print(json.dumps({"version": version}), flush=True)
    for line in sys.stdin:
        first, last = map(int, line.split())
        cpu, wall = time.process_time(), time.perf_counter()
        hands = sum(count(image) for image in images[first:last])
        took = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        print(json.dumps({"hands": hands, **took}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
