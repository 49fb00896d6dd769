"""Run MediaPipe Hands on a folder of photos and write what it found as one CSV table.

This is the only script here that needs ``mediapipe``; give it an environment of its own
(``pip install mediapipe==0.10.21``), it pins an old numpy. The first argument is a folder, the
second the table (gzip when it ends in ``.gz``)::

    python mediapipe_table.py ../../../shared/data/hand_photos mediapipe_0.10.21.csv.gz

A row is one hand of one photo by one model; a photo without a hand has one row with hand = -1.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import mediapipe as mp

MODELS = {0: "lite", 1: "full"}
MAX_HANDS = 2
KEYPOINTS = 21
HEADER = [
    *("model", "photo", "width", "height", "hand", "label", "score"),
    *(f"{axis}{k}" for k in range(KEYPOINTS) for axis in "xy"),
]


def photos(folder: Path) -> list[Path]:
    """Every JPEG below `folder`, in a fixed order."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg"})


def rows_of(result: object, head: list[object], width: int, height: int) -> Iterator[list[object]]:
    """One row a hand: label, score and the keypoints as x * W, y * H with 4 decimals."""
    hands = result.multi_hand_landmarks or []  # type: ignore[attr-defined]
    sides = result.multi_handedness or []  # type: ignore[attr-defined]
    if not hands:
        yield [*head, -1, "", ""]
    for i, (hand, side) in enumerate(zip(hands, sides, strict=True)):
        best = side.classification[0]
        xy = [f"{v:.4f}" for p in hand.landmark for v in (p.x * width, p.y * height)]
        yield [*head, i, best.label, f"{best.score:.5f}", *xy]


def table(folder: Path) -> Iterator[list[object]]:
    """All rows of both models, default thresholds, one independent photo after another."""
    for complexity, model in MODELS.items():
        with mp.solutions.hands.Hands(
            static_image_mode=True, max_num_hands=MAX_HANDS, model_complexity=complexity
        ) as net:
            for path in photos(folder):
                bgr = cv2.imread(str(path))
                height, width = bgr.shape[:2]
                result = net.process(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
                head = [model, path.relative_to(folder).as_posix(), width, height]
                yield from rows_of(result, head, width, height)


def main(folder: str, target: str) -> None:
    """Write the table; mtime 0 in the gzip header makes the bytes repeatable."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(table(Path(folder)))
    data = text.getvalue().encode()
    Path(target).write_bytes(gzip.compress(data, 9, mtime=0) if target.endswith(".gz") else data)


if __name__ == "__main__":
    main(*sys.argv[1:])
