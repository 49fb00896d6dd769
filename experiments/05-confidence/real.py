"""The shipped confidence on real pictures: ``python real.py [--cache FOLDER]``.

Five labelled photos, and a film of two calibrated cameras without truth, where the distance to the
other camera's epipolar line stands in for the error (it sees one of its two directions).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from readings import COLUMNS, read_pictures
from run import HERE, SHARED, Hands, scores, within_hands
from scipy.stats import spearmanr

from multiview.capture import open_capture
from multiview.formats.handpose3d import read_handpose3d_rig
from multiview.models.card import load_card
from multiview.models.confidence import find_calibration
from multiview.models.cues import hand_size

MODEL = "mediapipe-full"
EVERY = 6  # frames of the film: 63 of 378


def confidence(hands: Hands, passes: int) -> np.ndarray:
    calibration = find_calibration(load_card(MODEL).weights["hand"].sha256, passes)
    assert calibration is not None
    return calibration.probability(hands.cues)


def photos(folder: Path, cache: Path) -> None:
    pictures = []
    for path in sorted(folder.glob("*.jpg")):
        points = json.loads(path.with_suffix(".json").read_text())["info"][0]["pts"]
        xy = np.array([[points[str(k)]["x"], points[str(k)]["y"]] for k in range(21)], float)
        pictures.append((path, xy))
    table = read_pictures(pictures, MODEL, cache / "handpose_x5.npz")
    print(f"\n{len(pictures)} labelled photos, {len(table['xy'])} hands\n")
    print(
        "| extra passes | mean error | right | mean conf. | Spearman | within | AUC | Brier | ECE |"
    )
    print("|" + " --- |" * 9)
    for passes in COLUMNS:
        hands = Hands(table, passes)
        for name, conf in (("presence", hands.presence), (passes, confidence(hands, passes))):
            if name == "presence" and passes:
                continue
            values = [hands.error.mean(), hands.right.mean(), conf.mean(), *scores(conf, hands)]
            print(f"| {name} | " + " | ".join(f"{v:.3f}" for v in values) + " |")


def film(folder: Path, cache: Path) -> None:
    rig = read_handpose3d_rig(folder, (720, 720))
    pictures = cache / "handpose3d"
    unknown = np.full((21, 2), np.nan)
    listed = []
    for n in (0, 1):
        target = pictures / f"cam{n}"
        if not target.exists():
            export(folder / "media" / f"cam{n}_test.mp4", target)
        listed += [(path, unknown) for path in sorted(target.glob("*.png"))]
    table = read_pictures(listed, MODEL, cache / "handpose3d.npz")
    pairs = same_moment(table["picture"])
    print(f"\ntwo cameras: {len(pairs)} moments with a hand in both\n")
    print("| extra passes | epipolar distance, median | Spearman pooled | within hands |")
    print("|" + " --- |" * 4)
    for passes in COLUMNS:
        hands = Hands(table, passes)
        distance = epipolar(rig, hands.centre, pairs)
        for name, conf in (("presence", hands.presence), (passes, confidence(hands, passes))):
            if name == "presence" and passes:
                continue
            both = conf[pairs[:, 0]] * conf[pairs[:, 1]]
            rho = spearmanr(-both.ravel(), distance.ravel()).statistic
            within = within_hands(both, distance)
            print(f"| {name} | {np.median(distance):.4f} | {rho:.3f} | {within:.3f} |")


def export(film: Path, target: Path) -> None:
    target.mkdir(parents=True)
    layout = target.parent / f"{target.name}.yaml"
    layout.write_text(f"cameras:\n  {target.name}: {{path: {film.resolve()}}}\n")
    for f, image in open_capture(layout).images(0):
        if f % EVERY == 0:
            cv2.imwrite(str(target / f"{f:06d}.png"), image)


def same_moment(picture: np.ndarray) -> np.ndarray:
    """Rows of the best hand of both cameras, (M, 2)."""
    first: dict[str, int] = {}
    for row, name in enumerate(picture):
        first.setdefault(str(name), row)
    frames = sorted({name.split("/")[1] for name in first})
    rows = [[first.get(f"cam{n}/{f}", -1) for n in (0, 1)] for f in frames]
    return np.array([r for r in rows if min(r) >= 0])


def epipolar(rig, xy: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Distance to the epipolar line in hand sizes, mean of both views, (M, 21)."""
    a, b = rig.cameras[0].undistort(xy[pairs[:, 0]]), rig.cameras[1].undistort(xy[pairs[:, 1]])
    pose = rig.cameras[1].cam_from_world @ rig.cameras[0].cam_from_world.inv
    x, y, z = pose.t
    E = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ pose.R
    a1, b1 = (np.concatenate([p, np.ones((*p.shape[:-1], 1))], axis=-1) for p in (a, b))
    line_b, line_a = a1 @ E.T, b1 @ E
    miss = np.abs((b1 * line_b).sum(-1))
    to_b = miss / np.linalg.norm(line_b[..., :2], axis=-1) / hand_size(b)[:, None]
    to_a = miss / np.linalg.norm(line_a[..., :2], axis=-1) / hand_size(a)[:, None]
    return (to_a + to_b) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--cache", type=Path, default=HERE / "runs")
    args = parser.parse_args()
    photos(args.data / "hand_photos" / "handpose_x5", args.cache)
    film(args.data / "handpose3d_2cam", args.cache)


if __name__ == "__main__":
    main()
