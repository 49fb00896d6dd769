"""Compare detection and tracking with MediaPipe's on films, frame by frame.

``python compare_video.py --mediapipe PYTHON [--runtime cv2|ort] [FILM ...]``: PYTHON is that of an
environment with ``mediapipe==0.10.21``. Without FILM: camera 0 and 3 of the demo capture, and both
films of ``handpose3d_2cam`` of the shared folder. Run it once per OpenCV version.

``static``: every picture on its own (``static_image_mode=True``). ``video``: MediaPipe tracks
(False), and so does `multiview.models.tracking.Tracker` with a search in every picture.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import multiview as mv
from multiview.models.tracking import Tracker
from multiview.stages.demo import demo_data

HERE = Path(__file__).parent
F64 = NDArray[np.float64]
# As in compare.py: the same hand if the keypoints are nearer than this share of its size.
SAME_HAND = 0.25


def default_films() -> list[Path]:
    """Films of the package, and of the shared folder if it is there."""
    shared = Path(os.environ.get("MULTIVIEW_SHARED") or HERE.parents[1].parent / "shared")
    films = [demo_data() / "take" / f"cam0{n}.mp4" for n in (0, 3)]
    more = sorted((shared / "data" / "handpose3d_2cam" / "media").glob("*.mp4"))
    if not more:
        print(f"no films below {shared}: only the demo capture")
    return films + more


def our_hands(film: NDArray[np.uint8], model: str, runtime: str, mode: str) -> list[mv.ImageHands]:
    """Our hands in every picture."""
    detector = mv.load_detector(f"mediapipe-{model}", runtime=runtime, threads=1)
    if mode == "static":
        return [detector.detect(image) for image in film]
    tracker = Tracker(detector, max_hands=2, search_every=1, smooth_handedness=False)
    return [tracker.step(image)[0] for image in film]


def pair(theirs: F64, ours: F64) -> list[tuple[int, int]]:
    """Pairs of hands of one picture, nearest first, that are the same hand."""
    if not len(theirs) or not len(ours):
        return []
    middle = np.median(np.linalg.norm(theirs[:, None] - ours[None], axis=-1), axis=-1)
    limit = SAME_HAND * np.ptp(theirs, axis=1).max(axis=-1)
    pairs, middle = [], np.where(middle < limit[:, None], middle, np.inf)
    while np.isfinite(middle).any():
        i, j = np.unravel_index(middle.argmin(), middle.shape)
        pairs.append((int(i), int(j)))
        middle[i], middle[:, j] = np.inf, np.inf
    return pairs


def line(theirs: dict[str, NDArray[np.float64]], ours: list[mv.ImageHands], mode: str) -> str:
    """Numbers of one film, model and mode."""
    same_frames, sides, count, errors = 0, 0, 0, [np.empty(0)]
    for f, hands in enumerate(ours):
        rows = np.flatnonzero(theirs[f"{mode}_frame"] == f)
        xy, left = theirs[f"{mode}_xy"][rows], theirs[f"{mode}_left"][rows]
        pairs = pair(xy, hands.xy_px)
        same_frames += len(pairs) == len(xy) == len(hands)
        count += len(hands)
        for i, j in pairs:
            sides += bool(left[i]) == (hands.handedness[j] >= 0.5)
            errors.append(np.linalg.norm(xy[i] - hands.xy_px[j], axis=-1))
    e = np.concatenate(errors)
    median, p95, top = np.percentile(e, [50, 95, 100]) if e.size else (np.nan,) * 3
    found = len(theirs[f"{mode}_frame"])
    same = f"{same_frames / len(ours):.3f}"
    return (
        f"{len(ours)} | {found} | {count} | {e.size // 21} | {sides} | {same} "
        f"| {median:.4f} | {p95:.4f} | {top:.2f} |"
    )


def main() -> None:
    """Print one line a film, model and mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", nargs="*", type=Path)
    parser.add_argument("--mediapipe", type=Path, required=True)
    parser.add_argument("--runtime", default="cv2", choices=("cv2", "ort"))
    options = parser.parse_args()
    version = f"OpenCV {cv2.__version__}"
    if options.runtime == "ort":
        import onnxruntime

        version = f"onnxruntime {onnxruntime.__version__}"
    print(
        "| runtime | film | model | mode | frames | MediaPipe's hands | ours | matched | same side "
        "| frames with the same hands | median px | p95 | max |"
    )
    print("| " + " | ".join(["---"] * 13) + " |")
    for path in options.films or default_films():
        capture = mv.open_capture(path)
        film = np.stack([image for _, image in capture.images(0)])
        with tempfile.TemporaryDirectory() as folder:
            frames, target = Path(folder) / "frames.npy", Path(folder) / "hands.npz"
            np.save(frames, film)
            for model in ("full", "lite"):
                command = [options.mediapipe, HERE / "mediapipe_video.py", frames, model, target]
                subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
                with np.load(target) as theirs:
                    found = dict(theirs)
                for mode in ("static", "video"):
                    text = line(found, our_hands(film, model, options.runtime, mode), mode)
                    head = f"| {version} | {path.stem} | {model} | {mode} | "
                    print(head + text, flush=True)


if __name__ == "__main__":
    main()
