"""Build the demo capture in multiview/demo_data from the rendered capture "demo8".

Run from the repository's root::

    python experiments/00-demo-capture/build.py [--out multiview/demo_data]

The rendered pictures are read from ``$MULTIVIEW_SHARED/data/rendered/demo8`` (``../shared`` by
default). The hand take is only re-encoded; the board take is made here by `multiview.synth` for the
same cameras, from a fixed seed.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import yaml

from multiview.calib.board import Board
from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.formats.rig_yaml import write_rig
from multiview.synth import (
    board_motion,
    board_visibility,
    render_board,
    render_room,
    shutter_poses,
)

SEED = 7
HAND_FPS = 30
# Two pictures a second of a board that is carried twice around: what remains of a film of half a
# minute when every 15th picture is kept.
BOARD_FPS = 2
BOARD_FRAMES = 60
EXPOSURE_S = 1 / 60
BOARD = {
    "kind": "charuco",
    "columns": 7,
    "rows": 5,
    "square_m": 0.03,
    "marker_m": 0.022,
    "dictionary": "DICT_4X4_50",
}
HAND_CRF = "17"
BOARD_CRF = "26"
# Fewer frames between two keyframes: quicker seeking, bigger files.
KEYFRAME_EVERY = 15
ROOM_DEFOCUS_PX = 1.2


def main() -> None:
    """Build everything and print the sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("multiview/demo_data"))
    out = parser.parse_args().out
    source = Path(os.environ.get("MULTIVIEW_SHARED", "../shared")) / "data/rendered/demo8"
    if not source.is_dir():
        raise SystemExit(f"{source} is not there: set MULTIVIEW_SHARED to the shared folder")
    rig = read_rig(source / "calibration.json")
    (out / "take").mkdir(parents=True, exist_ok=True)
    (out / "board").mkdir(exist_ok=True)
    write_rig(rig, out / "rig_truth.yaml")
    (out / "board.yaml").write_text(yaml.safe_dump(BOARD, sort_keys=False), encoding="utf-8")
    write_truth(source / "truth.npz", out / "truth.npz")
    for camera in rig.cameras:
        names = sorted((source / "images" / camera.name).glob("*.jpg"))
        encode(out / "take" / f"{camera.name}.mp4", map(read_image, names), HAND_FPS, HAND_CRF)
    film_board(rig, out / "board")
    for folder in ("take", "board"):
        size = sum(p.stat().st_size for p in (out / folder).glob("*.mp4"))
        print(f"{folder}: {size / 1e6:.2f} MB")


def read_rig(path: Path) -> Rig:
    """Read the renderer's calibration file."""
    data = json.loads(path.read_text(encoding="utf-8"))
    cameras = tuple(
        Camera(
            name=c["name"],
            intrinsics=Intrinsics(
                K=np.array(c["K"]), dist=np.array(c["dist"]), size_wh=(c["width"], c["height"])
            ),
            cam_from_world=Pose(R=np.array(c["R"]), t=np.array(c["t"])),
        )
        for c in data["cameras"]
    )
    return Rig(cameras=cameras, about="exact cameras of the rendered capture demo8")


def write_truth(source: Path, target: Path) -> None:
    """Keep what a test needs: points, visibility, side."""
    truth = np.load(source)
    np.savez_compressed(
        target,
        xyz_world=truth["kp3d"],
        visibility=truth["visible"].transpose(1, 0, 2),
        right=np.array(bool((truth["side"] == 0).all())),
    )


def read_image(path: Path) -> np.ndarray:
    """Read one picture, BGR."""
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"{path} is not a picture")
    return image


def encode(path: Path, images: Iterable[np.ndarray], fps: int, crf: str) -> None:
    """Write an H.264 film with exact timestamps that any player and browser opens."""
    options = {"crf": crf, "preset": "veryslow", "x264-params": "open-gop=0:threads=1"}
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.pix_fmt = "yuv420p"
        stream.gop_size = KEYFRAME_EVERY
        stream.time_base = stream.codec_context.time_base = Fraction(1, fps)
        for number, image in enumerate(images):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def film_board(rig: Rig, out: Path) -> None:
    """Render and encode the board take; print how often each camera sees the board."""
    rng = np.random.default_rng(SEED)
    board = Board(**BOARD)
    middle = board.object_points.mean(0)
    poses = board_motion(
        rng, rig, BOARD_FRAMES, board_centre_m=(float(middle[0]), float(middle[1]))
    )
    seen = board_visibility(rig, board.object_points, poses).sum(-1) >= 8
    print(
        "frames with at least 8 corners:", dict(zip(rig.names, seen.sum(1).tolist(), strict=True))
    )
    rooms = [
        np.asarray(cv2.GaussianBlur(room, (0, 0), ROOM_DEFOCUS_PX), np.float32)
        for room in render_room(rng, rig)
    ]
    for camera, room in zip(rig.cameras, rooms, strict=True):
        blur = rng.uniform(0.5, 0.8)
        images = (
            render_board(
                camera,
                board,
                shutter_poses(poses, f, EXPOSURE_S * BOARD_FPS),
                rng,
                background=room,
                blur_px=blur,
            )
            for f in range(BOARD_FRAMES)
        )
        encode(out / f"{camera.name}.mp4", images, BOARD_FPS, BOARD_CRF)


if __name__ == "__main__":
    main()
