"""Detecting with several threads: same result, errors surface, nothing is left running."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from multiview.capture import open_capture
from multiview.core import HAND_21
from multiview.detection import QUEUED, detect
from multiview.errors import CaptureError, InputError
from multiview.models import ImageHands

VIEWS, SETS, SIZE = 3, 7, 32
PATIENCE_S = 20


@pytest.fixture
def take(tmp_path):
    """Three cameras of pictures that say in their first pixel which they are."""
    for view in range(VIEWS):
        folder = tmp_path / "take" / f"cam{view}"
        folder.mkdir(parents=True)
        for f in range(SETS):
            image = np.full((SIZE, SIZE, 3), 10 * view + f + 1, np.uint8)
            cv2.imwrite(str(folder / f"{f:03d}.png"), image)
    return open_capture(tmp_path / "take", sync="index")


class Reader:
    """A detector that reads the number of the picture; some take longer than others."""

    name, skeleton = "reader", HAND_21

    def __init__(self, fail_at=None):
        self.fail_at = fail_at
        self.threads, self.rois_seen = set(), []

    def hands(self, image, offset):
        number = int(image[0, 0, 0])
        time.sleep(0.01 * (number % 3))
        self.threads.add(threading.current_thread().name)
        if number == self.fail_at:
            raise InputError(f"picture {number} is unreadable", "")
        xy = np.full((1, 21, 2), float(number)) + offset
        one = np.ones(1)
        return ImageHands(
            xy_px=xy, conf=np.ones((1, 21)), handedness=one, presence=one, rois=np.ones((1, 4))
        )

    def propose(self, image):
        return np.array([[5.0, 5.0, 4.0, 0.0]])

    def rois_of(self, xy_px):
        return np.tile([5.0, 5.0, 4.0, 0.0], (len(xy_px), 1)) + np.array([0, 0, 0.5, 0])

    def detect(self, image, rois=None):
        # a tracked crop is wider than a proposed one: the answer tells them apart
        return self.hands(image, 0.0 if rois is None else rois[0, 2])


@contextmanager
def no_thread_left():
    before = set(threading.enumerate())
    yield
    ends = time.monotonic() + PATIENCE_S
    while set(threading.enumerate()) - before and time.monotonic() < ends:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before


def expected():
    return 10.0 * np.arange(VIEWS)[:, None] + np.arange(SETS) + 1


@pytest.mark.parametrize("workers", [1, 2, 3, 16])
@pytest.mark.parametrize("search_every", [0, 1, 3])
def test_the_result_does_not_depend_on_the_workers(take, workers, search_every):
    with no_thread_left():
        dets = detect(take, Reader(), workers=workers, search_every=search_every)
    numbers = dets.xy_px[:, :, 0, 0, 0]
    if search_every == 0:
        np.testing.assert_array_equal(numbers, expected())
    else:
        # the first picture of every camera is searched (4), the others are followed (4.5)
        first = np.arange(SETS) == 0
        np.testing.assert_array_equal(numbers, expected() + np.where(first, 4.0, 4.5))
    assert np.isnan(dets.xy_px[:, :, 1]).all()


def test_parts_of_a_take_join_to_the_whole(take):
    whole = detect(take, Reader(), workers=2)
    parts = [detect(take, Reader(), start=a, stop=b, workers=2) for a, b in ((0, 3), (3, SETS))]
    joined = np.concatenate([p.xy_px for p in parts], axis=1)
    np.testing.assert_array_equal(joined, whole.xy_px)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("search_every", [0, 1])
def test_an_error_of_a_detector_surfaces(take, workers, search_every):
    with no_thread_left(), pytest.raises(InputError, match="picture 14 is unreadable"):
        detect(take, Reader(fail_at=14), workers=workers, search_every=search_every)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_decoding_surfaces(take, workers, tmp_path):
    (tmp_path / "take" / "cam1" / "004.png").write_bytes(b"no picture")
    with no_thread_left(), pytest.raises(CaptureError, match="cam1"):
        detect(take, Reader(), workers=workers)


def test_ctrl_c_leaves_no_thread_and_opencvs_threads_as_they_were(take):
    def stop(what, done, total):
        if done == 3:
            raise KeyboardInterrupt

    before = cv2.getNumThreads()
    with no_thread_left(), pytest.raises(KeyboardInterrupt):
        detect(take, Reader(), workers=2, progress=stop)
    assert cv2.getNumThreads() == before


def test_few_pictures_are_in_memory(take, monkeypatch):
    """Decoding waits for the workers: bounded by the queue, not by the take."""
    decoded, answered, most = 0, 0, 0
    images = type(take).images

    def counted(self, *args):
        nonlocal decoded, most
        for picture in images(self, *args):
            decoded += 1
            most = max(most, decoded - answered)
            yield picture

    def count(what, done, total):
        nonlocal answered
        answered = done

    monkeypatch.setattr(type(take), "images", counted)
    detect(take, Reader(), workers=2, progress=count)
    assert 2 <= most <= QUEUED * 2 + 2


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"search_every": -1}])
def test_numbers_out_of_range_are_refused(take, wrong):
    with pytest.raises(InputError, match="at least"):
        detect(take, Reader(), **wrong)
