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

__all__ = ["VideoWriter", "write_overlays"]

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
DEFAULT_FPS = 30.0
TICK = Fraction(1, 90_000)  # of films with times, as in MPEG


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
        fps, size_wh = _mean_fps(capture, v), capture.sizes_wh[v]
        with replacing(path) as temporary, VideoWriter(temporary, size_wh, fps) as writer:
            for f, image in capture.images(v):
                draw_take(image, dets, points, xy[v, f], (v, f), IDENTITY)
                caption(image, f"{name} #{points.frame_ids[f]}")
                writer.add(image)
                done += 1
                if progress:
                    progress("overlay", done, total)
        paths.append(path)
    return paths


class VideoWriter:
    """An H.264 encoder; use as a context.

    Parameters
    ----------
    path
        The mp4 file.
    size_wh
        Of the pictures; odd sizes lose their last row or column.
    fps
        Constant rate, for pictures that are added without a time.
    """

    def __init__(self, path: Path, size_wh: tuple[int, int], fps: float = DEFAULT_FPS) -> None:
        width, height = (s - s % 2 for s in size_wh)
        self.container = av.open(str(path), "w", options={"movflags": "+faststart"})
        rate = Fraction(fps).limit_denominator(1001)
        self.stream = self.container.add_stream("libx264", rate)
        self.stream.width, self.stream.height = width, height
        self.stream.pix_fmt = "yuv420p"
        self.stream.options = {"crf": "20", "preset": "veryfast"}
        self._last = -1

    def __enter__(self) -> VideoWriter:
        return self

    def add(self, image: NDArray[np.uint8], time_s: float | None = None) -> None:
        """Encode one BGR picture; with times [s] the film keeps uneven intervals."""
        cut = np.ascontiguousarray(image[: self.stream.height, : self.stream.width])
        frame = av.VideoFrame.from_ndarray(cut, format="bgr24")
        if time_s is not None:
            self._last = max(self._last + 1, round(time_s / TICK))
            frame.pts, frame.time_base = self._last, TICK
            self.stream.codec_context.time_base = TICK
        for packet in self.stream.encode(frame):
            self.container.mux(packet)

    def __exit__(self, *_: object) -> None:
        for packet in self.stream.encode():
            self.container.mux(packet)
        self.container.close()


def _mean_fps(capture: Capture, view: int) -> float:
    step = np.diff(capture.times[view][np.isfinite(capture.times[view])])
    return 1 / float(np.median(step)) if step.size else DEFAULT_FPS
