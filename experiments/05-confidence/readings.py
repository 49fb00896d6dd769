"""Read every hand of a capture in all crops of all designs, once: a cached table a capture."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import cv2
import numpy as np

from multiview.models import load_detector
from multiview.models.base import ImageHands
from multiview.models.jitter import Jittered

WORKERS = 2
# Which readings belong to a design: 0 is the detector's own, 1 and 2 are the second look, plain and
# mirrored, 3 to 10 the eight of the factorial design.
COLUMNS = {0: [0], 1: [0, 2], 2: [0, 1, 2], 4: [0, 3, 4, 5, 6], 8: [0, *range(3, 11)]}


def read_capture(folder: Path, model: str, cache: Path) -> dict[str, np.ndarray]:
    """All hands of a rendered capture."""
    truth = np.load(folder / "truth.npz")
    pictures = [
        (path, truth["kp2d"][int(path.stem), view])
        for view, camera in enumerate(sorted((folder / "images").iterdir()))
        for path in sorted(camera.glob("*.jpg"))
    ]
    return read_pictures(pictures, model, cache / f"{folder.name}-{model}.npz")


def read_pictures(
    pictures: list[tuple[Path, np.ndarray]], model: str, cached: Path
) -> dict[str, np.ndarray]:
    """All hands of pictures whose keypoints (K, 2) are known."""
    if not cached.exists():
        jobs = [(pictures[n::WORKERS], model) for n in range(WORKERS)]
        with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
            parts = pool.map(_read, jobs)
        table = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
        cached.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(cached, **table)
    return dict(np.load(cached))


def _read(job: tuple[list[tuple[Path, np.ndarray]], str]) -> dict[str, np.ndarray]:
    pictures, model = job
    cv2.setNumThreads(1)
    detector = load_detector(model)
    designs = Jittered(detector, passes=2), Jittered(detector, passes=8)
    rows: list[dict[str, object]] = []
    for path, truth in pictures:
        image = cv2.imread(str(path))
        before = time.process_time()
        hands = detector.detect(image)
        once = time.process_time()
        two, eight = (d.read([image], [hands])[0] for d in designs)
        all_ms = 1e3 * (time.process_time() - once) / 10
        for n in range(len(hands)):
            rows.append(
                {
                    "xy": np.concatenate([two[0][n], eight[0][n][1:]]),
                    "right": np.concatenate([two[1][n], eight[1][n][1:]]),
                    "presence": hands.presence[n],
                    "roi": hands.rois[n],
                    "z": hands.z_rel[n],
                    "truth": truth,
                    "picture": f"{path.parent.name}/{path.stem}",
                    "ms": (1e3 * (once - before), all_ms / len(hands)),
                }
            )
    return {k: np.array([row[k] for row in rows]) for k in rows[0]} | {
        "pictures": np.array([len(pictures)])
    }


def first_reading(table: dict[str, np.ndarray]) -> ImageHands:
    """What the detector itself said, as it gives it."""
    presence = table["presence"]
    return ImageHands(
        xy_px=table["xy"][:, 0],
        conf=np.repeat(presence[:, None], table["xy"].shape[2], axis=1),
        handedness=table["right"][:, 0],
        presence=presence,
        rois=table["roi"],
        z_rel=table["z"],
    )
