"""Overlay videos: every frame of a camera with detections and reprojected 3D points."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from multiview.capture import Capture
from multiview.core import Detections, Points3D, Rig
from multiview.formats.atomic import replacing
from multiview.progress import Progress
from multiview.viz.overlay import caption
from multiview.viz.sheet import draw_take

__all__ = ["write_overlays"]

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
DEFAULT_FPS = 30.0


def write_overlays(
    capture: Capture,
    dets: Detections,
    points: Points3D,
    rig: Rig,
    folder: Path,
    progress: Progress | None = None,
) -> list[Path]:
    """Write one H.264 video a camera; memory holds one picture.

    Parameters
    ----------
    capture, dets, points, rig
        The take and what was made of it; the detections have the hands of the points.
    folder
        Where ``<camera>.mp4`` go.
    progress
        Called with ("overlay", frames done, frames in all).
    """
    rig = rig.select(points.camera_names)
    xy = rig.project(points.xyz_world)
    paths, done, total = [], 0, int((capture.index >= 0).sum())
    for v, name in enumerate(capture.names):
        path = folder / f"{name}.mp4"
        with replacing(path) as temporary, _Writer(temporary, capture, v) as writer:
            for f, image in capture.images(v):
                draw_take(image, dets, points, xy[v, f], (v, f), IDENTITY)
                caption(image, f"{name} #{points.frame_ids[f]}")
                writer.add(image)
                done += 1
                if progress:
                    progress("overlay", done, total)
        paths.append(path)
    return paths


class _Writer:
    """An H.264 encoder at the take's mean rate."""

    def __init__(self, path: Path, capture: Capture, view: int) -> None:
        step = np.diff(capture.times[view][np.isfinite(capture.times[view])])
        fps = 1 / float(np.median(step)) if step.size else DEFAULT_FPS
        width, height = (s - s % 2 for s in capture.sizes_wh[view])
        self.container = av.open(str(path), "w", options={"movflags": "+faststart"})
        self.stream = self.container.add_stream("libx264", Fraction(fps).limit_denominator(1001))
        self.stream.width, self.stream.height = width, height
        self.stream.pix_fmt = "yuv420p"
        self.stream.options = {"crf": "20", "preset": "veryfast"}

    def __enter__(self) -> _Writer:
        return self

    def add(self, image: NDArray[np.uint8]) -> None:
        """Encode one BGR picture; odd sizes lose their last row or column."""
        cut = np.ascontiguousarray(image[: self.stream.height, : self.stream.width])
        for packet in self.stream.encode(av.VideoFrame.from_ndarray(cut, format="bgr24")):
            self.container.mux(packet)

    def __exit__(self, *_: object) -> None:
        for packet in self.stream.encode():
            self.container.mux(packet)
        self.container.close()
