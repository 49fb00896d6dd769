"""A small label folder, as `multiview label` leaves it."""

import cv2
import numpy as np

from multiview.core.samples import make_samples
from multiview.formats.samples_parquet import write_samples

CAMERAS, FRAMES = ("cam00", "cam01", "cam02"), (4, 7, 9, 12)


def make_labels(folder, shift=0.0, frames=FRAMES):
    """Labels of three views; later frames have larger residuals."""
    rng = np.random.default_rng(1)
    rows = [(f, c) for f in frames for c in CAMERAS]
    for frame, camera in rows:
        path = folder / "images" / camera / f"{frame:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((120, 160, 3), 40 + frame, np.uint8))
    samples = make_samples(
        xy_px=rng.uniform(30, 90, (len(rows), 21, 2)) + shift,
        visibility=np.full((len(rows), 21), 2),
        residual_px=[[float(f)] * 21 for f, _ in rows],
        image=[f"images/{c}/{f:06d}.jpg" for f, c in rows],
        size_wh=[(160, 120)] * len(rows),
        right=np.ones(len(rows)),
        camera=[c for _, c in rows],
        frame_id=[f for f, _ in rows],
    )
    write_samples(samples, folder / "samples.parquet")
    return folder
