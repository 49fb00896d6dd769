"""Board corners in pictures, to a fraction of a pixel, and collected over a take."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import CONVENTIONS, F64, as_f64, check_shapes, freeze
from multiview.calib.board import Board
from multiview.calib.board_hints import HINT_IMAGES, board_hint
from multiview.calib.finders import BoardFinder, check_boards_differ
from multiview.calib.found import MIN_CORNERS
from multiview.calib.subsample import choose_sets, coarse_sets
from multiview.errors import ShapeError

__all__ = [
    "DETECTOR_VERSION",
    "MIN_CORNERS",
    "BoardCorners",
    "Footage",
    "Progress",
    "Store",
    "detect_board",
    "detect_boards",
    "detect_corners",
]

Image = NDArray[np.uint8]
Ints = NDArray[np.int64]
Arrays = dict[str, F64]
# (what, done, total), from any thread
Progress = Callable[[str, int, int], None]

# Raised whenever the corners of the same picture change, so that no stored ones are taken for them.
DETECTOR_VERSION = 2
# Pictures of one camera that a worker takes at a time: what a kill can lose, some seconds; and
# enough that decoding from the last keyframe costs little.
BLOCK = 48
# A first look at long footage takes pictures no larger than this.
FIRST_LOOK_PX = 1280


class Footage(Protocol):
    """What is needed of a capture (`multiview.Capture` has it)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Camera names in the order of axis V."""

    @property
    def sizes_wh(self) -> tuple[tuple[int, int], ...]:
        """Width and height of each camera's pictures, pixels."""

    @property
    def frame_ids(self) -> Ints:
        """Frame numbers, shape (F,)."""

    def pick(self, view: int, positions: Ints) -> Iterable[tuple[int, Image]]:
        """Yield (position on axis F, picture) of one camera at these increasing positions."""


class Store(Protocol):
    """Keeps finished blocks of a long detection (a folder; see `multiview.stages`)."""

    def load(self, key: str) -> Arrays | None:
        """Return what was saved under this key, if anything."""

    def save(self, key: str, arrays: Arrays) -> None:
        """Save a finished block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardCorners:
    """Detected corners of a take.

    Parameters
    ----------
    xy_px
        Shape (V, F, C, 2), recorded pixels; NaN where not seen.
    camera_names, sizes_wh
        Per view.
    frame_ids
        Shape (F,).
    hints
        Per view, what was found out about a camera that saw no board; else empty.
    std_px
        Standard deviation per coordinate, shape (V, F, C), that the misfit of the corner's own
        pixels suggests; a blurred corner has a large one. NaN where not seen; None if unknown.
    """

    xy_px: F64
    camera_names: tuple[str, ...]
    frame_ids: Ints
    sizes_wh: tuple[tuple[int, int], ...]
    hints: tuple[str, ...] = ()
    std_px: F64 | None = None

    def __post_init__(self) -> None:
        """Check and freeze the arrays."""
        xy = as_f64(self.xy_px, "BoardCorners.xy_px")
        ids = np.asarray(self.frame_ids, np.int64)
        fields = {"xy_px": (xy, "V F C 2"), "frame_ids": (ids, "F")}
        if self.std_px is not None:
            std = as_f64(self.std_px, "BoardCorners.std_px")
            fields["std_px"] = (std, "V F C")
            object.__setattr__(self, "std_px", freeze(std))
        sizes = check_shapes("BoardCorners", fields)
        if not len(self.camera_names) == len(self.sizes_wh) == sizes["V"]:
            raise ShapeError(
                f"BoardCorners has {sizes['V']} views, {len(self.camera_names)} camera names and "
                f"{len(self.sizes_wh)} sizes",
                CONVENTIONS,
            )
        if np.isinf(xy).any():
            raise ShapeError("BoardCorners.xy_px holds infinite values", "mark missing by NaN")
        object.__setattr__(self, "xy_px", freeze(xy))
        object.__setattr__(self, "frame_ids", freeze(ids))

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Where a corner was found, shape (V, F, C)."""
        return np.asarray(~np.isnan(self.xy_px).any(-1))


