"""Run the four TFLite networks on a fixed pattern and store what they answer.

``python tflite_reference.py FOLDER reference_tflite.npz``: FOLDER holds the ``.tflite`` files (an
unpacked wheel will do). Needs ``ai-edge-litert``. ``tests/models/test_networks.py`` compares the
shipped ONNX files with the stored answers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

NETWORKS = {
    "palm_detection_lite": ("boxes", "scores"),
    "palm_detection_full": ("boxes", "scores"),
    "hand_landmark_lite": ("landmarks", "presence", "handedness", "world"),
    "hand_landmark_full": ("landmarks", "presence", "handedness", "world"),
}
EVERY = 16  # of 2016 anchors, every 16th is stored


def pattern(size: int) -> NDArray[np.float32]:
    """Integer formula, so that it is the same number everywhere; shape (1, size, size, 3)."""
    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    return (((x * x + 3 * y * x + 50 * c) // 97 % 256)[None] / 255).astype(np.float32)


def main(folder: str, target: str) -> None:
    """Store all outputs, those per anchor thinned."""
    answers = {}
    for name, outputs in NETWORKS.items():
        net = Interpreter(str(next(Path(folder).rglob(f"{name}.tflite"))), num_threads=1)
        net.allocate_tensors()
        source = net.get_input_details()[0]
        net.set_tensor(source["index"], pattern(source["shape"][1]))
        net.invoke()
        for output, detail in zip(outputs, net.get_output_details(), strict=True):
            value = net.get_tensor(detail["index"])
            answers[f"{name}/{output}"] = value[:, ::EVERY] if value.ndim == 3 else value
    np.savez_compressed(target, **answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
