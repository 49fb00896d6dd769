"""Compare this project's detector with a table of MediaPipe's results on the same photos.

``python compare.py [PHOTOS] [TABLE]`` prints one line a model; without arguments the photos are
``data/hand_photos`` of the shared folder (``MULTIVIEW_SHARED`` or ``../shared`` beside the
repository) and the table is the committed one. Run it once per OpenCV version.
"""

from __future__ import annotations

import csv
import gzip
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview.models import load_detector

HERE = Path(__file__).parent
TABLE = HERE / "mediapipe_0.10.21.csv.gz"
# Two results are the same hand if their keypoints are closer than this share of the hand's size.
SAME_HAND = 0.25
F64 = NDArray[np.float64]


@dataclass
class Parity:
    """Counts of hands and all keypoint distances [px] of the matched ones."""

    theirs: int = 0
    ours: int = 0
    matched: int = 0
    same_side: int = 0
    missed: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    errors_px: list[F64] = field(default_factory=list)

    def line(self) -> str:
        """One line of the result table."""
        e = np.concatenate(self.errors_px)
        return (
            f"| {self.theirs} | {self.ours} | {self.matched} | {self.same_side} | "
            f"{np.median(e):.6f} | {np.percentile(e, 95):.5f} | {np.percentile(e, 99):.4f} | "
            f"{e.max():.3f} |"
        )


def shared_photos() -> Path:
    """Folder of the shared photos; it may not exist."""
    root = os.environ.get("MULTIVIEW_SHARED") or HERE.parents[1].parent / "shared"
    return Path(root) / "data" / "hand_photos"


def read_table(path: Path) -> dict[str, dict[str, list[tuple[str, F64]]]]:
    """Read ``{model: {photo: [(label, xy_px (21, 2)), ...]}}``; a photo may hold no hand."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    table: dict[str, dict[str, list[tuple[str, F64]]]] = {}
    for row in csv.DictReader(text.splitlines()):
        hands = table.setdefault(row["model"], {}).setdefault(row["photo"], [])
        if row["hand"] != "-1":
            values = [float(row[f"{a}{k}"]) for k in range(21) for a in "xy"]
            hands.append((row["label"], np.array(values).reshape(21, 2)))
    return table


def compare(folder: Path, model: str, photos: dict[str, list[tuple[str, F64]]]) -> Parity:
    """Run our detector on every photo of the table and pair the hands."""
    detector, parity = load_detector(f"mediapipe-{model}"), Parity()
    for photo, theirs in photos.items():
        hands = detector.detect(cv2.imread(str(folder / photo)))
        free = set(range(len(hands)))
        parity.theirs += len(theirs)
        parity.ours += len(hands)
        for label, xy in theirs:
            distance = np.linalg.norm(hands.xy_px - xy, axis=2)  # (N, 21)
            size = np.ptp(xy, axis=0).max()
            near = [i for i in free if np.median(distance[i]) < SAME_HAND * size]
            if not near:
                parity.missed.append(photo)
                continue
            best = min(near, key=lambda i: float(np.median(distance[i])))
            free.remove(best)
            parity.matched += 1
            # MediaPipe's "Left" is a right hand when the image is not mirrored.
            parity.same_side += (label == "Left") == (hands.handedness[best] >= 0.5)
            parity.errors_px.append(distance[best])
        parity.extra += [photo] * len(free)
    return parity


def main(folder: Path, table: Path) -> None:
    """Print the result table of this OpenCV version."""
    print(
        "| OpenCV | model | MediaPipe | ours | matched | same side | median px | p95 | p99 | max |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for model, photos in read_table(table).items():
        start = time.perf_counter()
        parity = compare(folder, model, photos)
        took = (time.perf_counter() - start) / len(photos) * 1e3
        print(f"| {cv2.__version__} | {model} {parity.line()}  ({took:.0f} ms a photo)")
        print(f"    missed {parity.missed}\n    extra {parity.extra}")


if __name__ == "__main__":
    arguments = [Path(a) for a in sys.argv[1:]]
    main(*(arguments + [shared_photos(), TABLE][len(arguments) :]))
