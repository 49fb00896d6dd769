"""Hands drawn with lines: enough to learn from in some steps, and every keypoint is known."""

from __future__ import annotations

import cv2
import numpy as np

from multiview.core import HAND_21, PseudoLabels, Skeleton
from multiview.formats.coco import image_name, write_coco
from multiview.train.config import TrainConfig
from multiview.train.hands import TrainingHands

SIZE = 160
# A right hand seen from its palm: wrist below, thumb to the left. In hand lengths.
REACH = np.array([0.45, 0.75, 0.8, 0.77, 0.68])
SPREAD = np.deg2rad([-60.0, -22, -4, 12, 28])
SHARES = np.array([0.45, 0.65, 0.83, 1.0])


def hand(centre, length, angle, right, rng):
    """Keypoints (21, 2) of one hand."""
    spread = SPREAD + rng.normal(0, 0.08, 5)
    along = np.stack([np.sin(spread), -np.cos(spread)], 1)
    tips = (REACH * rng.uniform(0.85, 1.0, 5))[:, None, None] * SHARES[None, :, None]
    xy = np.concatenate([np.zeros((1, 2)), (tips * along[:, None]).reshape(-1, 2)])
    xy[:, 1] += 0.4
    if not right:
        xy[:, 0] *= -1
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(centre) + length * xy @ np.array([[cos, -sin], [sin, cos]]).T


def draw(xy, rng):
    """Picture of a hand, one colour a finger, on a noisy ground."""
    picture = rng.integers(60, 110, (SIZE, SIZE, 3)).astype(np.uint8)
    points = np.rint(xy).astype(int)
    for a, b in HAND_21.edges:
        colour = tuple(int(c) for c in HAND_21.colors[b][::-1])
        cv2.line(picture, points[a].tolist(), points[b].tolist(), colour, 5, cv2.LINE_AA)
    return picture


def drawn_hands(count, *, seed=0, sessions=4, start=0):
    """Hands and the pictures of their names."""
    rng, pictures, points, right = np.random.default_rng(seed), {}, [], []
    for n in range(count):
        right.append(bool(rng.random() < 0.5))
        xy = hand(rng.uniform(65, 95, 2), rng.uniform(60, 75), rng.normal(0, 0.3), right[-1], rng)
        pictures[f"{n:03d}.png"] = draw(xy, rng)
        points.append(xy)
    xy_px = np.array(points)
    hands = TrainingHands(
        picture=tuple(pictures),
        xy_px=xy_px,
        weight=np.ones(xy_px.shape[:2]),
        sigma_px=np.zeros(xy_px.shape[:2]),
        right=np.array(right, float),
        session=tuple(f"take{n * sessions // count}" for n in range(count)),
        start=np.arange(count) < start,
        keypoints=HAND_21.keypoints,
    )
    return hands, pictures


def tiny(**given):
    """A configuration that takes some milliseconds a step."""
    small = {"size_px": 64, "width": 0.07, "stages": 2, "blocks": (1, 1, 1, 1)}
    values = {
        "arch": "cpm",
        "cpm": {**small, "loss": "cross_entropy", "sigma": 1.0},
        "steps": 20,
        "batch": 8,
        "validate_every": 10,
        "threads": 1,
        "ema": 0.9,
        "device": "cpu",
    }
    return TrainConfig.model_validate(values | given)


def label_folder(folder, count=24, seed=0, keypoints=21):
    """A folder as `multiview label` writes it: one camera, one hand a frame, either side."""
    hands, pictures = drawn_hands(count, seed=seed)
    shape = (1, count, 2, keypoints)
    xy, weight, keep = np.full((*shape, 2), np.nan), np.zeros(shape), np.zeros(shape[:3], bool)
    for n, side in enumerate(hands.right.astype(int)):
        xy[0, n, side], weight[0, n, side] = hands.xy_px[n, :keypoints], 1.0
        keep[0, n, side] = True
    skeleton = HAND_21
    if keypoints != 21:
        names = tuple(f"spot{k}" for k in range(keypoints))  # of a hand, they would be one in part
        groups = {name: (k,) for k, name in enumerate(names)}
        colors = ((1, 2, 3),) * keypoints
        skeleton = Skeleton(name="part", keypoints=names, edges=(), groups=groups, colors=colors)
    labels = PseudoLabels(
        xy_px=xy,
        visibility=np.where(weight > 0, 2, 0).astype(np.int8),
        weight=weight,
        sigma_px=np.where(weight > 0, 0.5, np.nan),
        keep=keep,
        iteration=1,
        source="drawn",
        rig_digest="none",
        camera_names=("cam",),
        frame_ids=np.arange(count),
        hands=("left", "right"),
        skeleton=skeleton,
        size_wh=((160, 160),),
    )
    write_coco(labels, folder / "coco.json")
    for n, picture in enumerate(pictures.values()):
        path = folder / image_name("cam", n)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return folder
