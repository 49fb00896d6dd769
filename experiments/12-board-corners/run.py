"""Corner errors of our detector and of OpenCV's on rendered boards; see README.md."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import cv2
import numpy as np

from multiview.calib import Board, detect_corners, parse_board
from multiview.calib.so3 import exp_so3
from multiview.core import Camera, Intrinsics, Pose
from multiview.synth import render_board

BOARDS = ("charuco:7x5:40mm:30mm:DICT_4X4_50", "chessboard:9x6:30mm")
DEPTHS_M = ((0.5, 0.9), (1.7, 2.1))
# defocus px, noise in grey levels, smear px
CONDITIONS = ((0.6, 2.0, 0.0), (1.5, 4.0, 0.0), (0.6, 2.0, 6.0))
FOCAL = 1000.0
LENS = Intrinsics(
    K=np.array([[FOCAL, 0, 640], [0, FOCAL, 480], [0, 0, 1]]),
    dist=np.array([-0.12, 0.05, 4e-4, -3e-4, 0]),
    size_wh=(1280, 960),
)
CAMERA = Camera(name="a", intrinsics=LENS, cam_from_world=Pose(R=np.eye(3), t=np.zeros(3)))


def opencv(grey: np.ndarray, board: Board) -> np.ndarray:
    out = np.full((len(board.object_points), 2), np.nan)
    if board.kind == "charuco":
        corners, ids, *_ = cv2.aruco.CharucoDetector(board.charuco()).detectBoard(grey)
        if ids is not None:
            out[np.ravel(ids)] = np.asarray(corners).reshape(-1, 2)
        return out
    flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ACCURACY
    found, corners = cv2.findChessboardCornersSB(grey, board.grid, None, flags)
    return np.asarray(corners, np.float64).reshape(-1, 2) if found else out


def shots(
    board: Board, count: int, depth: tuple[float, float], condition: tuple[float, float, float]
) -> list[tuple[np.ndarray, np.ndarray]]:
    blur, noise, smear = condition
    rng, out = np.random.default_rng(0), []
    for _ in range(count):
        z = rng.uniform(*depth)
        R = exp_so3(np.append(rng.uniform(-0.7, 0.7, 2), rng.uniform(-0.8, 0.8)))
        t = np.append(rng.uniform(-0.15, 0.15, 2) * z, z) - R @ board.object_points.mean(0)
        angle = rng.uniform(0, 2 * np.pi)
        way = np.array([np.cos(angle), np.sin(angle), 0]) * smear * z / FOCAL
        open_ = np.linspace(-0.5, 0.5, 9 if smear else 1)
        poses = [Pose(R=R, t=t + (s if smear else 0) * way) for s in open_]
        image = render_board(CAMERA, board, poses, rng, blur_px=blur, noise=noise)
        truth = CAMERA.project(Pose(R=R, t=t).apply(board.object_points))
        out.append((cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), truth))
    return out


def measure(
    detect: Callable[[np.ndarray, Board], np.ndarray],
    board: Board,
    taken: list[tuple[np.ndarray, np.ndarray]],
) -> str:
    errors, began = [], time.process_time()
    found = [detect(grey, board) for grey, _ in taken]
    seconds = (time.process_time() - began) / len(taken)
    for xy, (_, truth) in zip(found, taken, strict=True):
        # colours do not tell a board with an even sum of counts from itself turned
        errors.append(min(xy - truth, xy[::-1] - truth, key=lambda e: np.nansum(np.abs(e))))
        if board.kind == "charuco":
            errors[-1] = xy - truth
    e = np.concatenate(errors)
    good = e[~np.isnan(e[:, 0])]
    if not len(good):
        return "0 % | - | - | - | " + f"{1000 * seconds:.0f}"
    length = np.linalg.norm(good, axis=1)
    rms, bias = np.sqrt((good**2).mean()), np.abs(good.mean(0)).max()
    share = 100 * len(good) / len(e)
    return f"{share:.0f} % | {rms:.4f} | {bias:.4f} | {np.quantile(length, 0.99):.3f} | " + (
        f"{1000 * seconds:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=10)
    count = parser.parse_args().pictures
    cv2.setNumThreads(1)
    print(f"OpenCV {cv2.__version__}, Python {platform.python_version()}, {platform.machine()}\n")
    what = "board | distance m | defocus, noise, smear | who | found | rms px | bias px | 99 % px"
    print(f"| {what} | CPU ms |\n|{' --- |' * 9}")
    for text in BOARDS:
        board = parse_board(text)
        for depth in DEPTHS_M:
            for condition in CONDITIONS:
                taken = shots(board, count, depth, condition)
                for who, detect in (("OpenCV", opencv), ("ours", detect_corners)):
                    row = measure(detect, board, taken)
                    where = f"{board.kind} | {depth[0]}-{depth[1]} | {condition}"
                    print(f"| {where} | {who} | {row} |", flush=True)


if __name__ == "__main__":
    main()
