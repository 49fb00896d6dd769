"""Single photos with labels: accuracy, small hands, cut hands, crossing hands, cold start.

python run.py [--photos ../../../shared/data/hand_photos/handpose_x5]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from multiview.core import HAND_21
from multiview.images import read_image
from multiview.models import load_detector
from multiview.models.tracking import Tracker
from multiview.viz.overlay import Layer, caption, contact_sheet, crop_square, draw_hand

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("MULTIVIEW_SHARED", HERE.parents[2] / "shared"))
MODELS = ("mediapipe-full", "mediapipe-lite")
LIMITS = (0.05, 0.1, 0.2)  # of the longer side of the true box
SIZES = (200, 160, 120, 100, 80, 60, 50, 40, 30, 20)
CUTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
PLACES = 8  # random places of a photo in the frame
FRAME = (640, 480)
BLACK_BACKGROUND = "2021-02-01_13-52-50_378"  # the photo whose hand is easily cut out
APART = (1.2, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0)  # of two palms, in hand sizes


def labelled(folder):
    """Names, pictures and true keypoints (21, 2) of the photos."""
    for path in sorted(folder.glob("*.jpg")):
        points = json.loads(path.with_suffix(".json").read_text())["info"][0]["pts"]
        yield (
            path.stem,
            read_image(path),
            np.array([[points[str(k)]["x"], points[str(k)]["y"]] for k in range(21)], float),
        )


def size_of(xy):
    return np.ptp(xy, axis=0).max()


def best(hands, truth):
    """Errors (21,) in hand sizes of the hand nearest to the truth; None if none is near."""
    errors = np.linalg.norm(hands.xy_px - truth, axis=-1) / size_of(truth)
    if not len(errors) or errors.mean(1).min() > 0.5:
        return None
    return errors[errors.mean(1).argmin()]


def scores(rows, total):
    """Detection rate, PCK of all keypoints (a missed hand counts as wrong), mean and median."""
    found = [r for r in rows if r is not None]
    errors = np.concatenate(found) if found else np.array([np.nan])
    pck = [(errors < limit).sum() / (21 * total) for limit in LIMITS]
    return len(found) / total, pck, errors.mean(), np.median(errors)


def table(head, rows):
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print()


def accuracy(photos, detectors):
    rows, tiles = [], []
    for name, detector in detectors.items():
        found, pixels = [], []
        for stem, image, truth in photos:
            hands = detector.detect(image)
            found.append(best(hands, truth))
            if found[-1] is not None:
                pixels.append(found[-1].mean() * size_of(truth))
            if name == MODELS[0]:
                tiles.append(overlay_tile(image, truth, hands, stem))
        rate, pck, mean, median = scores(found, len(photos))
        share = [f"{p:.2f}" for p in pck]
        rows.append(
            [name, f"{rate:.0%}", *share, f"{mean:.3f}", f"{median:.3f}", f"{np.mean(pixels):.1f}"]
        )
    head = ["model", "found", *(f"PCK@{x}" for x in LIMITS), "EPE / size", "median", "EPE px"]
    table(head, rows)
    cv2.imwrite(str(HERE / "photos.jpg"), contact_sheet([tiles]), [cv2.IMWRITE_JPEG_QUALITY, 88])


def overlay_tile(image, truth, hands, stem):
    """Prediction solid, truth as crosses, cropped to the hand: no faces."""
    tile, affine = crop_square(image, truth, 300, margin=1.25)

    def move(xy):
        return xy @ affine[:, :2].T + affine[:, 2]

    if len(hands):
        draw_hand(tile, move(hands.xy_px[0]), HAND_21, Layer.SOLID, 1.0)
    draw_hand(tile, move(truth), HAND_21, Layer.CROSS, 1.0)
    error = best(hands, truth)
    caption(tile, stem[-6:] + (": missed" if error is None else f": {error.mean():.1%}"))
    return tile


def scaled(image, truth, size):
    scale = size / size_of(truth)
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=flags)
    factor = np.array([small.shape[1] / image.shape[1], small.shape[0] / image.shape[0]])
    return small, (truth + 0.5) * factor - 0.5


def placed(image, truth, rng):
    """The photo at a random place of a plain frame."""
    frame = np.full((FRAME[1], FRAME[0], 3), 128, np.uint8)
    h, w = min(image.shape[0], FRAME[1]), min(image.shape[1], FRAME[0])
    x, y = rng.integers(0, FRAME[0] - w + 1), rng.integers(0, FRAME[1] - h + 1)
    frame[y : y + h, x : x + w] = image[:h, :w]
    return frame, truth + np.array([x, y])


def sizes(photos, detectors):
    rows = []
    for size in SIZES:
        row = [size]
        for detector in detectors.values():
            rng, found = np.random.default_rng(0), []
            for _, image, truth in photos:
                small, xy = scaled(image, truth, size)
                for _ in range(PLACES):
                    frame, moved = placed(small, xy, rng)
                    found.append(best(detector.detect(frame), moved))
            rate, pck, _, median = scores(found, len(found))
            row += [f"{rate:.0%}", f"{pck[1]:.2f}", f"{median:.3f}"]
        rows.append(row)
    head = ["hand px"]
    for name in detectors:
        head += [f"{name[10:]}: found", "PCK@0.1", "median error"]
    table(head, rows)


def borders(photos, detectors):
    """A part of the hand's box lies outside the picture, on each of the four sides."""
    rows = []
    for cut in CUTS:
        row = [f"{cut:.0%}"]
        for detector in detectors.values():
            found, inside_errors = [], []
            for _, image, truth in photos:
                for side in range(4):
                    part, xy = cut_off(image, truth, cut, side)
                    errors = best(detector.detect(part), xy)
                    found.append(errors)
                    inside = ((xy >= 0) & (xy < [part.shape[1], part.shape[0]])).all(1)
                    if errors is not None:
                        inside_errors.append(errors[inside])
            rate, _, _, _ = scores(found, len(found))
            seen = np.concatenate(inside_errors) if inside_errors else np.array([np.nan])
            row += [f"{rate:.0%}", f"{np.median(seen):.3f}", f"{(seen < 0.1).mean():.2f}"]
        rows.append(row)
    head = ["cut off"]
    for name in detectors:
        head += [f"{name[10:]}: found", "median error inside", "PCK@0.1 inside, of found"]
    table(head, rows)


