"""The search for small hands (`--small-hands`): recall by size, false hands, and what it costs.

python small.py [--photos DIR] [--rendered DIR], by default in MULTIVIEW_SHARED or ../shared
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import cv2
import numpy as np
from run import HERE, PLACES, SHARED, best, labelled, placed, scaled, scores, size_of, table

from multiview.images import read_image
from multiview.models import load_detector

SIZES = (200, 120, 80, 60, 50, 40, 30, 20)
SIGNS, SIGN_SIZES = 30, (120, 60, 40, 30)  # of sign_digits, spread over all
SIGN_HAND = 0.8  # a hand's share of such a photo, about
EVERY = 16  # of the rendered pictures
MODES = {"plain": False, "small hands": True}
PAINT_SPREAD, RING_PX = 0.25, 6


def by_size(photos, detectors):
    """Labelled photos at places of a plain frame."""
    rows = []
    for size in SIZES:
        row = [size]
        for detector in detectors.values():
            rng, found, extra = np.random.default_rng(0), [], 0
            began = time.process_time()
            for _, image, truth in photos:
                small, xy = scaled(image, truth, size)
                for _ in range(PLACES):
                    frame, moved = placed(small, xy, rng)
                    hands = detector.detect(frame)
                    found.append(best(hands, moved))
                    extra += len(hands) - (found[-1] is not None)
            rate, pck, _, _ = scores(found, len(found))
            ms = (time.process_time() - began) / len(found) * 1e3
            row += [f"{rate:.0%}", f"{pck[1]:.2f}", extra, f"{ms:.0f}"]
        rows.append(row)
    head = ["hand px"]
    for name in detectors:
        head += [f"{name}: found", "PCK@0.1", f"other hands in {len(found)}", "CPU ms"]
    table(head, rows)


def signs(folder, detectors):
    """Photos of many people without labels: a hand whose middle lies in the photo is found."""
    files = sorted(folder.rglob("*.JPG")) + sorted(folder.rglob("*.jpg"))
    chosen = [files[i] for i in np.linspace(0, len(files) - 1, SIGNS).astype(int)]
    rows = []
    for size in SIGN_SIZES:
        row = [size]
        for detector in detectors.values():
            rng, found, extra = np.random.default_rng(0), 0, 0
            for path in chosen:
                image = read_image(path)
                side = max(round(size / SIGN_HAND), 8)
                small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
                corners = np.array([[0.0, 0], [side, side]])
                frame, (low, high) = placed(small, corners, rng)
                middle = detector.detect(frame).xy_px.mean(axis=1)
                inside = ((middle >= low) & (middle <= high)).all(axis=1)
                found += bool(inside.any())
                extra += len(middle) - bool(inside.any())
            row += [f"{found / len(chosen):.0%}", extra]
        rows.append(row)
    head = ["hand px, about"]
    for name in detectors:
        head += [f"{name}: found", f"other hands in {len(chosen)}"]
    table(head, rows)


def without_hands(photos, rendered, detectors):
    """Pictures whose hand is painted over: every hand that is found is false."""
    sets = {"labelled photos": [(image, xy) for _, image, xy in photos]}
    for name in ("dome8", "dome31"):
        truth = np.load(rendered / name / "truth.npz")["kp2d"]
        sets[name] = []
        for v, camera in enumerate(sorted((rendered / name / "images").iterdir())):
            for path in sorted(camera.glob("*.jpg"))[v % EVERY :: EVERY]:
                sets[name].append((cv2.imread(str(path)), truth[int(path.stem), v]))
    rows = []
    for name, pictures in sets.items():
        row = [name, len(pictures), "x".join(map(str, pictures[0][0].shape[1::-1]))]
        painted = [paint(image.copy(), xy) for image, xy in pictures]
        for detector in detectors.values():
            began = time.process_time()
            counts = [len(detector.detect(image)) for image in painted]
            ms = (time.process_time() - began) / len(painted) * 1e3
            row += [sum(counts), f"{ms:.0f}"]
        rows.append(row)
    head = ["pictures", "number", "size"]
    for name in detectors:
        head += [f"{name}: false hands", "CPU ms"]
    table(head, rows)


def paint(image, xy):
    """Cover the hand by the colour around it."""
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(xy.astype(np.float32)).astype(np.int32), 255)
    kernel = np.ones((3, 3), np.uint8)
    mask = cv2.dilate(mask, kernel, iterations=max(int(PAINT_SPREAD * size_of(xy)), 1))
    ring = cv2.dilate(mask, kernel, iterations=RING_PX) & ~mask
    if (ring > 0).any():
        image[mask > 0] = np.median(image[ring > 0], axis=0).astype(np.uint8)
    return image


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=SHARED / "data/hand_photos")
    parser.add_argument("--rendered", type=Path, default=SHARED / "data/rendered")
    parser.add_argument("--runtime", default="ort", choices=("cv2", "ort"))
    options = parser.parse_args()
    if not options.photos.is_dir() or not options.rendered.is_dir():
        raise SystemExit(f"captures are absent below {SHARED} ({HERE.name})")
    print(f"OpenCV {cv2.__version__}, runtime {options.runtime}, {os.cpu_count()} cores\n")
    photos = list(labelled(options.photos / "handpose_x5"))
    detectors = {
        name: load_detector("hand", runtime=options.runtime, threads=1, small_hands=tiled)
        for name, tiled in MODES.items()
    }
    print("### by size, labelled photos\n")
    by_size(photos, detectors)
    print("### by size, sign_digits\n")
    signs(options.photos / "sign_digits", detectors)
    print("### without hands\n")
    without_hands(photos, options.rendered, detectors)


if __name__ == "__main__":
    main()
