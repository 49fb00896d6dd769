"""Synchronised videos or image folders as one lazy ``[view, frame]`` reader with timestamps.

A capture is a folder with one video or one folder of images per camera; the file or folder name is
the camera's name. A `capture.yaml` in it may say more::

    cameras:
      left:  {path: GX010042.MP4}
      right: {path: frames/right, offset_s: -0.35, times: right_times.csv}
    sync: time          # or index: frame i of every camera belongs together
    tolerance_s: 0.02
    fps: 30             # of image folders without a times file
    allow_truncated: false

Only indices and times are held in memory; pictures are decoded when asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from multiview import _sync
from multiview._files import is_video
from multiview._image_folder import FolderSource, open_folder
from multiview._layout import CameraEntry, CaptureFile, find_cameras, read_times
from multiview._shapes import F64, freeze
from multiview._sync import CameraSync, SyncReport
from multiview._video import VideoSource, open_video
from multiview.errors import CaptureError

__all__ = ["CameraSync", "Capture", "SyncReport", "open_capture"]

IntArray = NDArray[np.int64]
Image = NDArray[np.uint8]
Source = VideoSource | FolderSource
SyncMode = Literal["time", "index"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A take of V cameras and F frame sets; made by `open_capture`.

    Images are BGR uint8 of shape (h, w, 3), turned as players show them (rotation metadata of
    phones, EXIF of photos); 16-bit and grey pictures become 8-bit BGR. Values can be pickled and
    sent to other processes that see the same files.

    Parameters
    ----------
    names
        V camera names: file stems or folder names in natural order, or as `capture.yaml` lists.
    sizes_wh
        Width and height of each camera's images, pixels.
    frame_ids
        Number of each frame set, shape (F,), from 0.
    times
        Seconds on the capture's clock, shape (V, F); NaN where a camera has no image in that set,
        or no clock (image folders matched by index).
    index
        Frame number in the camera's own source, shape (V, F); -1 where missing.
    sync
        What synchronisation did.
    sources
        V readers.
    """

    names: tuple[str, ...]
    sizes_wh: tuple[tuple[int, int], ...]
    frame_ids: IntArray
    times: F64
    index: IntArray
    sync: SyncReport
    sources: tuple[Source, ...]

    def images(
        self, view: int, start: int = 0, stop: int | None = None
    ) -> Generator[tuple[int, Image], None, None]:
        """Decode one camera in order, from its last keyframe before `start`.

        Parameters
        ----------
        view
            Camera, on axis V.
        start, stop
            Range on axis F, as in a slice.

        Yields
        ------
        tuple
            Position on axis F and the BGR image; sets without this camera are skipped.

        Raises
        ------
        CaptureError
            If a frame does not decode; names camera, file and frame.
        """
        first, last, _ = slice(start, stop).indices(len(self.frame_ids))
        yield from self.pick(view, np.arange(first, last))

    def pick(self, view: int, positions: IntArray) -> Generator[tuple[int, Image], None, None]:
        """Decode some pictures of one camera, from the last keyframe before the first.

        Parameters
        ----------
        view
            Camera, on axis V.
        positions
            Increasing positions on axis F, shape (P,).

        Yields
        ------
        tuple
            Position on axis F and the BGR image; sets without this camera are skipped.

        Raises
        ------
        CaptureError
            If a frame does not decode; names camera, file and frame.
        """
        self._check_view(view)
        row = self.index[view, positions]
        have = np.asarray(positions)[row >= 0]
        with closing(self.sources[view].frames(row[row >= 0])) as frames:
            for f, (_, image) in zip(have.tolist(), frames, strict=True):
                yield f, image

    def sets(
        self, start: int = 0, stop: int | None = None
    ) -> Generator[tuple[int, list[Image | None]], None, None]:
        """Decode all cameras side by side.

        Parameters
        ----------
        start, stop
            Range on axis F, as in a slice.

        Yields
        ------
        tuple
            Position on axis F and V BGR images; None where a camera has none.

        Raises
        ------
        CaptureError
            If a frame does not decode; names camera, file and frame.
        """
        first, last, _ = slice(start, stop).indices(len(self.frame_ids))
        with ExitStack() as stack:
            views = [
                stack.enter_context(closing(self.images(v, first, last)))
                for v in range(len(self.names))
            ]
            for f in range(first, last):
                have = self.index[:, f] >= 0
                yield f, [next(v)[1] if h else None for v, h in zip(views, have, strict=True)]

    def image(self, view: int, f: int) -> Image:
        """Decode one image by seeking; for runs of images use `images`, which is much faster.

        Raises
        ------
        CaptureError
            If there is no such camera or set, the set lacks this camera, or it does not decode.
        """
        self._check_view(view)
        if not 0 <= f < len(self.frame_ids) or self.index[view, f] < 0:
            raise CaptureError(
                f"camera {self.names[view]} has no image in frame set {f} of {len(self.frame_ids)}",
                "ask where index[view, f] >= 0",
            )
        with closing(self.sources[view].frames(self.index[view, f : f + 1])) as frames:
            return next(frames)[1]

    @property
    def digest(self) -> str:
        """Content identity of the sources, independent of where they lie.

        Covers names, sizes, frame times and pairing, file sizes, and the first and last megabyte
        of each file; reads that much, not whole files.
        """
        sha = hashlib.sha256(repr((self.names, self.sizes_wh)).encode())
        sha.update(np.ascontiguousarray(self.times).tobytes())
        sha.update(np.ascontiguousarray(self.index).tobytes())
        for source in self.sources:
            source.fingerprint(sha)
        return sha.hexdigest()[:16]

    def _check_view(self, view: int) -> None:
        if not 0 <= view < len(self.names):
            raise CaptureError(
                f"there is no camera {view}: the capture has {len(self.names)} cameras "
                f"({', '.join(self.names)})",
                "count cameras from 0, in the order of names",
            )


