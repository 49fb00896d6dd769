"""Track a film by MediaPipe and write its crops too; started by `tracking_cause.py`.

``python mediapipe_rois.py FRAMES.npy MODEL HANDS.npz``: needs ``mediapipe==0.10.21`` and numpy.
The result holds ``xy`` (M, 21, 2) in pixels, ``frame`` (M,), and ``next_rois`` (M, 4): the crop
that MediaPipe takes of each hand in the picture that follows: centre x, y, side [px], rotation.
"""

from __future__ import annotations

import sys

import numpy as np
from mediapipe.python.solution_base import SolutionBase

GRAPH = "mediapipe/modules/hand_landmark/hand_landmark_tracking_cpu.binarypb"
STREAMS = ["multi_hand_landmarks", "hand_rects_from_landmarks"]


def graph(model: str) -> SolutionBase:
    """MediaPipe's tracking graph with the crops among its outputs, options as `Hands` sets them."""
    return SolutionBase(
        binary_graph_path=GRAPH,
        side_inputs={
            "model_complexity": int(model == "full"),
            "num_hands": 2,
            "use_prev_landmarks": True,
        },
        calculator_params={
            "palmdetectioncpu__TensorsToDetectionsCalculator.min_score_thresh": 0.5,
            "handlandmarkcpu__ThresholdingCalculator.threshold": 0.5,
        },
        outputs=STREAMS,
    )


def main(frames: str, model: str, target: str) -> None:
    """Run over the film."""
    film = np.load(frames, mmap_mode="r")
    height, width = film.shape[1:3]
    xy, frame, rois = [], [], []
    with graph(model) as net:
        for f, bgr in enumerate(film):
            result = net.process({"image": np.ascontiguousarray(bgr[..., ::-1])})
            hands = result.multi_hand_landmarks or []
            rects = result.hand_rects_from_landmarks or []
            for hand, rect in zip(hands, rects, strict=True):
                xy.append([(p.x * width, p.y * height) for p in hand.landmark])
                side = (rect.width * width, rect.height * height)
                assert abs(side[0] - side[1]) < 0.01, side
                centre = (rect.x_center * width, rect.y_center * height)
                rois.append((*centre, side[0], rect.rotation))
                frame.append(f)
    np.savez(
        target,
        xy=np.array(xy).reshape(-1, 21, 2),
        frame=np.array(frame, int),
        next_rois=np.array(rois).reshape(-1, 4),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
