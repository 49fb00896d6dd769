"""Run a 2D detector over every picture of a capture."""

from __future__ import annotations

import copy
import functools
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing

import cv2
import numpy as np

from multiview.capture import Capture, Image
from multiview.core import Detections, Rig
from multiview.errors import InputError
from multiview.models.base import Detector, ImageHands
from multiview.models.tracking import Tracker
from multiview.progress import Progress

__all__ = ["concatenate", "detect"]

# View, position on axis F, and the image or what was found in it.
Pictures = Generator[tuple[int, int, Image], None, None]
Answers = Generator[tuple[int, int, ImageHands], None, None]

# Pictures a worker may have waiting, so that none runs dry while a slow one is decoded.
QUEUED = 3


def detect(
    capture: Capture,
    detector: Detector,
    *,
    start: int = 0,
    stop: int | None = None,
    max_hands: int = 2,
    workers: int = 1,
    search_every: int = 0,
    rig: Rig | None = None,
    progress: Progress | None = None,
) -> Detections:
    """Detect hands in every picture; memory holds a few pictures a worker, however long the take.

    This thread decodes while the workers detect. The result does not depend on their number.

    Parameters
    ----------
    capture
        Synchronised cameras.
    detector
        From `multiview.load_detector`.
    start, stop
        Range of frame sets.
    max_hands
        Slots of axis H; a picture's best hands are kept.
    workers
        Threads that detect, each with a copy of the detector. With more than one, OpenCV's own
        threads are switched off for the time: they would compete for the same cores.
    search_every
        0: every picture on its own. 1 or more: follow each camera's hands from picture to picture,
        and search whole pictures as in `multiview.models.tracking.Tracker`.
    rig
        Look twice: triangulate what was found, and read the pictures again in which the 3D puts a
        hand that was not (`multiview.guided`). Whole takes only.
    progress
        Called with ("detect", pictures done, pictures in all); then with "guide".

    Returns
    -------
    Detections
        Candidates (``hands == ()``): which is which hand is decided by
        `multiview.association.assign_hands`. With a rig, hands: it had to be decided.

    Raises
    ------
    CaptureError
        If a frame does not decode; names camera, file and frame.
    InputError
        If a number is out of range.
    """
    if workers < 1 or search_every < 0:
        raise InputError(
            f"workers={workers}, search_every={search_every}", "at least 1 and at least 0"
        )
    first, last, _ = slice(start, stop).indices(len(capture.frame_ids))
    if rig is not None and last - first < len(capture.frame_ids):
        raise InputError(
            f"sets {first} to {last} of {len(capture.frame_ids)}, and a rig",
            "a second look needs the 3D of the whole take: leave out start and stop, or the rig",
        )
    views, frames, k = len(capture.names), last - first, len(detector.skeleton.keypoints)
    xy = np.full((views, frames, max_hands, k, 2), np.nan)
    conf, right = np.zeros(xy.shape[:-1]), np.full(xy.shape[:3], np.nan)
    total = int((capture.index[:, first:last] >= 0).sum())
    workers = max(1, min(workers, total if search_every == 0 else views))
    readers = [_Reader(detector, max_hands, search_every)]
    readers += [
        _Reader(copy.deepcopy(detector), max_hands, search_every) for _ in range(workers - 1)
    ]
    pictures = _pictures(capture, first, last, workers)
    with closing(pictures), closing(_read(pictures, readers)) as answers:
        for done, (v, f, hands) in enumerate(answers, 1):
            _store(hands, max_hands, (xy[v, f - first], conf[v, f - first], right[v, f - first]))
            if progress:
                progress("detect", done, total)
    found = Detections(
        xy_px=xy,
        conf=conf,
        camera_names=capture.names,
        frame_ids=capture.frame_ids[first:last],
        times=capture.times[:, first:last],
        skeleton=detector.skeleton,
        source=detector.name,
        right=right,
        size_wh=capture.sizes_wh,
    )
    return found if rig is None else _again(capture, detector, found, rig, progress)


def _again(
    capture: Capture, detector: Detector, dets: Detections, rig: Rig, progress: Progress | None
) -> Detections:
    """Look again where the 3D of a first pass says that a hand must be."""
    from multiview.guided import guide
    from multiview.triangulation import triangulate

    return guide(capture, detector, dets, triangulate(dets, rig), rig, progress=progress)[0]


class _Reader:
    """A detector in its thread; when tracking, with what it remembers of one camera."""

    def __init__(self, detector: Detector, max_hands: int, search_every: int) -> None:
        self._detector, self.tracks = detector, search_every > 0
        self._start = functools.partial(Tracker, detector, max_hands, max(search_every, 1))
        self._tracker, self._view = self._start(), -1

    def __call__(self, view: int, image: Image) -> ImageHands:
        if not self.tracks:
            return self._detector.detect(image)
        if view != self._view:
            self._tracker, self._view = self._start(), view
        return self._tracker.step(image)[0]


def _pictures(capture: Capture, first: int, last: int, views: int) -> Pictures:
    """Decode everything, in order within a camera: `views` cameras side by side, then the next."""
    count = len(capture.names)
    for group in (range(v, min(v + views, count)) for v in range(0, count, views)):
        with ExitStack() as stack:
            decoders = [stack.enter_context(closing(capture.images(v, first, last))) for v in group]
            opened = dict(zip(group, decoders, strict=True))
            while opened:
                for v, images in list(opened.items()):
                    picture = next(images, None)
                    if picture is None:
                        del opened[v]
                    else:
                        yield v, *picture


def _read(pictures: Pictures, readers: list[_Reader]) -> Answers:
    """Give pictures to the readers: any to any, or when tracking a camera's all to one, in order.

    Yields view, position on axis F and the hands, in the order of `pictures`. Errors of reading
    and detecting surface here; whichever way this ends, no thread is left.
    """
    if len(readers) == 1:
        for v, f, image in pictures:
            yield v, f, readers[0](v, image)
        return
    waiting: deque[tuple[int, int, Future[ImageHands]]] = deque()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    pools = [ThreadPoolExecutor(1, "detect") for _ in readers]
    try:
        for n, (v, f, image) in enumerate(pictures):
            lane = (v if readers[0].tracks else n) % len(readers)
            waiting.append((v, f, pools[lane].submit(readers[lane], v, image)))
            if len(waiting) > QUEUED * len(readers):
                yield _answer(waiting)
        while waiting:
            yield _answer(waiting)
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)


def _answer(waiting: deque[tuple[int, int, Future[ImageHands]]]) -> tuple[int, int, ImageHands]:
    v, f, answer = waiting.popleft()
    return v, f, answer.result()


def _store(
    hands: ImageHands, max_hands: int, row: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    n = min(len(hands), max_hands)
    row[0][:n], row[1][:n], row[2][:n] = hands.xy_px[:n], hands.conf[:n], hands.handedness[:n]


def concatenate(parts: list[Detections]) -> Detections:
    """Join consecutive frame ranges of one take."""
    head = parts[0]
    return Detections(
        xy_px=np.concatenate([p.xy_px for p in parts], axis=1),
        conf=np.concatenate([p.conf for p in parts], axis=1),
        camera_names=head.camera_names,
        frame_ids=np.concatenate([p.frame_ids for p in parts]),
        times=np.concatenate([p.times for p in parts], axis=1),
        skeleton=head.skeleton,
        source=head.source,
        right=np.concatenate([p.right for p in parts], axis=1),
        hands=head.hands,
        size_wh=head.size_wh,
    )