def detect_corners(image: Image, board: Board) -> F64:
    """Find a board's corners in one picture.

    Parameters
    ----------
    image
        Grey (h, w) or BGR (h, w, 3), 8 bits, any size.
    board
        One with markers may be partly hidden or cut by the picture's border, printed white on
        black, or seen mirrored from behind; a chessboard is found whole or not at all (Duda and
        Frese, BMVC 2018): what is left of it does not tell which part it is. It may come out turned
        by 180 degrees where its colours do not tell.

    Returns
    -------
    F64
        Recorded pixels, shape (C, 2), numbered as ``board.object_points``; NaN where not seen.

    Raises
    ------
    ShapeError
        If the image is not an 8-bit picture.
    """
    return BoardFinder([board])(image)[0].xy_px


def detect_board(capture: Footage, board: Board, progress: Progress | None = None) -> BoardCorners:
    """Find one board in a take: `detect_boards` of it alone."""
    return detect_boards(capture, [board], progress)[0]


def detect_boards(
    capture: Footage,
    boards: Sequence[Board],
    progress: Progress | None = None,
    *,
    store: Store | None = None,
    workers: int | None = None,
    max_sets: int = 500,
) -> tuple[BoardCorners, ...]:
    """Find boards in the pictures of a take, each of which is decoded once.

    Blocks of pictures run in parallel, over cameras and frames; one picture a worker in memory. Of
    footage longer than ``max_sets`` frame sets, at most three times as many are looked at, evenly
    spread, and those kept that tell most (`multiview.calib.subsample`).

    Parameters
    ----------
    capture
        Synchronised footage.
    boards
        What was filmed; they may be in view together.
    progress
        Called as ``progress(camera name, pictures done, pictures)``, from several threads.
    store
        Keeps finished blocks, so that an interrupted detection goes on where it was.
    workers
        Threads; one a core that this process may use by default. The result is the same.
    max_sets
        Frame sets returned.

    Returns
    -------
    tuple of BoardCorners
        One a board, of the same cameras and frames, shape (V, F, C, 2).

    Raises
    ------
    InputError
        If two boards cannot be told apart.
    """
    check_boards_differ(boards)
    run = _Run(capture, tuple(boards), progress, store, workers)
    total = len(capture.frame_ids)
    positions = np.arange(total)
    large = max((max(s) for s in capture.sizes_wh), default=0) > FIRST_LOOK_PX
    if total <= max_sets:
        found = run.detect("all", positions, None)
    else:
        positions = coarse_sets(total, max_sets)
        found = run.detect("look" if large else "all", positions, FIRST_LOOK_PX if large else None)
        chosen = choose_sets(
            [f[0] for f in found], [f[1] for f in found], capture.sizes_wh, max_sets
        )
        positions = positions[chosen]
        if large:
            found = run.detect("chosen", positions, None)
        else:
            found = [(xy[:, chosen], std[:, chosen]) for xy, std in found]
    return tuple(
        BoardCorners(
            xy_px=xy,
            std_px=std,
            camera_names=tuple(capture.names),
            frame_ids=np.asarray(capture.frame_ids)[positions],
            sizes_wh=tuple(capture.sizes_wh),
            hints=_hints(capture, board, xy, positions),
        )
        for board, (xy, std) in zip(boards, found, strict=True)
    )


