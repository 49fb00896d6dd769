"""Train the palm network, and see which hands of other people are found; see README.md.

``python palm.py measure`` prints what the constants of `multiview.train.palm` rest on;
``python palm.py train [--data train12] [--steps 100] [--out FOLDER]`` trains and scores.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from data import rendered

from multiview._shapes import F64
from multiview.images import read_image
from multiview.models._crops import blob, letterbox, sample
from multiview.models.card import ModelCard, load_card
from multiview.models.cues import hand_size
from multiview.models.load import load_detector
from multiview.models.mediapipe_palm import GRIDS, INPUT_SIZE, OUTPUTS, anchors, decode, suppress
from multiview.models.runtime import Network, open_network
from multiview.stages.train import train_hands
from multiview.train.config import PalmConfig, TrainConfig
from multiview.train.graph_net import GraphNet
from multiview.train.hands import TrainingHands
from multiview.train.palm import palm_design
from multiview.train.palm_score import PalmScore, validate_palms
from multiview.train.pictures import PictureSet, store_pictures

HERE = Path(__file__).parent
EVERY = 3  # of multi10's frames: one a subject, as run.py
PALM = [0, 5, 9, 13, 17, 1, 2]
# Of the hand's size: median error of a hand that counts as read, and how far its middle may be
# from the true one's if it is that hand, read wrongly: the two still overlap.
READ, THERE = 0.2, 0.75
COLUMNS = ("palm network", "steps", "hands found", "false palms a picture")
COLUMNS += ("found at as many false", "hands read", "read wrongly", "where none is")
SIDES = (16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["measure", "train"])
    parser.add_argument("--data", default="train12", choices=["train12", "start4"])
    parser.add_argument("--every", type=int, default=8, help="of the frames to learn")
    parser.add_argument("--views", type=int, default=1, help="every so-manyth view of multi10")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--keep", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=HERE / "runs" / "palm")
    options = parser.parse_args()
    if options.what == "measure":
        measure(rendered("start4"))
    else:
        train(options)


def train(options: argparse.Namespace) -> None:
    """Train without choosing: the last step is exported, and multi10 seen only afterwards."""
    config = TrainConfig.model_validate(
        {
            "arch": "palm",
            "palm": {"keep": options.keep},
            "steps": options.steps,
            "batch": options.batch,
            "ema": 0.9,
            "warmup": 0.2,
            "threads": 1,
            "device": "cpu",
            "validate_every": options.steps,
        }
    )
    hands = rendered(options.data, every=options.every)
    seen = hands.take(np.arange(0, len(hands), 24))
    train_hands(hands, {}, options.out, config, held=seen, name="palm")
    others = rendered("multi10", every=EVERY)
    others = others.take(np.arange(0, len(others), options.views))
    pictures = store_pictures(others, lambda name: read_image(Path(name)), enlarged=1.0)
    print(f"{len(hands)} views of {options.data}; {pictures.hands} hands of multi10")
    print("| " + " | ".join(COLUMNS) + " |\n| --- |" + " ---: |" * (len(COLUMNS) - 1))
    cards = {"shipped mediapipe-full": ("mediapipe-full", 0)}
    cards[f"trained, keep {options.keep:g}"] = (options.out / "palm.yaml", options.steps)
    allowed = 1.0
    for name, (card, steps) in cards.items():
        score = search(load_card(card), pictures, allowed)
        allowed = allowed if steps else score.false_palms
        cells = [f"{score.found_as_run:.3f}", f"{score.false_palms:.3f}"]
        cells += [f"{score.found:.3f} (from {score.threshold:.2f})"]
        cells += [f"{value:.3f}" for value in read(card, others)]
        print(f"| {name} | {steps} | " + " | ".join(cells) + " |")


def read(card: str | Path, hands: TrainingHands) -> F64:
    """Hands behind the presence gate, a picture: read, read wrongly, and where none is."""
    detector, counts = load_detector(card), np.zeros(3)
    for name, truth in zip(hands.picture, hands.xy_px, strict=True):
        known = np.isfinite(truth).all(1)
        found = detector.detect(read_image(Path(name))).xy_px
        found = found[np.isfinite(found).all((1, 2))][:, known]
        size = hand_size(truth[known])
        error = np.median(np.linalg.norm(found - truth[known], axis=-1), axis=1) / size
        away = np.linalg.norm(found.mean(1) - truth[known].mean(0), axis=-1) / size
        good, here = error <= READ, away <= THERE
        counts += good.any(), (~good & here).sum(), (~good & ~here).sum()
    return counts / len(hands)


def search(card: ModelCard, pictures: PictureSet, allowed: float) -> PalmScore:
    """Hands found as detection does, from score 0.5 on, and with so many false palms allowed."""
    net = GraphNet(onnx.load_model_from_string(card.read("palm")))
    spec = palm_design(PalmConfig(), 21).input
    return validate_palms(net, pictures, spec, allowed, torch.device("cpu"))


def answers(net: Network, picture: np.ndarray, square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    image = blob(sample(picture, square, INPUT_SIZE, cv2.BORDER_CONSTANT))
    found = net(image)
    raw, logits = (np.asarray(found[name], float) for name in OUTPUTS)
    return logits.reshape(-1), raw.reshape(-1, 18)


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
