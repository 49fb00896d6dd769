"""A small take with exact truth as training samples: pictures with a dot on every label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from multiview.bootstrap.labels import LabelConfig, pseudo_labels
from multiview.bootstrap.samples import samples_of
from multiview.core import HAND_21, Camera, Detections, HandSamples, Points3D, Rig
from multiview.formats.coco import image_name
from multiview.synth import make_hand_motion, make_rig

CAMERAS, FRAMES, SIZE = 3, 4, (320, 240)

# Three cameras: points of two are labels too.
ALL = LabelConfig(unit="keypoint", allow_unvoted=True)
# Moves labels by up to 3 px, wider than the dots, and stays monotonic to the corners.
DIST = np.array([-2.0, 0.0, 0.004, -0.003, 0.0])


def small_rig(distortion: float = 1.0) -> Rig:
    rig = make_rig(np.random.default_rng(0), CAMERAS, view_m=0.5, size_wh=SIZE)
    lenses = [replace(c.intrinsics, dist=distortion * DIST) for c in rig.cameras]
    cameras = [replace(c, intrinsics=i) for c, i in zip(rig.cameras, lenses, strict=True)]
    return replace(rig, cameras=tuple(cameras))


def exact_points(rig: Rig) -> tuple[Detections, Points3D]:
    """Detections that are exact, and the 3D they come from; some views did not see some points."""
    xyz = make_hand_motion(np.random.default_rng(1), FRAMES, 2)
    xyz[0, 0, 20] = xyz[1, 1, 8] = np.nan  # not triangulated
    xy = rig.project(xyz)
    shape = xy.shape[:-1]
    # in half of the points one view disagrees: two are left
    rng = np.random.default_rng(2)
    without = np.where(rng.random(shape[1:]) < 0.5, rng.integers(0, CAMERAS, shape[1:]), -1)
    inlier = np.arange(CAMERAS).reshape(-1, 1, 1, 1) != without
    times = np.arange(FRAMES) / 30 + np.arange(CAMERAS)[:, None] * 1e-3
    dets = Detections(
        xy_px=xy,
        conf=np.isfinite(xy).all(-1).astype(float),
        camera_names=rig.names,
        frame_ids=np.array([3, 4, 70, 71]),
        times=times,
        skeleton=HAND_21,
        source="synthetic",
        right=np.broadcast_to([0.0, 1.0], shape[:3]),
        hands=("left", "right"),
    )
    points = Points3D(
        xyz_world=xyz,
        cov=np.broadcast_to(np.eye(3) * 1e-6, (*xyz.shape, 3)),
        inlier=inlier & np.isfinite(xyz).all(-1),
        err_px=np.random.default_rng(3).random(shape),
        voted=np.ones(xyz.shape[:-1], np.bool_),
        frame_ids=dets.frame_ids,
        camera_names=rig.names,
        hands=dets.hands,
        skeleton=HAND_21,
        rig_digest=rig.digest,
    )
    return dets, points


def make_take(root: Path, distortion: float = 1.0, session: str = "take 1") -> HandSamples:
    """Write the pictures below `root` and return the samples."""
    rig = small_rig(distortion)
    dets, points = exact_points(rig)
    labels = pseudo_labels(points, dets, rig, ALL, iteration=2)
    samples = samples_of(
        labels, points, dets, rig, image_name=image_name, session=session, subject="s7"
    )
    split = np.where(samples.frame_id < 50, "train", "val")
    samples = replace(samples, split=split)
    for image in sorted(set(samples.image.tolist())):
        draw(root / image, samples.take(samples.image == image))
    return samples


def draw(path: Path, hands: HandSamples) -> None:
    """Write a dark picture with a soft bright dot on every label."""
    width, height = hands.size_wh[0]
    y, x = np.mgrid[:height, :width]
    picture = np.full((height, width), 20.0)
    for px, py in hands.xy_px[hands.labelled]:
        picture = np.maximum(picture, 235 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 4.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 98])


def camera_of(samples: HandSamples, n: int) -> Camera:
    return samples.cameras[samples.lens[n]]


def keys(samples: HandSamples) -> list[tuple[float, ...]]:
    """What tells one hand from another whatever the order and names: its labels, in pixels."""
    return [tuple(np.nan_to_num(xy.ravel()).round(1)) for xy in samples.xy_px]