@dataclass(slots=True)
class _Run:
    """One detection: what is sought where, and who is told."""

    capture: Footage
    boards: tuple[Board, ...]
    progress: Progress | None
    store: Store | None
    workers: int | None

    def detect(self, stage: str, positions: Ints, largest_px: int | None) -> list[tuple[F64, F64]]:
        """Corners (V, P, C, 2) and their standard deviations (V, P, C) of each board."""
        views, counts = len(self.capture.names), [len(b.object_points) for b in self.boards]
        xy = [np.full((views, len(positions), c, 2), np.nan) for c in counts]
        std = [np.full((views, len(positions), c), np.nan) for c in counts]
        tell = _Counter(self.progress, self.capture.names, len(positions))

        def block(job: tuple[int, int]) -> None:
            view, start = job
            part = slice(start, min(start + BLOCK, len(positions)))
            key = f"{stage}-{view:03d}-{start:06d}"
            arrays = self.store.load(key) if self.store else None
            if arrays is None:
                arrays = self._block(view, positions[part], largest_px, tell)
                if self.store:
                    self.store.save(key, arrays)
            else:
                tell(view, part.stop - part.start)
            for n in range(len(self.boards)):
                xy[n][view, part], std[n][view, part] = arrays[f"xy{n}"], arrays[f"std{n}"]

        # all cameras of the first frames first: a progress bar that tells the truth
        jobs = [(v, s) for s in range(0, len(positions), BLOCK) for v in range(views)]
        workers = min(self.workers or _usable_cores(), max(len(jobs), 1))
        with _one_thread_each(workers), ThreadPoolExecutor(workers) as pool:
            try:
                for done in [pool.submit(block, job) for job in jobs]:
                    done.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return list(zip(xy, std, strict=True))

    def _block(self, view: int, positions: Ints, largest_px: int | None, tell: _Counter) -> Arrays:
        """Detect in some pictures of one camera."""
        finder = BoardFinder(self.boards)
        shape = [(len(positions), len(b.object_points)) for b in self.boards]
        out = {f"xy{n}": np.full((*s, 2), np.nan) for n, s in enumerate(shape)}
        out |= {f"std{n}": np.full(s, np.nan) for n, s in enumerate(shape)}
        for f, image in self.capture.pick(view, positions):
            row = int(np.searchsorted(positions, f))
            small, scale = _no_larger(image, largest_px)
            for n, found in enumerate(finder(small)):
                out[f"xy{n}"][row] = (found.xy_px + 0.5) / scale - 0.5
                out[f"std{n}"][row] = found.std_px / scale.mean()
            tell(view, 1)
        return out


class _Counter:
    """Counts pictures a camera from several threads."""

    def __init__(self, progress: Progress | None, names: Sequence[str], total: int) -> None:
        self._progress, self._names, self._total = progress, names, total
        self._done, self._lock = [0] * len(names), threading.Lock()

    def __call__(self, view: int, more: int) -> None:
        with self._lock:
            self._done[view] += more
            if self._progress is not None:
                self._progress(self._names[view], self._done[view], self._total)


def _no_larger(image: Image, largest_px: int | None) -> tuple[Image, F64]:
    """Return the picture, made smaller if need be, and its scale across and down."""
    height, width = image.shape[:2]
    if largest_px is None or max(height, width) <= largest_px:
        return image, np.ones(2)
    shrink = largest_px / max(height, width)
    small = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), np.array(small.shape[1::-1]) / [width, height]


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _one_thread_each(workers: int) -> Iterator[None]:
    """Switch OpenCV's own threads off while ours use the cores."""
    before = cv2.getNumThreads()
    if workers > 1:
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _hints(capture: Footage, board: Board, xy: F64, positions: Ints) -> tuple[str, ...]:
    """Per camera that never saw the board, why that may be."""
    some = np.linspace(0, max(len(positions) - 1, 0), min(HINT_IMAGES, len(positions)))
    asked, out = positions[np.unique(some.astype(np.int64))], []
    for view in range(len(xy)):
        blind = bool(np.isnan(xy[view]).all())
        images = [image for _, image in capture.pick(view, asked)] if blind else []
        out.append(board_hint(images, board) if images else "")
    return tuple(out)
