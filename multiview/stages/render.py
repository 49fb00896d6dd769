"""`multiview render`: films and pictures of a run, without a display."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from multiview.capture import Capture
from multiview.errors import InputError
from multiview.formats.atomic import new_folder
from multiview.progress import progress_bar, say
from multiview.stages.run_folder import RunFolder
from multiview.stages.view import scene_of
from multiview.viz.film import beside, mosaic, turntable
from multiview.viz.scene import Image, Scene
from multiview.viz.video import VideoWriter

__all__ = ["Film", "run_render"]

Film = Literal["turntable", "close", "mosaic"]


def run_render(
    runs: list[RunFolder],
    out: Path,
    films: tuple[Film, ...],
    *,
    capture: Capture | None = None,
    frames: tuple[int, int] | None = None,
    fps: float = 30.0,
    force: bool = False,
) -> Path:
    """Write ``<film>.mp4`` and ``<film>.png`` (its middle picture) into a new folder.

    Parameters
    ----------
    runs
        One run, or two to be shown side by side.
    out
        Output folder.
    films
        What to draw.
    capture
        The take, for pictures.
    frames
        First position and the one after the last; all if left out.
    fps
        Of the films.
    force
        Replace the folder.

    Raises
    ------
    InputError
        If there is no such frame, runs are of different takes, or the folder exists.
    """
    scenes = [scene_of(run, capture) for run in runs]
    shown = _range(scenes, frames)
    with new_folder(out, replace=force) as folder, progress_bar() as progress:
        for name in films:
            pictures = _film(name, scenes, shown)
            with VideoFolder(folder, name, fps) as film:
                for n, picture in enumerate(pictures):
                    film.add(picture, keep=n == len(shown) // 2)
                    progress(name, n + 1, len(shown))
    for name in films:
        say(f"render: {out / name}.mp4, {out / name}.png")
    return out


def _film(name: Film, scenes: list[Scene], frames: range) -> Iterator[Image]:
    made = [
        mosaic(s, frames) if name == "mosaic" else turntable(s, frames, close=name == "close")
        for s in scenes
    ]
    return made[0] if len(made) == 1 else beside(made, [s.title for s in scenes])


def _range(scenes: list[Scene], frames: tuple[int, int] | None) -> range:
    ids = scenes[0].frame_ids
    if any(not np.array_equal(s.frame_ids, ids) for s in scenes):
        raise InputError(
            "the two runs have other frames", "compare runs on the same take: --against RUN"
        )
    start, stop = frames or (0, len(ids))
    if not 0 <= start < stop <= len(ids):
        raise InputError(
            f"frames {start} to {stop} are not in this run, which has {len(ids)}",
            "give the first, and the one after the last, counted from 0",
        )
    return range(start, stop)


class VideoFolder:
    """A film and one picture of it; the size is that of the first picture."""

    def __init__(self, folder: Path, name: str, fps: float) -> None:
        self.path, self.fps = folder / f"{name}.mp4", fps
        self.writer: VideoWriter | None = None

    def __enter__(self) -> VideoFolder:
        return self

    def add(self, picture: Image, *, keep: bool) -> None:
        """Encode a picture; keep it as PNG too."""
        if self.writer is None:
            size = (picture.shape[1], picture.shape[0])
            self.writer = VideoWriter(self.path, size, self.fps)
        self.writer.add(picture)
        if keep:
            cv2.imwrite(str(self.path.with_suffix(".png")), picture)

    def __exit__(self, *error: object) -> None:
        if self.writer is not None:
            self.writer.__exit__(*error)