def open_capture(
    path: str | Path,
    *,
    sync: SyncMode | None = None,
    tolerance_s: float | None = None,
    fps: float | None = None,
) -> Capture:
    """Open a capture: read all frame times and pair the frames; decode one image a camera.

    Parameters
    ----------
    path
        Capture folder, `capture.yaml`, or a single video. Arguments win over the yaml file.
    sync
        ``"time"`` (default) pairs frames by their timestamps, ``"index"`` by number.
    tolerance_s
        Largest distance of a frame from the timeline of the set it joins, seconds. Default 0.55
        of the shortest median frame interval of all cameras. For ``sync="time"``.
    fps
        Pictures per second of image folders without a times file; videos have their own clock.

    Raises
    ------
    CaptureError
        If a camera is missing, unreadable, cut short or has no clock, or the clocks do not overlap.
    ConfigError
        If `capture.yaml` has an unknown key or a bad value.
    """
    layout = find_cameras(Path(path))
    _check_arguments(sync, tolerance_s, fps)
    sources = tuple(
        _open_source(name, entry, fps or layout.fps, layout)
        for name, entry in layout.cameras.items()
    )
    names, times = tuple(s.name for s in sources), [s.times for s in sources]
    mode: SyncMode = sync or layout.sync or "time"
    tolerance = layout.tolerance_s if tolerance_s is None else tolerance_s
    if mode == "index":
        index = _sync.match_by_index([t.size for t in times])
    else:
        _check_clocks(sources)
        tolerance = _sync.default_tolerance(times) if tolerance is None else tolerance
        index = _sync.match_by_time(names, times, tolerance)
    return Capture(
        names=names,
        sizes_wh=tuple(s.size_wh for s in sources),
        frame_ids=freeze(np.arange(index.shape[1])),
        times=freeze(_sync.set_times(times, index)),
        index=freeze(index),
        sync=_sync.report(mode, np.nan if tolerance is None else tolerance, names, times, index),
        sources=sources,
    )


def _open_source(name: str, entry: CameraEntry, fps: float | None, layout: CaptureFile) -> Source:
    path = Path(entry.path)
    source: Source
    if path.is_dir():
        source = open_folder(name, path, fps)
    elif is_video(path):
        source = open_video(name, path, allow_truncated=layout.allow_truncated)
    else:
        raise CaptureError(
            f"camera {name}: {path} is neither a folder nor a video by its suffix",
            "name a folder of images, or a video such as .mp4, .mov, .mkv, .avi, .webm",
        )
    times = source.times
    if entry.times:
        times = read_times(name, Path(entry.times), times.size)
    return replace(source, times=freeze(times + entry.offset_s))


def _check_arguments(sync: str | None, tolerance_s: float | None, fps: float | None) -> None:
    if sync not in {None, "time", "index"}:
        raise CaptureError(f"sync is {sync!r}", "give 'time' or 'index'")
    if tolerance_s is not None and not tolerance_s >= 0:
        raise CaptureError(f"tolerance_s is {tolerance_s}", "give seconds, 0 or more")
    if fps is not None and not fps > 0:
        raise CaptureError(f"fps is {fps}", "give pictures per second, above 0")


def _check_clocks(sources: tuple[Source, ...]) -> None:
    timeless = [s for s in sources if not s.has_clock]
    if timeless:
        raise CaptureError(
            f"camera {timeless[0].name}: the images in {timeless[0].path} have no times",
            "give fps, or a 'times' csv file in capture.yaml, or sync='index' to pair by number",
        )