def cut_off(image, truth, cut, side):
    low, high = truth.min(0), truth.max(0)
    axis, upper = side % 2, side // 2
    edge = round(
        high[axis] - cut * (high - low)[axis] if upper else low[axis] + cut * (high - low)[axis]
    )
    keep = slice(None, edge + 1) if upper else slice(edge, None)
    part = image[:, keep] if axis == 0 else image[keep]
    moved = truth.copy()
    moved[:, axis] -= 0 if upper else edge
    # at no cut the photo itself, with what lies around the hand
    return (image, truth) if cut == 0 else (np.ascontiguousarray(part), moved)


def crossing_scene(image, truth, apart):
    """A right hand in front of a mirrored one, palms `apart` hand sizes from each other."""
    big, xy = scaled(image, truth, 220)
    mask = cv2.GaussianBlur((big.max(2) > 40).astype(np.float32), (0, 0), 1.0)[..., None]
    frame = np.full((FRAME[1], FRAME[0], 3), (150, 130, 110), np.uint8)
    truths = []
    for mirrored in (True, False):
        hand, alpha, points = (
            (big[:, ::-1], mask[:, ::-1], [big.shape[1] - 1, 0] + xy * [-1, 1])
            if mirrored
            else (big, mask, xy)
        )
        centre = points.mean(0)
        place = np.array([320 + (0.5 if mirrored else -0.5) * apart * 220, 240.0])
        x, y = np.round(place - centre).astype(int)
        truths.append(points + np.array([x, y]))
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + hand.shape[1], FRAME[0]), min(y + hand.shape[0], FRAME[1])
        part = (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
        under = frame[y0:y1, x0:x1].astype(np.float32)
        frame[y0:y1, x0:x1] = np.rint(under + (hand[part] - under) * alpha[part])
    return frame, truths


def crossing(photos, detectors):
    _, image, truth = next(p for p in photos if p[0] == BLACK_BACKGROUND)
    rows, tiles = [], []
    for apart in APART:
        frame, (back, front) = crossing_scene(image, truth, apart)
        row = [apart]
        for name, detector in detectors.items():
            hands = detector.detect(frame)
            errors = [best(hands, t) for t in (front, back)]
            row += [len(hands), *("missed" if e is None else f"{e.mean():.3f}" for e in errors)]
            if name == MODELS[0]:
                drawn = frame.copy()
                for xy in hands.xy_px:
                    draw_hand(drawn, xy, HAND_21)
                caption(drawn, f"{apart} hand sizes apart", 0.9)
                tiles.append(cv2.resize(drawn, (320, 240), interpolation=cv2.INTER_AREA))
        rows.append(row)
    head = ["palms apart"]
    for name in detectors:
        head += [f"{name[10:]}: hands", "front: error / size", "back: error / size"]
    table(head, rows)
    tiles += [np.full_like(tiles[0], 32)] * (8 - len(tiles))
    sheet = contact_sheet([tiles[:4], tiles[4:]])
    cv2.imwrite(str(HERE / "crossing.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
    follow(image, truth, detectors)


def follow(image, truth, detectors):
    """The same two hands in a film: they pass through each other; who is who after it?"""
    rows = []
    for name, detector in detectors.items():
        for every in (1, 5):
            tracker, seen = Tracker(detector, search_every=every), []
            for apart in np.linspace(1.3, -1.3, 53):
                frame, truths = crossing_scene(image, truth, apart)
                hands, ids = tracker.step(frame)
                seen.append(owners(hands, ids, truths))
            first, last = seen[0], seen[-1]
            both = sum(None not in s and len(set(s)) == 2 for s in seen)
            rows.append([name, every, f"{both} of {len(seen)}", first, last, first == last])
    head = ["model", "search every", "both found", "numbers (back, front) first", "last", "kept"]
    table(head, rows)


def owners(hands, ids, truths):
    """Number of the hand nearest to each truth within half a hand size, None without."""
    result = []
    for xy in truths:
        off = np.linalg.norm(hands.xy_px - xy, axis=-1).mean(1) / size_of(xy)
        result.append(int(ids[off.argmin()]) if len(off) and off.min() < 0.5 else None)
    return tuple(result)


def cold_start(folder, runs=5):
    path = sorted(folder.glob("*.jpg"))[2]
    walls, cpus = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "-m", "multiview", "detect", str(path)]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            start = time.perf_counter()
            subprocess.run([*command, "--out", f"{out}/x"], check=True, stdout=subprocess.DEVNULL)
            walls.append(time.perf_counter() - start)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    head = ["runs", "wall s, median", "wall s, least", "CPU s, median", "load of the machine"]
    row = [runs, *(f"{f(v):.2f}" for f, v in ((statistics.median, walls), (min, walls)))]
    table(head, [[*row, f"{statistics.median(cpus):.2f}", f"{load:.1f}"]])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=SHARED / "data/hand_photos/handpose_x5")
    folder = parser.parse_args().photos
    if not folder.is_dir():
        sys.exit(f"{folder} is absent: give --photos")
    print(f"OpenCV {cv2.__version__}, numpy {np.__version__}, Python {platform.python_version()}, ")
    print(f"{os.cpu_count()} cores {platform.machine()}\n")
    photos = list(labelled(folder))
    detectors = {name: load_detector(name) for name in MODELS}
    for part in (accuracy, sizes, borders, crossing):
        print(f"### {part.__name__}\n")
        part(photos, detectors)
    print("### cold start\n")
    cold_start(folder)


if __name__ == "__main__":
    main()
