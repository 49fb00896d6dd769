"""Why do tracked keypoints differ from MediaPipe's? Given its crops; and what noise alone does.

``python tracking_cause.py --mediapipe PYTHON [--runtime cv2|ort] [FILM ...]``, films and PYTHON as
for `compare_video.py`. One line a film, model and comparison:

``given its crops``
    Each picture is read in the crop that MediaPipe's own graph made from the picture before.
``tracked``
    Both track by themselves, as in `compare_video.py`.
``ours, crops moved by N px``
    Our tracker against itself with every crop's place and side changed by noise of N px: nothing
    but rounding of another size.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from compare_video import HERE, default_films
from numpy.typing import NDArray

import multiview as mv
from multiview.models.mediapipe import next_rois
from multiview.models.tracking import Tracker

F64 = NDArray[np.float64]
NOISE_PX = (1e-5, 1e-3)


def single(frame: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of pictures with one hand whose picture before had one too."""
    count = np.bincount(frame, minlength=frame.max() + 2)
    alone = (count[frame] == 1) & (count[np.maximum(frame - 1, 0)] == 1) & (frame > 0)
    return np.flatnonzero(alone)


def given(film: NDArray[np.uint8], detector: mv.models.Detector, theirs: dict[str, F64]) -> F64:
    """Errors of reading MediaPipe's own crops, (M, 21)."""
    frame, errors = theirs["frame"], []
    for i in single(frame):
        hands = detector.detect(film[frame[i]], theirs["next_rois"][i - 1 : i])
        errors.append(np.linalg.norm(hands.xy_px[0] - theirs["xy"][i], axis=-1))
    return np.array(errors)


def tracked(film: NDArray[np.uint8], detector: mv.models.Detector, noise_px: float) -> list[F64]:
    """Keypoints (N, 21, 2) of every picture."""
    tracker = Tracker(detector, max_hands=2, search_every=1, smooth_handedness=False)
    rng, found = np.random.default_rng(0), []
    for image in film:
        rois = tracker.rois(detector.propose(image) if tracker.needs_search() else None)
        moved = rois + rng.normal(0, 1, rois.shape) * np.array([1, 1, 1, 0]) * noise_px
        found.append(tracker.update(detector.detect(image, moved))[0].xy_px)
    return found


def apart(one: list[F64], other: list[F64]) -> F64:
    """Distances in the pictures in which both have one hand, (M, 21); pictures otherwise NaN."""
    return np.array(
        [
            np.linalg.norm(a[0] - b[0], axis=-1) if len(a) == len(b) == 1 else np.full(21, np.nan)
            for a, b in zip(one, other, strict=True)
        ]
    )


def line(head: str, errors: F64, every_picture: bool = True) -> None:
    """Print quantiles, and the worst pictures if there is a row for every picture."""
    e = errors[np.isfinite(errors).all(-1)]
    median, p95, p99, top = np.percentile(e, [50, 95, 99, 100])
    worst = sorted(int(f) for f in np.argsort(-np.nan_to_num(errors).max(-1))[:3])
    named = ", ".join(map(str, worst)) if every_picture else "-"
    print(
        f"{head} | {len(e)} | {median:.4f} | {p95:.3f} | {p99:.2f} | {top:.2f} | {named} |",
        flush=True,
    )


def compare(film: NDArray[np.uint8], model: str, runtime: str, theirs: dict[str, F64]) -> None:
    """Print the lines of one film and model."""
    detector = mv.load_detector(f"mediapipe-{model}", runtime=runtime, threads=1)
    rule = np.abs(next_rois(theirs["xy"]) - theirs["next_rois"])[:, :3].max()
    head = f"| {model} | "
    text = f"{head}given its crops (our rule's crops: {rule:.0e} px off)"
    line(text, given(film, detector, theirs), every_picture=False)
    own = tracked(film, detector, 0.0)
    line(
        f"{head}tracked", apart(own, [theirs["xy"][theirs["frame"] == f] for f in range(len(film))])
    )
    for noise in NOISE_PX:
        text = f"{head}ours, crops moved by {noise:g} px"
        line(text, apart(own, tracked(film, detector, noise)))


def main() -> None:
    """Print a table a film."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", nargs="*", type=Path)
    parser.add_argument("--mediapipe", type=Path, required=True)
    parser.add_argument("--runtime", default="ort", choices=("cv2", "ort"))
    options = parser.parse_args()
    for path in options.films or default_films():
        film = np.stack([image for _, image in mv.open_capture(path).images(0)])
        print(f"\n{path.stem}\n")
        print("| model | comparison | pictures | median px | p95 | p99 | max | worst |")
        print("|" + " --- |" * 8)
        with tempfile.TemporaryDirectory() as folder:
            frames, target = Path(folder) / "frames.npy", Path(folder) / "hands.npz"
            np.save(frames, film)
            for model in ("full", "lite"):
                command = [options.mediapipe, HERE / "mediapipe_rois.py", frames, model, target]
                subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
                with np.load(target) as file:
                    compare(film, model, options.runtime, dict(file))


if __name__ == "__main__":
    main()
