"""Run MediaPipe Hands on the pictures of a film; started by `compare_video.py`.

``python mediapipe_video.py FRAMES.npy MODEL HANDS.npz``: needs ``mediapipe==0.10.21`` and numpy
only. FRAMES is (F, H, W, 3) BGR. The result holds, for each mode (static, video), ``xy`` (M, 21, 2)
in pixels, ``left`` (M,), whether MediaPipe says "Left", and ``frame`` (M,).
"""

from __future__ import annotations

import sys

import mediapipe as mp
import numpy as np


def main(frames: str, model: str, target: str) -> None:
    """Run both modes over the film."""
    film = np.load(frames, mmap_mode="r")
    height, width = film.shape[1:3]
    arrays = {}
    for mode in ("static", "video"):
        xy, left, frame = [], [], []
        with mp.solutions.hands.Hands(
            static_image_mode=mode == "static",
            max_num_hands=2,
            model_complexity=int(model == "full"),
        ) as net:
            for f, bgr in enumerate(film):
                result = net.process(np.ascontiguousarray(bgr[..., ::-1]))
                hands, sides = result.multi_hand_landmarks or [], result.multi_handedness or []
                for hand, side in zip(hands, sides, strict=True):
                    xy.append([(p.x * width, p.y * height) for p in hand.landmark])
                    left.append(side.classification[0].label == "Left")
                    frame.append(f)
        arrays[f"{mode}_xy"] = np.array(xy).reshape(-1, 21, 2)
        arrays[f"{mode}_left"], arrays[f"{mode}_frame"] = np.array(left, bool), np.array(frame, int)
    np.savez(target, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
