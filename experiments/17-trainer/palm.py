"""Train the palm network, and see which hands of other people are found; see README.md.

``python palm.py measure`` prints what the constants of `multiview.train.palm` rest on;
``python palm.py train [--data train12] [--steps 100] [--out FOLDER]`` trains and scores.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

import cv2
import numpy as np
from data import rendered

from multiview.images import read_image
from multiview.models._crops import blob, letterbox, sample
from multiview.models.card import ModelCard, load_card
from multiview.models.mediapipe import next_rois
from multiview.models.mediapipe_palm import GRIDS, INPUT_SIZE, OUTPUTS, anchors, decode, suppress
from multiview.models.runtime import Network, open_network
from multiview.stages.train import train_hands
from multiview.train.config import TrainConfig
from multiview.train.hands import TrainingHands
from multiview.train.palm import rois_of_palms
from multiview.train.palm_score import fits

HERE = Path(__file__).parent
EVERY = 3  # of multi10's frames: one a subject, as run.py
PALM = [0, 5, 9, 13, 17, 1, 2]
SIDES = (16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["measure", "train"])
    parser.add_argument("--data", default="train12", choices=["train12", "start4"])
    parser.add_argument("--every", type=int, default=1, help="of the training frames")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path, default=HERE / "runs" / "palm")
    options = parser.parse_args()
    if options.what == "measure":
        measure(rendered("start4"))
    else:
        train(options)


def train(options: argparse.Namespace) -> None:
    config = TrainConfig(
        arch="palm",
        steps=options.steps,
        batch=16,
        threads=1,
        device="cpu",
        validate_every=max(1, options.steps // 4),
    )
    hands = rendered(options.data, every=options.every)
    began = time.process_time()
    train_hands(hands, {}, options.out, config, name="palm")
    cpu = (time.process_time() - began) / options.steps
    held = rendered("multi10", every=EVERY)
    rows = {"shipped mediapipe-full": search(load_card("mediapipe-full"), held)}
    rows["trained"] = search(load_card(options.out / "palm.yaml"), held)
    print(f"{len(hands)} views of {options.data}, {options.steps} steps, {cpu:.2f} CPU s a step")
    print("| palm network | hands found | false palms a picture | turned upside down |")
    for name, row in rows.items():
        print(f"| {name} | {row['found']:.3f} | {row['false']:.3f} | {row['turned']:.3f} |")
    (options.out.parent / "palm.json").write_text(
        json.dumps(rows | {"cpu_s_a_step": cpu}, indent=1)
    )


def search(card: ModelCard, hands: TrainingHands) -> dict[str, float]:
    """Hands whose crop the palm network gives as the landmark network wants it."""
    net = open_network(card, "palm", outputs=OUTPUTS, threads=1)
    found, false, turned = [], [], []
    for name, xy in zip(hands.picture, hands.xy_px, strict=True):
        picture = read_image(Path(name))
        wanted = next_rois(xy[None])
        if not np.isfinite(wanted).all():
            continue
        good = fitting(palms(net, picture), wanted)
        found.append(good.any())
        false.append((~good).sum())
        over = np.array(picture.shape[1::-1]) - 1 - xy
        upside = np.ascontiguousarray(picture[::-1, ::-1])
        turned.append(fitting(palms(net, upside), next_rois(over[None])).any())
    means = {"found": found, "false": false, "turned": turned}
    return {key: float(np.mean(value)) for key, value in means.items()}


def palms(net: Network, picture: np.ndarray) -> np.ndarray:
    """Crops of all palms from score 0.5 on."""
    square = letterbox(picture.shape[1], picture.shape[0])
    scores, found = answers(net, picture, square)
    _, found = suppress(*decode(found, scores, 0.5))
    return rois_of_palms((found - 0.5) * square[2] + square[:2])


def answers(net: Network, picture: np.ndarray, square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    image = blob(sample(picture, square, INPUT_SIZE, cv2.BORDER_CONSTANT))
    found = net(image)
    raw, logits = (np.asarray(found[name], float) for name in OUTPUTS)
    return logits.reshape(-1), raw.reshape(-1, 18)


def fitting(rois: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Whether crops (M, 4) fit the wanted one, by the rule of the validation."""
    return fits(rois, wanted)[:, 0]


def measure(hands: TrainingHands) -> None:
    """Boxes of the shipped network by its own keypoints, and which anchors answer which size."""
    net = open_network(load_card("mediapipe-full"), "palm", outputs=OUTPUTS, threads=1)
    rng, ratios, middles, told = np.random.default_rng(0), [], [], []
    for name, xy in zip(hands.picture, hands.xy_px, strict=True):
        if not np.isfinite(xy[PALM]).all():
            continue
        picture = read_image(Path(name))
        square = letterbox(picture.shape[1], picture.shape[0])
        # enlarged around the hand by up to 9, so that palms of all sizes are seen
        square[2] /= np.exp(rng.uniform(0, 2.2))
        square[:2] = xy[PALM].mean(axis=0) + rng.uniform(-0.15, 0.15, 2) * square[2]
        logits, raw = answers(net, picture, square)
        _, found = suppress(*decode(raw, logits, 0.5))
        truth = (xy[PALM] - square[:2]) / square[2] + 0.5
        if not len(found):
            continue
        palm, side = found[0], found[0, 1, 0] - found[0, 0, 0]
        if np.linalg.norm(palm[2:] - truth, axis=1).mean() > 0.3 * side:
            continue
        low, high = palm[2:].min(axis=0), palm[2:].max(axis=0)
        ratios.append(side / (high - low).max())
        middles.append((palm[:2].mean(axis=0) - (low + high) / 2) / side)
        away = np.linalg.norm(anchors() - palm[:2].mean(axis=0), axis=1) * INPUT_SIZE
        told.append((np.full(len(away), side * INPUT_SIZE), away, 1 / (1 + np.exp(-logits))))
    print(f"{len(ratios)} palms; box / keypoints 5, 50, 95 %:", np.percentile(ratios, [5, 50, 95]))
    print("middle of the box less that of the keypoints, in sides:", np.median(middles, axis=0))
    table(*(np.concatenate(column) for column in zip(*told, strict=True)))


def table(side: np.ndarray, away: np.ndarray, score: np.ndarray) -> None:
    """Mean score of each kind of anchor at a palm's middle, by the palm's side."""
    kinds, strides, first = [], [], 0
    for cells, repeats in GRIDS:
        kinds.append(np.tile(np.arange(repeats) + first, cells * cells))
        strides.append(np.full(cells * cells * repeats, INPUT_SIZE / cells))
        first += repeats
    pictures = len(side) // len(np.concatenate(kinds))
    kind, stride = (np.tile(np.concatenate(part), pictures) for part in (kinds, strides))
    near = away < 0.62 * stride
    print("side [px]", *(f"{low:>5}" for low in SIDES[:-1]))
    for k in range(first):
        cells = []
        for low, high in itertools.pairwise(SIDES):
            rows = near & (kind == k) & (side >= low) & (side < high)
            cells.append(f"{score[rows].mean():5.2f}" if rows.any() else "    -")
        print(f"kind {k}   ", *cells)


if __name__ == "__main__":
    main()
