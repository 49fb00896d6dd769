"""Does a calibrated confidence help or hurt the 3D points? ``python chain.py [--cache FOLDER]``."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from readings import read_capture
from run import HERE, SHARED, Hands

from multiview.core import HAND_21, Camera, Detections, Intrinsics, Pose, Rig
from multiview.models.card import load_card
from multiview.models.confidence import find_calibration
from multiview.triangulation import TriangulationConfig, triangulate

MODEL = "mediapipe-full"
WRONG_MM = 20.0  # about a finger's width: no hand position is right that far off


def read_rig(folder: Path) -> Rig:
    cameras = json.loads((folder / "calibration.json").read_text())["cameras"]
    return Rig(
        cameras=tuple(
            Camera(
                name=c["name"],
                intrinsics=Intrinsics(
                    K=np.array(c["K"]), dist=np.array(c["dist"]), size_wh=(c["width"], c["height"])
                ),
                cam_from_world=Pose(R=np.array(c["R"]), t=np.array(c["t"])),
            )
            for c in cameras
        )
    )


def detections(
    table: dict[str, np.ndarray], rig: Rig, frames: int, xy: np.ndarray, conf: np.ndarray
) -> Detections:
    """Arrange the hands of a table by view, frame and slot."""
    shape = len(rig.cameras), frames, 2
    xy_px, right = np.full((*shape, 21, 2), np.nan), np.full(shape, np.nan)
    out = np.zeros((*shape, 21))
    slot: dict[str, int] = {}
    for n, picture in enumerate(table["picture"]):
        camera, frame = str(picture).split("/")
        h = slot.get(str(picture), 0)
        slot[str(picture)] = h + 1
        at = rig.names.index(camera), int(frame), h
        xy_px[at], out[at], right[at] = xy[n], conf[n], table["right"][n, 0]
    return Detections(
        xy_px=xy_px,
        conf=out,
        camera_names=rig.names,
        frame_ids=np.arange(frames),
        times=np.tile(np.arange(frames) / 30, (shape[0], 1)),
        skeleton=HAND_21,
        source=MODEL,
        right=right,
        size_wh=tuple(c.intrinsics.size_wh for c in rig.cameras),
    )


def accuracy(dets: Detections, rig: Rig, truth: np.ndarray, min_conf: float) -> str:
    points = triangulate(dets, rig, TriangulationConfig(min_conf=min_conf))
    error = 1e3 * np.linalg.norm(points.xyz_world - truth[:, None], axis=-1)  # (F, H, K)
    most = points.valid.sum(-1).argmax(1)
    error = error[np.arange(len(error)), most]
    ok = np.isfinite(error)
    e = error[ok]
    used = (dets.valid & (dets.conf >= min_conf)).sum() / dets.valid.sum()
    return (
        f"{used:.1%} | {ok.mean():.1%} | {np.median(e):.2f} | {np.quantile(e, 0.9):.1f} | "
        f"{(e > WRONG_MM).mean():.2%} | {(ok & (error <= WRONG_MM)).mean():.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "rendered")
    parser.add_argument("--cache", type=Path, default=HERE / "runs")
    args = parser.parse_args()
    print(
        "| capture | keypoints | confidence | min_conf | observations used | keypoints with 3D "
        "| median mm | 90 % mm | of these > 20 mm | within 20 mm, of all |"
    )
    print("|" + " --- |" * 10)
    sha256 = load_card(MODEL).weights["hand"].sha256
    for name in ("demo8", "multi10"):
        rig = read_rig(args.data / name)
        truth = np.load(args.data / name / "truth.npz")["kp3d"]
        table = read_capture(args.data / name, MODEL, args.cache)
        for passes in (0, 2, 8):
            hands = Hands(table, passes)
            calibration = find_calibration(sha256, passes)
            assert calibration is not None
            conf = calibration.probability(hands.cues)
            dets = detections(table, rig, len(truth), hands.centre, conf)
            whole = replace(dets, conf=np.where(dets.valid, 1.0, 0.0))
            print(f"| {name} | {passes} | none | - | {accuracy(whole, rig, truth, 0.0)} |")
            for least in (0.2, 0.35, 0.5, 0.65):
                line = accuracy(dets, rig, truth, least)
                print(f"| {name} | {passes} | calibrated | {least} | {line} |", flush=True)


if __name__ == "__main__":
    main()
